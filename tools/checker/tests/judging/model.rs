//! A small model of a server that keeps every promise. It produces clean histories and the store that belongs to them.

mod quiesce;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use teahouse_checker::db_state::{self, DbState};
use teahouse_checker::wire::{
    Change, Classic, Count, Entry, Message, Peer, ReactionsChange, Request, RequestBody, ServerBody, ServerEnvelope,
    UserRef, Welcome,
};
use teahouse_checker::{Bounds, DeviceView, Dialect, End, Fact, History, ServerEvent, Socket};

pub(crate) const LINGER_US: u64 = 5_000_000;
pub(crate) const BOUNDS: Bounds =
    Bounds { devices_per_user: 2, linger_us: LINGER_US, slack_us: 500_000, arrival_us: 1_000_000 };

/// The device that its handshakes name; v1 devices of another name do without.
pub(crate) const NAMED: &str = "tablet";

/// The lobby, a private room of users 1 and 2, and the direct room of users 1 and 2.
pub(crate) const LOBBY: u64 = 1;
pub(crate) const PRIVATE: u64 = 2;
pub(crate) const DIRECT: u64 = 3;

/// A live session.
struct Session {
    socket: Socket,
    watches: BTreeSet<u64>,
    count: u64,
}

/// The server and its clients.
pub(crate) struct Model {
    pub history: History,
    pub db: DbState,
    pub now_us: u64,
    sessions: Vec<Session>,
    views: BTreeMap<(u64, String), DeviceView>,
    lingers: BTreeMap<u64, u64>,
    online: BTreeSet<u64>,
    number: u64,
}

impl Model {
    pub(crate) fn new() -> Self {
        let room = |kind: &str, members: &[u64]| db_state::Room {
            kind: kind.to_owned(),
            members: members.iter().map(|user| (*user, 0)).collect(),
            ..db_state::Room::default()
        };
        let rooms = [
            (LOBBY, room("public", &[1, 2, 3])),
            (PRIVATE, room("private", &[1, 2])),
            (DIRECT, room("direct", &[1, 2])),
        ];
        let mut model = Self {
            history: History::default(),
            db: DbState { epoch: "e".to_owned(), rooms: rooms.into(), messages: Vec::new() },
            now_us: 1_000_000,
            sessions: Vec::new(),
            views: BTreeMap::new(),
            lingers: BTreeMap::new(),
            online: BTreeSet::new(),
            number: 0,
        };
        model.history.record(0, None, Fact::Server(ServerEvent::Started));
        model
    }

    // ── Time ──

    pub(crate) fn advance(&mut self, us: u64) {
        let until = self.now_us + us;
        while let Some((&user, &at)) = self.lingers.iter().filter(|(_, at)| **at <= until).min_by_key(|(_, at)| **at) {
            self.now_us = self.now_us.max(at);
            self.lingers.remove(&user);
            self.online.remove(&user);
            self.presence(user, false);
        }
        self.now_us = until;
        self.broadcast_counts();
    }

    pub(crate) fn record(&mut self, socket: &Socket, fact: Fact) {
        self.now_us += 100;
        self.history.record(self.now_us, Some(socket), fact);
    }

    pub(crate) fn deliver(&mut self, socket: &Socket, id: Option<&str>, body: ServerBody) {
        let envelope = ServerEnvelope { id: id.map(str::to_owned), body };
        let view = self.views.get_mut(&(socket.user, socket.device.to_string())).unwrap();
        view.apply(&envelope).unwrap();
        self.record(socket, Fact::EnvelopeReceived(envelope));
    }

    pub(crate) fn send_request(&mut self, socket: &Socket, body: RequestBody) -> String {
        self.number += 1;
        let id = format!("c-{}", self.number);
        let request = Request { id: Some(id.clone()), body };
        if let Some(view) = self.views.get_mut(&(socket.user, socket.device.to_string())) {
            view.record_request(&request);
        }
        self.record(socket, Fact::RequestSent(request));
        id
    }

    // ── Presence ──

    fn presence(&mut self, user: u64, is_online: bool) {
        for position in 0..self.sessions.len() {
            let socket = self.sessions[position].socket.clone();
            for room in self.sessions[position].watches.clone() {
                let members = &self.db.rooms[&room].members;
                if members.contains_key(&user) {
                    let count = members.keys().filter(|user| self.online.contains(user)).count() as u64;
                    let (came, went) = if is_online { (vec![user], vec![]) } else { (vec![], vec![user]) };
                    self.deliver(
                        &socket,
                        None,
                        ServerBody::Presence { room, online: came, offline: went, refresh: false, count },
                    );
                }
            }
        }
    }

    fn broadcast_counts(&mut self) {
        let count = self.online.len() as u64;
        for position in 0..self.sessions.len() {
            if self.sessions[position].count == count {
                continue;
            }
            self.sessions[position].count = count;
            let socket = self.sessions[position].socket.clone();
            match socket.dialect {
                Dialect::V1 => self.deliver(&socket, None, ServerBody::OnlineCount { count }),
                _ => self.record(&socket, Fact::ClassicReceived(Classic::OnlineCount { count })),
            }
        }
    }

    // ── Sessions ──

    /// The live session of a device.
    pub(crate) fn live(&self, user: u64, device: &str) -> Option<Socket> {
        let session = self.sessions.iter().find(|one| one.socket.user == user && &*one.socket.device == device);
        session.map(|session| session.socket.clone())
    }

    pub(crate) fn live_all(&self) -> Vec<Socket> {
        self.sessions.iter().map(|session| session.socket.clone()).collect()
    }

    pub(crate) fn connect(&mut self, user: u64, device: &str, dialect: Dialect) -> Socket {
        self.number += 1;
        let socket = Socket { user, device: device.into(), dialect, number: self.number };
        let named = (device == NAMED).then(|| device.to_owned());
        self.record(&socket, Fact::HandshakeSent { device: named });
        self.lingers.remove(&user);
        let is_new = self.online.insert(user);
        self.record(&socket, Fact::HandshakeAnswered { status: 101 });
        if is_new {
            self.presence(user, true);
        }
        let is_classic = |dialect| dialect == Dialect::Classic;
        let is_twin = |other: &Socket| {
            other.user == user
                && (is_classic(dialect) && is_classic(other.dialect) || device == NAMED && &*other.device == device)
        };
        if let Some(older) = self.sessions.iter().find(|one| is_twin(&one.socket)) {
            let older = older.socket.clone();
            self.close(&older, 4501);
        }
        self.sessions.push(Session { socket: socket.clone(), watches: BTreeSet::new(), count: u64::MAX });
        let mine = || self.sessions.iter().filter(|one| one.socket.user == user);
        if mine().count() > BOUNDS.devices_per_user {
            let oldest = mine().next().unwrap().socket.clone();
            self.close(&oldest, 4501);
        }
        if dialect == Dialect::V1 {
            self.hello(&socket);
        }
        self.broadcast_counts();
        socket
    }

    pub(crate) fn close(&mut self, socket: &Socket, code: u16) {
        self.sessions.retain(|session| session.socket.number != socket.number);
        let reason = "why".to_owned();
        if socket.dialect == Dialect::V1 {
            self.deliver(
                socket,
                None,
                ServerBody::Goodbye { code, reason: reason.clone(), reconnect: false, retry_ms: 0 },
            );
        }
        self.record(socket, Fact::Ended(End::Closed { code, reason }));
    }

    fn hello(&mut self, socket: &Socket) {
        let view = self.views.entry((socket.user, socket.device.to_string())).or_default();
        let (epoch, held) = (view.epoch.clone(), view.held());
        let id = self.send_request(socket, RequestBody::Hello { epoch, rooms: held.clone() });
        let welcome = Welcome {
            session: socket.number,
            epoch: self.db.epoch.clone(),
            user: UserRef { id: socket.user },
            online: Count { count: self.online.len() as u64 },
            rooms: self.entries(socket.user),
        };
        self.session(socket).count = welcome.online.count;
        self.deliver(socket, Some(&id), ServerBody::Welcome(welcome));
        for held in held {
            self.deliver(socket, None, ServerBody::CatchUp { room: held.room, from: held.version, reset: false });
            let mut rows: Vec<_> = self.rows(held.room).filter(|row| row.version > held.version).cloned().collect();
            rows.sort_by_key(|row| row.version);
            let mut my_reactions: BTreeMap<u64, Vec<String>> = BTreeMap::new();
            for row in rows {
                for (emoji, _) in row.reactions.iter().filter(|(_, user)| *user == socket.user) {
                    my_reactions.entry(row.id).or_default().push(emoji.clone());
                }
                self.deliver(socket, None, ServerBody::Message(message(&row, None)));
            }
            let version = self.db.rooms[&held.room].version;
            self.deliver(socket, None, ServerBody::CaughtUp { room: held.room, version, my_reactions });
        }
    }

    fn session(&mut self, socket: &Socket) -> &mut Session {
        self.sessions.iter_mut().find(|session| session.socket.number == socket.number).unwrap()
    }

    fn rows(&self, room: u64) -> impl Iterator<Item = &db_state::Message> {
        self.db.messages.iter().filter(move |row| row.room == room)
    }

    fn entries(&self, user: u64) -> Vec<Entry> {
        let rooms = self.db.rooms.iter().filter(|(_, room)| room.members.contains_key(&user));
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
                    unread: self.db.unread(*id, user, room.members[&user]),
                    members: room.members.len() as u64,
                    role: "member".to_owned(),
                    peer: peer.map(|(id, seq)| Peer { id: *id, online: self.online.contains(id), read_seq: *seq }),
                    reads: others().filter(|_| room.kind == "private").map(|(id, seq)| (*id, *seq)).collect(),
                }
            })
            .collect()
    }

    /// Cuts the connection; the user lingers.
    pub(crate) fn cut(&mut self, socket: &Socket) {
        self.record(socket, Fact::Ended(End::Cut));
        self.remove_session(socket, true);
    }

    /// Closes the connection; the user does not linger.
    pub(crate) fn leave(&mut self, socket: &Socket) {
        self.record(socket, Fact::Ended(End::Left { code: 1000 }));
        self.remove_session(socket, false);
    }

    fn remove_session(&mut self, socket: &Socket, lingers: bool) {
        self.sessions.retain(|session| session.socket.number != socket.number);
        if self.sessions.iter().any(|session| session.socket.user == socket.user) {
            return;
        }
        if lingers {
            self.lingers.insert(socket.user, self.now_us + LINGER_US);
        } else {
            self.online.remove(&socket.user);
            self.presence(socket.user, false);
            self.broadcast_counts();
        }
    }

    // ── Messages ──

    /// Sends a message under a key of its own; classic has no keys.
    pub(crate) fn send_message(&mut self, socket: &Socket, room: u64, content: &str) -> u64 {
        self.send_message_as(socket, room, content, &format!("key of {content}"))
    }

    pub(crate) fn send_message_as(&mut self, socket: &Socket, room: u64, content: &str, key: &str) -> u64 {
        let client_id = (socket.dialect == Dialect::V1).then(|| key.to_owned());
        let body =
            RequestBody::Message { room, content: content.to_owned(), client_id: client_id.clone(), reply_to: None };
        let request_id = (socket.dialect == Dialect::V1).then(|| self.send_request(socket, body.clone()));
        if request_id.is_none() {
            self.record(socket, Fact::RequestSent(Request { id: None, body }));
        }
        let before = self.db.messages.iter().find(|row| row.sender == socket.user && row.client_id == client_id);
        let before = before.filter(|_| client_id.is_some()).cloned();
        let is_repeat = before.is_some();
        let row = before.unwrap_or_else(|| self.store_message(socket.user, room, content, client_id));
        if let Some(id) = request_id {
            let (message, seq, version) = (row.id, row.seq, row.first_version);
            let ack = json!({"id": message, "seq": seq, "version": version, "send_time": "t", "duplicate": is_repeat});
            self.deliver(socket, Some(&id), ServerBody::Ack(ack));
        }
        if !is_repeat {
            self.broadcast_change(row.id, &Change::New);
        }
        row.id
    }

    pub(crate) fn store_message(
        &mut self,
        sender: u64,
        room: u64,
        content: &str,
        client_id: Option<String>,
    ) -> db_state::Message {
        let id = self.db.messages.len() as u64 + 1;
        let there = self.db.rooms.get_mut(&room).unwrap();
        (there.version, there.last_seq) = (there.version + 1, there.last_seq + 1);
        let row = db_state::Message {
            id,
            room,
            seq: there.last_seq,
            version: there.version,
            first_version: Some(there.version),
            sender,
            client_id,
            content: content.to_owned(),
            ..db_state::Message::default()
        };
        self.db.messages.push(row.clone());
        row
    }

    pub(crate) fn broadcast_change(&mut self, id: u64, change: &Change) {
        let row = self.row(id).clone();
        for socket in self.live_all() {
            if !self.db.rooms[&row.room].members.contains_key(&socket.user) {
                continue;
            }
            if socket.dialect == Dialect::V1 {
                self.deliver(&socket, None, live(&row, change));
            } else if row.room == LOBBY {
                let envelope = match change {
                    Change::New => Classic::Message { id, user_id: row.sender, content: row.content.clone() },
                    Change::Delete { .. } => Classic::MessageDeleted { id },
                    _ => continue,
                };
                self.record(&socket, Fact::ClassicReceived(envelope));
            }
        }
    }

    pub(crate) fn row(&mut self, id: u64) -> &mut db_state::Message {
        self.db.messages.iter_mut().find(|row| row.id == id).unwrap()
    }

    fn change(
        &mut self,
        socket: &Socket,
        id: u64,
        body: RequestBody,
        change: &Change,
        how: impl FnOnce(&mut db_state::Message),
    ) {
        let request_id = self.send_request(socket, body);
        let room = self.row(id).room;
        let there = self.db.rooms.get_mut(&room).unwrap();
        there.version += 1;
        let version = there.version;
        let row = self.row(id);
        row.version = version;
        how(row);
        self.deliver(socket, Some(&request_id), ServerBody::Ack(json!({"version": version})));
        self.broadcast_change(id, change);
    }

    pub(crate) fn edit(&mut self, socket: &Socket, id: u64, content: &str) {
        let (user, content) = (socket.user, content.to_owned());
        let body = RequestBody::Edit { message: id, content: content.clone() };
        self.change(socket, id, body, &Change::Edit { user }, |row| (row.content, row.edited) = (content, true));
    }

    pub(crate) fn delete(&mut self, socket: &Socket, id: u64) {
        let change = Change::Delete { user: socket.user };
        self.change(socket, id, RequestBody::Delete { message: id }, &change, |row| {
            row.deleted = true;
            row.content.clear();
            row.reactions.clear();
        });
    }

    pub(crate) fn react(&mut self, socket: &Socket, id: u64, on: bool) {
        let (user, emoji) = (socket.user, "👍".to_owned());
        let body = RequestBody::React { message: id, emoji: emoji.clone(), on };
        self.change(socket, id, body, &Change::React { user, emoji: emoji.clone(), on }, |row| {
            if on {
                row.reactions.insert((emoji, user))
            } else {
                row.reactions.remove(&(emoji, user))
            };
        });
    }

    pub(crate) fn mark_read(&mut self, socket: &Socket, room: u64, seq: u64) {
        let user = socket.user;
        let request_id = self.send_request(socket, RequestBody::Read { room, seq });
        let there = self.db.rooms.get_mut(&room).unwrap();
        let mark = there.members.get_mut(&user).unwrap();
        *mark = (*mark).max(seq.min(there.last_seq));
        let (read_seq, is_told) = (*mark, there.kind != "public");
        let unread = self.db.unread(room, user, read_seq);
        self.deliver(socket, Some(&request_id), ServerBody::Ack(json!({"read_seq": read_seq, "unread": unread})));
        for other in self.live_all() {
            let is_in = self.db.rooms[&room].members.contains_key(&other.user);
            if other.dialect == Dialect::V1 && is_in && (other.user == user || is_told) {
                self.deliver(&other, None, ServerBody::Read { room, user, seq: read_seq });
            }
        }
    }

    pub(crate) fn watch_presence(&mut self, socket: &Socket, room: u64) {
        let request_id = self.send_request(socket, RequestBody::Presence { room, on: true });
        let online: Vec<u64> =
            self.db.rooms[&room].members.keys().copied().filter(|user| self.online.contains(user)).collect();
        self.session(socket).watches.insert(room);
        let ack = json!({"online": online, "count": online.len(), "truncated": false});
        self.deliver(socket, Some(&request_id), ServerBody::Ack(ack));
    }

    pub(crate) fn list_online(&mut self, user: u64) {
        self.number += 1;
        let socket = Socket { user, device: "http".into(), dialect: Dialect::Http, number: self.number };
        let id = self.send_request(&socket, RequestBody::OnlineUsers {});
        let ack = json!({"online": self.online, "count": self.online.len()});
        self.record(&socket, Fact::EnvelopeReceived(ServerEnvelope { id: Some(id), body: ServerBody::Ack(ack) }));
    }
}

/// The live envelope of a change.
pub(crate) fn live(row: &db_state::Message, change: &Change) -> ServerBody {
    let change = change.clone();
    if let Change::React { .. } = change {
        let Message { id, room, version, reactions, .. } = message(row, None);
        return ServerBody::Change(ReactionsChange { id, room, version, reactions, change });
    }
    ServerBody::Message(message(row, Some(change)))
}

/// A stored message as an envelope shows it.
pub(crate) fn message(row: &db_state::Message, change: Option<Change>) -> Message {
    let mut reactions = BTreeMap::new();
    row.reactions.iter().for_each(|(emoji, _)| *reactions.entry(emoji.clone()).or_insert(0) += 1);
    Message {
        id: row.id,
        room: row.room,
        seq: row.seq,
        version: row.version,
        client_id: row.client_id.clone(),
        sender: UserRef { id: row.sender },
        content: row.content.clone(),
        reply_to: None,
        reactions,
        edited_at: row.edited.then(|| "later".to_owned()),
        deleted: row.deleted,
        send_time: format!("{:06}", row.seq),
        change,
    }
}
