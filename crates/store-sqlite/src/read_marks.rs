//! How far each member has read. A mark only moves forward, and takes no version. Unread messages are counted from it
//! each time; there is no counter that could go wrong.

use rusqlite::{Connection, OptionalExtension, params};
use teahouse_core::limits::UNREAD_MAX;
use teahouse_core::{Change, RoomId, RoomKind, Seq, UserId};
use teahouse_store::{ReadMark, StoreError};

use crate::group::{Group, Room};
use crate::row::{Sql, get, id};
use crate::writer::JobError;
use crate::{entries, rooms};

/// How many messages are scanned for those of others: as many as `entries` scans.
const SCANNED_MAX: u64 = 2 * UNREAD_MAX as u64;

/// Moves a read mark forward, never back and never beyond the head. That of a user who declined the room stays, as if
/// the user had not answered: its author would learn that somebody reads there.
pub(crate) fn mark_read(
    group: &mut Group<'_>,
    room: RoomId,
    user: UserId,
    seq: Option<Seq>,
) -> Result<ReadMark, JobError<StoreError>> {
    let no_mark = ReadMark { read_seq: Seq(0), unread: 0, moved: false };
    let Some(room) = group.room(room)? else { return Ok(no_mark) };
    let current = group
        .conn
        .prepare_cached("SELECT read_seq, answer = 'declined' FROM members WHERE room = ?1 AND user = ?2")?
        .query_row(params![id(room.id.0), id(user.0)], |row| Ok((Seq(get(row, 0)?), row.get(1)?)))
        .optional()?;
    let Some((old, is_declined)) = current else { return Ok(no_mark) };
    let asked = if is_declined { old } else { seq.unwrap_or(room.last_seq) };
    let read_seq = asked.min(room.last_seq).max(old);
    let moved = read_seq > old;
    if moved {
        group
            .conn
            .prepare_cached("UPDATE members SET read_seq = ?3 WHERE room = ?1 AND user = ?2")?
            .execute(params![id(room.id.0), id(user.0), id(read_seq.0)])?;
        let scanned = Seq(read_seq.0.saturating_sub(SCANNED_MAX)).max(old);
        // Beyond that many own messages there may be others' messages; then a needless notification does no harm.
        let covers_others = scanned > old || has_others_between(group.conn, room.id, user, old, read_seq)?;
        let visible_to_room = shows_to_room(group, &room)?;
        group.publish(&room, Change::Read { reader: user, seq: read_seq, covers_others, visible_to_room })?;
    }
    let scanned = Seq(room.last_seq.0.saturating_sub(SCANNED_MAX)).max(read_seq);
    let unread = unread(group.conn, room.id, user, scanned)?;
    Ok(ReadMark { read_seq, unread, moved })
}

/// Whether the other members of a room see each other's read marks.
fn shows_to_room(group: &Group<'_>, room: &Room) -> Sql<bool> {
    Ok(match room.kind {
        RoomKind::Direct => true,
        RoomKind::Public => false,
        RoomKind::Private => entries::shows_reads(room.kind, rooms::member_count(group.conn, room.id)?),
    })
}

/// Whether another user has a message above `low`, up to `high`.
fn has_others_between(conn: &Connection, room: RoomId, user: UserId, low: Seq, high: Seq) -> Sql<bool> {
    conn.prepare_cached("SELECT 1 FROM messages WHERE room = ?1 AND seq > ?2 AND seq <= ?3 AND sender <> ?4 LIMIT 1")?
        .exists(params![id(room.0), id(low.0), id(high.0), id(user.0)])
}

fn unread(conn: &Connection, room: RoomId, user: UserId, read_seq: Seq) -> Sql<u32> {
    conn.prepare_cached(
        "SELECT count(*) FROM (SELECT 1 FROM messages \
             WHERE room = ?1 AND seq > ?2 AND sender <> ?3 AND state = 0 LIMIT ?4)",
    )?
    .query_row(params![id(room.0), id(read_seq.0), id(user.0), UNREAD_MAX], |row| row.get(0))
}
