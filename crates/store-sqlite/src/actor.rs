//! Who acts on a room: whether they see it, what they are in it, whether they may act at all. The rules
//! themselves are in `teahouse_core::permission`.

use std::time::Duration;

use teahouse_core::permission::Actor;
use teahouse_core::{RoomId, RoomKind, Timestamp, UserId, UserRole};

use crate::group::{Group, Room};
use crate::row::Sql;

/// Somebody who acts on a room that they can see.
pub(crate) struct Acting {
    pub(crate) room: Room,
    pub(crate) actor: Actor,
    /// There is such a user, and they are not disabled.
    pub(crate) enabled: bool,
}

impl Acting {
    pub(crate) fn is_member(&self) -> bool {
        self.actor.room.is_some()
    }

    /// For how long they may not write there.
    pub(crate) fn muted_for(&self, group: &mut Group<'_>, now: Timestamp) -> Sql<Option<Duration>> {
        Ok(group.person(self.actor.user)?.and_then(|person| person.muted_in_for(self.room.id, now)))
    }
}

/// `None` when there is no such room, or none that this user can see: private and direct rooms of others
/// are as good as not there.
pub(crate) fn acting(group: &mut Group<'_>, room: RoomId, user: UserId) -> Sql<Option<Acting>> {
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
