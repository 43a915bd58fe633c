//! Entries: rooms as their members see them. A constant number of statements, however many rooms or members. Unread
//! messages are counted from the read mark each time.

use std::collections::{BTreeSet, HashMap};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Params, Row, params};
use teahouse_core::limits::{LONG_LIST_ENTRIES, LONG_LIST_UNREAD_MAX, READS_MEMBERS_MAX, UNREAD_MAX};
use teahouse_core::{Change, Role, RoomEntry, RoomId, RoomKind, Seq, SessionId, Timestamp, UserId, Version};
use teahouse_store::RoomError;

use crate::group::{Group, Room};
use crate::row::{self, Sql, get, id};
use crate::writer::JobError;
use crate::{messages, rooms};

/// Memberships, as [`read_entry`] reads them: ?1 is the time, ?2 the count at which counting stops. Unread messages are
/// counted among the newest, since those of one member alone, or deleted ones, do not count and may be many.
macro_rules! select_entries {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.kind, r.name, r.title, r.version, r.last_seq, r.members, mine.role, mine.read_seq,
                 (SELECT count(*) FROM (SELECT 1 FROM messages m
                     WHERE m.room = r.id AND m.seq > max(mine.read_seq, r.last_seq - 2 * ?2) AND m.sender <> mine.user AND m.state = 0 LIMIT ?2)),
                 EXISTS (SELECT 1 FROM sanctions s
                     WHERE s.user = mine.user AND s.room = 0 AND s.kind = 'mute' AND s.until > ?1)
                 OR EXISTS (SELECT 1 FROM sanctions s
                     WHERE s.user = mine.user AND s.room = r.id AND s.kind = 'mute' AND s.until > ?1),
                 p.id, p.username, p.nickname, p.avatar, theirs.read_seq, mine.user, mine.answer = 'pending'
             FROM members mine
             JOIN rooms r ON r.id = mine.room
             LEFT JOIN users p ON p.id = iif(r.user_low = mine.user, r.user_high, r.user_low)
             LEFT JOIN members theirs ON theirs.room = r.id AND theirs.user = p.id
             WHERE ",
            $rest
        )
    };
}

/// The member, and the room as they see it.
fn read_entry(row: &Row<'_>) -> Sql<(UserId, RoomEntry)> {
    let direct = row.get_ref(11)? != ValueRef::Null;
    let entry = RoomEntry {
        id: RoomId(get(row, 0)?),
        kind: row::named(row, 1, RoomKind::parse)?,
        name: row.get(2)?,
        title: row.get(3)?,
        version: Version(get(row, 4)?),
        last_seq: Seq(get(row, 5)?),
        members: row.get(6)?,
        role: row::named(row, 7, Role::parse)?,
        read_seq: Seq(get(row, 8)?),
        unread: row.get(9)?,
        muted: row.get(10)?,
        peer: if direct { Some((row::profile(row, 11)?, Seq(get(row, 15)?))) } else { None },
        last_message: None,
        reads: Vec::new(),
        request: row.get(17)?,
    };
    Ok((UserId(get(row, 16)?), entry))
}

/// The maximum of the unread count of each of so many entries.
fn unread_max(entries: usize) -> u32 {
    if entries > LONG_LIST_ENTRIES { LONG_LIST_UNREAD_MAX } else { UNREAD_MAX }
}

/// These rooms as a member of all of them sees them, ordered by id.
pub(crate) fn of_rooms(conn: &Connection, rooms: &[RoomId], user: UserId, now: Timestamp) -> Sql<Vec<RoomEntry>> {
    let found = read(
        conn,
        select_entries!("mine.user = ?3 AND mine.room IN (SELECT value FROM json_each(?4)) ORDER BY mine.room"),
        params![now.0, unread_max(rooms.len()), id(user.0), row::id_list(rooms.iter().map(|room| room.0))],
    )?;
    Ok(found.into_iter().map(|(_, entry)| entry).collect())
}

/// One room, listed or not; `None` when the user is not a member.
fn of_member(conn: &Connection, room: RoomId, user: UserId, now: Timestamp) -> Sql<Option<RoomEntry>> {
    let found = read(
        conn,
        select_entries!("mine.room = ?3 AND mine.user = ?4"),
        params![now.0, UNREAD_MAX, id(room.0), id(user.0)],
    )?;
    Ok(found.into_iter().next().map(|(_, entry)| entry))
}

/// One room as each of these members sees it who did not decline it, ordered by user id.
pub(crate) fn of_members(
    conn: &Connection,
    room: RoomId,
    users: &[UserId],
    now: Timestamp,
) -> Sql<Vec<(UserId, RoomEntry)>> {
    read(
        conn,
        select_entries!(
            "mine.room = ?3 AND mine.user IN (SELECT value FROM json_each(?4)) AND mine.answer <> 'declined'
             ORDER BY mine.user"
        ),
        params![now.0, unread_max(users.len()), id(room.0), row::id_list(users.iter().map(|user| user.0))],
    )
}

/// One room, or why the user cannot see it.
pub(crate) fn entry(
    conn: &Connection,
    room: RoomId,
    user: UserId,
    now: Timestamp,
) -> Result<RoomEntry, JobError<RoomError>> {
    if let Some(entry) = of_member(conn, room, user, now)? {
        return Ok(entry);
    }
    rooms::must_see(conn, room, user)?;
    Err(JobError::Refused(RoomError::Forbidden))
}

/// One room as it is in the writer's group, whose counters are not in the table yet. The user must be a member.
pub(crate) fn in_group(group: &Group<'_>, room: &Room, user: UserId, now: Timestamp) -> Sql<RoomEntry> {
    let entry = of_member(group.conn, room.id, user, now)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    Ok(RoomEntry { version: room.version, last_seq: room.last_seq, ..entry })
}

/// Publishes a member's entry.
pub(crate) fn publish(
    group: &mut Group<'_>,
    room: &Room,
    user: UserId,
    now: Timestamp,
    requester: Option<SessionId>,
) -> Sql<RoomEntry> {
    let entry = in_group(group, room, user, now)?;
    group.publish(room, Change::Entry { user, entry: Box::new(entry.clone()), requester })?;
    Ok(entry)
}

/// How many rooms of a user one job publishes the entries of: some milliseconds of work, with many unread messages.
const PUBLISHED_MAX: u32 = 20;

/// Publishes the entries of some rooms of a user, those after `after`, and returns after which room there are more.
pub(crate) fn publish_some_of(
    group: &mut Group<'_>,
    user: UserId,
    after: RoomId,
    now: Timestamp,
) -> Sql<Option<RoomId>> {
    let last = row::last_of_next_rooms(group.conn, user, after, PUBLISHED_MAX)?;
    let through = last.map_or(i64::MAX, |room| id(room.0));
    let some = read(
        group.conn,
        select_entries!(
            "mine.user = ?3 AND mine.room > ?4 AND mine.room <= ?5 \
             AND mine.answer <> 'declined' AND (mine.direct = 0 OR mine.listed_at IS NOT NULL) ORDER BY mine.room"
        ),
        params![now.0, UNREAD_MAX, id(user.0), id(after.0), through],
    )?;
    for (_, entry) in some {
        if let Some(room) = group.room(entry.id)? {
            let entry = RoomEntry { version: room.version, last_seq: room.last_seq, ..entry };
            group.publish(&room, Change::Entry { user, entry: Box::new(entry), requester: None })?;
        }
    }
    Ok(last)
}

fn read(conn: &Connection, sql: &'static str, params: impl Params) -> Sql<Vec<(UserId, RoomEntry)>> {
    let mut entries: Vec<(UserId, RoomEntry)> =
        conn.prepare_cached(sql)?.query_map(params, read_entry)?.collect::<Sql<_>>()?;
    let rooms: BTreeSet<RoomId> = entries.iter().map(|(_, entry)| entry.id).collect();
    let small = entries.iter().filter(|(_, entry)| shows_reads(entry.kind, entry.members));
    let small: BTreeSet<RoomId> = small.map(|(_, entry)| entry.id).collect();
    let newest = messages::newest(conn, &rooms)?;
    let read_marks = read_marks(conn, small.into_iter())?;
    for (user, entry) in &mut entries {
        entry.last_message = newest.get(&entry.id).cloned();
        let marks = read_marks.get(&entry.id).into_iter().flatten();
        entry.reads = marks.filter(|(member, _)| member != user).copied().collect();
    }
    Ok(entries)
}

/// The read marks of all members of these rooms, ordered by user.
fn read_marks(conn: &Connection, rooms: impl Iterator<Item = RoomId>) -> Sql<HashMap<RoomId, Vec<(UserId, Seq)>>> {
    let mut found: HashMap<RoomId, Vec<(UserId, Seq)>> = HashMap::new();
    let mut rooms = rooms.peekable();
    if rooms.peek().is_none() {
        return Ok(found);
    }
    let mut statement = conn.prepare_cached(
        "SELECT room, user, read_seq FROM members \
         WHERE room IN (SELECT value FROM json_each(?1)) ORDER BY room, user",
    )?;
    let mut rows = statement.query([row::id_list(rooms.map(|room| room.0))])?;
    while let Some(row) = rows.next()? {
        found.entry(RoomId(get(row, 0)?)).or_default().push((UserId(get(row, 1)?), Seq(get(row, 2)?)));
    }
    Ok(found)
}

/// Whether the members of a private room see each other's read marks.
pub(crate) fn shows_reads(kind: RoomKind, members: u32) -> bool {
    kind == RoomKind::Private && members <= READS_MEMBERS_MAX
}
