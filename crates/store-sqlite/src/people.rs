//! Lists of users: by how their names begin, and all of them for the operator.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params};
use teahouse_core::{Profile, User, UserId};

use crate::row::{self, Listed, Sql, id, read_user, user_columns};

/// Names that are looked at for one search, of each sort: a beginning that more have is too short to find
/// somebody by, and must not keep the readers from others.
const NAMES_MAX: u32 = 2000;

/// Users whose username or nickname begins so, in the order of their ids; disabled ones left out.
pub(crate) fn search(conn: &Connection, prefix: &str, after: UserId, limit: u32) -> Sql<Listed<Profile>> {
    const ALL: &str = "SELECT id, username, nickname, avatar FROM users \
        WHERE id > ?1 AND disabled = 0 ORDER BY id LIMIT ?2";
    // Both spans are found by index alone; the users themselves are looked at only as far as the page goes.
    const BEGIN_SO: &str = "SELECT id, username, nickname, avatar FROM users WHERE id IN ( \
            SELECT id FROM (SELECT id FROM users \
                WHERE username_key >= ?3 AND username_key < ?4 ORDER BY username_key LIMIT ?5) \
            UNION SELECT id FROM (SELECT id FROM users \
                WHERE nickname_key >= ?3 AND nickname_key < ?4 ORDER BY nickname_key LIMIT ?5)) \
        AND id > ?1 AND disabled = 0 ORDER BY id LIMIT ?2";
    let prefix = row::key(prefix);
    let (after, limit_and_one) = (id(after.0), row::one_more(limit));
    let read = |row: &Row<'_>| row::profile(row, 0);
    let found = if prefix.is_empty() {
        conn.prepare_cached(ALL)?.query_map(params![after, limit_and_one], read)?.collect::<Sql<_>>()?
    } else {
        // To SQLite every text is below every blob.
        let end = end_of(&prefix).map_or(Value::Blob(Vec::new()), Value::Text);
        let params = params![after, limit_and_one, prefix, end, NAMES_MAX];
        conn.prepare_cached(BEGIN_SO)?.query_map(params, read)?.collect::<Sql<_>>()?
    };
    Ok(row::page(found, limit))
}

/// The first text after all that begin so, in the order of code points, if there is one.
fn end_of(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // What has no next one (the last code point of all) carries over.
        if let Some(next) = ((last as u32 + 1)..=char::MAX as u32).find_map(char::from_u32) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// All users, in the order of their ids.
pub(crate) fn list(conn: &Connection, after: UserId, limit: u32) -> Sql<Vec<User>> {
    conn.prepare_cached(concat!("SELECT ", user_columns!(), " FROM users u WHERE u.id > ?1 ORDER BY u.id LIMIT ?2"))?
        .query_map(params![id(after.0), limit], read_user)?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_above_all_that_begin_so_and_below_all_else() {
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
