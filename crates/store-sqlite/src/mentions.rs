//! Whom a message names with `@username`: found in the text, looked up by name, kept as a JSON array of
//! ids. A text without `@` costs no query.

use teahouse_core::limits::MENTIONS_MAX;
use teahouse_core::text::is_username;
use teahouse_core::{RoomId, UserId};

use crate::group::Group;
use crate::row::{self, Sql};

/// Names that are looked up for one message, found or not: five times as many as can count, so that a
/// text full of `@` does not keep the writer from others.
const LOOKED_UP_MAX: usize = 5 * MENTIONS_MAX;

/// The members of the room whom the text names, in the order of their ids.
pub(crate) fn find(group: &mut Group<'_>, room: RoomId, content: &str) -> Sql<Vec<UserId>> {
    let mut found = Vec::new();
    if !content.contains('@') {
        return Ok(found);
    }
    let mut looked_up: Vec<String> = Vec::new();
    for written in names(content) {
        // What ends a sentence may also end a name: the longest name that somebody has is meant.
        let mut name = Some(written);
        while let Some(candidate) = name {
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
                if group.is_member(room, user)? {
                    found.push(user);
                }
                break;
            }
            name = shorter(candidate);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// What stands behind each `@` that does not itself stand behind a name, as in an e-mail address.
fn names(content: &str) -> impl Iterator<Item = &str> {
    content.match_indices('@').filter_map(|(at, _)| {
        let before = content[..at].chars().next_back();
        let rest = &content[at + 1..];
        let len = rest.find(|c: char| !is_name_char(c)).unwrap_or(rest.len());
        // Chinese has no space before it; only what may be an e-mail address is left alone.
        (len > 0 && !before.is_some_and(|c| c.is_ascii() && is_name_char(c))).then(|| &rest[..len])
    })
}

/// The next name that may be meant: without what may end a sentence, or, where words are written without
/// spaces between them, without what may be the next word.
fn shorter(name: &str) -> Option<&str> {
    let last = name.chars().next_back()?;
    let ends = matches!(last, '.' | '-') || !last.is_ascii();
    ends.then(|| &name[..name.len() - last.len_utf8()]).filter(|shorter| !shorter.is_empty())
}

fn is_name_char(c: char) -> bool {
    is_username(c.encode_utf8(&mut [0; 4]))
}

/// As it is kept: nothing for nobody.
pub(crate) fn to_column(users: &[UserId]) -> Option<String> {
    (!users.is_empty()).then(|| row::id_list(users.iter().map(|user| user.0)))
}

/// As it was kept.
pub(crate) fn from_column(list: Option<&str>) -> Vec<UserId> {
    let list = list.unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    list.split(',').filter_map(|number| number.parse().ok().map(UserId)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_behind_an_at_sign_that_stands_behind_no_name() {
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
    fn a_list_of_users_comes_back_as_it_went() {
        for users in [vec![], vec![UserId(7)], vec![UserId(7), UserId(9), UserId((1 << 53) - 1)]] {
            assert_eq!(from_column(to_column(&users).as_deref()), users);
        }
    }
}
