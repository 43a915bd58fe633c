//! The model store: rooms, members, messages and read marks as a few maps. It commits writes in order and keeps every
//! version, against which all clients are checked.

pub(super) mod pages;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use teahouse_core::{
    Audience, Change, Commit, ErrorCode, LOBBY, Language, Message, MessageChange, MessageId, MessageKind, Profile,
    Role, RoomEntry, RoomId, RoomKind, Seq, SessionId, Timestamp, UserId, Version,
};
use teahouse_protocol::{classic, v1};

use super::random::Draw;
use crate::ports::{Dialect, Entered};
use fastrand::Rng;

/// The epoch of the store.
pub(super) const EPOCH: &str = "e1";

pub(super) fn profile(user: u64) -> Profile {
    Profile { id: UserId(user), username: format!("u{user}"), nickname: format!("U{user}"), avatar: String::new() }
}

/// A room in its current state.
pub(super) struct Room {
    pub(super) kind: RoomKind,
    /// The two users of a direct room.
    pub(super) pair: Option<[u64; 2]>,
    /// The members, and up to which seq they have read.
    pub(super) members: BTreeMap<u64, u64>,
    /// The members who are moderators.
    pub(super) moderators: BTreeSet<u64>,
    /// Users who have this direct room in their list.
    pub(super) listed: BTreeSet<u64>,
    /// Users who declined this direct room.
    pub(super) declined: BTreeSet<u64>,
    pub(super) messages: Vec<Message>,
    /// The message of each version, as it was then.
    pub(super) log: Vec<Message>,
    pub(super) own: BTreeMap<(u64, u64), BTreeSet<String>>,
    pub(super) title: u64,
    /// Former members, and the room's version when the feed received that: until then the hub cannot know.
    gone: BTreeMap<u64, u64>,
}

impl Room {
    fn new(kind: RoomKind, members: impl IntoIterator<Item = u64>) -> Self {
        Self {
            kind,
            pair: None,
            moderators: BTreeSet::new(),
            members: members.into_iter().map(|user| (user, 0)).collect(),
            listed: BTreeSet::new(),
            declined: BTreeSet::new(),
            messages: Vec::new(),
            log: Vec::new(),
            own: BTreeMap::new(),
            title: 0,
            gone: BTreeMap::new(),
        }
    }

    pub(super) fn head(&self) -> (Version, Seq) {
        (Version(self.log.len() as u64), Seq(self.messages.len() as u64))
    }

    pub(super) fn is_listed_for(&self, user: u64) -> bool {
        let is_listed = self.pair.is_none() || self.listed.contains(&user) && !self.declined.contains(&user);
        self.members.contains_key(&user) && is_listed
    }

    pub(super) fn role_of(&self, user: u64) -> Role {
        if self.moderators.contains(&user) { Role::Moderator } else { Role::Member }
    }

    /// Whether a user may know this version of the room. A former member knows nothing newer.
    pub(super) fn is_known_to(&self, user: u64, version: u64) -> bool {
        self.members.contains_key(&user) || self.gone.get(&user).is_some_and(|last| version <= *last)
    }

    fn audience(&self) -> Audience {
        match self.pair {
            Some(pair) => Audience::Direct(Box::new(pair.map(profile))),
            None => Audience::Room,
        }
    }

    fn shares_read_marks(&self) -> bool {
        self.kind != RoomKind::Public
    }
}

/// A write.
#[derive(Clone, Debug)]
pub(super) enum Write {
    Post { room: u64, content: String, client_id: Option<String> },
    PostPrivate { user: u64, content: String },
    Edit { message: u64, content: String },
    Delete { message: u64 },
    React { message: u64, emoji: String, on: bool },
    Read { room: u64, seq: u64 },
    Join { room: u64 },
    Leave { room: u64 },
    Invite { room: u64, user: u64 },
    Remove { room: u64, user: u64 },
    Role { room: u64, user: u64 },
    Rename { room: u64 },
    Open { user: u64 },
    Decline { room: u64 },
}

/// A write in the writer's queue.
pub(super) struct Job {
    pub(super) ticket: u64,
    pub(super) user: u64,
    pub(super) dialect: Dialect,
    /// The request's reference.
    pub(super) id: Option<String>,
    pub(super) requester: Option<SessionId>,
    pub(super) write: Write,
}

/// The reply to a write.
#[derive(Default)]
pub(super) struct Reply {
    pub(super) envelope: Option<String>,
    pub(super) entered: Option<Entered>,
}

pub(super) struct Store {
    pub(super) rooms: BTreeMap<u64, Room>,
    pub(super) queue: VecDeque<Job>,
    /// Replies to committed writes whose commits the feed has not received. Readers see those already.
    outcomes: Vec<(u64, Reply)>,
    pub(super) commits: Vec<Commit>,
    done: BTreeMap<u64, Reply>,
    tickets: u64,
    messages: u64,
    /// The room of each message, and its index there.
    pub(super) message_index: BTreeMap<u64, (u64, usize)>,
    /// By session: the direct rooms that its welcome did not list, at their versions then.
    pub(super) unlisted: BTreeMap<SessionId, BTreeMap<u64, u64>>,
    pub(super) rng: Rng,
    /// One in this many reads fails; 0 for none.
    pub(super) failures: u64,
    /// The maximum number of polls before a read looks, and again before it completes.
    pub(super) slowness: u64,
}

type Done = Result<(String, Option<Entered>), ErrorCode>;

impl Store {
    pub(super) fn new(users: u64, rng: Rng) -> Self {
        let rooms = [
            (LOBBY.0, Room::new(RoomKind::Public, 1..=users)),
            (2, Room::new(RoomKind::Private, 1..=users.min(2))),
            (3, Room::new(RoomKind::Public, 1..=users.min(3))),
            (4, Room::new(RoomKind::Private, [1])),
        ];
        Self {
            rooms: BTreeMap::from(rooms),
            queue: VecDeque::new(),
            outcomes: Vec::new(),
            commits: Vec::new(),
            done: BTreeMap::new(),
            tickets: 0,
            messages: 0,
            message_index: BTreeMap::new(),
            unlisted: BTreeMap::new(),
            rng,
            failures: 0,
            slowness: 0,
        }
    }

    // ── Writing ──

    pub(super) fn ask(
        &mut self,
        user: u64,
        dialect: Dialect,
        id: Option<String>,
        requester: Option<SessionId>,
        write: Write,
    ) -> u64 {
        self.tickets += 1;
        let peer = if let Write::Open { user } = write { Some(user).filter(|_| self.rng.one_in(2)) } else { None };
        let peer_writes = |store: &mut Self| {
            peer.into_iter().for_each(|peer| store.post(peer, Write::PostPrivate { user, content: "hey".to_owned() }));
        };
        // A room may be opened between two messages of one group.
        peer_writes(self);
        self.queue.push_back(Job { ticket: self.tickets, user, dialect, id, requester, write });
        peer_writes(self);
        self.tickets
    }

    /// Queues a write that did not come through a socket.
    pub(super) fn post(&mut self, user: u64, write: Write) {
        self.queue.push_back(Job { ticket: 0, user, dialect: Dialect::Classic, id: None, requester: None, write });
    }

    /// The id of the newest message.
    pub(super) fn last_message(&self) -> u64 {
        self.messages
    }

    /// The reply to a write, once the feed has its commits.
    pub(super) fn outcome(&mut self, ticket: u64) -> Option<Reply> {
        self.done.remove(&ticket)
    }

    /// Commits a transaction of this many writes. The feed must have received the one before.
    pub(super) fn commit_group(&mut self, count: usize) {
        for _ in 0..count {
            let Some(job) = self.queue.pop_front() else { return };
            let done = self.perform(&job);
            let outcome = match (done, job.dialect) {
                (Ok((ack, entered)), Dialect::V1) => {
                    let envelope = job.id.as_deref().map(|id| ack.replacen("$id", id, 1));
                    Reply { envelope, entered }
                }
                (Ok(_), Dialect::Classic) => Reply::default(),
                (Err(code), Dialect::V1) => {
                    let body = v1::ErrorBody::new(code, Language::En);
                    Reply { envelope: Some(v1::error(job.id.as_deref(), &body)), entered: None }
                }
                (Err(code), Dialect::Classic) => {
                    Reply { envelope: Some(classic::refusal(code, Language::En)), entered: None }
                }
            };
            if job.ticket > 0 {
                self.outcomes.push((job.ticket, outcome));
            }
        }
    }

    /// Takes the commits for the feed. Only then the writes are answered.
    pub(super) fn push_commits(&mut self) -> Vec<Commit> {
        self.done.extend(self.outcomes.drain(..));
        for commit in &self.commits {
            if let (Change::Left { user, .. }, Some(room)) = (&commit.change, self.rooms.get_mut(&commit.room.0)) {
                let version = room.log.len() as u64;
                room.gone.entry(user.0).and_modify(|last| *last = version);
            }
        }
        std::mem::take(&mut self.commits)
    }

    /// Whether there are commits that the feed has not received.
    pub(super) fn has_commits(&self) -> bool {
        !self.commits.is_empty() || !self.outcomes.is_empty()
    }

    fn emit(&mut self, room: u64, change: Change) {
        let audience = self.rooms[&room].audience();
        self.commits.push(Commit { room: RoomId(room), audience, change });
    }

    fn emit_entry(&mut self, room: u64, user: u64, requester: Option<SessionId>) -> RoomEntry {
        let entry = self.entry(room, user);
        self.emit(room, Change::Entry { user: UserId(user), entry: Box::new(entry.clone()), requester });
        entry
    }

    fn room_of(&mut self, room: u64, user: u64) -> Result<&mut Room, ErrorCode> {
        let found = self.rooms.get_mut(&room).ok_or(ErrorCode::NotFound)?;
        if found.members.contains_key(&user) { Ok(found) } else { Err(ErrorCode::Forbidden) }
    }

    fn perform(&mut self, job: &Job) -> Done {
        let user = job.user;
        match &job.write {
            Write::Post { room, content, client_id } => self.post_message(user, *room, content, client_id.clone()),
            Write::PostPrivate { user: peer, content } => {
                let room = self.direct(user, *peer);
                self.post_message(user, room, content, None)
            }
            Write::Edit { message, content } => self.change(user, *message, |said, _| {
                said.content.clone_from(content);
                MessageChange::Edit { by: UserId(user) }
            }),
            Write::Delete { message } => self.change(user, *message, |said, own| {
                said.content.clear();
                said.reactions.clear();
                own.retain(|(id, _), _| *id != said.id.0);
                said.deleted = true;
                MessageChange::Delete { by: UserId(user) }
            }),
            Write::React { message, emoji, on } => self.change(user, *message, |said, own| {
                let mine = own.entry((said.id.0, user)).or_default();
                if *on {
                    mine.insert(emoji.clone())
                } else {
                    mine.remove(emoji)
                };
                let mut counts = BTreeMap::<String, u32>::new();
                for (_, emojis) in own.range((said.id.0, 0)..(said.id.0 + 1, 0)) {
                    emojis.iter().for_each(|emoji| *counts.entry(emoji.clone()).or_default() += 1);
                }
                said.reactions = counts.into_iter().collect();
                MessageChange::React { by: UserId(user), emoji: emoji.clone(), on: *on }
            }),
            Write::Read { room, seq } => self.mark(user, *room, *seq),
            Write::Join { room } => self.join(user, *room, job.requester),
            Write::Invite { room, user: guest } => self.invite(user, *room, *guest),
            Write::Leave { room } => self.remove_member(user, *room, user),
            Write::Remove { room, user: other } => self.remove_member(user, *room, *other),
            Write::Role { room, user: other } => {
                let found = self.room_of(*room, user)?;
                if !found.is_listed_for(*other) {
                    return Err(ErrorCode::NotFound);
                }
                if !found.moderators.remove(other) {
                    found.moderators.insert(*other);
                }
                self.emit_entry(*room, *other, None);
                Ok((seen(&self.entry(*room, user)), None))
            }
            Write::Rename { room } => {
                self.room_of(*room, user)?.title += 1;
                let title = self.rooms[room].title.to_string();
                self.emit(*room, Change::Room { name: None, title });
                Ok((seen(&self.entry(*room, user)), None))
            }
            Write::Decline { room } => self.decline(user, *room),
            Write::Open { user: peer } => {
                let room = self.direct(user, *peer);
                let is_new = self
                    .rooms
                    .get_mut(&room)
                    .is_some_and(|found| found.listed.insert(user) | found.declined.remove(&user));
                let entry = if is_new { self.emit_entry(room, user, job.requester) } else { self.entry(room, user) };
                Ok(entered(&entry))
            }
        }
    }

    fn decline(&mut self, user: u64, room: u64) -> Done {
        let found = self.room_of(room, user)?;
        if found.pair.is_none() || !found.listed.contains(&user) {
            return Err(ErrorCode::NotFound);
        }
        if found.declined.insert(user) {
            self.emit(room, Change::Declined { user: UserId(user) });
        }
        Ok((v1::ack("$id", &v1::Nothing {}), None))
    }

    fn join(&mut self, user: u64, room: u64, requester: Option<SessionId>) -> Done {
        let found = self.rooms.get(&room).ok_or(ErrorCode::NotFound)?;
        if found.members.contains_key(&user) {
            return Ok(entered(&self.entry(room, user)));
        }
        if found.kind != RoomKind::Public {
            return Err(ErrorCode::Forbidden);
        }
        Ok(entered(&self.add_member(room, user, requester)))
    }

    fn invite(&mut self, user: u64, room: u64, guest: u64) -> Done {
        let found = self.room_of(room, user)?;
        if found.pair.is_some() {
            return Err(ErrorCode::Forbidden);
        }
        if !found.members.contains_key(&guest) {
            self.add_member(room, guest, None);
        }
        Ok((seen(&self.entry(room, user)), None))
    }

    fn add_member(&mut self, room: u64, user: u64, requester: Option<SessionId>) -> RoomEntry {
        if let Some(found) = self.rooms.get_mut(&room) {
            let read = found.messages.len() as u64;
            found.members.insert(user, read);
            found.gone.remove(&user);
        }
        self.emit_entry(room, user, requester)
    }

    fn remove_member(&mut self, user: u64, room: u64, other: u64) -> Done {
        let entry = if self.room_of(room, user).is_ok() { Some(self.entry(room, user)) } else { None };
        let found = self.room_of(room, user)?;
        if room == LOBBY.0 || found.pair.is_some() {
            return Err(ErrorCode::Forbidden);
        }
        found.members.remove(&other).ok_or(ErrorCode::NotFound)?;
        found.moderators.remove(&other);
        let members = found.members.len() as u32;
        found.gone.insert(other, u64::MAX);
        self.emit(room, Change::Left { user: UserId(other), members });
        entry.map(|entry| (seen(&entry), None)).ok_or(ErrorCode::Internal)
    }

    /// The direct room of two users, created if there is none.
    fn direct(&mut self, a: u64, b: u64) -> u64 {
        let pair = [a.min(b), a.max(b)];
        if let Some((id, _)) = self.rooms.iter().find(|(_, room)| room.pair == Some(pair)) {
            return *id;
        }
        let id = 10 + self.rooms.len() as u64;
        self.rooms.insert(id, Room { pair: Some(pair), ..Room::new(RoomKind::Direct, pair) });
        id
    }

    fn post_message(&mut self, user: u64, room: u64, content: &str, client_id: Option<String>) -> Done {
        self.messages += 1;
        let id = self.messages;
        let found = self.room_of(room, user)?;
        let unlisted: Vec<u64> =
            found.pair.into_iter().flatten().filter(|member| !found.listed.contains(member)).collect();
        for member in unlisted {
            let found = self.room_of(room, user)?;
            found.listed.insert(member);
            self.emit_entry(room, member, None);
        }
        if self.room_of(room, user)?.declined.remove(&user) {
            self.emit_entry(room, user, None);
        }
        let found = self.room_of(room, user)?;
        let (version, seq) = found.head();
        let message = Message {
            id: MessageId(id),
            room: RoomId(room),
            seq: seq.next(),
            version: version.next(),
            sender: profile(user),
            client_id,
            content: content.to_owned(),
            kind: MessageKind::Text,
            reply_to: None,
            mentions: Vec::new(),
            reactions: Vec::new(),
            edited_at: None,
            deleted: false,
            sent_at: Timestamp(0),
        };
        found.messages.push(message.clone());
        found.log.push(message.clone());
        self.message_index.insert(id, (room, seq.0 as usize));
        let ack = v1::Stored { id, seq: seq.0 + 1, version: version.0 + 1, send_time: Timestamp(0), duplicate: false };
        self.emit(room, Change::Message { message, last_seq: seq.next(), what: MessageChange::New });
        Ok((v1::ack("$id", &ack), None))
    }

    fn change(
        &mut self,
        user: u64,
        message: u64,
        make: impl FnOnce(&mut Message, &mut BTreeMap<(u64, u64), BTreeSet<String>>) -> MessageChange,
    ) -> Done {
        let (room, place) = *self.message_index.get(&message).ok_or(ErrorCode::NotFound)?;
        let found = self.room_of(room, user)?;
        let (version, last_seq) = found.head();
        let said = &mut found.messages[place];
        if said.deleted {
            return Err(ErrorCode::NotFound);
        }
        let what = make(said, &mut found.own);
        said.version = version.next();
        let message = said.clone();
        found.log.push(message.clone());
        self.emit(room, Change::Message { message, last_seq, what });
        Ok((v1::ack("$id", &v1::Changed::new(version.next())), None))
    }

    fn mark(&mut self, user: u64, room: u64, seq: u64) -> Done {
        let found = self.room_of(room, user)?;
        let last = found.messages.len() as u64;
        let shares = found.shares_read_marks();
        let old = found.members[&user];
        let new = seq.min(last).max(old);
        if new > old {
            found.members.insert(user, new);
            let covers_others =
                found.messages[old as usize..new as usize].iter().any(|message| message.sender.id.0 != user);
            self.emit(
                room,
                Change::Read { reader: UserId(user), seq: Seq(new), covers_others, visible_to_room: shares },
            );
        }
        let unread = self.entry(room, user).unread;
        Ok((v1::ack("$id", &v1::Marked::new(Seq(new), unread)), None))
    }
}

/// The reply to a write that brought its user into a room.
fn entered(entry: &RoomEntry) -> (String, Option<Entered>) {
    (seen(entry), Some(entry.into()))
}

fn seen(entry: &RoomEntry) -> String {
    v1::ack("$id", &v1::RoomBody::new(entry, |_| false))
}
