//! One group of writes: the state that its jobs share, and the writer's cache. Room counters are read once and written
//! once for each group. There is one writer, so its cache stays true from group to group; a rollback clears all of it.
//! It decides nothing about messages.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use teahouse_core::{
    Audience, Change, Commit, Profile, Role, RoomId, RoomKind, Seq, Timestamp, UserId, UserRole, Version,
};
use teahouse_store::BoundHook;

use crate::row::{self, Sql, id};

/// The most entries of each kind in the cache, some 200 bytes each. Beyond that the cache is cleared.
const CACHED_MAX: usize = 50_000;

/// A room's counters, as the group sees them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) id: RoomId,
    pub(crate) kind: RoomKind,
    /// The two members of a direct room, ordered by id.
    pub(crate) pair: Option<(UserId, UserId)>,
    pub(crate) version: Version,
    pub(crate) last_seq: Seq,
    pub(crate) last_time: Timestamp,
}

/// What the writer needs of a user.
#[derive(Clone, Debug)]
pub(crate) struct UserState {
    pub(crate) profile: Profile,
    pub(crate) role: UserRole,
    pub(crate) disabled: bool,
    pub(crate) muted_until: Option<Timestamp>,
    /// Mutes in single rooms; nearly always empty.
    pub(crate) room_mutes: Vec<(RoomId, Timestamp)>,
}

impl UserState {
    /// How long from `now` they cannot write anywhere.
    pub(crate) fn muted_for(&self, now: Timestamp) -> Option<Duration> {
        time_left(self.muted_until?, now)
    }

    /// How long from `now` they cannot write in this room.
    pub(crate) fn muted_in_for(&self, room: RoomId, now: Timestamp) -> Option<Duration> {
        let here = self.room_mutes.iter().filter(|(muted, _)| *muted == room);
        here.filter_map(|(_, until)| time_left(*until, now)).chain(self.muted_for(now)).max()
    }
}

fn time_left(until: Timestamp, now: Timestamp) -> Option<Duration> {
    let left = until.0.checked_sub(now.0).and_then(|left| u64::try_from(left).ok());
    left.filter(|left| *left > 0).map(Duration::from_millis)
}

/// The cache that the writer keeps from group to group.
#[derive(Default)]
pub(crate) struct WriterCache {
    rooms: HashMap<RoomId, Room>,
    users: HashMap<UserId, UserState>,
    members: HashSet<(RoomId, UserId)>,
    /// Former members: a message of theirs comes too late, and they know that the room exists.
    left: HashSet<(RoomId, UserId)>,
    pairs: HashMap<(UserId, UserId), RoomId>,
    /// Members of direct rooms who have written there, or accepted.
    accepted: HashSet<(RoomId, UserId)>,
}

impl WriterCache {
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn keep_bounded(&mut self) {
        let sets = [self.members.len(), self.left.len(), self.accepted.len()];
        let maps = [self.rooms.len(), self.users.len(), self.pairs.len()];
        if maps.iter().chain(&sets).any(|len| *len > CACHED_MAX) {
            self.clear();
        }
    }
}

/// One transaction of the writer, shared by its jobs.
pub(crate) struct Group<'a> {
    pub(crate) conn: &'a Connection,
    /// Strangers whom a user may approach in a day.
    pub(crate) strangers_per_day: usize,
    pub(crate) on_bound: &'a BoundHook,
    cache: &'a mut WriterCache,
    changed_rooms: HashSet<RoomId>,
    commits: Vec<Commit>,
}

impl<'a> Group<'a> {
    pub(crate) fn new(
        conn: &'a Connection,
        cache: &'a mut WriterCache,
        strangers_per_day: usize,
        on_bound: &'a BoundHook,
    ) -> Self {
        cache.keep_bounded();
        Self { conn, strangers_per_day, on_bound, cache, changed_rooms: HashSet::new(), commits: Vec::new() }
    }

    /// A room as it is in this group. All reads of a room's counters in a write go through here.
    pub(crate) fn room(&mut self, room: RoomId) -> Sql<Option<Room>> {
        if let Some(cached) = self.cache.rooms.get(&room) {
            return Ok(Some(*cached));
        }
        let found = self
            .conn
            .prepare_cached("SELECT kind, version, last_seq, last_time, user_low, user_high FROM rooms WHERE id = ?1")?
            .query_row([id(room.0)], |row| {
                let pair = match (row.get::<_, Option<i64>>(4)?, row.get::<_, Option<i64>>(5)?) {
                    (Some(low), Some(high)) => Some((UserId(row::number(low)), UserId(row::number(high)))),
                    _ => None,
                };
                Ok(Room {
                    id: room,
                    kind: row::named(row, 0, RoomKind::parse)?,
                    pair,
                    version: Version(row::get(row, 1)?),
                    last_seq: Seq(row::get(row, 2)?),
                    last_time: Timestamp(row.get(3)?),
                })
            })
            .optional()?;
        if let Some(room) = found {
            self.cache.rooms.insert(room.id, room);
        }
        Ok(found)
    }

    /// Changes a room's counters; they are written when the group ends.
    pub(crate) fn set_room(&mut self, room: Room) {
        self.cache.rooms.insert(room.id, room);
        self.changed_rooms.insert(room.id);
    }

    /// What the writer needs of a user.
    pub(crate) fn user(&mut self, user: UserId) -> Sql<Option<&UserState>> {
        if !self.cache.users.contains_key(&user) {
            let Some(found) = row::user(self.conn, user)? else { return Ok(None) };
            let room_mutes = self
                .conn
                .prepare_cached("SELECT room, until FROM sanctions WHERE user = ?1 AND room <> 0 AND kind = 'mute'")?
                .query_map([id(user.0)], |row| Ok((RoomId(row::get(row, 0)?), Timestamp(row.get(1)?))))?
                .collect::<Sql<_>>()?;
            let (role, disabled, muted_until) = (found.role, found.disabled, found.muted_until);
            let user_state = UserState { profile: found.profile, role, disabled, muted_until, room_mutes };
            self.cache.users.insert(user, user_state);
        }
        Ok(self.cache.users.get(&user))
    }

    /// Must be called after every change of a user.
    pub(crate) fn forget_user(&mut self, user: UserId) {
        self.cache.users.remove(&user);
    }

    /// Whether a user is a member of a room. The cache holds members only; the end of a membership must forget it.
    pub(crate) fn lookup_member(&mut self, room: RoomId, user: UserId) -> Sql<bool> {
        if self.cache.members.contains(&(room, user)) {
            return Ok(true);
        }
        let member = row::is_member(self.conn, room, user)?;
        if member {
            self.cache.members.insert((room, user));
        }
        Ok(member)
    }

    /// Whether a user's membership ended recently, as far as the cache reaches.
    pub(crate) fn was_member(&self, room: RoomId, user: UserId) -> bool {
        self.cache.left.contains(&(room, user))
    }

    /// Must be called after every end of a membership.
    pub(crate) fn forget_member(&mut self, room: RoomId, user: UserId) {
        self.cache.members.remove(&(room, user));
        self.cache.left.insert((room, user));
    }

    /// Whether a member of a direct room is known to have accepted it.
    pub(crate) fn has_accepted(&self, room: RoomId, user: UserId) -> bool {
        self.cache.accepted.contains(&(room, user))
    }

    /// A member of a direct room wrote there, or accepted: for good.
    pub(crate) fn note_accepted(&mut self, room: RoomId, user: UserId) {
        self.cache.accepted.insert((room, user));
    }

    /// A member's role in a room.
    pub(crate) fn role_in(&self, room: RoomId, user: UserId) -> Sql<Option<Role>> {
        self.conn
            .prepare_cached("SELECT role FROM members WHERE room = ?1 AND user = ?2")?
            .query_row(params![id(room.0), id(user.0)], |row| row::named(row, 0, Role::parse))
            .optional()
    }

    /// The direct room of two users, if there is one.
    pub(crate) fn direct_room(&mut self, a: UserId, b: UserId) -> Sql<Option<RoomId>> {
        let pair = (a.min(b), a.max(b));
        if let Some(room) = self.cache.pairs.get(&pair) {
            return Ok(Some(*room));
        }
        let found = row::direct_room(self.conn, a, b)?;
        if let Some(room) = found {
            self.cache.pairs.insert(pair, room);
        }
        Ok(found)
    }

    /// The profile of a user, who must exist.
    pub(crate) fn profile(&mut self, user: UserId) -> Sql<Profile> {
        self.user(user)?.map(|user| user.profile.clone()).ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    /// Publishes a change of this room when the group is durable.
    pub(crate) fn publish(&mut self, room: &Room, change: Change) -> Sql<()> {
        let audience = match room.pair {
            None => Audience::Room,
            Some((low, high)) => Audience::Direct(Box::new([self.profile(low)?, self.profile(high)?])),
        };
        self.commits.push(Commit { room: room.id, audience, change });
        Ok(())
    }

    /// Publishes a change to all users when the group is durable.
    pub(crate) fn publish_to_all(&mut self, change: Change) {
        self.commits.push(Commit { room: teahouse_core::LOBBY, audience: Audience::Room, change });
    }

    /// Writes the room counters, and returns the commits to publish. `COMMIT` follows.
    pub(crate) fn finish(self) -> Sql<Vec<Commit>> {
        let mut update =
            self.conn.prepare_cached("UPDATE rooms SET version = ?2, last_seq = ?3, last_time = ?4 WHERE id = ?1")?;
        let mut move_in_lists =
            self.conn.prepare_cached("UPDATE members SET listed_at = ?2 WHERE room = ?1 AND listed_at < ?2")?;
        for room in self.changed_rooms.iter().filter_map(|room| self.cache.rooms.get(room)) {
            update.execute(params![id(room.id.0), id(room.version.0), id(room.last_seq.0), room.last_time.0])?;
            if room.pair.is_some() {
                move_in_lists.execute(params![id(room.id.0), room.last_time.0])?;
            }
        }
        Ok(self.commits)
    }
}
