//! The user who acts on a room: whether they see it, their role in it, whether they may act at all. The rules are in
//! `teahouse_core::permission`.

use std::time::Duration;

use teahouse_core::permission::Actor;
use teahouse_core::{RoomId, RoomKind, Timestamp, UserId, UserRole};

use crate::group::{Group, Room};
use crate::row::Sql;

/// A user who acts on a room that they can see.
pub(crate) struct RoomActor {
    pub(crate) room: Room,
    pub(crate) permissions: Actor,
    /// The user exists and is not disabled.
    pub(crate) enabled: bool,
}

impl RoomActor {
    pub(crate) fn is_member(&self) -> bool {
        self.permissions.room.is_some()
    }

    /// How long from `now` they cannot write there.
    pub(crate) fn muted_for(&self, group: &mut Group<'_>, now: Timestamp) -> Sql<Option<Duration>> {
        Ok(group.user(self.permissions.user)?.and_then(|user| user.muted_in_for(self.room.id, now)))
    }
}

/// `None` when there is no such room, or when this user cannot see it: to others a private or direct room does not
/// exist.
pub(crate) fn room_actor(group: &mut Group<'_>, room: RoomId, user: UserId) -> Sql<Option<RoomActor>> {
    let Some(room) = group.room(room)? else { return Ok(None) };
    let role = group.role_in(room.id, user)?;
    if role.is_none() && room.kind != RoomKind::Public {
        return Ok(None);
    }
    let (server, enabled) = match group.user(user)? {
        Some(user) => (user.role, !user.disabled),
        None => (UserRole::User, false),
    };
    Ok(Some(RoomActor { room, permissions: Actor { user, server, room: role }, enabled }))
}
