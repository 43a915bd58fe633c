//! The view of one v1 device: it applies envelopes by the rules of docs/protocol.md and reports the first envelope that
//! breaks one. It takes envelopes one by one and knows no socket.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Deserialize;
use teahouse_core::limits::RESET_MESSAGES;

use crate::wire::{Entry, Held, Online, Page, Request, RequestBody, ServerBody, ServerEnvelope, Welcome};

mod room;

pub use room::RoomView;

/// An envelope broke a rule of the protocol.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what}")]
pub struct RuleBroken {
    /// A description.
    pub what: String,
    /// The room, if the rule is about one.
    pub room: Option<u64>,
}

impl RuleBroken {
    fn at(room: u64, what: impl Into<String>) -> Self {
        Self { what: what.into(), room: Some(room) }
    }

    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), room: None }
    }
}

/// The state of one device.
#[derive(Clone, Debug)]
pub struct DeviceView {
    /// The user id, from the first welcome.
    pub me: u64,
    /// The epoch that the versions belong to.
    pub epoch: Option<String>,
    /// Rooms by id.
    pub rooms: BTreeMap<u64, RoomView>,
    /// The last online count.
    pub online: u64,
    /// Number of messages in a reset catch-up.
    pub reset_messages: usize,
    /// Whether the current socket was welcomed.
    pub is_welcomed: bool,
    received_goodbye: bool,
    /// Rooms that hello named and whose catch-up has not begun, in order.
    resumes: VecDeque<u64>,
    /// Unanswered `sync` requests, by room.
    syncs: BTreeMap<u64, Vec<Sync>>,
    /// Unanswered requests, by id.
    pending: BTreeMap<String, RequestBody>,
}

/// An unanswered `sync`.
#[derive(Clone, Copy, Debug)]
struct Sync {
    since: u64,
    /// Its catch-up is complete. An unrequested catch-up of a slow client that begins at the same version counts as well.
    is_complete: bool,
}

impl Default for DeviceView {
    fn default() -> Self {
        Self {
            me: 0,
            epoch: None,
            rooms: BTreeMap::new(),
            online: 0,
            reset_messages: RESET_MESSAGES as usize,
            is_welcomed: false,
            received_goodbye: false,
            resumes: VecDeque::new(),
            syncs: BTreeMap::new(),
            pending: BTreeMap::new(),
        }
    }
}

impl DeviceView {
    /// The rooms and versions for `hello`.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        let held = self.rooms.iter().filter(|(_, room)| !room.must_reset());
        held.map(|(room, view)| Held { room: *room, version: view.version }).collect()
    }

    /// Whether every room that hello named is caught up.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        let is_open = self.rooms.values().any(|room| room.is_catching_up() || room.must_be_removed());
        self.is_welcomed
            && self.resumes.is_empty()
            && !is_open
            && self.syncs.values().flatten().all(|sync| sync.is_complete)
    }

    /// All messages of all rooms.
    pub fn messages(&self) -> impl Iterator<Item = &crate::wire::Message> {
        self.rooms.values().flat_map(|room| room.messages.values())
    }

    /// Records a request. `hello` begins a new socket and drops the rooms that it does not name.
    pub fn record_request(&mut self, request: &Request) {
        match &request.body {
            RequestBody::Hello { rooms, .. } => self.reconnect(rooms),
            RequestBody::Sync { room, since } => {
                self.syncs.entry(*room).or_default().push(Sync { since: *since, is_complete: false });
            }
            _ => {}
        }
        if let Some(id) = &request.id {
            self.pending.insert(id.clone(), request.body.clone());
        }
    }

    /// Ends the socket and forgets its unanswered requests.
    pub fn disconnect(&mut self) {
        self.resumes.clear();
        self.syncs.clear();
        self.pending.clear();
        (self.is_welcomed, self.received_goodbye) = (false, false);
    }

    fn reconnect(&mut self, named: &[Held]) {
        self.disconnect();
        self.rooms.retain(|id, _| named.iter().any(|held| held.room == *id));
        for held in named {
            // A client may also name a room that it never held.
            let room = self.rooms.entry(held.room).or_insert_with(|| RoomView::never_held(held.room));
            room.reconnect(held.version);
        }
        for held in named.iter().map(|held| held.room) {
            if !self.resumes.contains(&held) {
                self.resumes.push_back(held);
            }
        }
    }

    /// Applies an envelope of the socket that sent hello last.
    ///
    /// # Errors
    /// The envelope breaks a rule. The view is invalid from then on.
    pub fn apply(&mut self, envelope: &ServerEnvelope) -> Result<(), RuleBroken> {
        if self.received_goodbye {
            return Err(RuleBroken::new("an envelope after goodbye"));
        }
        let request = self.take_request(envelope)?;
        let may_precede_welcome = matches!(
            envelope.body,
            ServerBody::Welcome(_) | ServerBody::Ack(_) | ServerBody::Error { .. } | ServerBody::Goodbye { .. }
        );
        if !self.is_welcomed && !may_precede_welcome {
            return Err(RuleBroken::new("an envelope before welcome"));
        }
        match &envelope.body {
            ServerBody::Welcome(welcome) => self.apply_welcome(welcome),
            ServerBody::CatchUp { room, from, reset } => self.begin_catch_up(*room, *from, *reset),
            ServerBody::CaughtUp { room, version, my_reactions } => {
                let newest = self.reset_messages;
                let (from, reset) = self.room(*room)?.end_catch_up(*version, my_reactions, newest)?;
                let syncs = self.syncs.get_mut(room).into_iter().flatten();
                if let Some(sync) = syncs.into_iter().find(|sync| !sync.is_complete && (reset || sync.since == from)) {
                    sync.is_complete = true;
                }
                Ok(())
            }
            ServerBody::Message(message) => self.room_past_resume(message.room)?.apply_message(message),
            ServerBody::Change(change) => {
                let me = self.me;
                self.room_past_resume(change.room)?.apply_change(me, change)
            }
            ServerBody::Read { room, user, seq } => {
                let me = self.me;
                self.room(*room)?.advance_read_mark(me, *user, *seq);
                Ok(())
            }
            ServerBody::Presence { room, online, offline, refresh, count } => {
                self.room(*room)?.apply_presence(online, offline, *refresh, *count)
            }
            ServerBody::OnlineCount { count } => {
                self.online = *count;
                Ok(())
            }
            ServerBody::Room(entry) => {
                self.update_room(entry);
                Ok(())
            }
            ServerBody::Removed { room } => {
                self.rooms.remove(room);
                self.resumes.retain(|other| other != room);
                Ok(())
            }
            ServerBody::Ack(data) => request.map_or(Ok(()), |request| self.apply_ack(&request, data)),
            ServerBody::Error { .. } => {
                if let Some(RequestBody::Sync { room, since }) = request {
                    self.finish_sync(room, since);
                }
                Ok(())
            }
            ServerBody::Goodbye { .. } => {
                self.received_goodbye = true;
                Ok(())
            }
            ServerBody::Typing { room, users } => {
                self.room(*room)?.typing.clone_from(users);
                Ok(())
            }
            ServerBody::System { .. }
            | ServerBody::User(_)
            | ServerBody::Invited { .. }
            | ServerBody::Published { .. } => Ok(()),
        }
    }

    /// The pending request that an envelope answers.
    fn take_request(&mut self, envelope: &ServerEnvelope) -> Result<Option<RequestBody>, RuleBroken> {
        match (&envelope.body, &envelope.id) {
            (ServerBody::Ack(_) | ServerBody::Error { .. } | ServerBody::Welcome(_), Some(id)) => {
                let unknown = || RuleBroken::new(format!("request {id} was answered twice, or never sent"));
                self.pending.remove(id).map(Some).ok_or_else(unknown)
            }
            _ => Ok(None),
        }
    }

    fn room(&mut self, id: u64) -> Result<&mut RoomView, RuleBroken> {
        self.rooms.get_mut(&id).ok_or_else(|| RuleBroken::at(id, "an envelope of a room that is not held"))
    }

    fn apply_welcome(&mut self, welcome: &Welcome) -> Result<(), RuleBroken> {
        if self.is_welcomed {
            return Err(RuleBroken::new("a second welcome"));
        }
        self.is_welcomed = true;
        self.me = welcome.user.id;
        self.online = welcome.online.count;
        let is_same_epoch = self.epoch.as_ref() == Some(&welcome.epoch);
        for entry in &welcome.rooms {
            match self.rooms.get_mut(&entry.id) {
                Some(held) if is_same_epoch => held.update_entry(entry),
                Some(held) => *held = RoomView::of_other_epoch(entry),
                None => self.update_room(entry),
            }
        }
        // The server must send `removed` for each of these.
        let listed: BTreeSet<u64> = welcome.rooms.iter().map(|entry| entry.id).collect();
        for gone in self.resumes.iter().filter(|id| !listed.contains(id)) {
            if let Some(room) = self.rooms.get_mut(gone) {
                room.expect_removal();
            }
        }
        self.resumes.retain(|id| listed.contains(id));
        self.epoch = Some(welcome.epoch.clone());
        Ok(())
    }

    /// Adds or updates a room. An entry never moves the version of a room that is held.
    fn update_room(&mut self, entry: &Entry) {
        self.rooms.entry(entry.id).or_insert_with(|| RoomView::new(entry)).update_entry(entry);
    }

    fn begin_catch_up(&mut self, id: u64, from: u64, reset: bool) -> Result<(), RuleBroken> {
        let resumed = self.resumes.contains(&id);
        if resumed && self.resumes.pop_front() != Some(id) {
            return Err(RuleBroken::at(id, "catch-ups begin in the order of hello, and this one is not the next"));
        }
        let mut syncs = self.syncs.get(&id).into_iter().flatten();
        let sync = !resumed && syncs.any(|sync| reset || sync.since == from);
        self.room(id)?.begin_catch_up(from, reset, resumed, sync)
    }

    /// The room of a message, which may only come once the catch-up that hello requested has begun.
    fn room_past_resume(&mut self, id: u64) -> Result<&mut RoomView, RuleBroken> {
        if self.resumes.contains(&id) {
            return Err(RuleBroken::at(id, "a message before the catch-up that hello requested"));
        }
        self.room(id)
    }

    fn apply_ack(&mut self, request: &RequestBody, data: &serde_json::Value) -> Result<(), RuleBroken> {
        fn read<T: for<'a> Deserialize<'a>>(data: &serde_json::Value) -> Result<T, RuleBroken> {
            T::deserialize(data).map_err(|error| RuleBroken::new(format!("malformed ack: {error}")))
        }
        match request {
            RequestBody::History { room, .. } => {
                let page: Page = read(data)?;
                if let Some(view) = self.rooms.get_mut(room) {
                    view.apply_page(&page)?;
                }
            }
            RequestBody::Read { room, .. } => {
                let marked: crate::wire::Marked = read(data)?;
                if let Some(view) = self.rooms.get_mut(room) {
                    view.read_seq = view.read_seq.max(marked.read_seq);
                }
            }
            RequestBody::Sync { room, since } if !self.finish_sync(*room, *since) => {
                return Err(RuleBroken::at(*room, "a sync was answered before its catch-up"));
            }
            RequestBody::Presence { room, on } => {
                if let Some(view) = self.rooms.get_mut(room) {
                    view.watched = if *on {
                        let now: Online = read(data)?;
                        (!now.truncated && now.online.len() as u64 == now.count)
                            .then(|| now.online.into_iter().collect())
                    } else {
                        None
                    };
                }
            }
            RequestBody::Join { .. }
            | RequestBody::Create { .. }
            | RequestBody::Open { .. }
            | RequestBody::Accept { .. } => {
                let entry: Entry = read(data)?;
                // A member of the room receives its changes as events; for others, this is the first entry.
                if !self.rooms.contains_key(&entry.id) {
                    self.update_room(&entry);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends a `sync`. Returns whether its catch-up is complete.
    fn finish_sync(&mut self, room: u64, since: u64) -> bool {
        let syncs = self.syncs.entry(room).or_default();
        let position = syncs.iter().position(|sync| sync.since == since);
        position.is_some_and(|position| syncs.remove(position).is_complete)
    }
}
