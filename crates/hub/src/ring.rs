//! What is published to everybody and not stored: the newest of it, and how far each session is. Falling
//! off it is told, not hidden.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::ports::Dialect;
use crate::session::Batch;

/// How far a session is: how many were published before the next one that it is to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct RingPosition(u64);

#[derive(Debug)]
struct Published {
    classic: Option<Bytes>,
    v1: Option<Bytes>,
}

/// The newest of what was published.
#[derive(Debug)]
pub(crate) struct Ring {
    published: VecDeque<Published>,
    /// How many were published before the first one that is remembered.
    forgotten: u64,
    events_max: usize,
}

impl Ring {
    pub(crate) fn new(events_max: usize) -> Self {
        Self { published: VecDeque::new(), forgotten: 0, events_max: events_max.max(1) }
    }

    pub(crate) fn push(&mut self, classic: Option<Bytes>, v1: Option<Bytes>) {
        if self.published.len() >= self.events_max {
            self.published.pop_front();
            self.forgotten += 1;
        }
        self.published.push_back(Published { classic, v1 });
    }

    /// Something was published that nobody here can be told.
    pub(crate) fn skip(&mut self) {
        self.forgotten += self.published.len() as u64 + 1;
        self.published.clear();
    }

    /// Where a new session begins.
    pub(crate) fn end(&self) -> RingPosition {
        RingPosition(self.forgotten + self.published.len() as u64)
    }

    pub(crate) fn is_at_end(&self, place: RingPosition) -> bool {
        place == self.end()
    }

    /// Gathers what a session is to be told next, as far as the batch reaches. `missed` is what it is told
    /// in the place of what is no longer here.
    pub(crate) fn gather(
        &self,
        place: &mut RingPosition,
        dialect: Dialect,
        missed: impl Fn() -> Bytes,
        batch: &mut Batch,
    ) {
        if place.0 < self.forgotten && !batch.is_full() {
            place.0 = self.forgotten;
            batch.push(missed());
        }
        while !batch.is_full() && place.0 >= self.forgotten {
            let index = usize::try_from(place.0 - self.forgotten).unwrap_or(usize::MAX);
            let Some(published) = self.published.get(index) else { return };
            place.0 += 1;
            let frame = match dialect {
                Dialect::Classic => &published.classic,
                Dialect::V1 => &published.v1,
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

    fn told(ring: &Ring, place: &mut RingPosition, dialect: Dialect) -> Vec<String> {
        let mut batch = Batch::default();
        ring.gather(place, dialect, || Bytes::from_static(b"missed"), &mut batch);
        batch.frames.iter().map(|frame| String::from_utf8_lossy(frame).into_owned()).collect()
    }

    #[test]
    fn everybody_is_told_everything_or_that_something_is_missing() {
        let mut ring = Ring::new(2);
        let (mut early, mut late) = (ring.end(), ring.end());
        ring.push(Some(Bytes::from_static(b"1")), Some(Bytes::from_static(b"1")));
        ring.push(None, Some(Bytes::from_static(b"2")));
        assert_eq!(told(&ring, &mut early, Dialect::V1), ["1", "2"]);
        assert!(ring.is_at_end(early) && !ring.is_at_end(late));
        ring.push(Some(Bytes::from_static(b"3")), None);
        assert_eq!(told(&ring, &mut early, Dialect::V1), [""; 0]);
        assert_eq!(told(&ring, &mut late, Dialect::Classic), ["missed", "3"]);
        ring.skip();
        assert_eq!(told(&ring, &mut early, Dialect::V1), ["missed"]);
        assert!(ring.is_at_end(early));
        ring.push(Some(Bytes::from_static(b"4")), None);
        assert_eq!(told(&ring, &mut late, Dialect::Classic), ["missed", "4"]);
    }
}
