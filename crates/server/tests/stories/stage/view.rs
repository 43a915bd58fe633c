//! What one device holds, kept by the rules of PROTOCOL.md, section 4, each of which is asserted: a server that
//! breaks one fails the story. It knows no socket.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use super::room_view::RoomView;

/// What one device holds.
#[derive(Clone, Default, Debug)]
pub struct View {
    /// Whose device it is, from the first welcome on.
    pub me: u64,
    /// The history that the versions belong to.
    pub epoch: Option<String>,
    pub rooms: BTreeMap<u64, RoomView>,
    /// Distinct users online.
    pub online: u64,
    /// Profiles that changed, as they are now.
    pub users: BTreeMap<u64, Value>,
    pub welcomed: bool,
    pub goodbye: Option<Value>,
    /// Rooms that hello named and whose bracket has not begun, in its order.
    resumes: VecDeque<u64>,
    /// What `sync` was asked for and has not come yet, by room: from which version.
    syncs: BTreeMap<u64, VecDeque<u64>>,
    /// What came of that and is not answered.
    synced: BTreeMap<u64, usize>,
    /// Where each own message came to lie, by `client_id`: id and seq, as acknowledged.
    acked: BTreeMap<String, (u64, u64)>,
}

/// A request that was sent.
#[derive(Clone, Debug)]
pub struct Asked {
    pub kind: String,
    pub data: Value,
}

impl View {
    /// What `hello` says of the rooms that are held, most wanted first.
    pub fn held(&self, wanted: &[u64]) -> Value {
        json!(wanted.iter().map(|id| json!({"room": id, "version": self.rooms[id].version})).collect::<Vec<_>>())
    }

    /// A new socket is about to say hello about these rooms; what is held of others is dropped.
    pub fn comes_back(&mut self, wanted: &[u64]) {
        self.rooms.retain(|id, _| wanted.contains(id));
        self.rooms.values_mut().for_each(RoomView::forget_the_socket);
        self.resumes = wanted.iter().copied().collect();
        self.syncs.clear();
        self.synced.clear();
        (self.welcomed, self.goodbye) = (false, None);
    }

    /// Whether everything that hello named has been brought.
    pub fn is_caught_up(&self) -> bool {
        self.is_waiting_for().is_none()
    }

    /// What is still to come of what hello named.
    pub fn is_waiting_for(&self) -> Option<String> {
        let rooms = |is_so: &dyn Fn(&RoomView) -> bool| {
            self.rooms.iter().filter(|(_, room)| is_so(room)).map(|(id, _)| *id).collect::<Vec<_>>()
        };
        let (open, gone) = (rooms(&|room| room.bracket.is_some()), rooms(&|room| room.must_go));
        match (self.welcomed, self.resumes.is_empty() && open.is_empty() && gone.is_empty()) {
            (true, true) => None,
            (true, false) => Some(format!("brackets of {:?}, ends of {open:?}, removals of {gone:?}", self.resumes)),
            (false, _) => Some("a welcome".to_owned()),
        }
    }

    /// The room.
    #[track_caller]
    pub fn room(&self, id: u64) -> &RoomView {
        self.rooms.get(&id).unwrap_or_else(|| panic!("room {id} is not held: {:?}", self.rooms.keys()))
    }

    fn room_mut(&mut self, id: &Value) -> &mut RoomView {
        let id = id.as_u64().unwrap();
        self.rooms.get_mut(&id).unwrap_or_else(|| panic!("an envelope of room {id} that is not held"))
    }

    /// A message that is held, wherever it was said.
    pub fn message(&self, id: u64) -> Option<&Value> {
        self.rooms.values().find_map(|room| room.messages.get(&id))
    }

    /// Applies what came; `asked` is the request that it answers.
    pub fn apply(&mut self, envelope: &Value, asked: Option<&Asked>) {
        let (kind, data) = (envelope["type"].as_str().unwrap(), &envelope["data"]);
        assert!(self.goodbye.is_none(), "nothing comes behind goodbye: {envelope}");
        assert!(self.welcomed || ["welcome", "ack", "error", "goodbye"].contains(&kind), "before welcome: {envelope}");
        match kind {
            "welcome" => self.welcome(data),
            "catch_up" => self.catch_up(data),
            "caught_up" => {
                let answers = self.room_mut(&data["room"]).caught_up(data);
                *self.synced.entry(data["room"].as_u64().unwrap()).or_default() += usize::from(answers);
            }
            "message" => self.says(data),
            "read" => {
                let me = self.me;
                self.room_mut(&data["room"]).read(me, data);
            }
            "typing" => self.room_mut(&data["room"]).typing = ids(&data["users"]),
            "presence" => self.room_mut(&data["room"]).presence(data),
            "online_count" => self.online = data["count"].as_u64().unwrap(),
            "room" => self.enter(data),
            "removed" => self.removed(data["room"].as_u64().unwrap()),
            "user" => self.renamed(data),
            "ack" => {
                if let Some(asked) = asked {
                    self.answered(asked, data);
                }
            }
            "error" => {
                if let Some(asked) = asked.filter(|asked| asked.kind == "sync") {
                    self.refused_to_sync(asked);
                }
            }
            "goodbye" => self.goodbye = Some(data.clone()),
            _ => {}
        }
    }

    fn welcome(&mut self, data: &Value) {
        assert!(!self.welcomed, "welcomed twice");
        self.welcomed = true;
        self.me = data["user"]["id"].as_u64().unwrap();
        self.online = data["online"]["count"].as_u64().unwrap();
        let epoch = data["epoch"].as_str().unwrap().to_owned();
        let is_the_same = self.epoch.as_ref() == Some(&epoch);
        let listed: BTreeSet<u64> =
            data["rooms"].as_array().unwrap().iter().map(|entry| entry["id"].as_u64().unwrap()).collect();
        for entry in data["rooms"].as_array().unwrap() {
            if let Some(held) = self.rooms.get_mut(&entry["id"].as_u64().unwrap()) {
                if is_the_same {
                    let before = held.read_seq;
                    held.renew(entry);
                    assert!(held.read_seq >= before, "a read mark went back: {entry}");
                } else {
                    *held = RoomView::of_another_history(entry);
                }
            } else {
                self.enter(entry);
            }
        }
        // Each of these is told as removed.
        for gone in self.resumes.iter().filter(|id| !listed.contains(id)) {
            self.rooms.get_mut(gone).unwrap().must_go = true;
        }
        self.resumes.retain(|id| listed.contains(id));
        self.epoch = Some(epoch);
    }

    /// An entry never moves the cursor of a room that is held.
    fn enter(&mut self, entry: &Value) {
        let room = self.rooms.entry(entry["id"].as_u64().unwrap()).or_insert_with(|| RoomView::new(entry));
        room.renew(entry);
    }

    fn removed(&mut self, id: u64) {
        self.rooms.remove(&id);
        self.resumes.retain(|other| *other != id);
    }

    fn catch_up(&mut self, data: &Value) {
        let id = data["room"].as_u64().unwrap();
        let resumed = self.resumes.contains(&id);
        if resumed {
            assert_eq!(self.resumes.pop_front(), Some(id), "brackets begin in the order of hello");
        }
        let reset = data["reset"] == true;
        let asked = self
            .syncs
            .get_mut(&id)
            .filter(|asked| !resumed && asked.front().is_some_and(|since| reset || data["from"] == json!(since)));
        let sync = asked.and_then(VecDeque::pop_front).is_some();
        self.room_mut(&data["room"]).catch_up(data, resumed, sync);
    }

    fn says(&mut self, message: &Value) {
        let me = self.me;
        let id = message["room"].as_u64().unwrap();
        assert!(!self.resumes.contains(&id), "live before its bracket: {message}");
        if let Some(client_id) = message["client_id"].as_str()
            && message["sender"]["id"] == json!(me)
            && let Some((id, seq)) = self.acked.get(client_id)
        {
            assert_eq!((&message["id"], &message["seq"]), (&json!(id), &json!(seq)), "another place than acknowledged");
        }
        self.room_mut(&message["room"]).says(me, message);
    }

    fn renamed(&mut self, profile: &Value) {
        let id = profile["id"].as_u64().unwrap();
        self.users.insert(id, profile.clone());
        self.rooms.values_mut().for_each(|room| room.renamed(id, profile));
    }

    fn answered(&mut self, asked: &Asked, data: &Value) {
        let room = asked.data["room"].as_u64();
        match asked.kind.as_str() {
            "message" => {
                let place = (data["id"].as_u64().unwrap(), data["seq"].as_u64().unwrap());
                let client_id = asked.data["client_id"].as_str().unwrap();
                let before = self.acked.insert(client_id.to_owned(), place);
                assert!(before.is_none_or(|before| before == place), "{client_id} was {before:?} and is {place:?}");
                if let Some(held) = self.message(place.0) {
                    assert_eq!((&held["seq"], &held["client_id"]), (&json!(place.1), &json!(client_id)));
                }
            }
            "history" => {
                if let Some(room) = room.and_then(|id| self.rooms.get_mut(&id)) {
                    room.page(data);
                }
            }
            "read" => {
                if let Some(room) = room.and_then(|id| self.rooms.get_mut(&id)) {
                    room.read_seq = room.read_seq.max(data["read_seq"].as_u64().unwrap());
                }
            }
            "sync" => {
                let synced = self.synced.entry(room.unwrap()).or_default();
                assert!(*synced > 0, "a sync is answered behind its bracket's caught_up");
                *synced -= 1;
            }
            "presence" => {
                let on = asked.data["on"] == true;
                if let Some(room) = room.and_then(|id| self.rooms.get_mut(&id)) {
                    room.watched = (on && data["truncated"] == false).then(|| ids(&data["online"]));
                }
            }
            // The events tell whoever is in a room already; this is the entry before its first envelope.
            "join" | "create" | "open" if !self.rooms.contains_key(&data["id"].as_u64().unwrap()) => self.enter(data),
            _ => {}
        }
    }

    /// What differs from what `fresh` shows, which has loaded everything.
    pub fn difference(&self, fresh: &Self) -> Option<String> {
        let ids = |view: &Self| view.rooms.keys().copied().collect::<Vec<_>>();
        if ids(self) != ids(fresh) {
            return Some(format!("rooms {:?} and not {:?}", ids(self), ids(fresh)));
        }
        self.rooms.iter().find_map(|(id, room)| {
            room.difference(&fresh.rooms[id], self.me).map(|difference| format!("room {id}: {difference}"))
        })
    }

    fn refused_to_sync(&mut self, asked: &Asked) {
        if let Some(syncs) = asked.data["room"].as_u64().and_then(|room| self.syncs.get_mut(&room))
            && let Some(place) = syncs.iter().position(|since| asked.data["since"] == json!(since))
        {
            syncs.remove(place);
        }
    }

    /// A `sync` is asked for.
    pub fn asks_to_sync(&mut self, room: u64, since: u64) {
        self.syncs.entry(room).or_default().push_back(since);
    }
}

/// A list of ids.
pub fn ids(list: &Value) -> BTreeSet<u64> {
    list.as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
}
