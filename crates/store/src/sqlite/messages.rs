//! Messages that are there: pages of history, changes since a version, deletion. Every page is one
//! statement, however long; a room and its pages are read in one snapshot.

use rusqlite::{Connection, OptionalExtension, Row, params};
use teahouse_core::{Message, MessageId, MessageKind, Profile, RoomId, Seq, Timestamp, Version};

use super::row::{self, Sql, get, id};
use crate::{HistoryFrom, HistoryPage, HistoryQuery, RoomHead, SeqPage};

/// Messages with their senders, as [`read_message`] reads them.
macro_rules! select_messages {
    ($rest:literal) => {
        concat!(
            "SELECT m.id, m.room, m.seq, m.version, m.client_id, m.content, m.kind, m.reply_to, m.edited_at, m.state, \
             m.sent_at, u.id, u.username, u.nickname, u.avatar FROM messages m JOIN users u ON u.id = m.sender ",
            $rest
        )
    };
}

fn read_message(row: &Row<'_>) -> Sql<Message> {
    Ok(Message {
        id: MessageId(get(row, 0)?),
        room: RoomId(get(row, 1)?),
        seq: Seq(get(row, 2)?),
        version: Version(get(row, 3)?),
        client_id: row.get(4)?,
        content: row.get(5)?,
        kind: row::named(row, 6, MessageKind::parse)?,
        reply_to: row.get::<_, Option<i64>>(7)?.map(|message| MessageId(row::number(message))),
        mentions: Vec::new(),
        reactions: Vec::new(),
        edited_at: row.get::<_, Option<i64>>(8)?.map(Timestamp),
        deleted: row.get::<_, i64>(9)? != 0,
        sent_at: Timestamp(row.get(10)?),
        sender: row::profile(row, 11)?,
    })
}

/// A page of history, oldest first, deleted ones left out.
pub(super) fn history(conn: &Connection, room: RoomId, query: HistoryQuery) -> Sql<HistoryPage> {
    const OLDER: &str =
        select_messages!("WHERE m.room = ?1 AND m.seq <= ?2 AND m.state = 0 ORDER BY m.seq DESC LIMIT ?3");
    const NEWER: &str =
        select_messages!("WHERE m.room = ?1 AND m.seq > ?2 AND m.state = 0 ORDER BY m.seq ASC LIMIT ?3");
    let (sql, seq) = match query.from {
        HistoryFrom::Newest => (OLDER, i64::MAX),
        HistoryFrom::Before(message) => (OLDER, seqs_below(conn, room, id(message.0))?),
        HistoryFrom::After(message) => (NEWER, seqs_below(conn, room, id(message.0).saturating_add(1))?),
    };
    let limit = query.limit as usize;
    let mut messages: Vec<Message> = conn
        .prepare_cached(sql)?
        // One more than asked for shows whether there is more.
        .query_map(params![id(room.0), seq, i64::from(query.limit) + 1], read_message)?
        .collect::<Result<_, _>>()?;
    let has_more = messages.len() > limit;
    messages.truncate(limit);
    if sql == OLDER {
        messages.reverse();
    }
    Ok(HistoryPage { messages, has_more })
}

/// How many messages of the room have an id below `message`, which is the seq of the last of them: ids
/// grow with seq and seqs have no holes, so halving finds it for any number, in one statement.
fn seqs_below(conn: &Connection, room: RoomId, message: i64) -> Sql<i64> {
    conn.prepare_cached(
        "WITH RECURSIVE span (low, high) AS (
             SELECT 0, last_seq + 1 FROM rooms WHERE id = ?1
             UNION ALL
             SELECT
                 iif((SELECT id FROM messages WHERE room = ?1 AND seq = (low + high) / 2) < ?2, (low + high) / 2, low),
                 iif((SELECT id FROM messages WHERE room = ?1 AND seq = (low + high) / 2) < ?2, high, (low + high) / 2)
             FROM span WHERE high - low > 1
         )
         SELECT low FROM span WHERE high - low <= 1",
    )?
    .query_row(params![id(room.0), message], |row| row.get(0))
    .optional()
    .map(|seq| seq.unwrap_or(0))
}

/// What comes after `after` by seq, and what of the earlier was deleted after `since`.
pub(super) fn page_by_seq(conn: &Connection, room: RoomId, since: Version, after: Seq, limit: u32) -> Sql<SeqPage> {
    let (head, pair) = room_and_pair(conn, room)?;
    let deleted = conn
        .prepare_cached("SELECT id FROM messages WHERE room = ?1 AND version > ?2 AND seq <= ?3 AND state <> 0")?
        .query_map(params![id(room.0), id(since.0), id(after.0)], |row| Ok(MessageId(get(row, 0)?)))?
        .collect::<Result<_, _>>()?;
    let messages: Vec<Message> = conn
        .prepare_cached(select_messages!("WHERE m.room = ?1 AND m.seq > ?2 AND m.state = 0 ORDER BY m.seq LIMIT ?3"))?
        .query_map(params![id(room.0), id(after.0), limit], read_message)?
        .collect::<Result<_, _>>()?;
    let complete = messages.len() < limit as usize;
    let seq = messages.last().filter(|_| !complete).map_or(head.last_seq, |last| last.seq);
    Ok(SeqPage { deleted, messages, version: head.version, seq, complete, pair })
}

/// Where a room stands, and its two people if it is a direct one. An unknown room stands at nothing.
fn room_and_pair(conn: &Connection, room: RoomId) -> Sql<(RoomHead, Option<Box<[Profile; 2]>>)> {
    let found = conn
        .prepare_cached(
            "SELECT r.version, r.last_seq, l.id, l.username, l.nickname, l.avatar, h.id, h.username, h.nickname, \
             h.avatar FROM rooms r LEFT JOIN users l ON l.id = r.user_low LEFT JOIN users h ON h.id = r.user_high \
             WHERE r.id = ?1",
        )?
        .query_row([id(room.0)], |row| {
            let direct = row.get_ref(2)? != rusqlite::types::ValueRef::Null;
            let pair = if direct { Some(Box::new([row::profile(row, 2)?, row::profile(row, 6)?])) } else { None };
            Ok((RoomHead { version: Version(get(row, 0)?), last_seq: Seq(get(row, 1)?) }, pair))
        })
        .optional()?;
    Ok(found.unwrap_or((RoomHead { version: Version(0), last_seq: Seq(0) }, None)))
}

/// Where a room stands.
pub(super) fn room_head(conn: &Connection, room: RoomId) -> Sql<Option<RoomHead>> {
    conn.prepare_cached("SELECT version, last_seq FROM rooms WHERE id = ?1")?
        .query_row([id(room.0)], |row| Ok(RoomHead { version: Version(get(row, 0)?), last_seq: Seq(get(row, 1)?) }))
        .optional()
}
