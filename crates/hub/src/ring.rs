//! The ring of published events: the newest events for every session, which are not stored. A session that is too slow
//! for the ring is sent `events_missed`.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::ports::Dialect;
use crate::session::Batch;

/// A session's position: the number of events published before the next one that it is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct RingPosition(u64);

#[derive(Debug)]
struct Event {
    classic: Option<Bytes>,
    v1: Option<Bytes>,
}

impl Event {
    /// The bytes of its frame, which both dialects share.
    fn bytes(&self) -> usize {
        let bytes = |frame: &Option<Bytes>| frame.as_ref().map_or(0, Bytes::len);
        bytes(&self.v1).max(bytes(&self.classic)) + size_of::<Self>()
    }
}

/// The newest published events.
#[derive(Debug)]
pub(crate) struct Ring {
    events: VecDeque<Event>,
    /// Events published before the first one that is kept.
    dropped: u64,
    events_max: usize,
    bytes: usize,
    bytes_max: usize,
    /// Events published before the last one that was dropped because of bytes, that one too; and how many bytes there
    /// were.
    forced_out: (u64, usize),
}

impl Ring {
    pub(crate) fn new(events_max: usize, bytes_max: usize) -> Self {
        Self {
            events: VecDeque::new(),
            dropped: 0,
            events_max: events_max.max(1),
            bytes: 0,
            bytes_max,
            forced_out: (0, 0),
        }
    }

    /// Adds an event, and drops the oldest ones beyond the bounds. The newest event is always kept.
    pub(crate) fn push(&mut self, classic: Option<Bytes>, v1: Option<Bytes>) {
        if self.events.len() >= self.events_max {
            self.drop_oldest();
        }
        let event = Event { classic, v1 };
        self.bytes += event.bytes();
        self.events.push_back(event);
        let bytes = self.bytes;
        while self.bytes > self.bytes_max && self.events.len() > 1 {
            self.drop_oldest();
            self.forced_out = (self.dropped, bytes);
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.events.pop_front() {
            self.bytes -= oldest.bytes();
            self.dropped += 1;
        }
    }

    /// An event was lost before it reached this shard: every session missed it.
    pub(crate) fn skip(&mut self) {
        self.dropped += self.events.len() as u64 + 1;
        self.events.clear();
        self.bytes = 0;
    }

    /// The position of a new session.
    pub(crate) fn end(&self) -> RingPosition {
        RingPosition(self.dropped + self.events.len() as u64)
    }

    pub(crate) fn is_at_end(&self, position: RingPosition) -> bool {
        position == self.end()
    }

    /// Gathers the events after `position` until the batch is full. `missed` stands in for events that were dropped.
    pub(crate) fn gather(
        &self,
        position: &mut RingPosition,
        dialect: Dialect,
        missed: impl Fn() -> Bytes,
        batch: &mut Batch,
    ) {
        if position.0 < self.dropped && !batch.is_full() {
            if position.0 < self.forced_out.0 {
                batch.bounds_reached.push(("hub.ring_bytes_max", self.forced_out.1));
            }
            position.0 = self.dropped;
            batch.push(missed());
        }
        while !batch.is_full() && position.0 >= self.dropped {
            let index = usize::try_from(position.0 - self.dropped).unwrap_or(usize::MAX);
            let Some(event) = self.events.get(index) else { return };
            position.0 += 1;
            let frame = match dialect {
                Dialect::Classic => &event.classic,
                Dialect::V1 => &event.v1,
            };
            if let Some(frame) = frame {
                batch.push(frame.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(ring: &Ring, position: &mut RingPosition, dialect: Dialect) -> Vec<String> {
        let mut batch = Batch::default();
        ring.gather(position, dialect, || Bytes::from_static(b"missed"), &mut batch);
        batch.frames.iter().map(|frame| String::from_utf8_lossy(frame).into_owned()).collect()
    }

    #[test]
    fn a_session_receives_every_event_or_that_it_missed_some() {
        let mut ring = Ring::new(2, 1000);
        let (mut early, mut late) = (ring.end(), ring.end());
        ring.push(Some(Bytes::from_static(b"1")), Some(Bytes::from_static(b"1")));
        ring.push(None, Some(Bytes::from_static(b"2")));
        assert_eq!(gathered(&ring, &mut early, Dialect::V1), ["1", "2"]);
        assert!(ring.is_at_end(early) && !ring.is_at_end(late));
        ring.push(Some(Bytes::from_static(b"3")), None);
        assert_eq!(gathered(&ring, &mut early, Dialect::V1), [""; 0]);
        assert_eq!(gathered(&ring, &mut late, Dialect::Classic), ["missed", "3"]);
        ring.skip();
        assert_eq!(gathered(&ring, &mut early, Dialect::V1), ["missed"]);
        assert!(ring.is_at_end(early));
        ring.push(Some(Bytes::from_static(b"4")), None);
        assert_eq!(gathered(&ring, &mut late, Dialect::Classic), ["missed", "4"]);
    }

    #[test]
    fn long_events_fill_the_ring_before_many_do() {
        let mut ring = Ring::new(100, 5000);
        let (mut position, event) = (ring.end(), Bytes::from(vec![b'x'; 2000]));
        (0..2).for_each(|_| ring.push(Some(event.clone()), Some(event.clone())));
        assert_eq!(ring.forced_out, (0, 0));
        ring.push(None, Some(event));
        assert!(ring.forced_out.0 == 1 && ring.forced_out.1 > 6000 && ring.bytes <= 5000);
        assert_eq!(gathered(&ring, &mut position, Dialect::V1).len(), 3, "that some are missed, and two");
        // An event that is longer than the bound is kept until the next one.
        ring.push(None, Some(Bytes::from(vec![b'x'; 6000])));
        assert_eq!(gathered(&ring, &mut position, Dialect::V1).len(), 1);
    }
}
