//! The model store: rooms, members, messages and read marks as a few maps. It commits what was asked in order,
//! remembers every version that ever was, and is the truth that all clients are held against.

pub(super) mod pages;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use teahouse_core::{
    Audience, Change, Commit, ErrorCode, LOBBY, Language, Message, MessageChange, MessageId, MessageKind, Profile,
    Role, RoomEntry, RoomId, RoomKind, Seq, SessionId, Timestamp, UserId, Version,
};
use teahouse_protocol::{classic, v1};

use super::chance::Chance;
use crate::ports::Dialect;

/// The name of the history that the store has.
pub(super) const EPOCH: &str = "e1";

pub(super) fn profile(user: u64) -> Profile {
    Profile { id: UserId(user), username: format!("u{user}"), nickname: format!("U{user}"), avatar: String::new() }
}

/// A room as it is.
pub(super) struct Room {
    pub(super) kind: RoomKind,
    /// Of a direct room: whose.
    pub(super) pair: Option<[u64; 2]>,
    /// Who is in it, and up to where they have read.
    pub(super) members: BTreeMap<u64, u64>,
    /// Who of them is more than a member.
    pub(super) moderators: BTreeSet<u64>,
    /// Who has a direct room in their list.
    pub(super) listed: BTreeSet<u64>,
    pub(super) messages: Vec<Message>,
    /// What each version was: the message as it stood then.
    pub(super) log: Vec<Message>,
    pub(super) own: BTreeMap<(u64, u64), BTreeSet<String>>,
    pub(super) title: u64,
    /// Who was in it and no longer is, and where the room stood when the feed was told: between a commit and
    /// that nobody can know.
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
        self.members.contains_key(&user) && (self.pair.is_none() || self.listed.contains(&user))
    }

    pub(super) fn role_of(&self, user: u64) -> Role {
        if self.moderators.contains(&user) { Role::Moderator } else { Role::Member }
    }

    /// Whether a user may know what the room was at this version: somebody who went knows nothing newer.
    pub(super) fn is_known_to(&self, user: u64, version: u64) -> bool {
        self.members.contains_key(&user) || self.gone.get(&user).is_some_and(|last| version <= *last)
    }

    fn audience(&self) -> Audience {
        match self.pair {
            Some(pair) => Audience::Direct(Box::new(pair.map(profile))),
            None => Audience::Room,
        }
    }

    fn tells_reads(&self) -> bool {
        self.kind != RoomKind::Public
    }
}

/// What is asked of the store.
#[derive(Clone, Debug)]
pub(super) enum Write {
    Say { room: u64, content: String, client_id: Option<String> },
    SayTo { user: u64, content: String },
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
}

/// A request in the writer's queue.
pub(super) struct Job {
    pub(super) ticket: u64,
    pub(super) user: u64,
    pub(super) dialect: Dialect,
    /// The request's reference.
    pub(super) id: Option<String>,
    pub(super) requester: Option<SessionId>,
    pub(super) write: Write,
}

/// What a request is answered with.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) envelope: Option<String>,
    pub(super) entered: Option<(RoomId, Version)>,
}

pub(super) struct Store {
    pub(super) rooms: BTreeMap<u64, Room>,
    pub(super) queue: VecDeque<Job>,
    /// Durable, and not yet given to the feed; readers see them already.
    handed_over: Vec<(u64, Outcome)>,
    pub(super) commits: Vec<Commit>,
    done: BTreeMap<u64, Outcome>,
    tickets: u64,
    messages: u64,
    /// In which room a message is.
    pub(super) places: BTreeMap<u64, (u64, usize)>,
    pub(super) chance: Chance,
    /// Of so many reads one fails; 0: none.
    pub(super) failures: u64,
    /// For how many turns a read takes its time, at most.
    pub(super) slowness: u64,
}

type Done = Result<(String, Option<(RoomId, Version)>), ErrorCode>;

impl Store {
    pub(super) fn new(users: u64, chance: Chance) -> Self {
        let rooms = [
            (LOBBY.0, Room::new(RoomKind::Public, 1..=users)),
            (2, Room::new(RoomKind::Private, 1..=users.min(2))),
            (3, Room::new(RoomKind::Public, 1..=users.min(3))),
            (4, Room::new(RoomKind::Private, [1])),
        ];
        Self {
            rooms: BTreeMap::from(rooms),
            queue: VecDeque::new(),
            handed_over: Vec::new(),
            commits: Vec::new(),
            done: BTreeMap::new(),
            tickets: 0,
            messages: 0,
            places: BTreeMap::new(),
            chance,
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
        self.queue.push_back(Job { ticket: self.tickets, user, dialect, id, requester, write });
        self.tickets
    }

    /// Something is asked by another way than a socket, and nobody awaits the answer.
    pub(super) fn post(&mut self, user: u64, write: Write) {
        self.queue.push_back(Job { ticket: 0, user, dialect: Dialect::Classic, id: None, requester: None, write });
    }

    /// The id of the newest message.
    pub(super) fn last_message(&self) -> u64 {
        self.messages
    }

    /// What a request is answered with, once what it did was handed over.
    pub(super) fn outcome(&mut self, ticket: u64) -> Option<Outcome> {
        self.done.remove(&ticket)
    }

    /// One transaction of so many requests. What came of the one before must have been handed over.
    pub(super) fn commit_group(&mut self, count: usize) {
        for _ in 0..count {
            let Some(job) = self.queue.pop_front() else { return };
            let done = self.perform(&job);
            let outcome = match (done, job.dialect) {
                (Ok((ack, entered)), Dialect::V1) => {
                    let envelope = job.id.as_deref().map(|id| ack.replacen("$id", id, 1));
                    Outcome { envelope, entered }
                }
                (Ok(_), Dialect::Classic) => Outcome::default(),
                (Err(code), Dialect::V1) => {
                    let body = v1::ErrorBody::new(code, Language::En);
                    Outcome { envelope: Some(v1::error(job.id.as_deref(), &body)), entered: None }
                }
                (Err(code), Dialect::Classic) => {
                    Outcome { envelope: Some(classic::refusal(code, Language::En)), entered: None }
                }
            };
            if job.ticket > 0 {
                self.handed_over.push((job.ticket, outcome));
            }
        }
    }

    /// What was committed goes to the feed, and only then whoever asked is answered.
    pub(super) fn hand_over(&mut self) -> Vec<Commit> {
        self.done.extend(self.handed_over.drain(..));
        for commit in &self.commits {
            if let (Change::Left { user, .. }, Some(room)) = (&commit.change, self.rooms.get_mut(&commit.room.0)) {
                let version = room.log.len() as u64;
                room.gone.entry(user.0).and_modify(|last| *last = version);
            }
        }
        std::mem::take(&mut self.commits)
    }

    /// Whether something is durable that the feed does not know.
    pub(super) fn has_to_hand_over(&self) -> bool {
        !self.commits.is_empty() || !self.handed_over.is_empty()
    }

    fn tell(&mut self, room: u64, change: Change) {
        let audience = self.rooms[&room].audience();
        self.commits.push(Commit { room: RoomId(room), audience, change });
    }

    fn tell_entry(&mut self, room: u64, user: u64, requester: Option<SessionId>) -> RoomEntry {
        let entry = self.entry(room, user);
        self.tell(room, Change::Entry { user: UserId(user), entry: Box::new(entry.clone()), requester });
        entry
    }

    fn room_of(&mut self, room: u64, user: u64) -> Result<&mut Room, ErrorCode> {
        let found = self.rooms.get_mut(&room).ok_or(ErrorCode::NotFound)?;
        if found.members.contains_key(&user) { Ok(found) } else { Err(ErrorCode::Forbidden) }
    }

    fn perform(&mut self, job: &Job) -> Done {
        let user = job.user;
        match &job.write {
            Write::Say { room, content, client_id } => self.say(user, *room, content, client_id.clone()),
            Write::SayTo { user: peer, content } => {
                let room = self.direct(user, *peer);
                self.say(user, room, content, None)
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
            Write::Join { room } => {
                let found = self.rooms.get(room).ok_or(ErrorCode::NotFound)?;
                if found.members.contains_key(&user) {
                    return Ok(entered(&self.entry(*room, user)));
                }
                if found.kind != RoomKind::Public {
                    return Err(ErrorCode::Forbidden);
                }
                Ok(entered(&self.bring_in(*room, user, job.requester)))
            }
            Write::Invite { room, user: guest } => {
                let found = self.room_of(*room, user)?;
                if found.pair.is_some() {
                    return Err(ErrorCode::Forbidden);
                }
                if !found.members.contains_key(guest) {
                    self.bring_in(*room, *guest, None);
                }
                Ok((seen(&self.entry(*room, user)), None))
            }
            Write::Leave { room } => self.take_out(user, *room, user),
            Write::Remove { room, user: other } => self.take_out(user, *room, *other),
            Write::Role { room, user: other } => {
                let found = self.room_of(*room, user)?;
                if !found.is_listed_for(*other) {
                    return Err(ErrorCode::NotFound);
                }
                if !found.moderators.remove(other) {
                    found.moderators.insert(*other);
                }
                self.tell_entry(*room, *other, None);
                Ok((seen(&self.entry(*room, user)), None))
            }
            Write::Rename { room } => {
                self.room_of(*room, user)?.title += 1;
                let title = self.rooms[room].title.to_string();
                self.tell(*room, Change::Room { name: None, title });
                Ok((seen(&self.entry(*room, user)), None))
            }
            Write::Open { user: peer } => {
                let room = self.direct(user, *peer);
                let is_new = self.rooms.get_mut(&room).is_some_and(|found| found.listed.insert(user));
                let entry = if is_new { self.tell_entry(room, user, job.requester) } else { self.entry(room, user) };
                Ok(entered(&entry))
            }
        }
    }

    fn bring_in(&mut self, room: u64, user: u64, requester: Option<SessionId>) -> RoomEntry {
        if let Some(found) = self.rooms.get_mut(&room) {
            let read = found.messages.len() as u64;
            found.members.insert(user, read);
            found.gone.remove(&user);
        }
        self.tell_entry(room, user, requester)
    }

    fn take_out(&mut self, user: u64, room: u64, other: u64) -> Done {
        let entry = if self.room_of(room, user).is_ok() { Some(self.entry(room, user)) } else { None };
        let found = self.room_of(room, user)?;
        if room == LOBBY.0 || found.pair.is_some() {
            return Err(ErrorCode::Forbidden);
        }
        found.members.remove(&other).ok_or(ErrorCode::NotFound)?;
        found.moderators.remove(&other);
        let members = found.members.len() as u32;
        found.gone.insert(other, u64::MAX);
        self.tell(room, Change::Left { user: UserId(other), members });
        entry.map(|entry| (seen(&entry), None)).ok_or(ErrorCode::Internal)
    }

    /// The direct room of two users, made when there is none.
    fn direct(&mut self, a: u64, b: u64) -> u64 {
        let pair = [a.min(b), a.max(b)];
        if let Some((id, _)) = self.rooms.iter().find(|(_, room)| room.pair == Some(pair)) {
            return *id;
        }
        let id = 10 + self.rooms.len() as u64;
        self.rooms.insert(id, Room { pair: Some(pair), ..Room::new(RoomKind::Direct, pair) });
        id
    }

    fn say(&mut self, user: u64, room: u64, content: &str, client_id: Option<String>) -> Done {
        self.messages += 1;
        let id = self.messages;
        let found = self.room_of(room, user)?;
        let unlisted: Vec<u64> =
            found.pair.into_iter().flatten().filter(|person| !found.listed.contains(person)).collect();
        for person in unlisted {
            let found = self.room_of(room, user)?;
            found.listed.insert(person);
            self.tell_entry(room, person, None);
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
        self.places.insert(id, (room, seq.0 as usize));
        let ack = v1::Stored { id, seq: seq.0 + 1, version: version.0 + 1, send_time: Timestamp(0), duplicate: false };
        self.tell(room, Change::Message { message, last_seq: seq.next(), what: MessageChange::New });
        Ok((v1::ack("$id", &ack), None))
    }

    fn change(
        &mut self,
        user: u64,
        message: u64,
        make: impl FnOnce(&mut Message, &mut BTreeMap<(u64, u64), BTreeSet<String>>) -> MessageChange,
    ) -> Done {
        let (room, place) = *self.places.get(&message).ok_or(ErrorCode::NotFound)?;
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
        self.tell(room, Change::Message { message, last_seq, what });
        Ok((v1::ack("$id", &v1::Changed::new(version.next())), None))
    }

    fn mark(&mut self, user: u64, room: u64, seq: u64) -> Done {
        let found = self.room_of(room, user)?;
        let last = found.messages.len() as u64;
        let tells = found.tells_reads();
        let old = found.members[&user];
        let new = seq.min(last).max(old);
        if new > old {
            found.members.insert(user, new);
            let over_others =
                found.messages[old as usize..new as usize].iter().any(|message| message.sender.id.0 != user);
            self.tell(
                room,
                Change::Read {
                    reader: UserId(user),
                    seq: Seq(new),
                    covers_others: over_others,
                    visible_to_room: tells,
                },
            );
        }
        let unread = self.entry(room, user).unread;
        Ok((v1::ack("$id", &v1::Marked::new(Seq(new), unread)), None))
    }
}

/// The answer to a request that brought somebody into a room.
fn entered(entry: &RoomEntry) -> (String, Option<(RoomId, Version)>) {
    (seen(entry), Some((entry.id, entry.version)))
}

fn seen(entry: &RoomEntry) -> String {
    v1::ack("$id", &v1::RoomBody::new(entry, |_| false))
}
