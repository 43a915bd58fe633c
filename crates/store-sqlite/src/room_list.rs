//! The list of a user's rooms: all public and private ones, and the direct ones with the newest messages. The others are
//! counted, and paged. It chooses rooms; `entries` reads them.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};
use teahouse_core::limits::UNREAD_MAX;
use teahouse_core::{DirectsPosition, MoreDirects, RoomEntry, RoomId, RoomList, Timestamp, UserId};
use teahouse_store::RoomListQuery;

use crate::entries;
use crate::row::{self, Sql, get, id};

/// The rooms of a user. A constant number of statements.
pub(crate) fn rooms_of(conn: &Connection, query: &RoomListQuery) -> Sql<RoomList> {
    let user = query.user;
    let mut others = Vec::new();
    let mut listed = Vec::new();
    let named: HashSet<RoomId> = query.named.iter().copied().collect();
    let mut directs_left = query.directs_max;
    let mut statement = conn.prepare_cached(
        "SELECT r.id, r.kind = 'direct' FROM members mine JOIN rooms r ON r.id = mine.room
         WHERE mine.user = ?1 AND (r.kind <> 'direct' OR r.last_seq > 0 OR mine.opened = 1)
         ORDER BY r.kind = 'direct', max(r.last_time, r.created_at) DESC, r.id DESC",
    )?;
    let mut rows = statement.query([id(user.0)])?;
    while let Some(row) = rows.next()? {
        let (room, is_direct) = (RoomId(get(row, 0)?), row.get::<_, bool>(1)?);
        if !is_direct || directs_left > 0 {
            listed.push(room);
            directs_left -= u32::from(is_direct);
        } else if named.contains(&room) {
            listed.push(room);
        } else {
            others.push(room);
        }
    }
    let rooms = entries::of_rooms(conn, &listed, user, query.now)?;
    Ok(RoomList { rooms, more_directs: more_directs(conn, user, &others)? })
}

/// Counts these direct rooms of a user, and their unread messages up to the cap.
fn more_directs(conn: &Connection, user: UserId, rooms: &[RoomId]) -> Sql<Option<MoreDirects>> {
    if rooms.is_empty() {
        return Ok(None);
    }
    let unread = conn
        .prepare_cached(
            "SELECT count(*) FROM (SELECT 1 FROM json_each(?2) asked
             CROSS JOIN members mine ON mine.room = asked.value AND mine.user = ?1
             CROSS JOIN messages m
                 ON m.room = mine.room AND m.seq > mine.read_seq AND m.sender <> ?1 AND m.state = 0 LIMIT ?3)",
        )?
        .query_row(params![id(user.0), row::id_list(rooms.iter().map(|room| room.0)), UNREAD_MAX], |row| row.get(0))?;
    Ok(Some(MoreDirects { rooms: rooms.len().try_into().unwrap_or(u32::MAX), unread }))
}

/// A page of a user's direct rooms after this position, newest message first. A constant number of statements.
pub(crate) fn directs(
    conn: &Connection,
    user: UserId,
    after: Option<DirectsPosition>,
    limit: u32,
    now: Timestamp,
) -> Sql<(Vec<RoomEntry>, Option<DirectsPosition>)> {
    let after = after.unwrap_or(DirectsPosition { time: Timestamp(i64::MAX), room: RoomId(u64::MAX) });
    let found = conn
        .prepare_cached(
            "SELECT r.id, max(r.last_time, r.created_at) FROM members mine JOIN rooms r ON r.id = mine.room
             WHERE mine.user = ?1 AND r.kind = 'direct' AND (r.last_seq > 0 OR mine.opened = 1)
                 AND (max(r.last_time, r.created_at), r.id) < (?2, ?3)
             ORDER BY max(r.last_time, r.created_at) DESC, r.id DESC LIMIT ?4",
        )?
        .query_map(params![id(user.0), after.time.0, id(after.room.0), row::one_more(limit)], |row| {
            Ok(DirectsPosition { room: RoomId(get(row, 0)?), time: Timestamp(row.get(1)?) })
        })?
        .collect::<Sql<_>>()?;
    let (page, has_more) = row::page(found, limit);
    let rooms: Vec<RoomId> = page.iter().map(|position| position.room).collect();
    let place: HashMap<RoomId, usize> = rooms.iter().enumerate().map(|(place, room)| (*room, place)).collect();
    let mut entries = entries::of_rooms(conn, &rooms, user, now)?;
    entries.sort_by_key(|entry| place.get(&entry.id).copied());
    Ok((entries, page.last().copied().filter(|_| has_more)))
}
