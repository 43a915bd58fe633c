//! The v1 part of the fixture: rooms and members, the handler of v1 requests, and what v1 clients send and receive.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use teahouse_core::{Role as MemberRole, RoomKind, RoomList, User, UserRole};
use teahouse_hub::{HubRequest, SessionEffect, WelcomeData};
use teahouse_protocol::v1::{self, LimitsBody, Request};
use tokio::sync::Semaphore;

use super::*;

/// Members of rooms besides the lobby, and gates that hold back replies and reads.
pub(crate) struct V1State {
    members: Mutex<BTreeMap<RoomId, Vec<u64>>>,
    moderators: Mutex<BTreeSet<(RoomId, u64)>>,
    /// Hellos whose snapshot was read.
    pub hellos: AtomicU64,
    /// A hello takes a permit between its snapshot and its welcome.
    pub welcome_gate: Arc<Semaphore>,
    /// Joins that began.
    pub joins: AtomicU64,
    /// Reads of members and of changes take a permit, and so do joins.
    pub read_gate: Arc<Semaphore>,
    /// Reads of room entries that began; each takes a permit of `entry_gate` before it completes.
    entry_reads: AtomicU64,
    pub entry_gate: Arc<Semaphore>,
}

impl Default for V1State {
    fn default() -> Self {
        let open = || Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Self {
            members: Mutex::default(),
            moderators: Mutex::default(),
            hellos: AtomicU64::new(0),
            welcome_gate: open(),
            joins: AtomicU64::new(0),
            read_gate: open(),
            entry_reads: AtomicU64::new(0),
            entry_gate: open(),
        }
    }
}

pub(crate) const TEA: RoomId = RoomId(7);
pub(crate) const CAKE: RoomId = RoomId(8);

impl V1State {
    pub(crate) fn members(&self, room: RoomId) -> Vec<UserId> {
        self.members.lock().unwrap().get(&room).into_iter().flatten().map(|user| UserId(*user)).collect()
    }

    pub(crate) fn record_entry_read(&self) {
        self.entry_reads.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn changes(&self, all: &[Message], room: RoomId, from: CatchUpFrom) -> ChangesPage {
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

pub(super) fn entry(history: &ModelHistory, room: RoomId, user: UserId) -> RoomEntry {
    let is_moderator = history.v1.moderators.lock().unwrap().contains(&(room, user.0));
    let at = history.messages.lock().unwrap().iter().filter(|m| m.room == room).count() as u64;
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
        request: false,
    }
}

fn welcome_data(
    history: &ModelHistory,
    user: UserId,
    id: Option<String>,
    rooms: Vec<(RoomId, Version)>,
) -> WelcomeData {
    let members = history.v1.members.lock().unwrap();
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
        rooms: RoomList {
            rooms: [LOBBY].into_iter().chain(mine).map(|room| entry(history, room, user)).collect(),
            more_directs: None,
            invites: Vec::new(),
        },
        held: rooms.into_iter().map(|(room, version)| (room, Some(version))).collect(),
    }
}

/// Handles v1 requests: it welcomes, passes on what the hub performs itself, and lets users join.
pub(super) fn handle(
    history: &Arc<ModelHistory>,
    session: &SessionContext,
    has_said_hello: bool,
    text: &str,
) -> RequestOutcome {
    let Ok(v1::RequestEnvelope { id, request }) = v1::read_envelope(text) else {
        return RequestOutcome::Malformed("malformed".to_owned());
    };
    let user = session.user;
    match request {
        Request::Hello { epoch: Some(epoch), .. } if epoch == "refused" => RequestOutcome::Hello(Box::pin(async {
            Response::with_envelope(json!({"type": "error", "id": "h"}).to_string())
        })),
        Request::Hello { rooms, .. } if !has_said_hello => {
            let history = Arc::clone(history);
            RequestOutcome::Hello(Box::pin(async move {
                let welcome = welcome_data(&history, user, id, rooms);
                history.v1.hellos.fetch_add(1, Ordering::Relaxed);
                let _permit = history.v1.welcome_gate.acquire().await.unwrap();
                Response { effect: Some(SessionEffect::Welcome(Box::new(welcome))), ..Response::default() }
            }))
        }
        Request::Auth { .. } => {
            let envelope = v1::ack(&id.unwrap(), &v1::Nothing {});
            let effect = SessionEffect::RenewToken(
                TokenMark { token: TokenKey([77; 16]), ..token_mark(user.0) },
                Duration::from_secs(60),
            );
            RequestOutcome::Pending(Box::pin(async move {
                Response { envelope: Some(envelope), effect: Some(effect), permit: None }
            }))
        }
        Request::Sync { room, since } => RequestOutcome::Hub { id, request: HubRequest::Sync(room, since) },
        Request::Presence { room, on } => RequestOutcome::Hub { id, request: HubRequest::Presence(room, on) },
        Request::Typing { room, on } => RequestOutcome::Hub { id, request: HubRequest::Typing(room, on) },
        Request::Heartbeat {} => RequestOutcome::Reply(v1::ack(&id.unwrap(), &v1::Nothing {})),
        Request::Join { room } => {
            let history = Arc::clone(history);
            RequestOutcome::Pending(Box::pin(async move {
                let entry = entry(&history, room, user);
                history.v1.joins.fetch_add(1, Ordering::Relaxed);
                let _permit = history.v1.read_gate.acquire().await.unwrap();
                let envelope = v1::ack(&id.unwrap(), &v1::RoomBody::new(&entry, |_| false));
                Response {
                    effect: Some(SessionEffect::EnterRoom((&entry).into())),
                    ..Response::with_envelope(envelope)
                }
            }))
        }
        Request::History { room, .. } => {
            let (history, reference) = (Arc::clone(history), id.clone());
            let work = Box::pin(async move {
                let messages = history.messages.lock().unwrap().iter().filter(|message| message.room == room).count();
                let _permit = history.v1.read_gate.acquire().await.unwrap();
                Response::with_envelope(
                    json!({"type": "ack", "id": reference, "data": {"messages": messages}}).to_string(),
                )
            });
            RequestOutcome::ReadingHistory { room, id, work }
        }
        _ => RequestOutcome::Malformed("malformed".to_owned()),
    }
}

impl TestBed {
    pub(crate) async fn connect_v1(&mut self, user: u64) -> Client {
        let order = self.next_order();
        self.connect_with(Dialect::V1, user, order, None, &[]).await
    }

    pub(crate) async fn connect_welcomed(&mut self, user: u64, held: Value) -> Client {
        let mut tab = self.connect_v1(user).await;
        tab.send_json(json!({"type": "hello", "id": "h", "data": {"rooms": held}})).await;
        let welcome = tab.envelope().await;
        assert_eq!((welcome["type"].as_str(), welcome["id"].as_str()), (Some("welcome"), Some("h")));
        tab
    }

    pub(crate) fn post_in(&mut self, room: RoomId, content: &str) {
        self.commit(room, Audience::Room, 1, content);
    }

    pub(crate) fn add_member(&mut self, room: RoomId, user: u64, requester: Option<SessionId>) {
        self.history.v1.members.lock().unwrap().entry(room).or_default().push(user);
        self.push_entry(room, user, requester);
    }

    pub(crate) fn make_moderator(&mut self, room: RoomId, user: u64) {
        self.history.v1.moderators.lock().unwrap().insert((room, user));
        self.push_entry(room, user, None);
    }

    fn push_entry(&mut self, room: RoomId, user: u64, requester: Option<SessionId>) {
        let entry = Box::new(entry(&self.history, room, UserId(user)));
        self.push_change(room, Change::Entry { user: UserId(user), entry, requester });
    }

    pub(crate) fn set_title(&mut self, room: RoomId, title: &str) {
        self.push_change(room, Change::Room { name: None, title: title.into() });
    }

    pub(crate) fn rename_user(&mut self, user: u64) {
        self.push_change(LOBBY, Change::Profile(profile(user)));
    }

    fn push_change(&mut self, room: RoomId, change: Change) {
        self.feed.push_commits(vec![Commit { room, audience: Audience::Room, change }]);
        self.feed.flush_notify();
    }

    pub(crate) fn remove_member(&mut self, room: RoomId, user: u64) {
        self.history.v1.members.lock().unwrap().get_mut(&room).unwrap().retain(|other| *other != user);
        self.push_change(room, Change::Left { user: UserId(user), members: 1 });
    }

    /// Waits until this many joins have read their room.
    pub(crate) async fn wait_for_joins(&self, count: u64) {
        while self.history.v1.joins.load(Ordering::Relaxed) < count {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until this many reads of entries began.
    pub(crate) async fn wait_for_entry_reads(&self, count: u64) {
        while self.history.v1.entry_reads.load(Ordering::Relaxed) < count {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn wait_for_snapshots(&self, count: u64) {
        while self.history.v1.hellos.load(Ordering::Relaxed) < count {
            tokio::task::yield_now().await;
        }
    }
}

impl Client {
    pub(crate) async fn send_json(&mut self, envelope: Value) {
        self.send(&envelope.to_string()).await;
    }

    pub(crate) async fn envelope(&mut self) -> Value {
        match self.receive().await {
            Received::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The next envelope that is no online count.
    pub(crate) async fn next_event(&mut self) -> Value {
        loop {
            let envelope = self.envelope().await;
            if envelope["type"] != "online_count" {
                return envelope;
            }
        }
    }

    pub(crate) async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let envelope = self.envelope().await;
            if envelope["type"] == kind {
                return envelope["data"].clone();
            }
        }
    }

    /// Everything that arrives before the reply to a heartbeat, in short.
    pub(crate) async fn until_heartbeat(&mut self) -> Vec<String> {
        self.send_json(json!({"type": "heartbeat", "id": "beat"})).await;
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

pub(crate) fn short(envelope: &Value) -> String {
    let data = &envelope["data"];
    match envelope["type"].as_str().unwrap() {
        "message" => format!("{}@{}: {}", data["room"], data["version"], data["content"].as_str().unwrap()),
        "room" => format!("room {}", data["id"]),
        kind => format!("{kind} {}", data["room"]),
    }
}
