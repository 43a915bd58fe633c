//! One room, as one device holds it: its messages from some place on, its version, the brackets that bring it up
//! to date. Every rule is asserted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::view::ids;

/// One room.
#[derive(Clone, Default, Debug)]
pub struct RoomView {
    pub entry: Value,
    pub version: u64,
    /// Every message from this seq on is held.
    pub low: u64,
    pub last_seq: u64,
    pub read_seq: u64,
    /// Up to where others have read.
    pub reads: BTreeMap<u64, u64>,
    pub messages: BTreeMap<u64, Value>,
    /// One's own reactions, by message.
    pub mine: BTreeMap<u64, BTreeSet<String>>,
    pub typing: BTreeSet<u64>,
    /// Who is online here, when that was asked for and can be listed.
    pub watched: Option<BTreeSet<u64>>,
    pub bracket: Option<Bracket>,
    /// Brackets that were closed, and how many of them began the room anew.
    pub brackets: usize,
    pub resets: usize,
    /// Its history is another one, so its bracket must begin it anew.
    pub must_reset: bool,
    /// It was not in the welcome: all that may come of it is `removed`.
    pub must_go: bool,
}

/// What is being caught up.
#[derive(Clone, Debug)]
pub struct Bracket {
    reset: bool,
    sync: bool,
    /// The last version that came in it.
    at: u64,
    last_seq_before: u64,
    brought: BTreeSet<u64>,
}

impl RoomView {
    /// A room that is live from its entry's version on; its past comes by history.
    pub fn new(entry: &Value) -> Self {
        let number = |field: &str| entry[field].as_u64().unwrap();
        let last_seq = number("last_seq");
        let mut room = Self { version: number("version"), low: last_seq + 1, last_seq, ..Self::default() };
        room.renew(entry);
        room
    }

    /// A room of which another history is held: it must be begun anew.
    pub fn of_another_history(entry: &Value) -> Self {
        Self { must_reset: true, ..Self::new(entry) }
    }

    /// Takes what an entry says but for its version.
    pub fn renew(&mut self, entry: &Value) {
        if self.entry.is_null() {
            self.entry = json!({});
        }
        for (name, value) in entry.as_object().unwrap() {
            self.entry[name] = value.clone();
        }
        self.read_seq = self.read_seq.max(entry["read_seq"].as_u64().unwrap_or(0));
        for (user, seq) in entry["reads"].as_object().into_iter().flatten() {
            self.has_read(user.parse().unwrap(), seq.as_u64().unwrap());
        }
        if let Some(peer) = entry.get("peer") {
            self.has_read(peer["id"].as_u64().unwrap(), peer["read_seq"].as_u64().unwrap());
        }
    }

    /// The connection ended. A bracket that was not closed moved no cursor: what one reacted to in it is not
    /// known. One that began the room anew left nothing to go on from.
    pub fn forget_the_socket(&mut self) {
        match &self.bracket {
            Some(bracket) if bracket.reset => {
                self.messages.clear();
                self.mine.clear();
                (self.version, self.low, self.last_seq) = (0, 1, 0);
            }
            Some(bracket) => self.last_seq = bracket.last_seq_before,
            None => {}
        }
        self.must_reset = false;
        self.typing.clear();
        (self.bracket, self.watched) = (None, None);
    }

    fn has_read(&mut self, user: u64, seq: u64) {
        let mark = self.reads.entry(user).or_default();
        *mark = (*mark).max(seq);
    }

    pub fn read(&mut self, me: u64, data: &Value) {
        let (user, seq) = (data["user"].as_u64().unwrap(), data["seq"].as_u64().unwrap());
        if user == me {
            self.read_seq = self.read_seq.max(seq);
        } else {
            self.has_read(user, seq);
        }
    }

    pub fn presence(&mut self, data: &Value) {
        if data["refresh"] == true {
            self.watched = None;
        }
        let Some(watched) = &mut self.watched else { return };
        for user in ids(&data["online"]) {
            assert!(watched.insert(user), "{user} was online already: {data}");
        }
        for user in ids(&data["offline"]) {
            assert!(watched.remove(&user), "{user} was not online: {data}");
        }
        assert_eq!(data["count"], json!(watched.len()), "{data} of {watched:?}");
    }

    pub fn renamed(&mut self, user: u64, profile: &Value) {
        for message in self.messages.values_mut().filter(|message| message["sender"]["id"] == json!(user)) {
            message["sender"] = profile.clone();
        }
        if let Some(peer) = self.entry.get_mut("peer").filter(|peer| peer["id"] == json!(user)) {
            for (name, value) in profile.as_object().unwrap() {
                peer[name] = value.clone();
            }
        }
    }

    // ── Brackets ──

    /// `resumed`: it is the one that hello asked for; `sync`: it is the answer to one.
    pub fn catch_up(&mut self, data: &Value, resumed: bool, sync: bool) {
        assert!(self.bracket.is_none(), "a bracket in a bracket: {data}");
        let (from, reset) = (data["from"].as_u64().unwrap(), data["reset"] == true);
        assert!(reset || sync || from == self.version, "{data} for a device that is at {}", self.version);
        assert!(resumed || sync || !reset, "a room is begun anew in mid-session: {data}");
        assert!(reset || !self.must_reset, "versions of another history went on: {data}");
        self.must_reset = false;
        let last_seq_before = self.last_seq;
        if reset {
            self.messages.clear();
            self.mine.clear();
            self.last_seq = 0;
            self.resets += 1;
        }
        let at = if reset { 0 } else { from };
        self.bracket = Some(Bracket { reset, sync, at, last_seq_before, brought: BTreeSet::new() });
    }

    /// Says whether it was the answer to a `sync`.
    pub fn caught_up(&mut self, data: &Value) -> bool {
        let bracket = self.bracket.take().unwrap_or_else(|| panic!("no bracket is open: {data}"));
        let version = data["version"].as_u64().unwrap();
        assert!(version >= bracket.at, "{data} behind a message of version {}", bracket.at);
        let mine = data["my_reactions"].as_object().unwrap();
        for (id, emoji) in mine {
            let id = id.parse().unwrap();
            assert!(bracket.brought.contains(&id), "own reactions to what was not brought: {data}");
            let emoji = emoji.as_array().unwrap().iter().map(|emoji| emoji.as_str().unwrap().to_owned()).collect();
            self.mine.insert(id, emoji);
        }
        for id in bracket.brought.iter().filter(|id| !mine.contains_key(&id.to_string())) {
            self.mine.remove(id);
        }
        if bracket.reset {
            let seqs = self.messages.values().map(|message| message["seq"].as_u64().unwrap());
            self.low = seqs.min().unwrap_or(self.last_seq + 1);
            assert!(self.messages.len() <= 50, "begun anew with {} messages", self.messages.len());
            assert!(self.messages.len() == 50 || self.low <= 1, "begun anew with too few: from seq {}", self.low);
        }
        self.version = version;
        self.brackets += 1;
        self.assert_no_hole();
        bracket.sync
    }

    /// From `low` on every seq is there, once.
    pub fn assert_no_hole(&self) {
        let mut seqs: Vec<u64> = self.shown().map(|message| message["seq"].as_u64().unwrap()).collect();
        // A page of history may be ahead of what is live.
        seqs.retain(|seq| *seq <= self.last_seq);
        seqs.sort_unstable();
        let all: Vec<u64> = (self.low..=self.last_seq).collect();
        assert_eq!(seqs, all, "room {} from seq {} on", self.entry["id"], self.low);
    }

    /// The messages of the window that is loaded.
    pub fn shown(&self) -> impl Iterator<Item = &Value> {
        self.messages.values().filter(|message| message["seq"].as_u64().unwrap() >= self.low)
    }

    /// What differs from what `fresh` shows, which has loaded all of it.
    pub fn difference(&self, fresh: &Self, me: u64) -> Option<String> {
        let differ =
            |what: &str, here: &Value, there: &Value| (here != there).then(|| format!("{what} {here} and not {there}"));
        let numbers = |room: &Self| json!([room.version, room.last_seq, room.read_seq]);
        let mine = |room: &Self| {
            let kept = room.mine.iter().filter(|(id, mine)| {
                let seq = room.messages.get(id).and_then(|message| message["seq"].as_u64());
                !mine.is_empty() && seq.is_some_and(|seq| seq >= self.low)
            });
            json!(kept.collect::<BTreeMap<_, _>>())
        };
        // Newcomers to the site are no news for everybody in the lobby.
        let fields: &[&str] = &["kind", "name", "title", "role", "muted", "members"];
        let fields = &fields[..fields.len() - usize::from(self.entry["id"] == 1)];
        differ("version, last_seq, read_seq", &numbers(self), &numbers(fresh))
            .or_else(|| fields.iter().find_map(|field| differ(field, &self.entry[field], &fresh.entry[field])))
            .or_else(|| {
                // Where newcomers begin to read is not told; where they read on is.
                let known = |marks: &BTreeMap<u64, u64>, others: &BTreeMap<u64, u64>| {
                    json!(marks.iter().filter(|(user, _)| others.contains_key(user)).collect::<BTreeMap<_, _>>())
                };
                differ("others' marks", &known(&self.reads, &fresh.reads), &known(&fresh.reads, &self.reads))
            })
            .or_else(|| differ("own reactions", &mine(self), &mine(fresh)))
            .or_else(|| differ("unread", &json!(fresh.unread_as_shown(me)), &fresh.entry["unread"]))
            .or_else(|| {
                let of = |room: &Self| room.shown().filter(|one| one["seq"].as_u64() >= Some(self.low)).count();
                differ("so many messages", &json!(of(self)), &json!(of(fresh)))
            })
            .or_else(|| self.shown().find_map(|held| self.differs(held, &fresh.messages)))
    }

    fn differs(&self, held: &Value, fresh: &BTreeMap<u64, Value>) -> Option<String> {
        let Some(there) = fresh.get(&held["id"].as_u64().unwrap()) else { return Some(format!("{held} is not there")) };
        // What somebody is called now takes no version; it is told as `user` to who is there to hear it.
        let nameless = |message: &Value| {
            let mut message = message.clone();
            message["sender"] = message["sender"]["id"].take();
            message
        };
        let (here, there) = (nameless(held), nameless(there));
        (here != there).then(|| format!("{here} and not {there}"))
    }

    /// Others' messages above the read mark, not deleted, counted to 999.
    fn unread_as_shown(&self, me: u64) -> usize {
        let unread = self.shown().filter(|message| {
            message["seq"].as_u64() > Some(self.read_seq)
                && message["sender"]["id"] != json!(me)
                && message["deleted"] == false
        });
        unread.count().min(999)
    }

    // ── Messages ──

    pub fn says(&mut self, me: u64, message: &Value) {
        let (id, version) = (message["id"].as_u64().unwrap(), message["version"].as_u64().unwrap());
        assert!(!self.must_go && !self.must_reset, "of a room that is not held like this: {message}");
        if let Some(bracket) = &mut self.bracket {
            assert!(message.get("change").is_none(), "a live message in a bracket: {message}");
            assert!(version > bracket.at, "versions grow in a bracket, and {} was there: {message}", bracket.at);
            bracket.at = version;
            bracket.brought.insert(id);
            let begun_anew = bracket.reset;
            self.last_seq = self.last_seq.max(message["seq"].as_u64().unwrap());
            if begun_anew || self.is_loaded(message) {
                self.keep(message);
            }
            return;
        }
        let change = message.get("change").unwrap_or_else(|| panic!("live without its change: {message}"));
        assert_eq!(version, self.version + 1, "no gap and no repeat: {message}");
        self.version = version;
        if change["kind"] == "new" {
            assert_eq!(message["seq"], json!(self.last_seq + 1), "seqs have no hole: {message}");
            self.last_seq += 1;
        }
        if !self.is_loaded(message) || !self.keep(message) {
            return;
        }
        if change["kind"] == "react" && change["user"] == json!(me) {
            let mine = self.mine.entry(id).or_default();
            let emoji = change["emoji"].as_str().unwrap().to_owned();
            if change["on"] == true {
                mine.insert(emoji)
            } else {
                mine.remove(&emoji)
            };
        }
    }

    /// A message outside of what is loaded only moves the cursor: what one reacted to it is not known.
    fn is_loaded(&self, message: &Value) -> bool {
        message["seq"].as_u64().unwrap() >= self.low || self.messages.contains_key(&message["id"].as_u64().unwrap())
    }

    /// Inserts or replaces by id, never by something older. Says whether it did.
    fn keep(&mut self, message: &Value) -> bool {
        let mut message = message.clone();
        message.as_object_mut().unwrap().remove("change");
        let id = message["id"].as_u64().unwrap();
        assert_eq!(message["room"], self.entry["id"], "{message}");
        if let Some(held) = self.messages.get(&id) {
            for field in ["seq", "client_id", "send_time", "reply_to", "kind"] {
                assert_eq!(held[field], message[field], "{field} of {held} became that of {message}");
            }
            if held["version"].as_u64() > message["version"].as_u64() {
                return false;
            }
            assert!(held["deleted"] == false || message["deleted"] == true, "it came back: {message}");
            if held["version"] == message["version"] {
                for field in ["content", "mentions", "reactions", "edited_at", "deleted"] {
                    assert_eq!(held[field], message[field], "one version, and another {field}: {message}");
                }
            }
        }
        if message["deleted"] == true {
            assert_eq!(message["reactions"], json!({}), "reactions to nothing: {message}");
            self.mine.remove(&id);
        }
        self.messages.insert(id, message);
        true
    }

    /// A page of history: never moves the cursor.
    pub fn page(&mut self, data: &Value) {
        let messages = data["messages"].as_array().unwrap();
        let seq = |message: &Value| message["seq"].as_u64().unwrap();
        assert!(messages.is_sorted_by(|a, b| seq(a) + 1 == seq(b)), "oldest first, without a hole: {data}");
        for message in messages {
            let id = message["id"].as_u64().unwrap();
            let is_news =
                self.messages.get(&id).is_none_or(|held| held["version"].as_u64() < message["version"].as_u64());
            if self.keep(message) && is_news {
                let mine = data["my_reactions"][id.to_string()].as_array();
                let mine = mine.into_iter().flatten().map(|emoji| emoji.as_str().unwrap().to_owned());
                self.mine.insert(id, mine.collect());
            }
        }
        // A page that reaches what is loaded makes the window larger.
        if let (Some(first), Some(last)) = (messages.first(), messages.last())
            && seq(last) + 1 >= self.low
        {
            self.low = self.low.min(seq(first));
        }
    }
}
