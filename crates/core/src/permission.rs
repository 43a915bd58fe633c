//! Who may do what, as plain questions. Whether somebody is in a room at all is asked before.

use crate::{Role, RoomKind, UserId, UserRole};

/// Who acts: somebody who is in the room, with what they are on the server and in the room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Actor {
    /// Who.
    pub user: UserId,
    /// What they are on the whole server.
    pub server: UserRole,
    /// What they are in this room; none when they are not in it.
    pub room: Option<Role>,
}

impl Actor {
    fn at_least(&self, room: Role, server: UserRole) -> bool {
        self.server >= server || self.room.is_some_and(|role| role >= room)
    }
}

/// Whether a message of `author` may be deleted: one's own, or with a moderator's right. What two people
/// say to each other is theirs: there, only one's own; and in a private room the server's moderators have a
/// right only when they are in it.
#[must_use]
pub fn may_delete(actor: &Actor, kind: RoomKind, author: UserId) -> bool {
    let moderates = match kind {
        RoomKind::Direct => false,
        RoomKind::Private => actor.room.is_some() && actor.at_least(Role::Moderator, UserRole::Moderator),
        RoomKind::Public => actor.at_least(Role::Moderator, UserRole::Moderator),
    };
    actor.user == author || moderates
}

/// Whether somebody else may be brought into the room. Into public ones everybody comes by themselves, and
/// may be brought as well.
#[must_use]
pub fn may_invite(actor: &Actor, kind: RoomKind) -> bool {
    kind != RoomKind::Direct && actor.room.is_some()
}

/// Whether a member of this role may be taken out: by moderators, and never by their equals.
#[must_use]
pub fn may_remove(actor: &Actor, kind: RoomKind, target: Role) -> bool {
    kind != RoomKind::Direct
        && actor.room.is_some()
        && actor.at_least(Role::Moderator, UserRole::Moderator)
        && (actor.server >= UserRole::Admin || actor.room.is_some_and(|role| role > target))
}

/// Whether roles may be given, and the room's name and title changed.
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
    fn one_deletes_ones_own_words_and_moderators_those_of_others() {
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
    fn members_invite_and_nobody_removes_an_equal() {
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
    fn owners_and_administrators_who_are_in_it_run_a_room() {
        assert!(may_own(&actor(UserRole::User, Some(Role::Owner)), RoomKind::Public));
        assert!(may_own(&actor(UserRole::Admin, Some(Role::Member)), RoomKind::Private));
        assert!(!may_own(&actor(UserRole::Admin, None), RoomKind::Private));
        assert!(!may_own(&actor(UserRole::Moderator, Some(Role::Moderator)), RoomKind::Public));
        assert!(!may_own(&actor(UserRole::Admin, Some(Role::Member)), RoomKind::Direct));
    }
}
