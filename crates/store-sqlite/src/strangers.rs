//! Strangers: who is a stranger to whom, how many strangers a user may approach in a day, and the invites from strangers,
//! which wait for an answer.
//! The rule is in `teahouse_core::permission`; requests in direct rooms are in `direct`.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use teahouse_core::limits::{INVITES_PER_ROOM_MAX, INVITES_PER_USER_MAX};
use teahouse_core::permission;
use teahouse_core::{Invite, RoomCard, RoomId, RoomKind, Timestamp, UserId, UserRole};

use crate::direct::{self, Answer};
use crate::group::Group;
use crate::row::{self, Sql, get, id};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Whether `actor` is a stranger to another user.
pub(crate) fn is_stranger(group: &mut Group<'_>, actor: UserId, to: UserId) -> Sql<bool> {
    let server = group.user(actor)?.map_or(UserRole::User, |user| user.role);
    if !permission::is_stranger(server, false, false) {
        return Ok(false);
    }
    let share_room = share_private_room(group.conn, actor, to)?;
    let has_written = !share_room && has_written(group, to, actor)?;
    Ok(permission::is_stranger(server, share_room, has_written))
}

/// Reads only the private rooms of one of them, of which nobody has more than a few hundred.
fn share_private_room(conn: &Connection, a: UserId, b: UserId) -> Sql<bool> {
    conn.prepare_cached(
        "SELECT 1 FROM members a CROSS JOIN members b ON b.room = a.room AND b.user = ?2 \
         WHERE a.user = ?1 AND a.private = 1 LIMIT 1",
    )?
    .exists(params![id(a.0), id(b.0)])
}

/// Whether a user has written to another one, or accepted their request.
fn has_written(group: &mut Group<'_>, user: UserId, to: UserId) -> Sql<bool> {
    let Some(room) = group.direct_room(user, to)? else { return Ok(false) };
    Ok(direct::answer_of(group.conn, room, user)? == Some(Answer::Accepted))
}

// ── How many in a day ──

/// How long a user has to wait until they may approach another stranger; `None` when they may now. Writes nothing.
pub(crate) fn wait_to_approach(group: &Group<'_>, user: UserId, now: Timestamp) -> Sql<Option<Duration>> {
    let (since, count) = approaches(group, user, now)?;
    let left = Duration::from_millis(u64::try_from(since + DAY_MS - now.0).unwrap_or(0));
    Ok((count as usize >= group.strangers_per_day).then_some(left))
}

/// Counts that a user approaches a stranger: invites or writes to one.
pub(crate) fn count_approach(group: &Group<'_>, user: UserId, now: Timestamp) -> Sql<()> {
    let (since, count) = approaches(group, user, now)?;
    group
        .conn
        .prepare_cached(
            "INSERT INTO approaches (user, since, count) VALUES (?1, ?2, ?3) \
             ON CONFLICT (user) DO UPDATE SET since = excluded.since, count = excluded.count",
        )?
        .execute(params![id(user.0), since, count + 1])
        .map(|_| ())
}

/// When the user's present day of counting began, and the number of strangers approached since then.
fn approaches(group: &Group<'_>, user: UserId, now: Timestamp) -> Sql<(i64, u32)> {
    let found = group
        .conn
        .prepare_cached("SELECT since, count FROM approaches WHERE user = ?1")?
        .query_row([id(user.0)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    // A clock that was set back must not keep the count for longer than a day.
    Ok(found.filter(|(since, _)| (0..DAY_MS).contains(&(now.0 - since))).unwrap_or((now.0, 0)))
}

// ── Invites ──

/// The state of an invite from a stranger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum InviteState {
    /// It waits for an answer.
    Pending,
    /// The user declined it.
    Declined,
}

/// The state of the invite of a user to a room, if there is one. It counts as long as its inviter is in the room; a
/// declined one no longer than that either, since the room's other members would learn of the answer.
pub(crate) fn invite_state(conn: &Connection, user: UserId, room: RoomId) -> Sql<Option<InviteState>> {
    conn.prepare_cached(
        "SELECT declined FROM invites i WHERE i.user = ?1 AND i.room = ?2 \
         AND EXISTS (SELECT 1 FROM members m WHERE m.room = i.room AND m.user = i.inviter)",
    )?
    .query_row(params![id(user.0), id(room.0)], |row| {
        Ok(if row.get(0)? { InviteState::Declined } else { InviteState::Pending })
    })
    .optional()
}

/// Adds an invite, or replaces one whose inviter left. Deletes the oldest invites beyond the bounds.
pub(crate) fn add_invite(group: &Group<'_>, user: UserId, room: RoomId, inviter: UserId, now: Timestamp) -> Sql<()> {
    group
        .conn
        .prepare_cached(
            "INSERT OR REPLACE INTO invites (user, room, inviter, declined, invited_at) VALUES (?1, ?2, ?3, 0, ?4)",
        )?
        .execute(params![id(user.0), id(room.0), id(inviter.0), now.0])?;
    keep_bounded(group, user, false)?;
    let gave_way = group
        .conn
        .prepare_cached(
            "DELETE FROM invites WHERE room = ?1 AND user IN (SELECT user FROM invites WHERE room = ?1 \
             ORDER BY invited_at DESC, user LIMIT -1 OFFSET ?2)",
        )?
        .execute(params![id(room.0), INVITES_PER_ROOM_MAX])?;
    if gave_way > 0 {
        group.on_bound.record("INVITES_PER_ROOM_MAX", INVITES_PER_ROOM_MAX.into());
    }
    Ok(())
}

/// Deletes the oldest invites of a user beyond the bound: of those that wait, or of the declined ones, so that neither
/// push out the others.
fn keep_bounded(group: &Group<'_>, user: UserId, declined: bool) -> Sql<()> {
    let gave_way = group
        .conn
        .prepare_cached(
            "DELETE FROM invites WHERE user = ?1 AND room IN (SELECT room FROM invites WHERE user = ?1 \
             AND declined = ?2 ORDER BY invited_at DESC, room DESC LIMIT -1 OFFSET ?3)",
        )?
        .execute(params![id(user.0), declined, INVITES_PER_USER_MAX])?;
    if gave_way > 0 {
        group.on_bound.record("INVITES_PER_USER_MAX", INVITES_PER_USER_MAX.into());
    }
    Ok(())
}

/// Marks an invite as declined.
pub(crate) fn decline_invite(group: &Group<'_>, user: UserId, room: RoomId) -> Sql<()> {
    group
        .conn
        .prepare_cached("UPDATE invites SET declined = 1 WHERE user = ?1 AND room = ?2")?
        .execute(params![id(user.0), id(room.0)])?;
    keep_bounded(group, user, true)
}

/// Forgets the invite of a user who enters the room.
pub(crate) fn remove_invite(conn: &Connection, user: UserId, room: RoomId) -> Sql<()> {
    conn.prepare_cached("DELETE FROM invites WHERE user = ?1 AND room = ?2")?
        .execute(params![id(user.0), id(room.0)])
        .map(|_| ())
}

/// The invites of a user that wait for an answer, the newest first; only that to `room`, if it is given.
pub(crate) fn invites_of(conn: &Connection, user: UserId, room: Option<RoomId>) -> Sql<Vec<Invite>> {
    conn.prepare_cached(
        "SELECT r.id, r.kind, r.name, r.title, r.members, u.id, u.username, u.nickname, u.avatar, i.invited_at \
         FROM invites i JOIN rooms r ON r.id = i.room JOIN users u ON u.id = i.inviter \
         WHERE i.user = ?1 AND i.declined = 0 AND (?2 IS NULL OR i.room = ?2) \
         AND EXISTS (SELECT 1 FROM members m WHERE m.room = i.room AND m.user = i.inviter) \
         ORDER BY i.invited_at DESC, i.room DESC",
    )?
    .query_map(params![id(user.0), room.map(|room| id(room.0))], |row| {
        Ok(Invite {
            kind: row::named(row, 1, RoomKind::parse)?,
            room: RoomCard { id: RoomId(get(row, 0)?), name: row.get(2)?, title: row.get(3)?, members: row.get(4)? },
            inviter: row::profile(row, 5)?,
            time: Timestamp(row.get(9)?),
        })
    })?
    .collect()
}
