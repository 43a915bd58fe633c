//! Who is typing in which room, and which rooms have to be notified of it with the next tick.
//!
//! Invariant: a room is here as long as a user is typing in it, or its members were last notified of a user who no
//! longer is. Notifications are compared with the last one, so that nothing is sent twice.

use std::collections::BTreeMap;

use teahouse_core::limits::TYPING_EXPIRY;
use teahouse_core::{RoomId, UserId};

use crate::clock::MonotonicMs;
use crate::maps::HashMap;

/// The users who are typing, by room.
#[derive(Debug, Default)]
pub(crate) struct Typing(HashMap<RoomId, TypingRoom>);

#[derive(Debug, Default)]
struct TypingRoom {
    /// Until when each of them counts as typing.
    until: BTreeMap<UserId, MonotonicMs>,
    notified: Vec<UserId>,
}

impl Typing {
    /// A user began or stopped typing.
    pub(super) fn set(&mut self, room: RoomId, user: UserId, on: bool, now: MonotonicMs) {
        if on {
            self.0.entry(room).or_default().until.insert(user, now.plus(TYPING_EXPIRY));
        } else if let Some(typing) = self.0.get_mut(&room) {
            typing.until.remove(&user);
        }
    }

    /// The rooms whose members have to be notified, with all users who are typing there now.
    pub(super) fn take_changes(&mut self, now: MonotonicMs) -> Vec<(RoomId, Vec<UserId>)> {
        let mut changes = Vec::new();
        self.0.retain(|room, typing| {
            typing.until.retain(|_, until| *until > now);
            let users: Vec<UserId> = typing.until.keys().copied().collect();
            if typing.notified != users {
                typing.notified.clone_from(&users);
                changes.push((*room, users));
            }
            !typing.until.is_empty()
        });
        changes
    }

    pub(super) fn forget(&mut self, room: RoomId) {
        self.0.remove(&room);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: RoomId = RoomId(7);
    const AMY: UserId = UserId(1);

    #[test]
    fn members_are_notified_once_of_a_begin_and_once_of_its_end() {
        let mut typing = Typing::default();
        typing.set(ROOM, AMY, true, MonotonicMs(0));
        assert_eq!(typing.take_changes(MonotonicMs(1)), [(ROOM, vec![AMY])]);
        typing.set(ROOM, AMY, true, MonotonicMs(2));
        assert_eq!(typing.take_changes(MonotonicMs(3)), []);
        typing.set(ROOM, AMY, false, MonotonicMs(4));
        assert_eq!(typing.take_changes(MonotonicMs(5)), [(ROOM, vec![])]);
        assert!(typing.is_empty());
    }

    #[test]
    fn typing_expires() {
        let mut typing = Typing::default();
        typing.set(ROOM, AMY, true, MonotonicMs(0));
        typing.take_changes(MonotonicMs(0));
        let end = MonotonicMs(0).plus(TYPING_EXPIRY);
        assert_eq!(typing.take_changes(MonotonicMs(end.0 - 1)), []);
        assert_eq!(typing.take_changes(end), [(ROOM, vec![])]);
    }

    #[test]
    fn typing_that_begins_and_ends_between_two_ticks_is_not_notified() {
        let mut typing = Typing::default();
        typing.set(ROOM, AMY, true, MonotonicMs(0));
        typing.set(ROOM, AMY, false, MonotonicMs(1));
        assert_eq!(typing.take_changes(MonotonicMs(2)), []);
        assert!(typing.is_empty());
    }
}
