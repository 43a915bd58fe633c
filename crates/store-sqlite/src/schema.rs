//! Connections, migrations (forward only), and the epoch. It refuses a newer schema, another program's file, and a
//! migration that was changed or cut short.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::{OpenError, room_search, row};

/// "TeaH", as the first migration writes it.
const APPLICATION_ID: i64 = 1_415_930_184;
/// The writer's page cache: it should hold the upper levels of the indexes by client_id, which are hit at random. No
/// more than that: after a page split SQLite scans its whole cache at the end of the transaction (twice as much took
/// 2 % of the time with a thousand senders).
const WRITER_CACHE_KIB: i64 = 16 * 1024;
/// A reader's page cache: the upper levels of the indexes. The rest is in the system's cache, and a reconnect storm,
/// which reads every account, would fill any size.
const READER_CACHE_KIB: i64 = 512;
/// The key in `meta` that a copy has until its first start.
const COPY_MARK: &str = "copy";
/// More than the number of different statements.
const STATEMENTS_MAX: usize = 128;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Opens the writer's connection, migrates, and returns it with the epoch.
pub(crate) fn open_writer(path: &Path, busy_timeout: Duration) -> Result<(Connection, String), OpenError> {
    // SQLite gives the -wal and -shm files the permissions of this one: for its owner only.
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| OpenError::Directory { path: path.to_owned(), source })?;
    let mut conn =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(busy_timeout)?;
    check_schema(&conn, path)?;
    conn.pragma_update(None, "journal_mode", "wal")?;
    // Acknowledged means durable: every commit syncs the log.
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "temp_store", "memory")?;
    conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    keep_statements(&conn)?;
    add_functions(&conn)?;
    embedded::migrations::runner().run(&mut conn).map_err(|error| migration_error(path, &error))?;
    // Another thread checkpoints (see `checkpoint`).
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    let epoch = epoch(&mut conn)?;
    Ok((conn, epoch))
}

/// Creates a database as an older version of this program left it.
#[cfg(test)]
pub(crate) fn make_as_of(path: &Path, version: i32) -> Connection {
    let mut conn = Connection::open(path).unwrap();
    add_functions(&conn).unwrap();
    embedded::migrations::runner().set_target(refinery::Target::Version(version)).run(&mut conn).unwrap();
    conn
}

/// Adds the functions that migrations call. SQLite's own `lower` knows ASCII only.
fn add_functions(conn: &Connection) -> Result<(), rusqlite::Error> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    conn.create_scalar_function("lower_case", 1, flags, |call| Ok(row::key(call.get_raw(0).as_str()?)))?;
    conn.create_scalar_function("room_pieces", 2, flags, |call| {
        let pieces = room_search::pieces(call.get_raw(0).as_str()?, call.get_raw(1).as_str()?);
        Ok(row::text_list(&pieces))
    })
}

/// Opens a connection that only reads a migrated database.
pub(crate) fn open_reader(path: &Path, busy_timeout: Duration) -> Result<Connection, rusqlite::Error> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(busy_timeout)?;
    conn.pragma_update(None, "temp_store", "memory")?;
    conn.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    keep_statements(&conn)?;
    Ok(conn)
}

/// Compiles each statement once. By default SQLite plans with the value bound to a `LIMIT`, and recompiles the
/// statement whenever it is bound again, which takes longer than most of our statements run.
fn keep_statements(conn: &Connection) -> Result<(), rusqlite::Error> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Marks a copy of a database, which nothing else has open: its first start takes a new epoch. Afterwards the copy is
/// one file, synced as far as SQLite does that.
pub(crate) fn mark_as_copy(path: &Path) -> Result<(), rusqlite::Error> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // No log file beside it, which a move could leave behind.
    conn.pragma_update(None, "journal_mode", "delete")?;
    conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, '1')", [COPY_MARK])?;
    conn.close().map_err(|(_, error)| error)
}

/// Opens the connection that checkpoints.
pub(crate) fn open_checkpointer(path: &Path) -> Result<Connection, rusqlite::Error> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(conn)
}

fn check_schema(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    let path = || path.to_owned();
    let application: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let history_exists: bool =
        conn.query_row("SELECT count(*) FROM sqlite_master WHERE name = 'refinery_schema_history'", [], |row| {
            row.get(0)
        })?;
    let others: i64 = conn.query_row(
        "SELECT count(*) FROM sqlite_master WHERE name NOT IN ('refinery_schema_history') AND name NOT LIKE 'sqlite%'",
        [],
        |row| row.get(0),
    )?;
    let found: Option<i64> = if history_exists {
        conn.query_row("SELECT max(version) FROM refinery_schema_history", [], |row| row.get(0))?
    } else {
        None
    };
    let Some(found) = found else {
        // Empty, or stopped before the first migration: both are a first start.
        return if application == 0 && others == 0 { Ok(()) } else { Err(OpenError::Foreign { path: path() }) };
    };
    if application != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path() });
    }
    let known =
        embedded::migrations::runner().get_migrations().iter().map(|m| i64::from(m.version())).max().unwrap_or(0);
    if found > known {
        return Err(OpenError::Newer { path: path(), found, known });
    }
    if found < known {
        tracing::info!(found, known, "migrating the schema; this takes about a second for each million messages");
    }
    let reached: Option<String> =
        conn.query_row("SELECT value FROM meta WHERE key = 'schema'", [], |row| row.get(0)).optional()?;
    if reached.as_deref() != Some(found.to_string().as_str()) {
        let detail =
            format!("migration {found} is recorded, but the schema says {}", reached.as_deref().unwrap_or("nothing"));
        return Err(OpenError::HalfDone { path: path(), detail });
    }
    Ok(())
}

fn migration_error(path: &Path, error: &refinery::Error) -> OpenError {
    OpenError::HalfDone { path: path.to_owned(), detail: error.to_string() }
}

/// The name of this history, made at the first start, and again at the first start from a copy: the copy's history
/// continues differently from the original's.
fn epoch(conn: &mut Connection) -> Result<String, OpenError> {
    let transaction = conn.transaction()?;
    let is_copy = transaction.execute("DELETE FROM meta WHERE key = ?1", [COPY_MARK])? > 0;
    let known = transaction.query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |row| row.get(0)).optional()?;
    if let Some(epoch) = known.filter(|_| !is_copy) {
        return Ok(epoch);
    }
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).map_err(|error| OpenError::Random(error.to_string()))?;
    let epoch = format!("{:016x}", u64::from_be_bytes(random));
    transaction.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('epoch', ?1)", [&epoch])?;
    transaction.commit()?;
    Ok(epoch)
}
