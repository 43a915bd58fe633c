//! The list of a user's rooms: all public and private ones, and the direct ones with the newest messages. The others are
//! counted, and paged. It chooses rooms; `entries` reads them.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};
use teahouse_core::limits::UNREAD_MAX;
use teahouse_core::{DirectsPosition, MoreDirects, RoomEntry, RoomId, RoomList, Timestamp, UserId};
use teahouse_store::{PageLimit, RoomListQuery};

use crate::row::{self, Sql, get, id};
use crate::{entries, strangers};

/// The rooms of a user. A constant number of statements.
pub(crate) fn rooms_of(conn: &Connection, query: &RoomListQuery) -> Sql<RoomList> {
    let user = query.user;
    let (mut others, mut requests) = (Vec::new(), 0);
    let mut listed = Vec::new();
    let named: HashSet<RoomId> = query.named.iter().copied().collect();
    let mut directs_left = query.directs_max;
    let mut statement = conn.prepare_cached(
        "SELECT r.id, r.kind = 'direct', mine.answer = 'pending' FROM members mine JOIN rooms r ON r.id = mine.room
         WHERE mine.user = ?1 AND mine.answer <> 'declined'
             AND (r.kind <> 'direct' OR r.last_seq > 0 OR mine.opened = 1)
         ORDER BY r.kind = 'direct', mine.answer = 'pending', max(r.last_time, r.created_at) DESC, r.id DESC",
    )?;
    let mut rows = statement.query([id(user.0)])?;
    while let Some(row) = rows.next()? {
        let (room, is_direct) = (RoomId(get(row, 0)?), row.get::<_, bool>(1)?);
        if !is_direct || directs_left > 0 {
            listed.push(room);
            directs_left -= u32::from(is_direct);
        } else if named.contains(&room) {
            listed.push(room);
        } else if row.get::<_, bool>(2)? {
            requests += 1;
        } else {
            others.push(room);
        }
    }
    let rooms = entries::of_rooms(conn, &listed, user, query.now)?;
    let more_directs = more_directs(conn, user, &others, requests)?;
    Ok(RoomList { rooms, more_directs, invites: strangers::invites_of(conn, user, None)? })
}

/// Counts the direct rooms of a user that are not listed: `rooms`, with their unread messages up to the cap, and
/// `requests`.
fn more_directs(conn: &Connection, user: UserId, rooms: &[RoomId], requests: u32) -> Sql<Option<MoreDirects>> {
    if rooms.is_empty() && requests == 0 {
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
    let rooms = u32::try_from(rooms.len()).unwrap_or(u32::MAX).saturating_add(requests);
    Ok(Some(MoreDirects { rooms, unread, requests }))
}

/// A page of a user's direct rooms after this position, requests last and newest message first. A constant number of
/// statements.
pub(crate) fn directs(
    conn: &Connection,
    user: UserId,
    after: Option<DirectsPosition>,
    limit: u32,
    now: Timestamp,
) -> Sql<(Vec<RoomEntry>, Option<DirectsPosition>)> {
    let start = DirectsPosition { request: false, time: Timestamp(i64::MAX), room: RoomId(u64::MAX) };
    let after = after.unwrap_or(start);
    let limit = PageLimit::of_entries(limit);
    let mut statement = conn.prepare_cached(
        "SELECT r.id, max(r.last_time, r.created_at), mine.answer = 'pending'
         FROM members mine JOIN rooms r ON r.id = mine.room
         WHERE mine.user = ?1 AND r.kind = 'direct' AND mine.answer <> 'declined'
             AND (r.last_seq > 0 OR mine.opened = 1)
             AND (mine.answer = 'pending', -max(r.last_time, r.created_at), -r.id) > (?2, -?3, -?4)
         ORDER BY mine.answer = 'pending', max(r.last_time, r.created_at) DESC, r.id DESC LIMIT ?5",
    )?;
    let params = params![id(user.0), after.request, after.time.0, id(after.room.0), row::one_more(limit)];
    let found = statement.query_map(params, |row| {
        let (room, time) = (RoomId(get(row, 0)?), Timestamp(row.get(1)?));
        Ok(DirectsPosition { request: row.get(2)?, time, room })
    })?;
    let (page, has_more) = row::page(found, limit, |_| 0)?;
    let rooms: Vec<RoomId> = page.iter().map(|position| position.room).collect();
    let place: HashMap<RoomId, usize> = rooms.iter().enumerate().map(|(place, room)| (*room, place)).collect();
    let mut entries = entries::of_rooms(conn, &rooms, user, now)?;
    entries.sort_by_key(|entry| place.get(&entry.id).copied());
    Ok((entries, page.last().copied().filter(|_| has_more)))
}
