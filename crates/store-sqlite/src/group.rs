//! A group in the making: what its jobs share, and what the writer knows by heart. Room counters are
//! read once and written once a group. It is the only writer, so what it knows stays true from group to
//! group; whatever is rolled back, it forgets everything. It decides nothing about messages.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use teahouse_core::{
    Audience, Change, Commit, Profile, Role, RoomId, RoomKind, Seq, Timestamp, UserId, UserRole, Version,
};

use crate::row::{self, Sql, id};

/// How many of each the writer remembers; some 200 bytes each. Beyond it, it begins anew.
const REMEMBERED_MAX: usize = 50_000;

/// A room's counters, as the group sees them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) id: RoomId,
    pub(crate) kind: RoomKind,
    /// The two people of a direct room, in the order of their ids.
    pub(crate) pair: Option<(UserId, UserId)>,
    pub(crate) version: Version,
    pub(crate) last_seq: Seq,
    pub(crate) last_time: Timestamp,
}

/// What the writer must know of a sender.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) profile: Profile,
    pub(crate) role: UserRole,
    pub(crate) disabled: bool,
    pub(crate) muted_until: Option<Timestamp>,
    /// Until when they are mute in single rooms; nearly always empty.
    pub(crate) room_mutes: Vec<(RoomId, Timestamp)>,
}

impl Person {
    /// For how long they may not write anywhere.
    pub(crate) fn muted_for(&self, now: Timestamp) -> Option<Duration> {
        still_to_come(self.muted_until?, now)
    }

    /// For how long they may not write there.
    pub(crate) fn muted_in_for(&self, room: RoomId, now: Timestamp) -> Option<Duration> {
        let here = self.room_mutes.iter().filter(|(muted, _)| *muted == room);
        here.filter_map(|(_, until)| still_to_come(*until, now)).chain(self.muted_for(now)).max()
    }
}

fn still_to_come(until: Timestamp, now: Timestamp) -> Option<Duration> {
    let left = until.0.checked_sub(now.0).and_then(|left| u64::try_from(left).ok());
    left.filter(|left| *left > 0).map(Duration::from_millis)
}

/// What the writer knows by heart between groups.
#[derive(Default)]
pub(crate) struct WriterCache {
    rooms: HashMap<RoomId, Room>,
    people: HashMap<UserId, Person>,
    names: HashMap<String, UserId>,
    members: HashSet<(RoomId, UserId)>,
    /// Who went out of which room: what they still say there comes too late, and they know of the room.
    left: HashSet<(RoomId, UserId)>,
    pairs: HashMap<(UserId, UserId), RoomId>,
}

impl WriterCache {
    /// Forgets what it cannot be sure of any more.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    fn bound(&mut self) {
        let sets = [self.members.len(), self.left.len()];
        let maps = [self.rooms.len(), self.people.len(), self.names.len(), self.pairs.len()];
        if maps.iter().chain(&sets).any(|len| *len > REMEMBERED_MAX) {
            self.forget();
        }
    }
}

/// One transaction of the writer, shared by its jobs.
pub(crate) struct Group<'a> {
    pub(crate) conn: &'a Connection,
    cache: &'a mut WriterCache,
    changed_rooms: HashSet<RoomId>,
    commits: Vec<Commit>,
}

impl<'a> Group<'a> {
    pub(crate) fn new(conn: &'a Connection, cache: &'a mut WriterCache) -> Self {
        cache.bound();
        Self { conn, cache, changed_rooms: HashSet::new(), commits: Vec::new() }
    }

    /// A room as it stands in this group. Nobody reads `rooms` for counters but through here.
    pub(crate) fn room(&mut self, room: RoomId) -> Sql<Option<Room>> {
        if let Some(known) = self.cache.rooms.get(&room) {
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
            self.cache.rooms.insert(room.id, room);
        }
        Ok(found)
    }

    /// Counters that moved; written when the group ends.
    pub(crate) fn room_moved(&mut self, room: Room) {
        self.cache.rooms.insert(room.id, room);
        self.changed_rooms.insert(room.id);
    }

    /// A user, as far as the writer must know.
    pub(crate) fn person(&mut self, user: UserId) -> Sql<Option<&Person>> {
        if !self.cache.people.contains_key(&user) {
            let Some(found) = row::user(self.conn, user)? else { return Ok(None) };
            let room_mutes = self
                .conn
                .prepare_cached("SELECT room, until FROM sanctions WHERE user = ?1 AND room <> 0 AND kind = 'mute'")?
                .query_map([id(user.0)], |row| Ok((RoomId(row::get(row, 0)?), Timestamp(row.get(1)?))))?
                .collect::<Sql<_>>()?;
            let (role, disabled, muted_until) = (found.role, found.disabled, found.muted_until);
            let person = Person { profile: found.profile, role, disabled, muted_until, room_mutes };
            self.cache.people.insert(user, person);
        }
        Ok(self.cache.people.get(&user))
    }

    /// Must follow every change of a user.
    pub(crate) fn forget_person(&mut self, user: UserId) {
        self.cache.people.remove(&user);
    }

    /// The user of this name (in lower case). Only a yes is remembered; giving a user another name must
    /// forget the old one.
    pub(crate) fn user_named(&mut self, key: &str) -> Sql<Option<UserId>> {
        if let Some(user) = self.cache.names.get(key) {
            return Ok(Some(*user));
        }
        let found = self
            .conn
            .prepare_cached("SELECT id FROM users WHERE username_key = ?1")?
            .query_row([key], |row| row::get(row, 0).map(UserId))
            .optional()?;
        if let Some(user) = found {
            self.cache.names.insert(key.to_owned(), user);
        }
        Ok(found)
    }

    /// Must follow every change of a username.
    pub(crate) fn forget_name(&mut self, key: &str) {
        self.cache.names.remove(key);
    }

    /// Whether a user is in a room. Only a yes is remembered; taking somebody out of a room must forget it.
    pub(crate) fn is_member(&mut self, room: RoomId, user: UserId) -> Sql<bool> {
        if self.cache.members.contains(&(room, user)) {
            return Ok(true);
        }
        let member = row::is_member(self.conn, room, user)?;
        if member {
            self.cache.members.insert((room, user));
        }
        Ok(member)
    }

    /// Whether a user was taken out of a room not long ago, as far as the writer remembers.
    pub(crate) fn was_member(&self, room: RoomId, user: UserId) -> bool {
        self.cache.left.contains(&(room, user))
    }

    /// Must follow every end of a membership.
    pub(crate) fn forget_member(&mut self, room: RoomId, user: UserId) {
        self.cache.members.remove(&(room, user));
        self.cache.left.insert((room, user));
    }

    /// What a user is in a room, if they are in it.
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

    /// Who somebody is to others. There must be such a user.
    pub(crate) fn profile(&mut self, user: UserId) -> Sql<Profile> {
        self.person(user)?.map(|person| person.profile.clone()).ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    /// Tells those whom this room concerns, once the group is durable.
    pub(crate) fn tell(&mut self, room: &Room, change: Change) -> Sql<()> {
        let audience = match room.pair {
            None => Audience::Room,
            Some((low, high)) => Audience::Direct(Box::new([self.profile(low)?, self.profile(high)?])),
        };
        self.commits.push(Commit { room: room.id, audience, change });
        Ok(())
    }

    /// Tells everybody, once the group is durable.
    pub(crate) fn tell_all(&mut self, change: Change) {
        self.commits.push(Commit { room: teahouse_core::LOBBY, audience: Audience::Room, change });
    }

    /// Writes the counters and gives back what is to be told; then comes `COMMIT`.
    pub(crate) fn finish(self) -> Sql<Vec<Commit>> {
        let mut update =
            self.conn.prepare_cached("UPDATE rooms SET version = ?2, last_seq = ?3, last_time = ?4 WHERE id = ?1")?;
        for room in self.changed_rooms.iter().filter_map(|room| self.cache.rooms.get(room)) {
            update.execute(params![id(room.id.0), id(room.version.0), id(room.last_seq.0), room.last_time.0])?;
        }
        Ok(self.commits)
    }
}
