//! A group in the making: what its jobs share, and what the writer knows by heart. Room counters are
//! read once and written once a group. It is the only writer, so what it knows stays true from group to
//! group; whatever is rolled back, it forgets everything. It decides nothing about messages.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, params};
use teahouse_core::{Commit, Profile, RoomId, RoomKind, Seq, Timestamp, UserId, UserRole, Version};

use super::row::{self, Sql, id};

/// How many of each the writer remembers; some 200 bytes each. Beyond it, it begins anew.
const REMEMBERED_MAX: usize = 50_000;

/// A room's counters, as the group sees them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) id: RoomId,
    pub(super) kind: RoomKind,
    /// The two people of a direct room, in the order of their ids.
    pub(super) pair: Option<(UserId, UserId)>,
    pub(super) version: Version,
    pub(super) last_seq: Seq,
    pub(super) last_time: Timestamp,
}

/// What the writer must know of a sender.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) profile: Profile,
    pub(super) role: UserRole,
    pub(super) disabled: bool,
    pub(super) muted_until: Option<Timestamp>,
}

/// What the writer knows by heart between groups.
#[derive(Default)]
pub(super) struct Memory {
    rooms: HashMap<RoomId, Room>,
    people: HashMap<UserId, Person>,
    members: HashSet<(RoomId, UserId)>,
    pairs: HashMap<(UserId, UserId), RoomId>,
}

impl Memory {
    /// Forgets what it cannot be sure of any more.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    fn bound(&mut self) {
        let longest = self.rooms.len().max(self.people.len()).max(self.members.len()).max(self.pairs.len());
        if longest > REMEMBERED_MAX {
            self.forget();
        }
    }
}

/// One transaction of the writer, shared by its jobs.
pub(super) struct Group<'a> {
    pub(super) conn: &'a Connection,
    memory: &'a mut Memory,
    changed_rooms: HashSet<RoomId>,
    commits: Vec<Commit>,
}

impl<'a> Group<'a> {
    pub(super) fn new(conn: &'a Connection, memory: &'a mut Memory) -> Self {
        memory.bound();
        Self { conn, memory, changed_rooms: HashSet::new(), commits: Vec::new() }
    }

    /// A room as it stands in this group. Nobody reads `rooms` for counters but through here.
    pub(super) fn room(&mut self, room: RoomId) -> Sql<Option<Room>> {
        if let Some(known) = self.memory.rooms.get(&room) {
            return Ok(Some(*known));
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
            self.memory.rooms.insert(room.id, room);
        }
        Ok(found)
    }

    /// Counters that moved; written when the group ends.
    pub(super) fn room_moved(&mut self, room: Room) {
        self.memory.rooms.insert(room.id, room);
        self.changed_rooms.insert(room.id);
    }

    /// A user, as far as the writer must know.
    pub(super) fn person(&mut self, user: UserId) -> Sql<Option<&Person>> {
        if !self.memory.people.contains_key(&user) {
            let Some(found) = row::user(self.conn, user)? else { return Ok(None) };
            let (role, disabled, muted_until) = (found.role, found.disabled, found.muted_until);
            self.memory.people.insert(user, Person { profile: found.profile, role, disabled, muted_until });
        }
        Ok(self.memory.people.get(&user))
    }

    /// Must follow every change of a user.
    pub(super) fn forget_person(&mut self, user: UserId) {
        self.memory.people.remove(&user);
    }

    /// Whether a user is in a room. Only a yes is remembered; taking somebody out of a room must forget it.
    pub(super) fn is_member(&mut self, room: RoomId, user: UserId) -> Sql<bool> {
        if self.memory.members.contains(&(room, user)) {
            return Ok(true);
        }
        let member = self
            .conn
            .prepare_cached("SELECT 1 FROM members WHERE room = ?1 AND user = ?2")?
            .exists(params![id(room.0), id(user.0)])?;
        if member {
            self.memory.members.insert((room, user));
        }
        Ok(member)
    }

    /// The direct room of two users, if there is one.
    pub(super) fn direct_room(&mut self, a: UserId, b: UserId) -> Sql<Option<RoomId>> {
        let pair = (a.min(b), a.max(b));
        if let Some(room) = self.memory.pairs.get(&pair) {
            return Ok(Some(*room));
        }
        let found = row::direct_room(self.conn, a, b)?;
        if let Some(room) = found {
            self.memory.pairs.insert(pair, room);
        }
        Ok(found)
    }

    /// Tells the world, once the group is durable.
    pub(super) fn tell(&mut self, commit: Commit) {
        self.commits.push(commit);
    }

    /// Writes the counters and gives back what is to be told; then comes `COMMIT`.
    pub(super) fn finish(self) -> Sql<Vec<Commit>> {
        let mut update =
            self.conn.prepare_cached("UPDATE rooms SET version = ?2, last_seq = ?3, last_time = ?4 WHERE id = ?1")?;
        for room in self.changed_rooms.iter().filter_map(|room| self.memory.rooms.get(room)) {
            update.execute(params![id(room.id.0), id(room.version.0), id(room.last_seq.0), room.last_time.0])?;
        }
        Ok(self.commits)
    }
}
