//! Who may do what, as plain questions.

use crate::{UserId, UserRole};

/// Whether `actor` may delete a lobby message of `author`: one's own, or with a moderator's right.
#[must_use]
pub fn may_delete(actor: UserId, role: UserRole, author: UserId) -> bool {
    actor == author || role >= UserRole::Moderator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_deletes_ones_own_words_and_moderators_those_of_others() {
        let check = |actor, role, author, expect| assert_eq!(may_delete(UserId(actor), role, UserId(author)), expect);
        check(7, UserRole::User, 7, true);
        check(7, UserRole::User, 9, false);
        check(7, UserRole::Moderator, 9, true);
        check(7, UserRole::Admin, 9, true);
    }
}
