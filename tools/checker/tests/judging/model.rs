//! A small model of a server that keeps every promise: it makes clean histories, and the store that belongs to them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use teahouse_checker::truth::{self, Truth};
use teahouse_checker::wire::{
    Ask, Change, Classic, Count, Entry, Heard, Message, Peer, Person, Request, Said, Welcome,
};
use teahouse_checker::{Bounds, DeviceView, Dialect, End, Fact, History, Server, Socket};

pub const LINGER_US: u64 = 5_000_000;
pub const BOUNDS: Bounds =
    Bounds { sessions_per_user: 2, linger_us: LINGER_US, slack_us: 500_000, arrival_us: 1_000_000 };

/// The lobby, a private room of users 1 and 2, and what users 1 and 2 say to each other.
pub const LOBBY: u64 = 1;
pub const PRIVATE: u64 = 2;
pub const DIRECT: u64 = 3;

/// A session that is live.
struct Session {
    socket: Socket,
    watches: BTreeSet<u64>,
    count: u64,
}

/// The server and everybody who uses it.
pub struct Model {
    pub history: History,
    pub truth: Truth,
    pub now_us: u64,
    sessions: Vec<Session>,
    views: BTreeMap<(u64, String), DeviceView>,
    lingers: BTreeMap<u64, u64>,
    online: BTreeSet<u64>,
    number: u64,
}

impl Model {
    pub fn new() -> Self {
        let room = |kind: &str, members: &[u64]| truth::Room {
            kind: kind.to_owned(),
            members: members.iter().map(|user| (*user, 0)).collect(),
            ..truth::Room::default()
        };
        let rooms = [
            (LOBBY, room("public", &[1, 2, 3])),
            (PRIVATE, room("private", &[1, 2])),
            (DIRECT, room("direct", &[1, 2])),
        ];
        let mut model = Self {
            history: History::default(),
            truth: Truth { epoch: "e".to_owned(), rooms: rooms.into(), messages: Vec::new() },
            now_us: 1_000_000,
            sessions: Vec::new(),
            views: BTreeMap::new(),
            lingers: BTreeMap::new(),
            online: BTreeSet::new(),
            number: 0,
        };
        model.history.note(0, None, Fact::Server(Server::Started));
        model
    }

    // ── Time ──

    pub fn waits(&mut self, us: u64) {
        let until = self.now_us + us;
        while let Some((&user, &at)) = self.lingers.iter().filter(|(_, at)| **at <= until).min_by_key(|(_, at)| **at) {
            self.now_us = self.now_us.max(at);
            self.lingers.remove(&user);
            self.online.remove(&user);
            self.presence(user, false);
        }
        self.now_us = until;
        self.tells_counts();
    }

    pub fn note(&mut self, socket: &Socket, fact: Fact) {
        self.now_us += 100;
        self.history.note(self.now_us, Some(socket), fact);
    }

    pub fn hears(&mut self, socket: &Socket, id: Option<&str>, said: Said) {
        let heard = Heard { id: id.map(str::to_owned), said };
        let view = self.views.get_mut(&(socket.user, socket.device.to_string())).unwrap();
        view.hears(&heard).unwrap();
        self.note(socket, Fact::Heard(heard));
    }

    pub fn asks(&mut self, socket: &Socket, ask: Ask) -> String {
        self.number += 1;
        let id = format!("c-{}", self.number);
        let request = Request { id: Some(id.clone()), ask };
        if let Some(view) = self.views.get_mut(&(socket.user, socket.device.to_string())) {
            view.asks(&request);
        }
        self.note(socket, Fact::Asked(request));
        id
    }

    // ── Presence ──

    fn presence(&mut self, user: u64, is_online: bool) {
        for place in 0..self.sessions.len() {
            let socket = self.sessions[place].socket.clone();
            for room in self.sessions[place].watches.clone() {
                let members = &self.truth.rooms[&room].members;
                if members.contains_key(&user) {
                    let count = members.keys().filter(|user| self.online.contains(user)).count() as u64;
                    let (came, went) = if is_online { (vec![user], vec![]) } else { (vec![], vec![user]) };
                    self.hears(
                        &socket,
                        None,
                        Said::Presence { room, online: came, offline: went, refresh: false, count },
                    );
                }
            }
        }
    }

    fn tells_counts(&mut self) {
        let count = self.online.len() as u64;
        for place in 0..self.sessions.len() {
            if self.sessions[place].count == count {
                continue;
            }
            self.sessions[place].count = count;
            let socket = self.sessions[place].socket.clone();
            match socket.dialect {
                Dialect::V1 => self.hears(&socket, None, Said::OnlineCount { count }),
                _ => self.note(&socket, Fact::HeardClassic(Classic::OnlineCount { count })),
            }
        }
    }

    // ── Coming and going ──

    /// The live session of a device.
    pub fn live(&self, user: u64, device: &str) -> Option<Socket> {
        let session = self.sessions.iter().find(|one| one.socket.user == user && &*one.socket.device == device);
        session.map(|session| session.socket.clone())
    }

    pub fn live_all(&self) -> Vec<Socket> {
        self.sessions.iter().map(|session| session.socket.clone()).collect()
    }

    pub fn comes(&mut self, user: u64, device: &str, dialect: Dialect) -> Socket {
        self.number += 1;
        let socket = Socket { user, device: device.into(), dialect, number: self.number };
        self.note(&socket, Fact::Begun { device: None });
        self.lingers.remove(&user);
        let is_new = self.online.insert(user);
        self.note(&socket, Fact::Answered { status: 101 });
        if is_new {
            self.presence(user, true);
        }
        self.sessions.push(Session { socket: socket.clone(), watches: BTreeSet::new(), count: u64::MAX });
        let mine = || self.sessions.iter().filter(|one| one.socket.user == user);
        if mine().count() > BOUNDS.sessions_per_user {
            let oldest = mine().next().unwrap().socket.clone();
            self.is_closed(&oldest, 4501);
        }
        if dialect == Dialect::V1 {
            self.hello(&socket);
        }
        self.tells_counts();
        socket
    }

    pub fn is_closed(&mut self, socket: &Socket, code: u16) {
        self.sessions.retain(|session| session.socket.number != socket.number);
        let reason = "why".to_owned();
        if socket.dialect == Dialect::V1 {
            self.hears(socket, None, Said::Goodbye { code, reason: reason.clone(), reconnect: false, retry_ms: 0 });
        }
        self.note(socket, Fact::Ended(End::Closed { code, reason }));
    }

    fn hello(&mut self, socket: &Socket) {
        let view = self.views.entry((socket.user, socket.device.to_string())).or_default();
        let (epoch, held) = (view.epoch.clone(), view.held());
        let id = self.asks(socket, Ask::Hello { epoch, rooms: held.clone() });
        let welcome = Welcome {
            session: socket.number,
            epoch: self.truth.epoch.clone(),
            user: Person { id: socket.user },
            online: Count { count: self.online.len() as u64 },
            rooms: self.entries(socket.user),
        };
        self.session(socket).count = welcome.online.count;
        self.hears(socket, Some(&id), Said::Welcome(welcome));
        for held in held {
            self.hears(socket, None, Said::CatchUp { room: held.room, from: held.version, reset: false });
            let mut rows: Vec<_> = self.rows(held.room).filter(|row| row.version > held.version).cloned().collect();
            rows.sort_by_key(|row| row.version);
            let mut my_reactions: BTreeMap<u64, Vec<String>> = BTreeMap::new();
            for row in rows {
                for (emoji, _) in row.reactions.iter().filter(|(_, user)| *user == socket.user) {
                    my_reactions.entry(row.id).or_default().push(emoji.clone());
                }
                self.hears(socket, None, Said::Message(message(&row, None)));
            }
            let version = self.truth.rooms[&held.room].version;
            self.hears(socket, None, Said::CaughtUp { room: held.room, version, my_reactions });
        }
    }

    fn session(&mut self, socket: &Socket) -> &mut Session {
        self.sessions.iter_mut().find(|session| session.socket.number == socket.number).unwrap()
    }

    fn rows(&self, room: u64) -> impl Iterator<Item = &truth::Message> {
        self.truth.messages.iter().filter(move |row| row.room == room)
    }

    fn entries(&self, user: u64) -> Vec<Entry> {
        let rooms = self.truth.rooms.iter().filter(|(_, room)| room.members.contains_key(&user));
        rooms
            .map(|(id, room)| {
                let others = || room.members.iter().filter(|(other, _)| **other != user);
                let peer = others().next().filter(|_| room.kind == "direct");
                Entry {
                    id: *id,
                    kind: room.kind.clone(),
                    version: room.version,
                    last_seq: room.last_seq,
                    title: String::new(),
                    read_seq: room.members[&user],
                    unread: self.truth.unread(*id, user, room.members[&user]),
                    members: room.members.len() as u64,
                    role: "member".to_owned(),
                    peer: peer.map(|(id, seq)| Peer { id: *id, online: self.online.contains(id), read_seq: *seq }),
                    reads: others().filter(|_| room.kind == "private").map(|(id, seq)| (*id, *seq)).collect(),
                }
            })
            .collect()
    }

    /// It is cut: its user lingers.
    pub fn is_cut(&mut self, socket: &Socket) {
        self.note(socket, Fact::Ended(End::Cut));
        self.goes(socket, true);
    }

    /// It closes for good.
    pub fn leaves(&mut self, socket: &Socket) {
        self.note(socket, Fact::Ended(End::Left { code: 1000 }));
        self.goes(socket, false);
    }

    fn goes(&mut self, socket: &Socket, lingers: bool) {
        self.sessions.retain(|session| session.socket.number != socket.number);
        if self.sessions.iter().any(|session| session.socket.user == socket.user) {
            return;
        }
        if lingers {
            self.lingers.insert(socket.user, self.now_us + LINGER_US);
        } else {
            self.online.remove(&socket.user);
            self.presence(socket.user, false);
            self.tells_counts();
        }
    }

    // ── Saying ──

    /// A key of one's own for each saying; classic has none.
    pub fn says(&mut self, socket: &Socket, room: u64, content: &str) -> u64 {
        self.says_as(socket, room, content, &format!("key of {content}"))
    }

    pub fn says_as(&mut self, socket: &Socket, room: u64, content: &str, key: &str) -> u64 {
        let client_id = (socket.dialect == Dialect::V1).then(|| key.to_owned());
        let ask = Ask::Message { room, content: content.to_owned(), client_id: client_id.clone(), reply_to: None };
        let asked = (socket.dialect == Dialect::V1).then(|| self.asks(socket, ask.clone()));
        if asked.is_none() {
            self.note(socket, Fact::Asked(Request { id: None, ask }));
        }
        let before = self.truth.messages.iter().find(|row| row.sender == socket.user && row.client_id == client_id);
        let before = before.filter(|_| client_id.is_some()).cloned();
        let is_repeat = before.is_some();
        let row = before.unwrap_or_else(|| self.stores(socket.user, room, content, client_id));
        if let Some(id) = asked {
            let (message, seq, version) = (row.id, row.seq, row.first_version);
            let ack = json!({"id": message, "seq": seq, "version": version, "send_time": "t", "duplicate": is_repeat});
            self.hears(socket, Some(&id), Said::Ack(ack));
        }
        if !is_repeat {
            self.tells(row.id, &Change::New);
        }
        row.id
    }

    pub fn stores(&mut self, sender: u64, room: u64, content: &str, client_id: Option<String>) -> truth::Message {
        let id = self.truth.messages.len() as u64 + 1;
        let there = self.truth.rooms.get_mut(&room).unwrap();
        (there.version, there.last_seq) = (there.version + 1, there.last_seq + 1);
        let row = truth::Message {
            id,
            room,
            seq: there.last_seq,
            version: there.version,
            first_version: Some(there.version),
            sender,
            client_id,
            content: content.to_owned(),
            ..truth::Message::default()
        };
        self.truth.messages.push(row.clone());
        row
    }

    pub fn tells(&mut self, id: u64, change: &Change) {
        let row = self.row(id).clone();
        for socket in self.live_all() {
            if !self.truth.rooms[&row.room].members.contains_key(&socket.user) {
                continue;
            }
            if socket.dialect == Dialect::V1 {
                self.hears(&socket, None, Said::Message(message(&row, Some(change.clone()))));
            } else if row.room == LOBBY {
                let heard = match change {
                    Change::New => Classic::Message { id, user_id: row.sender, content: row.content.clone() },
                    Change::Delete { .. } => Classic::MessageDeleted { id },
                    _ => continue,
                };
                self.note(&socket, Fact::HeardClassic(heard));
            }
        }
    }

    pub fn row(&mut self, id: u64) -> &mut truth::Message {
        self.truth.messages.iter_mut().find(|row| row.id == id).unwrap()
    }

    fn changes(&mut self, socket: &Socket, id: u64, ask: Ask, change: &Change, how: impl FnOnce(&mut truth::Message)) {
        let asked = self.asks(socket, ask);
        let room = self.row(id).room;
        let there = self.truth.rooms.get_mut(&room).unwrap();
        there.version += 1;
        let version = there.version;
        let row = self.row(id);
        row.version = version;
        how(row);
        self.hears(socket, Some(&asked), Said::Ack(json!({"version": version})));
        self.tells(id, change);
    }

    pub fn edits(&mut self, socket: &Socket, id: u64, content: &str) {
        let (user, content) = (socket.user, content.to_owned());
        let ask = Ask::Edit { message: id, content: content.clone() };
        self.changes(socket, id, ask, &Change::Edit { user }, |row| (row.content, row.edited) = (content, true));
    }

    pub fn deletes(&mut self, socket: &Socket, id: u64) {
        let change = Change::Delete { user: socket.user };
        self.changes(socket, id, Ask::Delete { message: id }, &change, |row| {
            row.deleted = true;
            row.content.clear();
            row.reactions.clear();
        });
    }

    pub fn reacts(&mut self, socket: &Socket, id: u64, on: bool) {
        let (user, emoji) = (socket.user, "👍".to_owned());
        let ask = Ask::React { message: id, emoji: emoji.clone(), on };
        self.changes(socket, id, ask, &Change::React { user, emoji: emoji.clone(), on }, |row| {
            if on {
                row.reactions.insert((emoji, user))
            } else {
                row.reactions.remove(&(emoji, user))
            };
        });
    }

    pub fn reads(&mut self, socket: &Socket, room: u64, seq: u64) {
        let user = socket.user;
        let asked = self.asks(socket, Ask::Read { room, seq });
        let there = self.truth.rooms.get_mut(&room).unwrap();
        let mark = there.members.get_mut(&user).unwrap();
        *mark = (*mark).max(seq.min(there.last_seq));
        let (read_seq, is_told) = (*mark, there.kind != "public");
        let unread = self.truth.unread(room, user, read_seq);
        self.hears(socket, Some(&asked), Said::Ack(json!({"read_seq": read_seq, "unread": unread})));
        for other in self.live_all() {
            let is_in = self.truth.rooms[&room].members.contains_key(&other.user);
            if other.dialect == Dialect::V1 && is_in && (other.user == user || is_told) {
                self.hears(&other, None, Said::Read { room, user, seq: read_seq });
            }
        }
    }

    pub fn watches(&mut self, socket: &Socket, room: u64) {
        let asked = self.asks(socket, Ask::Presence { room, on: true });
        let online: Vec<u64> =
            self.truth.rooms[&room].members.keys().copied().filter(|user| self.online.contains(user)).collect();
        self.session(socket).watches.insert(room);
        let ack = json!({"online": online, "count": online.len(), "truncated": false});
        self.hears(socket, Some(&asked), Said::Ack(ack));
    }

    pub fn lists_online(&mut self, user: u64) {
        self.number += 1;
        let socket = Socket { user, device: "http".into(), dialect: Dialect::Http, number: self.number };
        let id = self.asks(&socket, Ask::OnlineUsers {});
        let ack = json!({"online": self.online, "count": self.online.len()});
        self.note(&socket, Fact::Heard(Heard { id: Some(id), said: Said::Ack(ack) }));
    }

    // ── Rest ──

    /// Everybody comes back, loads everything, and stays.
    pub fn comes_to_rest(&mut self) {
        self.waits(2 * LINGER_US);
        self.note_all(Fact::Quiet);
        for (user, device, dialect) in
            [(1, "phone", Dialect::V1), (2, "phone", Dialect::V1), (3, "tab", Dialect::Classic)]
        {
            if let Some(before) = self.live(user, device) {
                self.is_cut(&before);
            }
            let socket = self.comes(user, device, dialect);
            if dialect == Dialect::V1 {
                self.watches(&socket, PRIVATE);
                self.loads_all(&socket);
            }
        }
        self.waits(1_000_000);
        for socket in self.live_all() {
            self.note(&socket, Fact::Rested);
        }
        self.waits(1_000_000);
        self.lists_online(1);
        for socket in self.live_all() {
            match socket.dialect {
                Dialect::V1 => {
                    let id = self.asks(&socket, Ask::Heartbeat {});
                    self.hears(&socket, Some(&id), Said::Ack(json!({"time": "t"})));
                }
                _ => {
                    self.note(&socket, Fact::Asked(Request { id: None, ask: Ask::Heartbeat {} }));
                    self.note(&socket, Fact::HeardClassic(Classic::Heartbeat { timestamp: 1 }));
                }
            }
        }
    }

    fn note_all(&mut self, fact: Fact) {
        self.now_us += 100;
        self.history.note(self.now_us, None, fact);
    }

    fn loads_all(&mut self, socket: &Socket) {
        for room in self.entries(socket.user).iter().map(|entry| entry.id) {
            let id = self.asks(socket, Ask::History { room, before: None, limit: None });
            let mut rows: Vec<_> = self.rows(room).cloned().collect();
            rows.sort_by_key(|row| row.seq);
            let messages: Vec<Message> = rows.iter().map(|row| message(row, None)).collect();
            let mut my_reactions: BTreeMap<u64, Vec<String>> = BTreeMap::new();
            for row in &rows {
                for (emoji, _) in row.reactions.iter().filter(|(_, user)| *user == socket.user) {
                    my_reactions.entry(row.id).or_default().push(emoji.clone());
                }
            }
            let page = json!({"messages": messages, "has_more_before": false, "my_reactions": my_reactions});
            self.hears(socket, Some(&id), Said::Ack(page));
        }
    }
}

/// A row as it stands in an envelope.
pub fn message(row: &truth::Message, change: Option<Change>) -> Message {
    let mut reactions = BTreeMap::new();
    row.reactions.iter().for_each(|(emoji, _)| *reactions.entry(emoji.clone()).or_insert(0) += 1);
    Message {
        id: row.id,
        room: row.room,
        seq: row.seq,
        version: row.version,
        client_id: row.client_id.clone(),
        sender: Person { id: row.sender },
        content: row.content.clone(),
        reply_to: None,
        reactions,
        edited_at: row.edited.then(|| "later".to_owned()),
        deleted: row.deleted,
        send_time: format!("{:06}", row.seq),
        change,
    }
}
