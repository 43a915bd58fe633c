//! Reads the state of the store from its database file, without any code of the server.

use std::path::Path;

use rusqlite::{Connection, Error, OpenFlags, Row};
use teahouse_checker::db_state::{DbState, Message, Room};

/// Reads the database of a server that has ended or does not write.
///
/// # Errors
/// The database cannot be read.
pub fn load(data: &Path) -> Result<DbState, Error> {
    let database = Connection::open_with_flags(data.join("teahouse.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    // One transaction reads one snapshot.
    let database = database.unchecked_transaction()?;
    let mut db = DbState {
        epoch: database.query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |row| row.get(0))?,
        ..DbState::default()
    };
    let mut rooms = database.prepare("SELECT id, kind, version, last_seq FROM rooms")?;
    let mut rows = rooms.query([])?;
    while let Some(row) = rows.next()? {
        let room = Room { kind: row.get(1)?, version: number(row, 2)?, last_seq: number(row, 3)?, ..Room::default() };
        db.rooms.insert(number(row, 0)?, room);
    }
    let mut members = database.prepare("SELECT room, user, read_seq FROM members")?;
    let mut rows = members.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(room) = db.rooms.get_mut(&number(row, 0)?) {
            room.members.insert(number(row, 1)?, number(row, 2)?);
        }
    }
    let mut messages = database.prepare(
        "SELECT id, room, seq, version, first_version, sender, client_id, content, edited_at IS NOT NULL, state = 1
         FROM messages ORDER BY id",
    )?;
    let mut rows = messages.query([])?;
    while let Some(row) = rows.next()? {
        db.messages.push(Message {
            id: number(row, 0)?,
            room: number(row, 1)?,
            seq: number(row, 2)?,
            version: number(row, 3)?,
            first_version: Some(number(row, 4)?),
            sender: number(row, 5)?,
            client_id: row.get(6)?,
            content: row.get(7)?,
            edited: row.get(8)?,
            deleted: row.get(9)?,
            ..Message::default()
        });
    }
    let mut reactions = database.prepare("SELECT message, emoji, user FROM reactions")?;
    let mut rows = reactions.query([])?;
    while let Some(row) = rows.next()? {
        let id = number(row, 0)?;
        if let Ok(index) = db.messages.binary_search_by_key(&id, |message| message.id) {
            db.messages[index].reactions.insert((row.get(1)?, number(row, 2)?));
        }
    }
    Ok(db)
}

/// SQLite has signed integers only.
fn number(row: &Row<'_>, column: usize) -> Result<u64, Error> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| Error::IntegralValueOutOfRange(column, number))
}
