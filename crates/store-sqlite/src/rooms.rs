//! Rooms: creating, renaming, and their members. Finding them is in `room_search`. Joining and leaving are in
//! `membership`.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};
use teahouse_core::limits::ROOMS_PER_USER_MAX;
use teahouse_core::permission::may_own;
use teahouse_core::{Change, Profile, Role, RoomEntry, RoomId, RoomKind, Timestamp, UserId};
use teahouse_store::{NewRoom, PageLimit, RoomError};

use crate::actor::room_actor;
use crate::group::{Group, Room};
use crate::row::{self, Listed, Sql, get, id};
use crate::writer::JobError;
use crate::{entries, room_search};

/// How many ids of members one snapshot reads: a millisecond of work.
const MEMBER_IDS_MAX: u32 = 5000;

/// Creates a room with its owner in it.
pub(crate) fn create(group: &mut Group<'_>, new: &NewRoom) -> Result<RoomEntry, JobError<RoomError>> {
    match group.user(new.owner)? {
        None => return Err(JobError::Refused(RoomError::NotFound)),
        Some(owner) if owner.disabled => return Err(JobError::Refused(RoomError::Forbidden)),
        Some(_) => {}
    }
    if new.kind == RoomKind::Direct {
        return Err(JobError::Refused(RoomError::Forbidden));
    }
    if name_taken(group.conn, &new.name, None)? {
        return Err(JobError::Refused(RoomError::NameTaken));
    }
    if is_in_too_many(group.conn, new.owner)? {
        return Err(JobError::Refused(RoomError::TooMany));
    }
    group
        .conn
        .prepare_cached(
            "INSERT INTO rooms (kind, name, name_key, title, title_key, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            new.kind.as_str(),
            new.name,
            row::key(&new.name),
            new.title,
            row::key(&new.title),
            new.now.0
        ])?;
    let room = RoomId(row::number(group.conn.last_insert_rowid()));
    group
        .conn
        .prepare_cached("INSERT INTO members (room, user, role, private) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![id(room.0), id(new.owner.0), Role::Owner.as_str(), new.kind == RoomKind::Private])?;
    let room = group.room(room)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let pieces = room_search::pieces(&row::key(&new.name), &row::key(&new.title));
    set_pieces(group, &room, &BTreeSet::new(), &pieces)?;
    Ok(entries::publish(group, &room, new.owner, new.now, new.requester)?)
}

/// Changes the name and the title, where they are `Some`.
pub(crate) fn update(
    group: &mut Group<'_>,
    room: RoomId,
    user: UserId,
    (name, title): (Option<&str>, Option<&str>),
    now: Timestamp,
) -> Result<RoomEntry, JobError<RoomError>> {
    let Some(actor) = room_actor(group, room, user)? else { return Err(JobError::Refused(RoomError::NotFound)) };
    if !actor.enabled || !may_own(&actor.permissions, actor.room.kind) {
        return Err(JobError::Refused(RoomError::Forbidden));
    }
    let (old_name, old_title): (String, String) = group
        .conn
        .prepare_cached("SELECT name, title FROM rooms WHERE id = ?1")?
        .query_row([id(room.0)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (name, title) = (name.unwrap_or(&old_name), title.unwrap_or(&old_title));
    if name_taken(group.conn, name, Some(room))? {
        return Err(JobError::Refused(RoomError::NameTaken));
    }
    if (name, title) != (&old_name, &old_title) {
        group
            .conn
            .prepare_cached("UPDATE rooms SET name = ?2, name_key = ?3, title = ?4, title_key = ?5 WHERE id = ?1")?
            .execute(params![id(room.0), name, row::key(name), title, row::key(title)])?;
        let old_pieces = room_search::pieces(&row::key(&old_name), &row::key(&old_title));
        set_pieces(group, &actor.room, &old_pieces, &room_search::pieces(&row::key(name), &row::key(title)))?;
        let change = Change::Room { name: Some(name.to_owned()), title: title.to_owned() };
        group.publish(&actor.room, change)?;
    }
    Ok(entries::in_group(group, &actor.room, user, now)?)
}

/// Makes a public room findable. Searches do not find other rooms.
fn set_pieces(group: &Group<'_>, room: &Room, old: &BTreeSet<String>, new: &BTreeSet<String>) -> Sql<()> {
    match room.kind {
        RoomKind::Public => room_search::replace_pieces(group.conn, room.id, old, new),
        RoomKind::Private | RoomKind::Direct => Ok(()),
    }
}

/// Whether a room other than `except` has this name.
fn name_taken(conn: &Connection, name: &str, except: Option<RoomId>) -> Sql<bool> {
    let holder = conn
        .prepare_cached("SELECT id FROM rooms WHERE name_key = ?1")?
        .query_row([row::key(name)], |row| get(row, 0).map(RoomId))
        .optional()?;
    Ok(holder.is_some() && holder != except)
}

/// Whether a user is in as many rooms as allowed. Direct rooms do not count.
pub(crate) fn is_in_too_many(conn: &Connection, user: UserId) -> Sql<bool> {
    conn.prepare_cached("SELECT rooms >= ?2 FROM users WHERE id = ?1")?
        .query_row(params![id(user.0), ROOMS_PER_USER_MAX], |row| row.get(0))
}

/// Refuses a room that a user cannot see.
pub(crate) fn must_see(conn: &Connection, room: RoomId, user: UserId) -> Result<(), JobError<RoomError>> {
    let kind = conn
        .prepare_cached("SELECT kind FROM rooms WHERE id = ?1")?
        .query_row([id(room.0)], |row| row::named(row, 0, RoomKind::parse))
        .optional()?;
    match kind {
        Some(RoomKind::Public) => Ok(()),
        Some(_) if row::is_member(conn, room, user)? => Ok(()),
        _ => Err(JobError::Refused(RoomError::NotFound)),
    }
}

/// The members of a room, ordered by id.
pub(crate) fn members(
    conn: &Connection,
    room: RoomId,
    actor: UserId,
    after: UserId,
    limit: PageLimit,
) -> Result<Listed<(Profile, Role)>, JobError<RoomError>> {
    must_see(conn, room, actor)?;
    let mut statement = conn.prepare_cached(
        "SELECT u.id, u.username, u.nickname, u.avatar, m.role FROM members m JOIN users u ON u.id = m.user \
         WHERE m.room = ?1 AND m.user > ?2 ORDER BY m.user LIMIT ?3",
    )?;
    let found = statement.query_map(params![id(room.0), id(after.0), row::one_more(limit)], |row| {
        Ok((row::profile(row, 0)?, row::named(row, 4, Role::parse)?))
    })?;
    Ok(row::page(found, limit, |(profile, _)| profile.size())?)
}

/// The ids of the members of a room above `after`, in order, and whether there are more.
pub(crate) fn member_ids(conn: &Connection, room: RoomId, after: UserId) -> Sql<Listed<UserId>> {
    let limit = PageLimit::of_entries(MEMBER_IDS_MAX);
    let mut statement =
        conn.prepare_cached("SELECT user FROM members WHERE room = ?1 AND user > ?2 ORDER BY user LIMIT ?3")?;
    let found =
        statement.query_map(params![id(room.0), id(after.0), row::one_more(limit)], |row| get(row, 0).map(UserId))?;
    row::page(found, limit, |_| 0)
}

/// The number of members of a room.
pub(crate) fn member_count(conn: &Connection, room: RoomId) -> Sql<u32> {
    conn.prepare_cached("SELECT members FROM rooms WHERE id = ?1")?.query_row([id(room.0)], |row| row.get(0))
}
