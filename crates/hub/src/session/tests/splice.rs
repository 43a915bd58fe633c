//! The splice of store pages and tail: whatever a v1 client holds when it connects, however slowly it reads, whatever
//! changes meanwhile and however late the store answers, the client ends up showing exactly the rooms. Versions grow by
//! one outside of a catch-up, and grow inside of one.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

use proptest::prelude::*;
use serde_json::{Value, json};
use teahouse_core::{Message, MessageChange, MessageId, MessageKind, Profile, RoomId, Seq, Timestamp, UserId, Version};
use teahouse_protocol::v1;

use super::*;
use crate::websocket::text_payload;

const CHANGES_MAX: usize = 20;
const RESET_MESSAGES: usize = 5;
const PAGE_MESSAGES: usize = 4;
const ROOMS: [RoomId; 3] = [RoomId(1), RoomId(7), RoomId(8)];

/// A room as the store has it.
#[derive(Default)]
struct StoredRoom {
    messages: Vec<Message>,
    version: u64,
}

impl StoredRoom {
    fn change(&mut self, room: RoomId, what: u64) -> (Message, MessageChange) {
        self.version += 1;
        let own = what.is_multiple_of(5);
        let count = self.messages.len() as u64;
        if what.is_multiple_of(3) && count > 0 {
            let message = &mut self.messages[(what % count) as usize];
            message.version = Version(self.version);
            let by = UserId(if own { 7 } else { 9 });
            if what.is_multiple_of(2) {
                message.content = format!("edited at {}", self.version);
                return (message.clone(), MessageChange::Edit { by });
            }
            message.reactions = vec![(format!("{}", self.version), 1)];
            return (message.clone(), MessageChange::React { by, emoji: String::new(), on: true });
        }
        self.messages.push(Message {
            id: MessageId(room.0 * 1000 + count),
            room,
            seq: Seq(count + 1),
            version: Version(self.version),
            sender: Profile { id: UserId(9), ..Profile::default() },
            client_id: None,
            content: format!("said at {}", self.version),
            kind: MessageKind::Text,
            reply_to: None,
            mentions: vec![],
            reactions: vec![],
            edited_at: None,
            deleted: false,
            sent_at: Timestamp(0),
        });
        (self.messages[count as usize].clone(), MessageChange::New)
    }

    fn head(&self) -> (Version, Seq) {
        (Version(self.version), Seq(self.messages.len() as u64))
    }

    fn page(&self, from: CatchUpFrom) -> Page {
        let (since, may_reset) = match from {
            CatchUpFrom::Since(version) => (version, false),
            CatchUpFrom::Held(version) => (version, true),
            CatchUpFrom::Reset => (Version(u64::MAX), true),
        };
        let mut changed: Vec<&Message> = self.messages.iter().filter(|message| message.version > since).collect();
        let reset = may_reset && (since.0 > self.version || changed.len() > CHANGES_MAX);
        if reset {
            changed = self.messages.iter().rev().take(RESET_MESSAGES).collect();
        }
        changed.sort_by_key(|message| message.version);
        let complete = reset || changed.len() <= PAGE_MESSAGES;
        if !complete {
            changed.truncate(PAGE_MESSAGES);
        }
        let version = if complete { self.head().0 } else { changed[changed.len() - 1].version };
        Page {
            frames: changed.iter().map(|message| (text_frame(&v1::message(message, None)), None)).collect(),
            reset,
            reacted: changed.iter().filter(|m| !m.reactions.is_empty()).map(|m| m.id).collect(),
            reached: (version, self.head().1),
            complete,
        }
    }
}

/// What a client shows of a room. It follows docs/protocol.md, "What a client must do", and nothing else.
#[derive(Default, Debug)]
struct View {
    version: u64,
    messages: BTreeMap<u64, Value>,
    own: BTreeMap<u64, u64>,
    catch_up: bool,
    /// The room was reset: the client lacks older messages.
    partial: bool,
}

#[derive(Default)]
struct Client {
    rooms: HashMap<u64, View>,
    synced: Vec<String>,
}

impl Client {
    fn read(&mut self, frame: &Bytes) {
        let envelope: Value = serde_json::from_slice(text_payload(frame)).unwrap();
        let data = &envelope["data"];
        let number = |name: &str| data[name].as_u64().unwrap();
        match envelope["type"].as_str().unwrap() {
            "catch_up" => {
                let view = self.rooms.entry(number("room")).or_default();
                assert!(!view.catch_up, "a catch_up inside of a catch_up");
                view.catch_up = true;
                if data["reset"] == json!(true) {
                    *view = View { catch_up: true, partial: true, ..View::default() };
                } else {
                    // A sync begins where the client asked.
                    view.version = view.version.min(number("from"));
                }
            }
            "message" => {
                let view = self.rooms.entry(number("room")).or_default();
                let version = number("version");
                if view.catch_up {
                    assert!(version > view.version, "versions grow in a catch_up: {version} after {}", view.version);
                    assert!(data.get("change").is_none());
                } else {
                    assert_eq!(version, view.version + 1, "a live version is the next one");
                    assert!(data.get("change").is_some());
                }
                view.version = version;
                let mut message = data.clone();
                message.as_object_mut().unwrap().remove("change");
                view.messages.insert(number("id"), message);
            }
            "change" => {
                let view = self.rooms.get_mut(&number("room")).unwrap();
                assert!(!view.catch_up, "a part of a message in a catch_up");
                assert_eq!(number("version"), view.version + 1, "a live version is the next one");
                view.version += 1;
                if let Some(message) = view.messages.get_mut(&number("id")) {
                    message["version"] = data["version"].clone();
                    message["reactions"] = data["reactions"].clone();
                }
            }
            "caught_up" => {
                let view = self.rooms.get_mut(&number("room")).unwrap();
                assert!(std::mem::take(&mut view.catch_up), "caught up without a catch_up");
                assert!(number("version") >= view.version);
                view.version = number("version");
                for (id, emoji) in data["my_reactions"].as_object().unwrap() {
                    view.own.insert(id.parse().unwrap(), emoji[0].as_str().unwrap().parse().unwrap());
                }
            }
            "ack" => self.synced.push(envelope["id"].as_str().unwrap().to_owned()),
            other => panic!("{other}"),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A room changes.
    Change(usize, u64),
    /// The feed delivers this many changes.
    Deliver(usize),
    /// The inbox was full: the shard only learns the rooms' heads.
    Gap,
    /// The socket accepts a batch.
    Read,
    /// The store completes the oldest read.
    CompleteRead,
    /// The client requests a room's changes again, from this far back.
    Sync(usize, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..3_usize, any::<u64>()).prop_map(|(room, what)| Step::Change(room, what)),
        6 => (1..5_usize).prop_map(Step::Deliver),
        1 => Just(Step::Gap),
        6 => Just(Step::Read),
        5 => Just(Step::CompleteRead),
        1 => (0..3_usize, 0..30_u64).prop_map(|(room, back)| Step::Sync(room, back)),
    ];
    proptest::collection::vec(step, 0..250)
}

struct World {
    stored: Vec<StoredRoom>,
    tails: Vec<Tail>,
    feed: VecDeque<(usize, EncodedChange)>,
    session: Session,
    client: Client,
    reads: VecDeque<StoreRead>,
}

impl World {
    /// Rooms of `past` changes. The client holds what a room once was, or claims a version that never was.
    fn new(past: u64, tail_max: usize, held: &[Option<u64>], another_epoch: bool) -> Self {
        let mut world = Self {
            stored: ROOMS.iter().map(|_| StoredRoom::default()).collect(),
            tails: Vec::new(),
            feed: VecDeque::new(),
            session: Session::new(params(Some(at(10))), at(0)),
            client: Client::default(),
            reads: VecDeque::new(),
        };
        for (index, claimed) in held.iter().enumerate() {
            for what in 0..=past {
                let version = world.stored[index].version;
                if *claimed == Some(version) {
                    let stored = &world.stored[index];
                    let messages = stored.messages.iter().map(|m| {
                        (m.id.0, serde_json::from_str::<Value>(&v1::message(m, None)).unwrap()["data"].clone())
                    });
                    let view = View { version, messages: messages.collect(), ..View::default() };
                    world.client.rooms.insert(ROOMS[index].0, view);
                }
                if what < past {
                    world.stored[index].change(ROOMS[index], what * 7 + past);
                }
            }
        }
        for (index, room) in ROOMS.into_iter().enumerate() {
            let head = world.stored[index].head();
            world.tails.push(Tail::new(head.0, head.1, TailMax { changes: tail_max, bytes: 20_000 }));
            world.session.add_cursor(Cursor::at(room, head));
            // A room that the client does not name is live from here.
            let view = View { version: head.0.0, partial: true, ..View::default() };
            if held[index].is_none() {
                world.client.rooms.insert(room.0, view);
            }
        }
        world.session.v1.as_mut().unwrap().phase = Phase::Live;
        for index in [2, 0, 1] {
            if let Some(version) = held[index] {
                world.session.resume(ROOMS[index], (!another_epoch).then_some(Version(version)));
            }
        }
        world
    }

    fn change(&mut self, room: usize, what: u64) {
        let (message, what) = self.stored[room].change(ROOMS[room], what);
        let (v1, whole) = match &what {
            MessageChange::React { by, emoji, on } => {
                (v1::change(&message, *by, emoji, *on), Some(text_frame(&v1::message(&message, None))))
            }
            _ => (v1::message(&message, Some(&what)), None),
        };
        let change = EncodedChange {
            version: message.version,
            last_seq: self.stored[room].head().1,
            classic: None,
            receiver: None,
            v1: text_frame(&v1),
            whole,
            is_new: what == MessageChange::New,
            message: message.id,
            author: message.sender.id,
            has_reactions: !message.reactions.is_empty(),
        };
        self.feed.push_back((room, change));
    }

    fn deliver(&mut self, count: usize) {
        for _ in 0..count {
            let Some((room, change)) = self.feed.pop_front() else { return };
            self.tails[room].push(change, 0);
            self.session.mark_due(ROOMS[room]);
        }
    }

    fn gap(&mut self) {
        for (room, change) in std::mem::take(&mut self.feed) {
            self.tails[room].skip_to(change.version, change.last_seq);
            self.session.mark_due(ROOMS[room]);
        }
    }

    fn read(&mut self) {
        let (mut batch, mut reads) = (Batch::default(), Vec::new());
        let (count, ring) = (count(2), Ring::new(1, 1000));
        let missed = |_: Language, _: Dialect| frame("missed");
        let tails = &self.tails;
        let tail_of = |id| ROOMS.iter().position(|room| *room == id).map(|index| &tails[index]);
        let input = GatherInput { tail_of, count: &count, ring: &ring, events_missed: &missed };
        self.session.gather(&input, &mut batch, &mut reads);
        batch.frames.iter().for_each(|frame| self.client.read(frame));
        self.reads.extend(reads);
    }

    fn complete_read(&mut self) {
        let Some(read) = self.reads.pop_front() else { return };
        let index = ROOMS.iter().position(|room| *room == read.room()).unwrap();
        let cursor = self.session.cursor_in(read.room()).unwrap();
        match &read {
            StoreRead::Changes(_, from) => {
                let page = Rc::new(self.stored[index].page(*from));
                assert!(cursor.accept_page(&read, &page), "a page for another cursor: {read:?}");
            }
            StoreRead::Reactions(_, _, messages) => {
                let own = messages.iter().map(|id| (*id, id.0.to_string()));
                assert!(cursor.accept_reactions(messages, &v1::own_reactions(own)));
            }
            other => panic!("{other:?}"),
        }
    }

    /// Checks that the client shows exactly the rooms.
    fn check(&self) -> Result<(), TestCaseError> {
        for (index, room) in ROOMS.into_iter().enumerate() {
            let stored = &self.stored[index];
            let view = &self.client.rooms[&room.0];
            prop_assert!(!view.catch_up);
            prop_assert_eq!(view.version, stored.version);
            for message in &stored.messages {
                let expect = serde_json::from_str::<Value>(&v1::message(message, None)).unwrap()["data"].clone();
                match view.messages.get(&message.id.0) {
                    Some(shown) => prop_assert_eq!(shown, &expect),
                    None => prop_assert!(view.partial, "{:?} is missing", message),
                }
            }
            prop_assert!(view.messages.len() <= stored.messages.len());
            prop_assert!(view.own.iter().all(|(id, emoji)| id == emoji));
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]
    #[test]
    fn a_client_ends_up_showing_exactly_the_rooms(
        past in 0..60_u64,
        tail_max in 1..30_usize,
        held in proptest::collection::vec(proptest::option::of(0..70_u64), 3),
        another_epoch in proptest::bool::weighted(0.1),
        steps in steps(),
    ) {
        let mut world = World::new(past, tail_max, &held, another_epoch);
        let mut syncs = 0;
        for step in steps {
            match step {
                Step::Change(room, what) => world.change(room, what),
                Step::Deliver(count) => world.deliver(count),
                Step::Gap => world.gap(),
                Step::Read => world.read(),
                Step::CompleteRead => world.complete_read(),
                Step::Sync(index, back) => {
                    let view = world.client.rooms.entry(ROOMS[index].0).or_default();
                    let since = view.version.saturating_sub(back);
                    let cursor = world.session.cursor_in(ROOMS[index]).unwrap();
                    // Too many at once are refused; all others are answered.
                    syncs += usize::from(cursor.request_sync(Version(since), Some(syncs.to_string())).is_ok());
                }
            }
        }
        world.deliver(usize::MAX);
        for _ in 0..2000 {
            world.read();
            world.complete_read();
        }
        world.check()?;
        let mut synced = world.client.synced;
        synced.sort_by_key(|id| id.parse::<u64>().unwrap());
        prop_assert_eq!(synced, (0..syncs).map(|id| id.to_string()).collect::<Vec<_>>());
    }
}
