//! Who acts on a room: whether they see it, what they are in it, whether they may act at all. The rules
//! themselves are in `teahouse_core::permission`.

use std::time::Duration;

use teahouse_core::permission::Actor;
use teahouse_core::{RoomId, RoomKind, Timestamp, UserId, UserRole};

use super::group::{Group, Room};
use super::row::Sql;

/// Somebody who acts on a room that they can see.
pub(super) struct Acting {
    pub(super) room: Room,
    pub(super) actor: Actor,
    /// There is such a user, and they are not disabled.
    pub(super) enabled: bool,
}

impl Acting {
    pub(super) fn is_member(&self) -> bool {
        self.actor.room.is_some()
    }

    /// For how long they may not write there.
    pub(super) fn muted_for(&self, group: &mut Group<'_>, now: Timestamp) -> Sql<Option<Duration>> {
        Ok(group.person(self.actor.user)?.and_then(|person| person.muted_in_for(self.room.id, now)))
    }
}

/// `None` when there is no such room, or none that this user can see: private and direct rooms of others
/// are as good as not there.
pub(super) fn acting(group: &mut Group<'_>, room: RoomId, user: UserId) -> Sql<Option<Acting>> {
    let Some(room) = group.room(room)? else { return Ok(None) };
    let role = group.role_in(room.id, user)?;
    if role.is_none() && room.kind != RoomKind::Public {
        return Ok(None);
    }
    let (server, enabled) = match group.person(user)? {
        Some(person) => (person.role, !person.disabled),
        None => (UserRole::User, false),
    };
    Ok(Some(Acting { room, actor: Actor { user, server, room: role }, enabled }))
}
