//! What one v1 device holds, kept by the rules of PROTOCOL.md, section 4, each of which is checked: a server that
//! breaks one is told so at the envelope that breaks it. It takes envelopes one by one and knows no socket.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Deserialize;
use teahouse_core::limits::RESET_MESSAGES;

use crate::wire::{Ask, Entry, Heard, Held, Online, Page, Request, Said, Welcome};

mod room;

pub use room::RoomView;

/// A rule of the protocol was broken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what}")]
pub struct Broken {
    /// What is wrong.
    pub what: String,
    /// In which room, where it is about one.
    pub room: Option<u64>,
}

impl Broken {
    fn at(room: u64, what: impl Into<String>) -> Self {
        Self { what: what.into(), room: Some(room) }
    }

    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), room: None }
    }
}

/// What one device holds.
#[derive(Clone, Debug)]
pub struct DeviceView {
    /// Whose device it is, from the first welcome on.
    pub me: u64,
    /// The history that the versions belong to.
    pub epoch: Option<String>,
    /// Every room that is held.
    pub rooms: BTreeMap<u64, RoomView>,
    /// Distinct users online, as told last.
    pub online: u64,
    /// The messages that a room is begun anew with.
    pub reset_messages: usize,
    /// This socket was welcomed.
    pub is_welcome: bool,
    said_goodbye: bool,
    /// Rooms that hello named and whose bracket has not begun, in its order.
    resumes: VecDeque<u64>,
    /// What `sync` was asked for and is not answered, by room.
    syncs: BTreeMap<u64, Vec<Sync>>,
    /// Requests without an answer, by reference.
    asked: BTreeMap<String, Ask>,
}

/// A `sync` without an answer.
#[derive(Clone, Copy, Debug)]
struct Sync {
    since: u64,
    /// Its bracket was closed. Another one that begins where it does may be taken for it: who falls behind is caught up
    /// unasked.
    is_brought: bool,
}

impl Default for DeviceView {
    fn default() -> Self {
        Self {
            me: 0,
            epoch: None,
            rooms: BTreeMap::new(),
            online: 0,
            reset_messages: RESET_MESSAGES as usize,
            is_welcome: false,
            said_goodbye: false,
            resumes: VecDeque::new(),
            syncs: BTreeMap::new(),
            asked: BTreeMap::new(),
        }
    }
}

impl DeviceView {
    /// What `hello` says of the rooms that are held.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        let held = self.rooms.iter().filter(|(_, room)| !room.must_reset());
        held.map(|(room, view)| Held { room: *room, version: view.version }).collect()
    }

    /// Everything that hello named has been brought.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        let open = self.rooms.values().any(|room| room.is_in_bracket() || room.must_go());
        self.is_welcome && self.resumes.is_empty() && !open && self.syncs.values().flatten().all(|sync| sync.is_brought)
    }

    /// A message that is held, wherever it was said.
    pub fn messages(&self) -> impl Iterator<Item = &crate::wire::Message> {
        self.rooms.values().flat_map(|room| room.messages.values())
    }

    /// A request is sent. With `hello` a new socket begins; what it does not name is dropped.
    pub fn asks(&mut self, request: &Request) {
        match &request.ask {
            Ask::Hello { rooms, .. } => self.comes_back(rooms),
            Ask::Sync { room, since } => {
                self.syncs.entry(*room).or_default().push(Sync { since: *since, is_brought: false });
            }
            _ => {}
        }
        if let Some(id) = &request.id {
            self.asked.insert(id.clone(), request.ask.clone());
        }
    }

    /// Its socket is gone, and with it what was asked there.
    pub fn disconnects(&mut self) {
        self.resumes.clear();
        self.syncs.clear();
        self.asked.clear();
        (self.is_welcome, self.said_goodbye) = (false, false);
    }

    fn comes_back(&mut self, named: &[Held]) {
        self.disconnects();
        self.rooms.retain(|id, _| named.iter().any(|held| held.room == *id));
        for held in named {
            // A client may also name what it never held.
            let room = self.rooms.entry(held.room).or_insert_with(|| RoomView::never_held(held.room));
            room.comes_back(held.version);
        }
        for held in named.iter().map(|held| held.room) {
            if !self.resumes.contains(&held) {
                self.resumes.push_back(held);
            }
        }
    }

    /// An envelope came on the socket that said hello last.
    ///
    /// # Errors
    /// It breaks a rule. What is held is worth nothing from here on.
    pub fn hears(&mut self, heard: &Heard) -> Result<(), Broken> {
        if self.said_goodbye {
            return Err(Broken::new("something came behind goodbye"));
        }
        let asked = match (&heard.said, &heard.id) {
            (Said::Ack(_) | Said::Error { .. } | Said::Welcome(_), Some(id)) => {
                let asked = self.asked.remove(id);
                Some(asked.ok_or_else(|| Broken::new(format!("{id} was answered twice, or never asked for")))?)
            }
            _ => None,
        };
        let early = matches!(heard.said, Said::Welcome(_) | Said::Ack(_) | Said::Error { .. } | Said::Goodbye { .. });
        if !self.is_welcome && !early {
            return Err(Broken::new("something came before welcome"));
        }
        match &heard.said {
            Said::Welcome(welcome) => self.welcome(welcome),
            Said::CatchUp { room, from, reset } => self.catch_up(*room, *from, *reset),
            Said::CaughtUp { room, version, my_reactions } => {
                let newest = self.reset_messages;
                let (from, reset) = self.room(*room)?.caught_up(*version, my_reactions, newest)?;
                let syncs = self.syncs.get_mut(room).into_iter().flatten();
                if let Some(sync) = syncs.into_iter().find(|sync| !sync.is_brought && (reset || sync.since == from)) {
                    sync.is_brought = true;
                }
                Ok(())
            }
            Said::Message(message) => self.message(message),
            Said::Read { room, user, seq } => {
                let me = self.me;
                self.room(*room)?.read(me, *user, *seq);
                Ok(())
            }
            Said::Presence { room, online, offline, refresh, count } => {
                self.room(*room)?.presence(online, offline, *refresh, *count)
            }
            Said::OnlineCount { count } => {
                self.online = *count;
                Ok(())
            }
            Said::Room(entry) => {
                self.enters(entry);
                Ok(())
            }
            Said::Removed { room } => {
                self.rooms.remove(room);
                self.resumes.retain(|other| other != room);
                Ok(())
            }
            Said::Ack(data) => asked.map_or(Ok(()), |asked| self.answered(&asked, data)),
            Said::Error { .. } => {
                if let Some(Ask::Sync { room, since }) = asked {
                    self.sync_is_over(room, since);
                }
                Ok(())
            }
            Said::Goodbye { .. } => {
                self.said_goodbye = true;
                Ok(())
            }
            Said::Typing { room, users } => {
                self.room(*room)?.typing.clone_from(users);
                Ok(())
            }
            Said::System { .. } | Said::User(_) | Said::Published { .. } => Ok(()),
        }
    }

    fn room(&mut self, id: u64) -> Result<&mut RoomView, Broken> {
        self.rooms.get_mut(&id).ok_or_else(|| Broken::at(id, "something came of a room that is not held"))
    }

    fn welcome(&mut self, welcome: &Welcome) -> Result<(), Broken> {
        if self.is_welcome {
            return Err(Broken::new("welcomed twice"));
        }
        self.is_welcome = true;
        self.me = welcome.user.id;
        self.online = welcome.online.count;
        let is_the_same = self.epoch.as_ref() == Some(&welcome.epoch);
        for entry in &welcome.rooms {
            match self.rooms.get_mut(&entry.id) {
                Some(held) if is_the_same => held.renew(entry),
                Some(held) => *held = RoomView::of_another_history(entry),
                None => self.enters(entry),
            }
        }
        // Each of these is told as removed.
        let listed: BTreeSet<u64> = welcome.rooms.iter().map(|entry| entry.id).collect();
        for gone in self.resumes.iter().filter(|id| !listed.contains(id)) {
            if let Some(room) = self.rooms.get_mut(gone) {
                room.goes();
            }
        }
        self.resumes.retain(|id| listed.contains(id));
        self.epoch = Some(welcome.epoch.clone());
        Ok(())
    }

    /// An entry never moves the cursor of a room that is held.
    fn enters(&mut self, entry: &Entry) {
        self.rooms.entry(entry.id).or_insert_with(|| RoomView::new(entry)).renew(entry);
    }

    fn catch_up(&mut self, id: u64, from: u64, reset: bool) -> Result<(), Broken> {
        let resumed = self.resumes.contains(&id);
        if resumed && self.resumes.pop_front() != Some(id) {
            return Err(Broken::at(id, "brackets begin in the order of hello, and this one is not the next"));
        }
        let mut syncs = self.syncs.get(&id).into_iter().flatten();
        let sync = !resumed && syncs.any(|sync| reset || sync.since == from);
        self.room(id)?.catch_up(from, reset, resumed, sync)
    }

    fn message(&mut self, message: &crate::wire::Message) -> Result<(), Broken> {
        if self.resumes.contains(&message.room) {
            return Err(Broken::at(message.room, "a message came before the bracket that hello asked for"));
        }
        let me = self.me;
        self.room(message.room)?.message(me, message)
    }

    fn answered(&mut self, asked: &Ask, data: &serde_json::Value) -> Result<(), Broken> {
        fn read<T: for<'a> Deserialize<'a>>(data: &serde_json::Value) -> Result<T, Broken> {
            T::deserialize(data).map_err(|error| Broken::new(format!("an ack that is none: {error}")))
        }
        match asked {
            Ask::History { room, .. } => {
                let page: Page = read(data)?;
                if let Some(view) = self.rooms.get_mut(room) {
                    view.page(&page)?;
                }
            }
            Ask::Read { room, .. } => {
                let marked: crate::wire::Marked = read(data)?;
                if let Some(view) = self.rooms.get_mut(room) {
                    view.read_seq = view.read_seq.max(marked.read_seq);
                }
            }
            Ask::Sync { room, since } if !self.sync_is_over(*room, *since) => {
                return Err(Broken::at(*room, "a sync was answered before its bracket"));
            }
            Ask::Presence { room, on } => {
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
            Ask::Join { .. } | Ask::Create { .. } | Ask::Open { .. } => {
                let entry: Entry = read(data)?;
                // The events tell whoever is in a room already; this is the entry before its first envelope.
                if !self.rooms.contains_key(&entry.id) {
                    self.enters(&entry);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A `sync` has its answer. Says whether it was brought its bracket.
    fn sync_is_over(&mut self, room: u64, since: u64) -> bool {
        let syncs = self.syncs.entry(room).or_default();
        let place = syncs.iter().position(|sync| sync.since == since);
        place.is_some_and(|place| syncs.remove(place).is_brought)
    }
}
