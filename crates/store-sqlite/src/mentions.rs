//! Mentions: the members whom a message names with `@username`, found in the text and stored as a JSON array of ids. A
//! text without `@` costs no query.

use teahouse_core::limits::MENTIONS_MAX;
use teahouse_core::text::is_username;
use teahouse_core::{RoomId, UserId};

use crate::group::Group;
use crate::row::{self, Sql};

/// The most names that are looked up for one message: five times as many as count, so that a text full of `@` does not
/// keep the writer busy.
const LOOKED_UP_MAX: usize = 5 * MENTIONS_MAX;

/// The members of the room whom the text names, ordered by id.
pub(crate) fn find(group: &mut Group<'_>, room: RoomId, content: &str) -> Sql<Vec<UserId>> {
    let mut found = Vec::new();
    if !content.contains('@') {
        return Ok(found);
    }
    let mut looked_up: Vec<String> = Vec::new();
    for name in names(content) {
        // A character that ends a sentence can also end a name: the longest name that exists is meant.
        let mut next = Some(name);
        while let Some(candidate) = next {
            let key = row::key(candidate);
            if looked_up.contains(&key) {
                break;
            }
            if looked_up.len() == LOOKED_UP_MAX || found.len() == MENTIONS_MAX {
                found.sort_unstable();
                return Ok(found);
            }
            let user = group.user_named(&key)?;
            looked_up.push(key);
            if let Some(user) = user {
                if group.lookup_member(room, user)? {
                    found.push(user);
                }
                break;
            }
            next = shorter(candidate);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The name after each `@`, unless the `@` itself follows a name, as in an e-mail address.
fn names(content: &str) -> impl Iterator<Item = &str> {
    content.match_indices('@').filter_map(|(at, _)| {
        let before = content[..at].chars().next_back();
        let rest = &content[at + 1..];
        let len = rest.find(|c: char| !is_name_char(c)).unwrap_or(rest.len());
        // Chinese has no space before the `@`; only ASCII before it makes an e-mail address.
        (len > 0 && !before.is_some_and(|c| c.is_ascii() && is_name_char(c))).then(|| &rest[..len])
    })
}

/// The next name that may be meant: without a character that may end a sentence or, in scripts without spaces, may
/// belong to the next word.
fn shorter(name: &str) -> Option<&str> {
    let last = name.chars().next_back()?;
    let ends = matches!(last, '.' | '-') || !last.is_ascii();
    ends.then(|| &name[..name.len() - last.len_utf8()]).filter(|shorter| !shorter.is_empty())
}

fn is_name_char(c: char) -> bool {
    is_username(c.encode_utf8(&mut [0; 4]))
}

/// The column's value; null for no mentions.
pub(crate) fn to_column(users: &[UserId]) -> Option<String> {
    (!users.is_empty()).then(|| row::id_list(users.iter().map(|user| user.0)))
}

/// The users of a column's value.
pub(crate) fn from_column(list: Option<&str>) -> Vec<UserId> {
    let list = list.unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    list.split(',').filter_map(|number| number.parse().ok().map(UserId)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mention_is_an_at_sign_and_a_name_that_follow_no_name() {
        let check =
            |content: &str, expect: &[&str]| assert_eq!(names(content).collect::<Vec<_>>(), expect, "{content:?}");
        check("hi @amy", &["amy"]);
        check("@amy, @bob: (@eve)", &["amy", "bob", "eve"]);
        check("@amy.", &["amy."]);
        check("@a_b-c.d9!", &["a_b-c.d9"]);
        check("amy@example.org", &[]);
        check("@@amy", &["amy"]);
        check("@amy@bob", &["amy"]);
        check("@ amy @", &[]);
        check("，@小明 你好", &["小明"]);
        check("你好@小明", &["小明"]);
    }

    #[test]
    fn a_name_may_be_shorter_than_it_seems() {
        for (name, expect) in
            [("amy.", Some("amy")), ("amy", None), ("小明你好", Some("小明你")), ("明", None), (".", None)]
        {
            assert_eq!(shorter(name), expect, "{name}");
        }
    }

    #[test]
    fn a_list_of_users_survives_the_round_trip() {
        for users in [vec![], vec![UserId(7)], vec![UserId(7), UserId(9), UserId((1 << 53) - 1)]] {
            assert_eq!(from_column(to_column(&users).as_deref()), users);
        }
    }
}
