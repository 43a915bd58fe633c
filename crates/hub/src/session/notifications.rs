//! What a session is told outside of its rooms' order: of what is about the same only the newest waits.

use std::collections::VecDeque;

use bytes::Bytes;
use teahouse_core::{Language, RoomId, Version};

use super::{Batch, Session};
use crate::inbox::CoalesceKey;
use crate::ports::Dialect;

/// What a session is told besides rooms, as long as any waits.
#[derive(Debug, Default)]
pub(crate) struct NotificationQueue {
    waiting: VecDeque<(CoalesceKey, Bytes)>,
    missed: bool,
}

impl Session {
    /// Puts something outside of rooms before it, behind all that waits, since it may speak of that; what still
    /// waits of the same topic goes. Beyond `waiting_envelopes_max` it is told that it missed something instead;
    /// only what becomes of its own rooms is never missed, and bounded by their number.
    pub(crate) fn notify(&mut self, key: CoalesceKey, frame: Bytes, waiting_envelopes_max: usize) {
        if key != CoalesceKey::Published {
            self.take_pending(key);
        }
        let queue = self.notifications.get_or_insert_default();
        if queue.waiting.len() < waiting_envelopes_max
            || matches!(key, CoalesceKey::Membership(_) | CoalesceKey::Entry(_))
        {
            queue.waiting.push_back((key, frame));
        } else {
            queue.missed = true;
        }
    }

    /// Whether something of this topic still waits.
    pub(crate) fn has_pending(&self, key: CoalesceKey) -> bool {
        self.notifications.as_ref().is_some_and(|queue| queue.waiting.iter().any(|(waiting, _)| *waiting == key))
    }

    /// Takes back what still waits of this topic.
    pub(crate) fn take_pending(&mut self, key: CoalesceKey) -> Option<Bytes> {
        let waiting = &mut self.notifications.as_mut()?.waiting;
        let place = waiting.iter().position(|(waiting, _)| *waiting == key)?;
        waiting.remove(place).map(|(_, frame)| frame)
    }

    /// Takes back what still waits about a room that it is no longer in.
    pub(crate) fn drop_pending_of_room(&mut self, room: RoomId) {
        if let Some(queue) = &mut self.notifications {
            queue.waiting.retain(|(key, _)| key.member_room() != Some(room));
        }
    }

    /// Sets aside what waits, so that something can be told before it.
    pub(crate) fn take_notifications(&mut self) -> Option<Box<NotificationQueue>> {
        self.notifications.take()
    }

    /// Puts what was set aside behind what waits by now.
    pub(crate) fn append_notifications(&mut self, aside: Option<Box<NotificationQueue>>) {
        if let Some(aside) = aside {
            let queue = self.notifications.get_or_insert_default();
            queue.waiting.extend(aside.waiting);
            queue.missed |= aside.missed;
        }
    }

    /// Takes back what still waits about rooms that it is not in, but that it is not in them.
    pub(crate) fn drop_pending_of_other_rooms(&mut self) {
        if let Some(queue) = &mut self.notifications {
            let is_in = |room: RoomId| self.cursors.binary_search_by_key(&room, |cursor| cursor.room).is_ok();
            queue
                .waiting
                .retain(|(key, _)| matches!(key, CoalesceKey::Membership(_)) || key.member_room().is_none_or(is_in));
        }
    }

    /// Something was to be told and could not be kept for it.
    pub(crate) fn mark_events_missed(&mut self) {
        self.notifications.get_or_insert_default().missed = true;
    }

    /// Puts into a batch what waits, but for rooms that wait for an answer.
    pub(super) fn gather_queue(&mut self, events_missed: &dyn Fn(Language, Dialect) -> Bytes, batch: &mut Batch) {
        if let Some(queue) = &mut self.notifications {
            let entering: &[(RoomId, Version)] = self.v1.as_ref().map_or(&[], |v1| &v1.entering);
            let mut next = 0;
            while !batch.is_full()
                && let Some((key, _)) = queue.waiting.get(next)
            {
                if key.member_room().is_some_and(|room| entering.iter().any(|(other, _)| *other == room)) {
                    next += 1;
                } else if let Some((_, frame)) = queue.waiting.remove(next) {
                    batch.push(frame);
                }
            }
            if queue.waiting.is_empty() {
                if queue.missed {
                    batch.push(events_missed(self.language, self.dialect()));
                }
                self.notifications = None;
            }
        }
    }
}
