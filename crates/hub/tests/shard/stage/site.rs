//! The stage for v1: rooms and who is in them, what a hello is answered with, and what v1 tabs say and hear.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use teahouse_core::{Role as MemberRole, RoomKind, User, UserRole};
use teahouse_hub::{HubRequest, SessionEffect, WelcomeData};
use teahouse_protocol::v1::{self, LimitsBody, Request};
use tokio::sync::Semaphore;

use super::*;

/// Who is in which room, beside the lobby, and as what; and whether hellos are answered.
pub struct Site {
    members: Mutex<BTreeMap<RoomId, Vec<u64>>>,
    moderators: Mutex<BTreeSet<(RoomId, u64)>>,
    /// Hellos whose snapshot was taken.
    pub hellos: AtomicU64,
    /// A hello takes one of these between its snapshot and its answer.
    pub gate: Arc<Semaphore>,
    /// Requests to come into a room that were begun.
    pub joins: AtomicU64,
    /// Looking at who is in a room, or what changed there, takes one of these.
    pub reads: Arc<Semaphore>,
    /// Looks at how a room is to its members that were begun; each takes one of these before it is answered.
    looks: AtomicU64,
    pub entries: Arc<Semaphore>,
}

impl Default for Site {
    fn default() -> Self {
        let open = || Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Self {
            members: Mutex::default(),
            moderators: Mutex::default(),
            hellos: AtomicU64::new(0),
            gate: open(),
            joins: AtomicU64::new(0),
            reads: open(),
            looks: AtomicU64::new(0),
            entries: open(),
        }
    }
}

pub const TEA: RoomId = RoomId(7);
pub const CAKE: RoomId = RoomId(8);

impl Site {
    pub fn members(&self, room: RoomId) -> Vec<UserId> {
        self.members.lock().unwrap().get(&room).into_iter().flatten().map(|user| UserId(*user)).collect()
    }

    pub fn looked(&self) {
        self.looks.fetch_add(1, Ordering::Relaxed);
    }

    pub fn changes(&self, all: &[Message], room: RoomId, from: CatchUpFrom) -> ChangesPage {
        let (CatchUpFrom::Since(since) | CatchUpFrom::Held(since)) = from else {
            return ChangesPage { reset: true, ..self.changes(all, room, CatchUpFrom::Since(Version(0))) };
        };
        let mut messages: Vec<Message> = all.iter().filter(|m| m.room == room && m.version > since).cloned().collect();
        let complete = messages.len() <= 100;
        messages.truncate(100);
        let reached = messages.last().map_or((since, Seq(since.0)), |last| (last.version, last.seq));
        ChangesPage { reset: false, messages, reached, complete }
    }
}

pub fn entry(past: &Past, room: RoomId, user: UserId) -> RoomEntry {
    let is_moderator = past.v1.moderators.lock().unwrap().contains(&(room, user.0));
    let at = past.messages.lock().unwrap().iter().filter(|m| m.room == room).count() as u64;
    RoomEntry {
        id: room,
        kind: if room == LOBBY { RoomKind::Public } else { RoomKind::Private },
        name: None,
        title: String::new(),
        version: Version(at),
        last_seq: Seq(at),
        members: 2,
        role: if is_moderator { MemberRole::Moderator } else { MemberRole::Member },
        read_seq: Seq(0),
        unread: 0,
        muted: false,
        peer: None,
        last_message: None,
        reads: vec![],
    }
}

fn greeting(past: &Past, user: UserId, id: Option<String>, rooms: Vec<(RoomId, Version)>) -> WelcomeData {
    let members = past.v1.members.lock().unwrap();
    let mine = members.iter().filter(|(_, users)| users.contains(&user.0)).map(|(room, _)| *room);
    WelcomeData {
        id,
        user: User {
            profile: profile(user.0),
            email: None,
            bio: String::new(),
            role: UserRole::User,
            disabled: false,
            muted_until: None,
            created_at: Timestamp(0),
        },
        epoch: "e1".into(),
        time: Timestamp(0),
        limits: LimitsBody {
            content_chars_max: 4000,
            frame_bytes_max: 65536,
            sends_per_second: 3,
            sends_burst: 5,
            envelopes_per_second: 20,
            envelopes_burst: 60,
            history_messages_max: 100,
        },
        rooms: [LOBBY].into_iter().chain(mine).map(|room| entry(past, room, user)).collect(),
        held: rooms.into_iter().map(|(room, version)| (room, Some(version))).collect(),
    }
}

/// A door that welcomes, passes on what the hub itself answers, and lets people join at once.
pub fn receive(past: &Arc<Past>, caller: &SessionContext, greeted: bool, text: &str) -> RequestOutcome {
    let Ok(v1::Envelope { id, request }) = v1::read_envelope(text) else {
        return RequestOutcome::Malformed("malformed".to_owned());
    };
    let user = caller.user;
    match request {
        Request::Hello { epoch: Some(epoch), .. } if epoch == "refused" => RequestOutcome::Hello(Box::pin(async {
            Response::with_envelope(json!({"type": "error", "id": "h"}).to_string())
        })),
        Request::Hello { rooms, .. } if !greeted => {
            let past = Arc::clone(past);
            RequestOutcome::Hello(Box::pin(async move {
                let greeting = greeting(&past, user, id, rooms);
                past.v1.hellos.fetch_add(1, Ordering::Relaxed);
                let _turn = past.v1.gate.acquire().await.unwrap();
                Response { envelope: None, effect: Some(SessionEffect::Welcome(Box::new(greeting))) }
            }))
        }
        Request::Auth { .. } => {
            let envelope = v1::ack(&id.unwrap(), &v1::Nothing {});
            let effect = SessionEffect::RenewToken(
                TokenMark { token: TokenKey([77; 16]), ..mark(user.0) },
                Duration::from_secs(60),
            );
            RequestOutcome::Pending(Box::pin(
                async move { Response { envelope: Some(envelope), effect: Some(effect) } },
            ))
        }
        Request::Sync { room, since } => RequestOutcome::Hub { id, request: HubRequest::Sync(room, since) },
        Request::Presence { room, on } => RequestOutcome::Hub { id, request: HubRequest::Presence(room, on) },
        Request::Typing { room, on } => RequestOutcome::Hub { id, request: HubRequest::Typing(room, on) },
        Request::Heartbeat {} => RequestOutcome::Reply(v1::ack(&id.unwrap(), &v1::Nothing {})),
        Request::Join { room } => {
            let past = Arc::clone(past);
            RequestOutcome::Pending(Box::pin(async move {
                let entry = entry(&past, room, user);
                past.v1.joins.fetch_add(1, Ordering::Relaxed);
                let _turn = past.v1.reads.acquire().await.unwrap();
                let envelope = v1::ack(&id.unwrap(), &v1::RoomBody::new(&entry, |_| false));
                Response { envelope: Some(envelope), effect: Some(SessionEffect::EnterRoom(room, entry.version)) }
            }))
        }
        Request::History { room, .. } => {
            let (past, reference) = (Arc::clone(past), id.clone());
            let work = Box::pin(async move {
                let said = past.messages.lock().unwrap().iter().filter(|message| message.room == room).count();
                let _turn = past.v1.reads.acquire().await.unwrap();
                Response::with_envelope(json!({"type": "ack", "id": reference, "data": {"said": said}}).to_string())
            });
            RequestOutcome::ReadingHistory { room, id, work }
        }
        _ => RequestOutcome::Malformed("malformed".to_owned()),
    }
}

impl House {
    pub async fn v1(&mut self, user: u64) -> Tab {
        let order = self.order();
        self.connect_speaking(Dialect::V1, user, order, None, &[]).await
    }

    pub async fn welcomed(&mut self, user: u64, held: Value) -> Tab {
        let mut tab = self.v1(user).await;
        tab.ask(json!({"type": "hello", "id": "h", "data": {"rooms": held}})).await;
        let welcome = tab.envelope().await;
        assert_eq!((welcome["type"].as_str(), welcome["id"].as_str()), (Some("welcome"), Some("h")));
        tab
    }

    pub fn say_in(&mut self, room: RoomId, content: &str) {
        self.commit(room, Audience::Room, 1, content);
    }

    pub fn comes_in(&mut self, room: RoomId, user: u64, asker: Option<teahouse_core::SessionId>) {
        self.past.v1.members.lock().unwrap().entry(room).or_default().push(user);
        self.tell_entry(room, user, asker);
    }

    pub fn becomes_moderator(&mut self, room: RoomId, user: u64) {
        self.past.v1.moderators.lock().unwrap().insert((room, user));
        self.tell_entry(room, user, None);
    }

    fn tell_entry(&mut self, room: RoomId, user: u64, asker: Option<teahouse_core::SessionId>) {
        let entry = Box::new(entry(&self.past, room, UserId(user)));
        self.tell_members(room, Change::Entry { user: UserId(user), entry, requester: asker });
    }

    pub fn is_titled(&mut self, room: RoomId, title: &str) {
        self.tell_members(room, Change::Room { name: None, title: title.into() });
    }

    pub fn takes_another_name(&mut self, user: u64) {
        self.tell_members(LOBBY, Change::Profile(profile(user)));
    }

    fn tell_members(&mut self, room: RoomId, change: Change) {
        self.feed.push_commits(vec![Commit { room, audience: Audience::Room, change }]);
        self.feed.flush_notify();
    }

    pub fn goes_out(&mut self, room: RoomId, user: u64) {
        self.past.v1.members.lock().unwrap().get_mut(&room).unwrap().retain(|other| *other != user);
        self.tell_members(room, Change::Left { user: UserId(user), members: 1 });
    }

    /// So many requests to come into a room have looked at it, and are not answered.
    pub async fn joins(&self, count: u64) {
        while self.past.v1.joins.load(Ordering::Relaxed) < count {
            tokio::task::yield_now().await;
        }
    }

    /// So many looks at how a room is to its members were begun.
    pub async fn looks(&self, count: u64) {
        while self.past.v1.looks.load(Ordering::Relaxed) < count {
            tokio::task::yield_now().await;
        }
    }

    pub async fn snapshots(&self, count: u64) {
        while self.past.v1.hellos.load(Ordering::Relaxed) < count {
            tokio::task::yield_now().await;
        }
    }
}

impl Tab {
    pub async fn ask(&mut self, envelope: Value) {
        self.send(&envelope.to_string()).await;
    }

    pub async fn envelope(&mut self) -> Value {
        match self.hear().await {
            Heard::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The next envelope that is not about how many are online.
    pub async fn next_event(&mut self) -> Value {
        loop {
            let envelope = self.envelope().await;
            if envelope["type"] != "online_count" {
                return envelope;
            }
        }
    }

    pub async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let envelope = self.envelope().await;
            if envelope["type"] == kind {
                return envelope["data"].clone();
            }
        }
    }

    /// What comes up to the answer to a heartbeat, in short.
    pub async fn until_heartbeat(&mut self) -> Vec<String> {
        self.ask(json!({"type": "heartbeat", "id": "beat"})).await;
        let mut all = Vec::new();
        loop {
            let envelope = self.next_event().await;
            if envelope["id"] == "beat" {
                return all;
            }
            all.push(short(&envelope));
        }
    }
}

pub fn short(envelope: &Value) -> String {
    let data = &envelope["data"];
    match envelope["type"].as_str().unwrap() {
        "message" => format!("{}@{}: {}", data["room"], data["version"], data["content"].as_str().unwrap()),
        "room" => format!("room {}", data["id"]),
        kind => format!("{kind} {}", data["room"]),
    }
}
