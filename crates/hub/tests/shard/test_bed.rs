//! The fixture of the shard tests: a hub with a test handler and a model history, and clients. Clients use another
//! WebSocket library, so that the codec does not verify itself.

mod v1;

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use teahouse_core::{
    AcceptOrder, Audience, Change, Commit, LOBBY, Language, Message, MessageChange, MessageId, MessageKind, Profile,
    RoomEntry, RoomId, Seq, SessionId, Timestamp, TokenKey, TokenMark, UserId, Version,
};
use teahouse_hub::{
    BoxFuture, CatchUpFrom, ChangesPage, ClassicPage, Dialect, Feed, HistoryReader, Hub, HubOptions, Identity,
    NewConnection, RequestHandler, RequestOutcome, Response, SessionContext,
};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Wire;
use tokio_tungstenite::tungstenite::protocol::Role;

pub(crate) use v1::{CAKE, TEA, V1State, short};

/// Long enough for a busy machine. Only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Handles `echo …`, `panic`, `panic later` and `later`; everything else is malformed.
pub(crate) struct TestHandler {
    pub history: Arc<ModelHistory>,
}

impl RequestHandler for TestHandler {
    fn handle_v1(&self, session: &SessionContext, has_said_hello: bool, text: &str) -> RequestOutcome {
        v1::handle(&self.history, session, has_said_hello, text)
    }

    fn handle_classic(&self, _: &SessionContext, text: &str) -> RequestOutcome {
        match text {
            "panic" => panic!("on purpose"),
            "panic later" => RequestOutcome::Pending(Box::pin(async { panic!("later, on purpose") })),
            "later" => RequestOutcome::Pending(Box::pin(async {
                tokio::task::yield_now().await;
                Response::with_envelope("later indeed".to_owned())
            })),
            text => match text.strip_prefix("echo ") {
                Some(rest) => RequestOutcome::Reply(rest.to_owned()),
                None => RequestOutcome::Malformed("malformed".to_owned()),
            },
        }
    }
}

/// A model of the store: every message that was posted.
#[derive(Default)]
pub(crate) struct ModelHistory {
    pub messages: Mutex<Vec<Message>>,
    pub pages: AtomicU64,
    /// This many reads fail first.
    pub failures: AtomicU64,
    pub v1: V1State,
}

impl HistoryReader for ModelHistory {
    fn changes(&self, room: RoomId, from: CatchUpFrom) -> BoxFuture<Option<ChangesPage>> {
        let page = self.v1.changes(&self.messages.lock().unwrap(), room, from);
        self.pages.fetch_add(1, Ordering::Relaxed);
        let reads = Arc::clone(&self.v1.read_gate);
        Box::pin(async move {
            let _permit = reads.acquire().await.unwrap();
            Some(page)
        })
    }

    fn own_reactions(&self, _: UserId, _: Vec<MessageId>) -> BoxFuture<Option<Vec<(MessageId, String)>>> {
        Box::pin(async { Some(vec![]) })
    }

    fn entries(&self, room: RoomId, users: Vec<UserId>) -> BoxFuture<Option<Vec<(UserId, RoomEntry)>>> {
        let entries = users.into_iter().map(|user| (user, v1::entry(self, room, user))).collect();
        self.v1.record_entry_read();
        let gate = Arc::clone(&self.v1.entry_gate);
        Box::pin(async move {
            let _permit = gate.acquire().await.unwrap();
            Some(entries)
        })
    }

    fn members(&self, room: RoomId) -> BoxFuture<Option<Vec<UserId>>> {
        let members = self.v1.members(room);
        let reads = Arc::clone(&self.v1.read_gate);
        Box::pin(async move {
            let _permit = reads.acquire().await.unwrap();
            Some(members)
        })
    }

    fn classic_page(&self, room: RoomId, after: (Version, Seq)) -> BoxFuture<Option<ClassicPage>> {
        self.pages.fetch_add(1, Ordering::Relaxed);
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.fetch_sub(1, Ordering::Relaxed);
            return Box::pin(async { None });
        }
        let all: Vec<Message> =
            self.messages.lock().unwrap().iter().filter(|message| message.room == room).cloned().collect();
        let version = all.iter().map(|message| message.version).max().unwrap_or_default();
        let last = all.iter().map(|message| message.seq).max().unwrap_or_default();
        let mut messages: Vec<Message> = all.into_iter().filter(|message| message.seq > after.1).collect();
        messages.truncate(100);
        let complete = messages.len() < 100;
        let seq = if complete { last } else { messages[99].seq };
        let pair = (room != LOBBY).then(|| Box::new([profile(1), profile(2)]));
        Box::pin(
            async move { Some(ClassicPage { deleted: vec![], messages, reached: (version, seq), complete, pair }) },
        )
    }
}

pub(crate) struct TestBed {
    pub hub: Hub,
    pub feed: Feed,
    pub history: Arc<ModelHistory>,
    pub last_order: u64,
    pub next_message: u64,
    pub rooms: HashMap<RoomId, u64>,
    /// When the tokens of new connections were checked.
    pub checked_at: Instant,
    /// The lobby's position when handshakes were answered; by default its position now.
    pub lobby: Option<(Version, Seq)>,
    /// When the tokens of new connections were issued.
    pub issued_at: i64,
    /// Whether the kernel holds only a few KiB that a client has not read.
    pub small_buffers: bool,
}

impl TestBed {
    pub(crate) fn start(options: HubOptions) -> Self {
        let (prepared, feed) = Hub::prepare(options);
        let history = Arc::new(ModelHistory::default());
        let reader = Arc::clone(&history) as Arc<dyn HistoryReader>;
        let handler = Arc::new(TestHandler { history: Arc::clone(&history) });
        let hub = prepared.start(handler, reader, (Version(0), Seq(0))).unwrap();
        Self {
            hub,
            feed,
            history,
            last_order: 0,
            next_message: 0,
            rooms: HashMap::new(),
            checked_at: Instant::now(),
            lobby: None,
            issued_at: 0,
            small_buffers: false,
        }
    }

    pub(crate) fn with_small_buffers(self) -> Self {
        Self { small_buffers: true, ..self }
    }

    pub(crate) fn next_order(&mut self) -> AcceptOrder {
        self.last_order += 1;
        AcceptOrder(self.last_order)
    }

    pub(crate) async fn connect(&mut self, user: u64) -> Client {
        let order = self.next_order();
        self.connect_as(user, order, None, &[]).await
    }

    pub(crate) async fn connect_as(
        &self,
        user: u64,
        accepted: AcceptOrder,
        device: Option<&str>,
        early: &[u8],
    ) -> Client {
        self.connect_with(Dialect::Classic, user, accepted, device, early).await
    }

    pub(crate) async fn connect_with(
        &self,
        dialect: Dialect,
        user: u64,
        accepted: AcceptOrder,
        device: Option<&str>,
        early: &[u8],
    ) -> Client {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        if self.small_buffers {
            socket2::SockRef::from(&theirs).set_send_buffer_size(4096).unwrap();
        }
        let connection = NewConnection {
            identity: Identity {
                user: UserId(user),
                token: TokenMark { issued_at: self.issued_at, ..token_mark(user) },
                language: Language::En,
                address: Ipv4Addr::LOCALHOST.into(),
            },
            accepted,
            dialect,
            device: device.map(Into::into),
            checked_at: self.checked_at,
            lobby: self.lobby.unwrap_or_else(|| self.hub.lobby_head()),
            stream: theirs,
            handshake_response: Bytes::new(),
            early_bytes: Bytes::copy_from_slice(early),
            permit: None,
        };
        self.hub.attach(connection).await.unwrap();
        let stream = TcpStream::from_std(ours).unwrap();
        Client { socket: WebSocketStream::from_raw_socket(stream, Role::Client, None).await }
    }

    /// Commits a message in the lobby.
    pub(crate) fn post(&mut self, sender: u64, content: &str) {
        self.commit(LOBBY, Audience::Room, sender, content);
    }

    /// Commits a private message of user 1 to user 2.
    pub(crate) fn post_private(&mut self, content: &str) {
        self.commit(RoomId(9), Audience::Direct(Box::new([profile(1), profile(2)])), 1, content);
    }

    /// Writes to sockets so far, of idle shards.
    pub(crate) async fn writes(&self) -> u64 {
        assert!(self.hub.probe(Duration::from_secs(10)).await);
        self.hub.metrics().writes.get()
    }

    pub(crate) fn commit(&mut self, room: RoomId, audience: Audience, sender: u64, content: &str) {
        self.push_deferred(room, audience, sender, content);
        self.feed.flush_notify();
    }

    /// Commits a message without notifying the shards.
    pub(crate) fn push_deferred(&mut self, room: RoomId, audience: Audience, sender: u64, content: &str) {
        self.next_message += 1;
        let at = self.rooms.entry(room).or_default();
        *at += 1;
        let message = Message {
            id: MessageId(self.next_message),
            room,
            seq: Seq(*at),
            version: Version(*at),
            sender: profile(sender),
            client_id: None,
            content: content.into(),
            kind: MessageKind::Text,
            reply_to: None,
            mentions: vec![],
            reactions: vec![],
            edited_at: None,
            deleted: false,
            sent_at: Timestamp(0),
        };
        self.history.messages.lock().unwrap().push(message.clone());
        let change = Change::Message { last_seq: message.seq, message, what: MessageChange::New };
        self.feed.push_commits(vec![Commit { room, audience, change }]);
    }
}

pub(crate) fn profile(id: u64) -> Profile {
    Profile { id: UserId(id), username: format!("u{id}"), nickname: format!("U{id}"), avatar: String::new() }
}

pub(crate) fn token_mark(user: u64) -> TokenMark {
    let token = TokenKey([u8::try_from(user).unwrap(); 16]);
    TokenMark { token, login: None, issued_at: 0, expires_at: i64::MAX / 2 }
}

pub(crate) struct Client {
    pub socket: WebSocketStream<TcpStream>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Text(String),
    Closed(u16, String),
    Disconnected,
}

impl Client {
    pub(crate) async fn receive(&mut self) -> Received {
        loop {
            match tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("nothing arrived") {
                Some(Ok(Wire::Text(text))) => return Received::Text(text.as_str().to_owned()),
                Some(Ok(Wire::Close(Some(frame)))) => {
                    return Received::Closed(frame.code.into(), frame.reason.as_str().to_owned());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Received::Disconnected,
            }
        }
    }

    pub(crate) async fn receive_text_containing(&mut self, part: &str) -> String {
        loop {
            match self.receive().await {
                Received::Text(text) if text.contains(part) => return text,
                Received::Text(_) => {}
                other => panic!("waited for {part}, got {other:?}"),
            }
        }
    }

    pub(crate) async fn receive_count(&mut self, users: u64) {
        self.receive_text_containing(&format!(r#"{{"type":"online_count","data":{{"count":{users}}}}}"#)).await;
    }

    pub(crate) async fn receive_close(&mut self) -> (u16, String) {
        loop {
            match self.receive().await {
                Received::Closed(code, reason) => return (code, reason),
                Received::Text(_) => {}
                Received::Disconnected => panic!("disconnected without a close frame"),
            }
        }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.socket.send(Wire::text(text)).await.unwrap();
    }

    /// Everything that arrives before the reply to an `echo`.
    pub(crate) async fn all_until_echo(&mut self, mark: &str) -> Vec<String> {
        self.send(&format!("echo {mark}")).await;
        let mut all = Vec::new();
        loop {
            match self.receive().await {
                Received::Text(text) if text == mark => return all,
                Received::Text(text) => all.push(text),
                other => panic!("{other:?}"),
            }
        }
    }
}

pub(crate) fn small_options() -> HubOptions {
    HubOptions { shards: 2, presence_linger: Duration::from_millis(200), ..HubOptions::default() }
}
