//! API keys of a site's backend, hashed. It never sees a key that could be used.

use rusqlite::{Connection, OptionalExtension, params};
use teahouse_core::{Timestamp, TokenKey};
use teahouse_store::ApiKeyError;

use crate::group::Group;
use crate::row::Sql;
use crate::writer::JobError;

/// Adds a key under a name that no other key has.
pub(crate) fn add(
    group: &mut Group<'_>,
    name: &str,
    key: TokenKey,
    now: Timestamp,
) -> Result<(), JobError<ApiKeyError>> {
    if group.conn.prepare_cached("SELECT 1 FROM api_keys WHERE name = ?1")?.exists([name])? {
        return Err(JobError::Refused(ApiKeyError::NameTaken));
    }
    group
        .conn
        .prepare_cached("INSERT INTO api_keys (name, key, created_at) VALUES (?1, ?2, ?3)")?
        .execute(params![name, key.0, now.0])?;
    Ok(())
}

/// The name of a key, if it is valid.
pub(crate) fn name_of(conn: &Connection, key: TokenKey) -> Sql<Option<String>> {
    conn.prepare_cached("SELECT name FROM api_keys WHERE key = ?1")?.query_row([key.0], |row| row.get(0)).optional()
}

/// The names and creation times of all keys, oldest first.
pub(crate) fn list(conn: &Connection) -> Sql<Vec<(String, Timestamp)>> {
    conn.prepare_cached("SELECT name, created_at FROM api_keys ORDER BY id")?
        .query_map([], |row| Ok((row.get(0)?, Timestamp(row.get(1)?))))?
        .collect()
}

/// Deletes the key with this name, and returns whether there was one.
pub(crate) fn revoke(group: &mut Group<'_>, name: &str) -> Sql<bool> {
    group.conn.prepare_cached("DELETE FROM api_keys WHERE name = ?1")?.execute([name]).map(|deleted| deleted == 1)
}
