//! The list of a user's rooms: all public and private ones, and the direct ones with the newest messages. The others are
//! counted, and paged. It chooses rooms; `entries` reads them.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, params};
use teahouse_core::limits::{MORE_DIRECTS_MAX, UNREAD_MAX};
use teahouse_core::{DirectsPosition, MoreDirects, RoomEntry, RoomId, RoomList, Timestamp, UserId};
use teahouse_store::RoomListQuery;

use crate::row::{self, Sql, get, id};
use crate::{entries, strangers};

/// How many messages are looked at to count those that are unread in rooms that are not listed. More than that many by
/// the user, or deleted, are before others only where nobody needs the exact number.
const UNREAD_SCANNED_MAX: u32 = 5 * UNREAD_MAX;

/// The rooms of a user. A constant number of statements.
pub(crate) fn rooms_of(conn: &Connection, query: &RoomListQuery) -> Sql<RoomList> {
    let user = query.user;
    let mut listed: BTreeSet<RoomId> = conn
        .prepare_cached("SELECT room FROM members WHERE user = ?1 AND direct = 0")?
        .query_map([id(user.0)], |row| get(row, 0).map(RoomId))?
        .collect::<Sql<_>>()?;
    let counted_max = query.directs_max.saturating_add(MORE_DIRECTS_MAX);
    let mut directs = positions(conn, false, user, START, counted_max)?;
    directs.extend(positions(conn, true, user, START, counted_max)?);
    listed.extend(directs.iter().take(query.directs_max as usize).map(|position| position.room));
    listed.extend(named_directs(conn, query)?);
    directs.retain(|position| !listed.contains(&position.room));

    let listed: Vec<RoomId> = listed.into_iter().collect();
    let rooms = entries::of_rooms(conn, &listed, user, query.now)?;
    let more_directs = more_directs(conn, user, &directs)?;
    Ok(RoomList { rooms, more_directs, invites: strangers::invites_of(conn, user, None)? })
}

/// The named direct rooms that the user's list has somewhere.
fn named_directs(conn: &Connection, query: &RoomListQuery) -> Sql<Vec<RoomId>> {
    if query.named.is_empty() {
        return Ok(Vec::new());
    }
    conn.prepare_cached(
        "SELECT mine.room FROM json_each(?2) asked CROSS JOIN members mine ON mine.room = asked.value AND mine.user = ?1
         WHERE mine.listed_at IS NOT NULL AND mine.answer <> 'declined'",
    )?
    .query_map(params![id(query.user.0), row::id_list(query.named.iter().map(|room| room.0))], |row| {
        get(row, 0).map(RoomId)
    })?
    .collect()
}

/// Counts the direct rooms of a user that are not listed: these, with their unread messages up to the cap, and requests.
fn more_directs(conn: &Connection, user: UserId, directs: &[DirectsPosition]) -> Sql<Option<MoreDirects>> {
    if directs.is_empty() {
        return Ok(None);
    }
    let (requests, others): (Vec<&DirectsPosition>, Vec<_>) = directs.iter().partition(|position| position.request);
    let counted = others.iter().take(MORE_DIRECTS_MAX as usize).map(|position| position.room.0);
    let unread = conn
        .prepare_cached(
            "SELECT min(count(*) FILTER (WHERE sender <> ?1 AND state = 0), ?3)
             FROM (SELECT m.sender, m.state FROM json_each(?2) asked
                 CROSS JOIN members mine ON mine.room = asked.value AND mine.user = ?1
                 CROSS JOIN messages m ON m.room = mine.room AND m.seq > mine.read_seq LIMIT ?4)",
        )?
        .query_row(params![id(user.0), row::id_list(counted), UNREAD_MAX, UNREAD_SCANNED_MAX], |row| row.get(0))?;
    let capped = |rooms: usize| u32::try_from(rooms).unwrap_or(u32::MAX).min(MORE_DIRECTS_MAX);
    Ok(Some(MoreDirects { rooms: capped(directs.len()), unread, requests: capped(requests.len()) }))
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
    let after = after.unwrap_or(START);
    let one_more = limit.saturating_add(1);
    let mut page = if after.request { Vec::new() } else { positions(conn, false, user, after, one_more)? };
    if page.len() <= limit as usize {
        let after = if after.request { after } else { START };
        page.extend(positions(conn, true, user, after, one_more)?);
    }
    let has_more = page.len() > limit as usize;
    page.truncate(limit as usize);
    let rooms: Vec<RoomId> = page.iter().map(|position| position.room).collect();
    let place: HashMap<RoomId, usize> = rooms.iter().enumerate().map(|(place, room)| (*room, place)).collect();
    let mut entries = entries::of_rooms(conn, &rooms, user, now)?;
    entries.sort_by_key(|entry| place.get(&entry.id).copied());
    Ok((entries, page.last().copied().filter(|_| has_more)))
}

/// The position before all others.
const START: DirectsPosition = DirectsPosition { request: false, time: Timestamp(i64::MAX), room: RoomId(u64::MAX) };

/// The positions after this one, in order, of either the requests or the other direct rooms of a user's list. Each has
/// its index, of which the page is a part.
fn positions(
    conn: &Connection,
    request: bool,
    user: UserId,
    after: DirectsPosition,
    limit: u32,
) -> Sql<Vec<DirectsPosition>> {
    const REQUESTS: &str = "SELECT room, listed_at FROM members \
        WHERE user = ?1 AND listed_at IS NOT NULL AND answer = 'pending' AND (listed_at, room) < (?2, ?3) \
        ORDER BY listed_at DESC, room DESC LIMIT ?4";
    const OTHERS: &str = "SELECT room, listed_at FROM members \
        WHERE user = ?1 AND listed_at IS NOT NULL AND answer IN ('', 'accepted') AND (listed_at, room) < (?2, ?3) \
        ORDER BY listed_at DESC, room DESC LIMIT ?4";
    conn.prepare_cached(if request { REQUESTS } else { OTHERS })?
        .query_map(params![id(user.0), after.time.0, id(after.room.0), limit], |row| {
            Ok(DirectsPosition { request, time: Timestamp(row.get(1)?), room: RoomId(get(row, 0)?) })
        })?
        .collect()
}
