//! Converts between columns and the types of the domain: numbers, names, users, profiles. It decides nothing.

use rusqlite::{Connection, OptionalExtension, Row, params};
use teahouse_core::text::is_avatar;
use teahouse_core::{Profile, RoomId, Timestamp, TokenKey, User, UserId, UserRole};
use teahouse_store::PageLimit;

/// The result of a statement.
pub(crate) type Sql<T> = Result<T, rusqlite::Error>;

/// The columns that [`read_user`] reads, of `users u`.
macro_rules! user_columns {
    () => {
        "u.id, u.username, u.nickname, u.avatar, u.email, u.bio, u.role, u.disabled, u.created_at, \
         (SELECT s.until FROM sanctions s WHERE s.user = u.id AND s.room = 0 AND s.kind = 'mute')"
    };
}
pub(crate) use user_columns;

/// An id or counter for SQLite. Numbers from 2^63 on, which nothing has, become the largest.
pub(crate) fn id(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// An id or counter from SQLite, where none is negative.
pub(crate) fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// An id or counter in a column.
pub(crate) fn get(row: &Row<'_>, column: usize) -> Sql<u64> {
    row.get(column).map(number)
}

/// A word in a column, as the value that it names.
pub(crate) fn named<T>(row: &Row<'_>, column: usize, parse: impl Fn(&str) -> Option<T>) -> Sql<T> {
    let word = row.get_ref(column)?.as_str()?;
    parse(word).ok_or_else(|| {
        let why = format!("unknown word {word:?}");
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, why.into())
    })
}

/// A token's key in a column.
pub(crate) fn token_key(row: &Row<'_>, column: usize) -> Sql<TokenKey> {
    row.get(column).map(TokenKey)
}

/// A profile in four columns from `first` on: id, username, nickname, avatar.
pub(crate) fn profile(row: &Row<'_>, first: usize) -> Sql<Profile> {
    Ok(Profile {
        id: UserId(get(row, first)?),
        username: row.get(first + 1)?,
        nickname: row.get(first + 2)?,
        avatar: avatar(row.get_ref(first + 3)?.as_str()?).to_owned(),
    })
}

/// A picture's URL; empty for one that an older version accepted and this one refuses.
fn avatar(stored: &str) -> &str {
    if is_avatar(stored) { stored } else { "" }
}

/// A user in the first ten columns, as `user_columns!` names them.
pub(crate) fn read_user(row: &Row<'_>) -> Sql<User> {
    Ok(User {
        profile: profile(row, 0)?,
        email: row.get(4)?,
        bio: row.get(5)?,
        role: named(row, 6, UserRole::parse)?,
        disabled: row.get(7)?,
        created_at: Timestamp(row.get(8)?),
        muted_until: row.get::<_, Option<i64>>(9)?.map(Timestamp),
    })
}

/// One user.
pub(crate) fn user(conn: &Connection, user: UserId) -> Sql<Option<User>> {
    conn.prepare_cached(concat!("SELECT ", user_columns!(), " FROM users u WHERE u.id = ?1"))?
        .query_row([id(user.0)], read_user)
        .optional()
}

/// The user with this name, regardless of case.
pub(crate) fn user_by_name(conn: &Connection, username: &str) -> Sql<Option<User>> {
    conn.prepare_cached(concat!("SELECT ", user_columns!(), " FROM users u WHERE u.username_key = ?1"))?
        .query_row([key(username)], read_user)
        .optional()
}

/// The key under which two names or addresses are the same, regardless of case.
pub(crate) fn key(name: &str) -> String {
    name.to_lowercase()
}

/// Ids as a JSON array, for `json_each`.
pub(crate) fn id_list(numbers: impl IntoIterator<Item = u64>) -> String {
    let list: Vec<String> = numbers.into_iter().map(|number| id(number).to_string()).collect();
    format!("[{}]", list.join(","))
}

/// Texts as a JSON array, for `json_each`.
pub(crate) fn text_list<'a>(texts: impl IntoIterator<Item = &'a String>) -> String {
    let mut list = String::from("[");
    for text in texts {
        list.push_str(if list.len() == 1 { "\"" } else { ",\"" });
        for c in text.chars() {
            match c {
                '"' | '\\' => list.extend(['\\', c]),
                '\0'..' ' => list.push_str(&format!("\\u{:04x}", c as u32)),
                _ => list.push(c),
            }
        }
        list.push('"');
    }
    list.push(']');
    list
}

/// One more than the page has: the extra row shows whether there are more.
pub(crate) fn one_more(limit: PageLimit) -> i64 {
    i64::from(limit.entries) + 1
}

/// A page of a list, and whether there are more.
pub(crate) type Listed<T> = (Vec<T>, bool);

/// Reads rows up to the first that the page has no room for, and returns whether there was one.
pub(crate) fn page<T>(
    found: impl Iterator<Item = Sql<T>>,
    limit: PageLimit,
    size: impl Fn(&T) -> usize,
) -> Sql<Listed<T>> {
    let (mut page, mut bytes) = (Vec::new(), 0);
    for one in found {
        let one = one?;
        bytes += size(&one);
        if page.len() == limit.entries as usize || bytes > limit.bytes && !page.is_empty() {
            return Ok((page, true));
        }
        page.push(one);
    }
    Ok((page, false))
}

/// Whether a user is a member of a room.
pub(crate) fn is_member(conn: &Connection, room: RoomId, user: UserId) -> Sql<bool> {
    conn.prepare_cached("SELECT 1 FROM members WHERE room = ?1 AND user = ?2")?.exists(params![id(room.0), id(user.0)])
}

/// The last of the next `count` rooms of a user after `after`, if there are as many.
pub(crate) fn last_of_next_rooms(conn: &Connection, user: UserId, after: RoomId, count: u32) -> Sql<Option<RoomId>> {
    conn.prepare_cached("SELECT room FROM members WHERE user = ?1 AND room > ?2 ORDER BY room LIMIT 1 OFFSET ?3 - 1")?
        .query_row(params![id(user.0), id(after.0), count], |row| get(row, 0).map(RoomId))
        .optional()
}

/// The direct room of two users.
pub(crate) fn direct_room(conn: &Connection, a: UserId, b: UserId) -> Sql<Option<RoomId>> {
    conn.prepare_cached("SELECT id FROM rooms WHERE user_low = ?1 AND user_high = ?2")?
        .query_row(params![id(a.min(b).0), id(a.max(b).0)], |row| get(row, 0).map(RoomId))
        .optional()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_texts_is_valid_json_whatever_they_contain() {
        let conn = Connection::open_in_memory().unwrap();
        let texts = ["", "a", "茶", "\"", "\\", "\\\"", "\u{1f}\n", "', ("].map(str::to_owned);
        let mut statement = conn.prepare("SELECT value FROM json_each(?1)").unwrap();
        let read = statement.query_map([text_list(&texts)], |row| row.get(0)).unwrap().collect::<Sql<Vec<String>>>();
        assert_eq!(read.unwrap(), texts);
    }
}
