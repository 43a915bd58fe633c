//! Reading messages: pages of history by id and by seq, and what a client that catches up needs next. Every page takes
//! a constant number of statements, however long it is.

use std::collections::{BTreeSet, HashMap};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use teahouse_core::limits::{LONG_LIST_ENTRIES, LONG_LIST_UNREAD_MAX, PREVIEW_CHARS_MAX};
use teahouse_core::{Message, MessageId, MessageKind, Profile, RoomId, Seq, Timestamp, UserId, Version};
use teahouse_store::{
    CatchUpBounds, CatchUpPage, HistoryFrom, PageLimit, RoomError, RoomHead, RoomHistoryPage, RoomHistoryQuery,
    SeqFrom, SeqPage,
};

use crate::row::{self, Sql, get, id};
use crate::writer::JobError;
use crate::{mentions, rooms};

/// How many messages a page scans for those that are not deleted: less than a millisecond of work.
const SCANNED_MAX: i64 = 2000;

/// Messages with their senders, as [`read_message`] reads them.
macro_rules! select_messages {
    ($rest:literal) => {
        select_messages!("m.content", $rest)
    };
    ($content:literal, $rest:literal) => {
        concat!(
            "SELECT m.id, m.room, m.seq, m.version, m.client_id, ",
            $content,
            ", m.kind, m.reply_to, m.mentions, m.edited_at, \
             m.state, m.sent_at, u.id, u.username, u.nickname, u.avatar \
             FROM messages m JOIN users u ON u.id = m.sender ",
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
        mentions: mentions::from_column(row.get_ref(8)?.as_str_or_null()?),
        reactions: Vec::new(),
        edited_at: row.get::<_, Option<i64>>(9)?.map(Timestamp),
        deleted: row.get::<_, i64>(10)? != 0,
        sent_at: Timestamp(row.get(11)?),
        sender: row::profile(row, 12)?,
    })
}

/// The messages of a [`select_messages`] up to the limit of a page, with their reactions, and whether there are more.
fn read_page(conn: &Connection, sql: &'static str, params: impl Params, limit: PageLimit) -> Sql<row::Listed<Message>> {
    let (mut messages, has_more) = read_plain(conn, sql, params, limit)?;
    add_reactions(conn, &mut messages)?;
    let is_cut = limit.cut(&mut messages);
    Ok((messages, has_more || is_cut))
}

/// The messages of a [`select_messages`], with their reactions.
fn read(conn: &Connection, sql: &'static str, params: impl Params) -> Sql<Vec<Message>> {
    let mut messages = conn.prepare_cached(sql)?.query_map(params, read_message)?.collect::<Sql<Vec<_>>>()?;
    add_reactions(conn, &mut messages)?;
    Ok(messages)
}

fn read_plain(
    conn: &Connection,
    sql: &'static str,
    params: impl Params,
    limit: PageLimit,
) -> Sql<row::Listed<Message>> {
    row::page(conn.prepare_cached(sql)?.query_map(params, read_message)?, limit, Message::size)
}

fn add_reactions(conn: &Connection, messages: &mut [Message]) -> Sql<()> {
    let mut reactions = reactions(conn, messages)?;
    for message in messages {
        message.reactions = reactions.remove(&message.id).unwrap_or_default();
    }
    Ok(())
}

/// The reactions to each of these messages and their counts, in one statement.
fn reactions(conn: &Connection, messages: &[Message]) -> Sql<HashMap<MessageId, Vec<(String, u32)>>> {
    let mut found: HashMap<MessageId, Vec<(String, u32)>> = HashMap::new();
    if messages.is_empty() {
        return Ok(found);
    }
    // A join returns rows in the order of the index; `IN` would build a table.
    let mut statement = conn.prepare_cached(
        "SELECT r.message, r.emoji, r.count FROM json_each(?1) asked \
         CROSS JOIN reaction_counts r ON r.message = asked.value",
    )?;
    let mut rows = statement.query([row::id_list(messages.iter().map(|message| message.id.0))])?;
    while let Some(row) = rows.next()? {
        found.entry(MessageId(get(row, 0)?)).or_default().push((row.get(1)?, row.get(2)?));
    }
    Ok(found)
}

/// One message, in any room.
pub(crate) fn by_id(conn: &Connection, message: MessageId) -> Sql<Option<Message>> {
    Ok(read(conn, select_messages!("WHERE m.id = ?1"), [id(message.0)])?.pop())
}

/// The newest message that is not deleted of each of these rooms, by room; none after very many deleted ones. It is a
/// preview: without reactions, and its content is cut one character after what is shown.
pub(crate) fn newest(conn: &Connection, rooms: &BTreeSet<RoomId>) -> Sql<HashMap<RoomId, Message>> {
    let is_long = rooms.len() > LONG_LIST_ENTRIES;
    let scanned = if is_long { i64::from(LONG_LIST_UNREAD_MAX) } else { SCANNED_MAX };
    let list = row::id_list(rooms.iter().map(|room| room.0));
    conn.prepare_cached(select_messages!(
        "substr(m.content, 1, ?3)",
        "JOIN json_each(?1) asked WHERE m.id = (SELECT n.id FROM messages n \
             WHERE n.room = asked.value AND n.state = 0 \
             AND n.seq > (SELECT r.last_seq FROM rooms r WHERE r.id = asked.value) - ?2 \
             ORDER BY n.seq DESC LIMIT 1)"
    ))?
    .query_map(params![list, scanned, id(PREVIEW_CHARS_MAX as u64 + 1)], read_message)?
    .map(|message| message.map(|message| (message.room, message)))
    .collect()
}

/// The next messages of a page of history by id, in the direction of the page, without deleted messages; and the seq at
/// which the page goes on, if it scanned as many as one snapshot may. `start` is the seq of the part before.
pub(crate) fn history_part(
    conn: &Connection,
    room: RoomId,
    from: HistoryFrom,
    start: Option<i64>,
    limit: PageLimit,
) -> Sql<(row::Listed<Message>, Option<i64>)> {
    const OLDER: &str = select_messages!(
        "WHERE m.room = ?1 AND m.seq <= ?2 AND m.seq > ?2 - ?4 AND m.state = 0 ORDER BY m.seq DESC LIMIT ?3"
    );
    const NEWER: &str = select_messages!(
        "WHERE m.room = ?1 AND m.seq > ?2 AND m.seq <= ?2 + ?4 AND m.state = 0 ORDER BY m.seq ASC LIMIT ?3"
    );
    let last = room_head(conn, room)?.map_or(0, |head| id(head.last_seq.0));
    let start = match (start, from) {
        (Some(start), _) => start,
        (None, HistoryFrom::Newest) => last,
        (None, HistoryFrom::Before(message)) => seqs_below(conn, room, id(message.0))?,
        (None, HistoryFrom::After(message)) => seqs_below(conn, room, id(message.0).saturating_add(1))?,
    };
    let (sql, next) = match from {
        HistoryFrom::After(_) => (NEWER, start + SCANNED_MAX),
        HistoryFrom::Newest | HistoryFrom::Before(_) => (OLDER, start - SCANNED_MAX),
    };
    let (page, has_more) = read_page(conn, sql, params![id(room.0), start, row::one_more(limit), SCANNED_MAX], limit)?;
    Ok(((page, has_more), Some(next).filter(|next| !has_more && (1..last).contains(next))))
}

/// The statement for the seq of the last message of room `?1` for which the condition holds, by binary search: it holds
/// for all messages up to some seq, and seqs have no holes.
macro_rules! last_seq_where {
    ($holds:literal) => {
        concat!(
            "WITH RECURSIVE span (low, high) AS (
                 SELECT 0, last_seq + 1 FROM rooms WHERE id = ?1
                 UNION ALL
                 SELECT
                     iif((SELECT ",
            $holds,
            " FROM messages WHERE room = ?1 AND seq = (low + high) / 2), (low + high) / 2, low),
                     iif((SELECT ",
            $holds,
            " FROM messages WHERE room = ?1 AND seq = (low + high) / 2), high, (low + high) / 2)
                 FROM span WHERE high - low > 1
             )
             SELECT low FROM span WHERE high - low <= 1"
        )
    };
}

/// The number of messages of the room with an id below `message`, which is the seq of the last of them.
fn seqs_below(conn: &Connection, room: RoomId, message: i64) -> Sql<i64> {
    last_seq(conn, last_seq_where!("id < ?2"), room, message)
}

/// The number of messages of the room that were stored by this version.
fn seqs_by(conn: &Connection, room: RoomId, version: Version) -> Sql<i64> {
    last_seq(conn, last_seq_where!("first_version <= ?2"), room, id(version.0))
}

fn last_seq(conn: &Connection, sql: &str, room: RoomId, bound: i64) -> Sql<i64> {
    let seq = conn.prepare_cached(sql)?.query_row(params![id(room.0), bound], |row| row.get(0)).optional()?;
    Ok(seq.unwrap_or(0))
}

/// A page by seq, oldest first, deleted messages included. Seqs have no holes, so a page is a span of them.
pub(crate) fn room_history(
    conn: &Connection,
    user: UserId,
    query: RoomHistoryQuery,
) -> Result<RoomHistoryPage, JobError<RoomError>> {
    rooms::must_see(conn, query.room, user)?;
    let last = room_head(conn, query.room)?.map_or(0, |head| head.last_seq.0);
    let limit = u64::from(query.limit.entries);
    // From `low` up to and without `end`; older ones than `middle` are read backward, the others forward.
    let (low, middle, end) = match query.from {
        SeqFrom::Newest => ((last + 1).saturating_sub(limit), last + 1, last + 1),
        SeqFrom::Before(seq) => (seq.0.min(last + 1).saturating_sub(limit), last + 1, seq.0.min(last + 1)),
        SeqFrom::After(seq) => (seq.0.min(last) + 1, 0, seq.0.min(last) + 1 + limit),
        // A side that is short leaves its share to the other one.
        SeqFrom::Around(seq) => {
            let end = (seq.0.min(last) + 1 + limit / 2).min(last + 1);
            let low = end.saturating_sub(limit).max(1);
            (low, seq.0.min(last) + 1, low + limit)
        }
    };
    let (low, end) = (low.max(1), end.clamp(1, last + 1));
    let messages = read_span(conn, query.room, (low, middle.clamp(low, end.max(low)), end), query.limit)?;
    let ids: Vec<MessageId> = messages.iter().map(|message| message.id).collect();
    Ok(RoomHistoryPage {
        has_more_before: messages.first().map_or(low, |first| first.seq.0) > 1,
        has_more_after: messages.last().map_or(end, |newest| newest.seq.0 + 1) <= last,
        own_reactions: own_reactions(conn, user, &ids)?,
        messages,
    })
}

/// The messages of a span of seqs that fit on a page: those from `middle` down to `low`, then those from there up to
/// `end`. With messages on both sides, the older ones take at most half of the bytes.
fn read_span(
    conn: &Connection,
    room: RoomId,
    (low, middle, end): (u64, u64, u64),
    limit: PageLimit,
) -> Sql<Vec<Message>> {
    const OLDER: &str =
        select_messages!("WHERE m.room = ?1 AND m.seq >= ?2 AND m.seq < ?3 ORDER BY m.seq DESC LIMIT ?4");
    const NEWER: &str = select_messages!("WHERE m.room = ?1 AND m.seq >= ?2 AND m.seq < ?3 ORDER BY m.seq LIMIT ?4");
    let read = |sql, from, to, limit: PageLimit| {
        read_page(conn, sql, params![id(room.0), id(from), id(to), limit.entries], limit)
    };
    let mut messages = Vec::new();
    let mut left = limit;
    if low < middle {
        let bytes = if middle < end { limit.bytes / 2 } else { limit.bytes };
        messages = read(OLDER, low, middle, PageLimit { bytes, ..limit })?.0;
        messages.reverse();
        left.bytes = limit.bytes.saturating_sub(messages.iter().map(Message::size).sum());
    }
    if middle < end {
        messages.extend(read(NEWER, middle, end, left)?.0);
    }
    Ok(messages)
}

/// The first page for a client that holds the room as it was at `since`.
pub(crate) fn catch_up(
    conn: &Connection,
    room: RoomId,
    since: Option<Version>,
    bounds: CatchUpBounds,
) -> Sql<CatchUpPage> {
    let head = room_head(conn, room)?.unwrap_or(RoomHead { version: Version(0), last_seq: Seq(0) });
    let Some(since) = since.filter(|since| *since <= head.version) else {
        return reset(conn, room, head, bounds.reset_messages);
    };
    let held = seqs_by(conn, room, since)?;
    if let Some(changes_max) = bounds.changes_max
        && more_changes_than(conn, &head, room, since, held, changes_max)?
    {
        return reset(conn, room, head, bounds.reset_messages);
    }
    let limit = i64::from(bounds.limit.entries);
    let (unchanged, is_cut) = read_plain(
        conn,
        select_messages!(
            "WHERE m.room = ?1 AND m.seq > ?2 AND m.seq <= ?3 AND m.version = m.first_version ORDER BY m.seq"
        ),
        params![id(room.0), held, held + limit],
        bounds.limit,
    )?;
    let is_all = held + limit >= id(head.last_seq.0);
    let mut through = match unchanged.last() {
        Some(last) if is_cut => last.version,
        _ if is_all => head.version,
        _ => first_version(conn, room, held + limit)?,
    };
    let (mut messages, is_cut) = read_plain(
        conn,
        select_messages!(
            "WHERE m.room = ?1 AND m.version > ?2 AND m.version <= ?3 AND m.version <> m.first_version \
             ORDER BY m.version LIMIT ?4"
        ),
        params![id(room.0), id(since.0), id(through.0), limit],
        bounds.limit,
    )?;
    if let Some(last) = messages.last().filter(|_| is_cut || messages.len() == bounds.limit.entries as usize) {
        through = last.version;
    }
    messages.extend(unchanged.into_iter().filter(|message| message.version <= through));
    messages.sort_unstable_by_key(|message| message.version);
    let is_long = messages.len() > bounds.limit.entries as usize;
    messages.truncate(bounds.limit.entries as usize);
    add_reactions(conn, &mut messages)?;
    if bounds.limit.cut(&mut messages) || is_long {
        through = messages.last().map_or(since, |last| last.version);
    }
    Ok(CatchUpPage { reset: false, messages, through, last_seq: head.last_seq, complete: through == head.version })
}

/// The version that this message of the room took when it was first stored.
fn first_version(conn: &Connection, room: RoomId, seq: i64) -> Sql<Version> {
    conn.prepare_cached("SELECT first_version FROM messages WHERE room = ?1 AND seq = ?2")?
        .query_row(params![id(room.0), seq], |row| get(row, 0).map(Version))
}

/// The newest messages, deleted ones included, in version order.
fn reset(conn: &Connection, room: RoomId, head: RoomHead, limit: u32) -> Sql<CatchUpPage> {
    let low = (head.last_seq.0 + 1).saturating_sub(u64::from(limit));
    let mut messages = read(conn, select_messages!("WHERE m.room = ?1 AND m.seq >= ?2"), params![id(room.0), id(low)])?;
    messages.sort_unstable_by_key(|message| message.version);
    Ok(CatchUpPage { reset: true, messages, through: head.version, last_seq: head.last_seq, complete: true })
}

/// Whether more than `changes_max` messages changed after version `since`, by which `held` messages were stored: all
/// later messages, and those of the `held` that changed again. Counts no further than it must.
fn more_changes_than(
    conn: &Connection,
    head: &RoomHead,
    room: RoomId,
    since: Version,
    held: i64,
    changes_max: u32,
) -> Sql<bool> {
    let left = i64::from(changes_max) - (id(head.last_seq.0) - held);
    if left < 0 || left >= held {
        return Ok(left < 0);
    }
    conn.prepare_cached(
        "SELECT count(*) > ?4 FROM (SELECT 1 FROM messages \
         WHERE room = ?1 AND version > ?2 AND version <> first_version AND +seq <= ?3 LIMIT ?4 + 1)",
    )?
    .query_row(params![id(room.0), id(since.0), held, left], |row| row.get(0))
}

/// A user's own reactions to these messages, in one statement.
pub(crate) fn own_reactions(conn: &Connection, user: UserId, messages: &[MessageId]) -> Sql<Vec<(MessageId, String)>> {
    conn.prepare_cached(
        // Reactions to a deleted message have no count any more.
        "SELECT r.message, r.emoji FROM reactions r \
         WHERE r.message IN (SELECT value FROM json_each(?1)) AND r.user = ?2 \
         AND EXISTS (SELECT 1 FROM reaction_counts c WHERE c.message = r.message AND c.emoji = r.emoji) \
         ORDER BY r.message, r.emoji",
    )?
    .query_map(params![row::id_list(messages.iter().map(|message| message.0)), id(user.0)], |row| {
        Ok((MessageId(get(row, 0)?), row.get(1)?))
    })?
    .collect()
}

/// The messages above `after`, and those up to it that were deleted after `since`.
pub(crate) fn page_by_seq(
    conn: &Connection,
    room: RoomId,
    since: Version,
    after: Seq,
    limit: PageLimit,
) -> Sql<SeqPage> {
    let (head, pair) = room_and_pair(conn, room)?;
    let (deleted, through) = deletions(conn, room, since, after)?;
    if let Some(version) = through {
        return Ok(SeqPage { deleted, messages: Vec::new(), version, seq: after, complete: false, pair });
    }
    let end = id(after.0).saturating_add(SCANNED_MAX);
    let (messages, has_more) = read_page(
        conn,
        select_messages!("WHERE m.room = ?1 AND m.seq > ?2 AND m.seq <= ?4 AND m.state = 0 ORDER BY m.seq LIMIT ?3"),
        params![id(room.0), id(after.0), row::one_more(limit), end],
        limit,
    )?;
    let complete = !has_more && end >= id(head.last_seq.0);
    let last = messages.last().filter(|_| has_more);
    let seq = last.map_or(head.last_seq.min(Seq(row::number(end))), |last| last.seq);
    Ok(SeqPage { deleted, messages, version: head.version, seq, complete, pair })
}

/// The messages up to `after` that were deleted after `since`; and the version up to which these are all, where more
/// messages changed than one snapshot may look at.
fn deletions(conn: &Connection, room: RoomId, since: Version, after: Seq) -> Sql<(Vec<MessageId>, Option<Version>)> {
    let mut statement = conn.prepare_cached(
        "SELECT id, version, seq <= ?3 AND state <> 0 FROM messages \
         WHERE room = ?1 AND version > ?2 AND version <> first_version ORDER BY version LIMIT ?4",
    )?;
    let mut rows = statement.query(params![id(room.0), id(since.0), id(after.0), SCANNED_MAX])?;
    let (mut deleted, mut scanned, mut version) = (Vec::new(), 0, since);
    while let Some(row) = rows.next()? {
        (scanned, version) = (scanned + 1, Version(get(row, 1)?));
        if row.get(2)? {
            deleted.push(MessageId(get(row, 0)?));
        }
    }
    Ok((deleted, Some(version).filter(|_| scanned == SCANNED_MAX)))
}

/// A room's head, and the two members of a direct room. The head of an unknown room is zero.
fn room_and_pair(conn: &Connection, room: RoomId) -> Sql<(RoomHead, Option<Box<[Profile; 2]>>)> {
    let found = conn
        .prepare_cached(
            "SELECT r.version, r.last_seq, l.id, l.username, l.nickname, l.avatar, h.id, h.username, h.nickname, \
             h.avatar FROM rooms r LEFT JOIN users l ON l.id = r.user_low LEFT JOIN users h ON h.id = r.user_high \
             WHERE r.id = ?1",
        )?
        .query_row([id(room.0)], |row| {
            let direct = row.get_ref(2)? != ValueRef::Null;
            let pair = if direct { Some(Box::new([row::profile(row, 2)?, row::profile(row, 6)?])) } else { None };
            Ok((RoomHead { version: Version(get(row, 0)?), last_seq: Seq(get(row, 1)?) }, pair))
        })
        .optional()?;
    Ok(found.unwrap_or((RoomHead { version: Version(0), last_seq: Seq(0) }, None)))
}

/// A room's head.
pub(crate) fn room_head(conn: &Connection, room: RoomId) -> Sql<Option<RoomHead>> {
    conn.prepare_cached("SELECT version, last_seq FROM rooms WHERE id = ?1")?
        .query_row([id(room.0)], |row| Ok(RoomHead { version: Version(get(row, 0)?), last_seq: Seq(get(row, 1)?) }))
        .optional()
}
