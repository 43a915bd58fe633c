//! Mentions: the members whom a message names with `@username`, found in the text and stored as a JSON array of ids. The
//! names are found before the message waits for the writer, which looks all of them up in one query.

use std::collections::{BTreeSet, HashMap, HashSet};

use rusqlite::params;
use teahouse_core::limits::{MENTIONS_MAX, STORED_USERNAME_CHARS_MAX};
use teahouse_core::text::is_username;
use teahouse_core::{RoomId, UserId};

use crate::group::Group;
use crate::row::{self, Sql, get, id};

/// The most names that are looked up for one message: five times as many as count, so that a text full of `@` does not
/// keep the writer busy.
const NAMES_LOOKED_UP_MAX: usize = 5 * MENTIONS_MAX;

/// The names that a text may mention.
#[derive(Default)]
pub(crate) struct Names {
    /// For each `@`, the keys of the names that it may mean, the longest first.
    candidates: Vec<Vec<String>>,
    /// All of these keys, as a JSON array.
    keys: String,
    /// How many they are.
    keys_count: usize,
}

impl Names {
    /// The names in a text, up to the bound.
    pub(crate) fn in_text(content: &str) -> Self {
        if !content.contains('@') {
            return Self::default();
        }
        let (mut candidates, mut keys, mut longest_keys) = (Vec::new(), BTreeSet::new(), HashSet::new());
        for name in names(content) {
            // A character that ends a sentence can also end a name: the longest name that exists counts.
            let mut of_name = Vec::new();
            let mut next = cut_to_longest_name(name);
            while let Some(candidate) = next.filter(|_| keys.len() < NAMES_LOOKED_UP_MAX) {
                let key = row::key(candidate);
                if of_name.is_empty() && !longest_keys.insert(key.clone()) {
                    break;
                }
                keys.insert(key.clone());
                of_name.push(key);
                next = shorter(candidate);
            }
            if !of_name.is_empty() {
                candidates.push(of_name);
            }
            if keys.len() >= NAMES_LOOKED_UP_MAX {
                break;
            }
        }
        Self { candidates, keys: row::text_list(&keys), keys_count: keys.len() }
    }

    /// The members of the room whom the text names, ordered by id.
    pub(crate) fn find(&self, group: &Group<'_>, room: RoomId) -> Sql<Vec<UserId>> {
        let mut found = Vec::new();
        if self.candidates.is_empty() {
            return Ok(found);
        }
        if self.keys_count >= NAMES_LOOKED_UP_MAX {
            group.on_bound.record("NAMES_LOOKED_UP_MAX", self.keys_count as u64);
        }
        let users: HashMap<String, (UserId, bool)> = group
            .conn
            .prepare_cached(
                "SELECT u.username_key, u.id, EXISTS (SELECT 1 FROM members m WHERE m.room = ?1 AND m.user = u.id) \
                 FROM json_each(?2) asked CROSS JOIN users u ON u.username_key = asked.value",
            )?
            .query_map(params![id(room.0), self.keys], |row| Ok((row.get(0)?, (UserId(get(row, 1)?), row.get(2)?))))?
            .collect::<Sql<_>>()?;
        for of_name in &self.candidates {
            let meant = of_name.iter().find_map(|key| users.get(key));
            if let Some((user, true)) = meant
                && !found.contains(user)
            {
                found.push(*user);
            }
            if found.len() == MENTIONS_MAX {
                break;
            }
        }
        found.sort_unstable();
        Ok(found)
    }
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

/// The longest part of what follows an `@` that can be a name.
fn cut_to_longest_name(name: &str) -> Option<&str> {
    let excess = name.chars().count().saturating_sub(STORED_USERNAME_CHARS_MAX);
    (0..excess).try_fold(name, |name, _| shorter(name))
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
    fn the_work_for_a_text_is_bounded_whatever_follows_an_at_sign() {
        let check = |content: &str, names_max: usize, bytes_max: usize| {
            let names = Names::in_text(content);
            let keys: usize = names.candidates.iter().map(Vec::len).sum();
            assert!(keys <= names_max && names.keys.len() <= bytes_max, "{keys} keys of {} bytes", names.keys.len());
        };
        check(&format!("@{}", "茶".repeat(4000)), STORED_USERNAME_CHARS_MAX, 12_000);
        check(&format!("@{}", "a".repeat(4000)), 0, 2);
        check(&format!("@{}{}", "茶".repeat(100), "a".repeat(4000)), 0, 2);
        check(&"@茶茶茶茶茶茶茶茶茶茶".repeat(400), 10, 1000);
        let different: String = ('一'..).take(4000).map(|c| format!("@{c}")).collect();
        check(&different, NAMES_LOOKED_UP_MAX, 1000);
        let long: String = ('一'..).take(20).map(|c| format!("@{c}{}", "茶".repeat(199))).collect();
        check(&long, NAMES_LOOKED_UP_MAX, 30_000);
        assert_eq!(Names::in_text("@amy @Amy. @amy!").candidates, [vec!["amy"], vec!["amy.", "amy"]]);
    }

    #[test]
    fn a_list_of_users_survives_the_round_trip() {
        for users in [vec![], vec![UserId(7)], vec![UserId(7), UserId(9), UserId((1 << 53) - 1)]] {
            assert_eq!(from_column(to_column(&users).as_deref()), users);
        }
    }
}
