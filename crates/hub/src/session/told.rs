//! What a session is told outside of its rooms' order: of what is about the same only the newest waits.

use std::collections::VecDeque;

use bytes::Bytes;
use teahouse_core::{Language, RoomId, Version};

use super::{Batch, Session};
use crate::inbox::Topic;
use crate::seams::Dialect;

/// What a session is told besides rooms, as long as any waits.
#[derive(Debug, Default)]
pub(crate) struct Personal {
    told: VecDeque<(Topic, Bytes)>,
    missed: bool,
}

impl Session {
    /// Puts something outside of rooms before it, behind all that waits, since it may speak of that; what still
    /// waits of the same topic goes. Beyond `waiting_envelopes_max` it is told that it missed something instead;
    /// only what becomes of its own rooms is never missed, and bounded by their number.
    pub(crate) fn tell(&mut self, topic: Topic, frame: Bytes, waiting_envelopes_max: usize) {
        if topic != Topic::Published {
            self.take_waiting_of(topic);
        }
        let personal = self.personal.get_or_insert_default();
        if personal.told.len() < waiting_envelopes_max || matches!(topic, Topic::Membership(_) | Topic::Entry(_)) {
            personal.told.push_back((topic, frame));
        } else {
            personal.missed = true;
        }
    }

    /// Whether something of this topic still waits.
    pub(crate) fn has_waiting_of(&self, topic: Topic) -> bool {
        self.personal.as_ref().is_some_and(|personal| personal.told.iter().any(|(waiting, _)| *waiting == topic))
    }

    /// Takes back what still waits of this topic.
    pub(crate) fn take_waiting_of(&mut self, topic: Topic) -> Option<Bytes> {
        let told = &mut self.personal.as_mut()?.told;
        let place = told.iter().position(|(waiting, _)| *waiting == topic)?;
        told.remove(place).map(|(_, frame)| frame)
    }

    /// Takes back what still waits about a room that it is no longer in.
    pub(crate) fn forget_told_of(&mut self, room: RoomId) {
        if let Some(personal) = &mut self.personal {
            personal.told.retain(|(topic, _)| topic.room() != Some(room));
        }
    }

    /// Sets aside what waits, so that something can be told before it.
    pub(crate) fn set_told_aside(&mut self) -> Option<Box<Personal>> {
        self.personal.take()
    }

    /// Puts what was set aside behind what waits by now.
    pub(crate) fn put_behind(&mut self, aside: Option<Box<Personal>>) {
        if let Some(aside) = aside {
            let personal = self.personal.get_or_insert_default();
            personal.told.extend(aside.told);
            personal.missed |= aside.missed;
        }
    }

    /// Takes back what still waits about rooms that it is not in, but that it is not in them.
    pub(crate) fn forget_told_elsewhere(&mut self) {
        if let Some(personal) = &mut self.personal {
            let is_in = |room: RoomId| self.cursors.binary_search_by_key(&room, |cursor| cursor.room).is_ok();
            personal.told.retain(|(topic, _)| matches!(topic, Topic::Membership(_)) || topic.room().is_none_or(is_in));
        }
    }

    /// Something was to be told and could not be kept for it.
    pub(crate) fn missed_something(&mut self) {
        self.personal.get_or_insert_default().missed = true;
    }

    /// Puts into a batch what waits, but for rooms that wait for an answer.
    pub(super) fn gather_personal(&mut self, events_missed: &dyn Fn(Language, Dialect) -> Bytes, batch: &mut Batch) {
        if let Some(personal) = &mut self.personal {
            let entering: &[(RoomId, Version)] = self.v1.as_ref().map_or(&[], |v1| &v1.entering);
            let mut next = 0;
            while !batch.is_full()
                && let Some((topic, _)) = personal.told.get(next)
            {
                if topic.room().is_some_and(|room| entering.iter().any(|(other, _)| *other == room)) {
                    next += 1;
                } else if let Some((_, frame)) = personal.told.remove(next) {
                    batch.push(frame);
                }
            }
            if personal.told.is_empty() {
                if personal.missed {
                    batch.push(events_missed(self.language, self.dialect()));
                }
                self.personal = None;
            }
        }
    }
}
