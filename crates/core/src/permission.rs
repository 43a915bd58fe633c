//! Who may do what, as pure functions. Whether a user can see a room at all is checked before.

use crate::{Role, RoomKind, UserId, UserRole};

/// The acting user, with their roles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Actor {
    /// The user.
    pub user: UserId,
    /// The role on the whole server.
    pub server: UserRole,
    /// The role in this room; none for a user who is not in it.
    pub room: Option<Role>,
}

impl Actor {
    fn at_least(&self, room: Role, server: UserRole) -> bool {
        self.server >= server || self.room.is_some_and(|role| role >= room)
    }
}

/// Whether the actor may delete a message of `author`: their own, or as a moderator. In a direct room only their own.
/// In a private room the server's moderators may only if they are in it.
#[must_use]
pub fn may_delete(actor: &Actor, kind: RoomKind, author: UserId) -> bool {
    let moderates = match kind {
        RoomKind::Direct => false,
        RoomKind::Private => actor.room.is_some() && actor.at_least(Role::Moderator, UserRole::Moderator),
        RoomKind::Public => actor.at_least(Role::Moderator, UserRole::Moderator),
    };
    actor.user == author || moderates
}

/// Whether the actor may add another user to the room.
#[must_use]
pub fn may_invite(actor: &Actor, kind: RoomKind) -> bool {
    kind != RoomKind::Direct && actor.room.is_some()
}

/// Whether a user of this role is a stranger to another user: they share no private room, and the other one has never
/// written to them. The server's moderators are no strangers. A stranger's invite waits for an answer, and a stranger's
/// direct room is a request.
#[must_use]
pub fn is_stranger(server: UserRole, share_private_room: bool, other_has_written: bool) -> bool {
    server < UserRole::Moderator && !share_private_room && !other_has_written
}

/// Whether the actor may remove a member of this role: moderators may, but not their equals.
#[must_use]
pub fn may_remove(actor: &Actor, kind: RoomKind, target: Role) -> bool {
    kind != RoomKind::Direct
        && actor.room.is_some()
        && actor.at_least(Role::Moderator, UserRole::Moderator)
        && (actor.server >= UserRole::Admin || actor.room.is_some_and(|role| role > target))
}

/// Whether the actor may assign roles and change the room's name and title.
#[must_use]
pub fn may_own(actor: &Actor, kind: RoomKind) -> bool {
    kind != RoomKind::Direct && actor.room.is_some() && actor.at_least(Role::Owner, UserRole::Admin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(server: UserRole, room: Option<Role>) -> Actor {
        Actor { user: UserId(7), server, room }
    }

    #[test]
    fn users_delete_their_own_messages_and_moderators_those_of_others() {
        let check = |server, room, kind, author, expect| {
            assert_eq!(may_delete(&actor(server, room), kind, UserId(author)), expect, "{server:?} {room:?} {kind:?}");
        };
        for kind in [RoomKind::Public, RoomKind::Private, RoomKind::Direct] {
            check(UserRole::User, Some(Role::Member), kind, 7, true);
            check(UserRole::User, Some(Role::Member), kind, 9, false);
        }
        check(UserRole::User, Some(Role::Moderator), RoomKind::Public, 9, true);
        check(UserRole::User, Some(Role::Moderator), RoomKind::Private, 9, true);
        check(UserRole::Moderator, None, RoomKind::Public, 9, true);
        check(UserRole::Admin, None, RoomKind::Private, 9, false);
        check(UserRole::Moderator, Some(Role::Member), RoomKind::Private, 9, true);
        check(UserRole::Admin, Some(Role::Member), RoomKind::Direct, 9, false);
    }

    #[test]
    fn members_invite_and_no_moderator_removes_an_equal() {
        let (user, admin) = (UserRole::User, UserRole::Admin);
        assert!(may_invite(&actor(user, Some(Role::Member)), RoomKind::Private));
        assert!(!may_invite(&actor(admin, None), RoomKind::Private));
        assert!(!may_invite(&actor(admin, Some(Role::Member)), RoomKind::Direct));
        let check = |server, room, target, expect| {
            assert_eq!(may_remove(&actor(server, room), RoomKind::Private, target), expect, "{server:?} {room:?}");
        };
        check(user, Some(Role::Member), Role::Member, false);
        check(user, Some(Role::Moderator), Role::Member, true);
        check(user, Some(Role::Moderator), Role::Moderator, false);
        check(user, Some(Role::Owner), Role::Moderator, true);
        check(user, Some(Role::Owner), Role::Owner, false);
        check(admin, Some(Role::Member), Role::Owner, true);
        check(admin, None, Role::Member, false);
    }

    #[test]
    fn nobody_is_a_stranger_who_shares_a_private_room_or_was_written_to() {
        assert!(is_stranger(UserRole::User, false, false));
        assert!(!is_stranger(UserRole::User, true, false) && !is_stranger(UserRole::User, false, true));
        assert!(!is_stranger(UserRole::Moderator, false, false) && !is_stranger(UserRole::Admin, false, false));
    }

    #[test]
    fn owners_and_administrators_in_a_room_may_manage_it() {
        assert!(may_own(&actor(UserRole::User, Some(Role::Owner)), RoomKind::Public));
        assert!(may_own(&actor(UserRole::Admin, Some(Role::Member)), RoomKind::Private));
        assert!(!may_own(&actor(UserRole::Admin, None), RoomKind::Private));
        assert!(!may_own(&actor(UserRole::Moderator, Some(Role::Moderator)), RoomKind::Public));
        assert!(!may_own(&actor(UserRole::Admin, Some(Role::Member)), RoomKind::Direct));
    }
}
