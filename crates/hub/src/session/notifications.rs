//! Notifications: envelopes outside of any room's order. Of two with the same key only the newer one waits.

use std::collections::VecDeque;

use bytes::Bytes;
use teahouse_core::{Language, RoomId};

use super::hello::Entering;
use super::{Batch, Session};
use crate::inbox::CoalesceKey;
use crate::ports::Dialect;

/// The notifications that wait for a session. It exists only while there are any.
#[derive(Debug, Default)]
pub(crate) struct NotificationQueue {
    waiting: VecDeque<(CoalesceKey, Bytes)>,
    /// Their bytes.
    bytes: usize,
    /// Some did not fit: the session is sent `events_missed` after those that wait.
    overflowed: bool,
}

impl NotificationQueue {
    fn push(&mut self, key: CoalesceKey, frame: Bytes) {
        self.bytes += frame.len();
        self.waiting.push_back((key, frame));
    }

    fn remove(&mut self, index: usize) -> Option<Bytes> {
        let (_, frame) = self.waiting.remove(index)?;
        self.bytes -= frame.len();
        Some(frame)
    }

    fn retain(&mut self, stays: impl Fn(CoalesceKey) -> bool) {
        self.waiting.retain(|(key, frame)| {
            let stays = stays(*key);
            if !stays {
                self.bytes -= frame.len();
            }
            stays
        });
    }
}

impl Session {
    /// Queues a notification after all others, since it may refer to them, and drops the waiting one with the same key.
    /// Beyond the maximum of envelopes or bytes the session is sent `events_missed` instead, and this returns that bound
    /// and the figure that reached it. Its own memberships and room entries are queued even then: their number is
    /// bounded by its rooms.
    pub(crate) fn notify(
        &mut self,
        key: CoalesceKey,
        frame: Bytes,
        envelopes_max: usize,
        bytes_max: usize,
    ) -> Option<(&'static str, usize)> {
        if key != CoalesceKey::Published {
            self.take_pending(key);
        }
        let queue = self.output.notifications.get_or_insert_default();
        let (envelopes, bytes) = (queue.waiting.len(), queue.bytes);
        let is_bounded = !matches!(key, CoalesceKey::Membership(_) | CoalesceKey::Entry(_));
        if is_bounded && (envelopes >= envelopes_max || bytes >= bytes_max) {
            queue.overflowed = true;
            return Some(match bytes >= bytes_max {
                true => ("hub.notification_bytes_max", bytes),
                false => ("hub.waiting_envelopes_max", envelopes),
            });
        }
        queue.push(key, frame);
        None
    }

    /// A notification was dropped before it reached this session.
    pub(crate) fn mark_events_missed(&mut self) {
        self.output.notifications.get_or_insert_default().overflowed = true;
    }

    pub(crate) fn has_pending(&self, key: CoalesceKey) -> bool {
        self.output.notifications.as_ref().is_some_and(|queue| queue.waiting.iter().any(|(waiting, _)| *waiting == key))
    }

    /// Removes the waiting notification with this key.
    pub(crate) fn take_pending(&mut self, key: CoalesceKey) -> Option<Bytes> {
        let queue = self.output.notifications.as_mut()?;
        let index = queue.waiting.iter().position(|(other, _)| *other == key)?;
        queue.remove(index)
    }

    /// Removes what waits about a room that the session left.
    pub(crate) fn drop_pending_of_room(&mut self, room: RoomId) {
        if let Some(queue) = &mut self.output.notifications {
            queue.retain(|key| key.member_room() != Some(room));
        }
    }

    /// Removes what waits about rooms that the session is not in, except that it is not in them.
    pub(crate) fn drop_pending_of_other_rooms(&mut self) {
        if let Some(queue) = &mut self.output.notifications {
            let is_in = |room: RoomId| self.cursors.binary_search_by_key(&room, |cursor| cursor.room).is_ok();
            queue.retain(|key| matches!(key, CoalesceKey::Membership(_)) || key.member_room().is_none_or(is_in));
        }
    }

    /// Sets the waiting notifications aside, so that others can be queued before them.
    pub(crate) fn take_notifications(&mut self) -> Option<Box<NotificationQueue>> {
        self.output.notifications.take()
    }

    /// Puts notifications that were set aside after those that wait now.
    pub(crate) fn append_notifications(&mut self, aside: Option<Box<NotificationQueue>>) {
        if let Some(aside) = aside {
            let queue = self.output.notifications.get_or_insert_default();
            queue.waiting.extend(aside.waiting);
            queue.bytes += aside.bytes;
            queue.overflowed |= aside.overflowed;
        }
    }

    /// Gathers the waiting notifications, except those about rooms that the session is entering.
    pub(super) fn gather_notifications(
        &mut self,
        events_missed: &dyn Fn(Language, Dialect) -> Bytes,
        batch: &mut Batch,
    ) {
        let Some(queue) = &mut self.output.notifications else { return };
        let entering: &[Entering] = self.v1.as_ref().map_or(&[], |v1| &v1.entering);
        let mut next = 0;
        while !batch.is_full()
            && let Some((key, _)) = queue.waiting.get(next)
        {
            if key.member_room().is_some_and(|room| entering.iter().any(|entering| entering.room == room)) {
                next += 1;
            } else if let Some(frame) = queue.remove(next) {
                batch.push(frame);
            }
        }
        if queue.waiting.is_empty() {
            if queue.overflowed {
                batch.push(events_missed(self.language(), self.dialect()));
            }
            self.output.notifications = None;
        }
    }
}
