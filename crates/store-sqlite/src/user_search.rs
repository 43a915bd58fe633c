//! Lists of users: those whose names start with a prefix, and all of them for the operator.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params};
use teahouse_core::{Profile, User, UserId};
use teahouse_store::PageLimit;

use crate::row::{self, Listed, Sql, id, read_user, user_columns};

/// How many usernames, and how many nicknames, one search looks at: a prefix that more of them have is too short to
/// find anybody, and must not keep the readers busy.
const NAMES_MAX: u32 = 2000;

/// Users whose username or nickname starts with `prefix`, ordered by id, without disabled users.
pub(crate) fn search(conn: &Connection, prefix: &str, after: UserId, limit: PageLimit) -> Sql<Listed<Profile>> {
    const ALL: &str = "SELECT id, username, nickname, avatar FROM users INDEXED BY users_enabled \
        WHERE id > ?1 AND disabled = 0 ORDER BY id LIMIT ?2";
    // The index alone finds both spans; only the users of the page are read.
    const WITH_PREFIX: &str = "SELECT id, username, nickname, avatar FROM users WHERE id IN ( \
            SELECT id FROM (SELECT id FROM users \
                WHERE username_key >= ?3 AND username_key < ?4 ORDER BY username_key LIMIT ?5) \
            UNION SELECT id FROM (SELECT id FROM users \
                WHERE nickname_key >= ?3 AND nickname_key < ?4 ORDER BY nickname_key LIMIT ?5)) \
        AND id > ?1 AND disabled = 0 ORDER BY id LIMIT ?2";
    let prefix = row::key(prefix);
    let (after, limit_and_one) = (id(after.0), row::one_more(limit));
    let read = |row: &Row<'_>| row::profile(row, 0);
    if prefix.is_empty() {
        let mut all = conn.prepare_cached(ALL)?;
        row::page(all.query_map(params![after, limit_and_one], read)?, limit, Profile::size)
    } else {
        // To SQLite every text is below every blob.
        let end = end_of(&prefix).map_or(Value::Blob(Vec::new()), Value::Text);
        let params = params![after, limit_and_one, prefix, end, NAMES_MAX];
        let mut with_prefix = conn.prepare_cached(WITH_PREFIX)?;
        row::page(with_prefix.query_map(params, read)?, limit, Profile::size)
    }
}

/// The first text, ordered by code points, after all texts with this prefix, if there is one.
fn end_of(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // The last code point of all has no successor and carries over.
        if let Some(next) = ((last as u32 + 1)..=char::MAX as u32).find_map(char::from_u32) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// All users, ordered by id.
pub(crate) fn list(conn: &Connection, after: UserId, limit: u32) -> Sql<Vec<User>> {
    conn.prepare_cached(concat!("SELECT ", user_columns!(), " FROM users u WHERE u.id > ?1 ORDER BY u.id LIMIT ?2"))?
        .query_map(params![id(after.0), limit], read_user)?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_above_all_its_texts_and_below_all_others() {
        let check = |prefix: &str, expect: Option<&str>| assert_eq!(end_of(prefix).as_deref(), expect, "{prefix:?}");
        check("a", Some("b"));
        check("am", Some("an"));
        check("小", Some("\u{5c10}"));
        check("\u{d7ff}", Some("\u{e000}"));
        check("a\u{10ffff}", Some("b"));
        check("\u{10ffff}", None);
        check("", None);
    }
}
