//! What the tests of the shards play on: a hub, a door and a history of their own, users and their tabs. The wire is
//! spoken by another library, so that the codec is not its own witness.

mod site;

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use teahouse_core::{
    AcceptOrder, Audience, Change, Commit, LOBBY, Language, Message, MessageChange, MessageId, MessageKind, Profile,
    RoomEntry, RoomId, Seq, Timestamp, TokenKey, TokenMark, UserId, Version,
};
use teahouse_hub::{
    BoxFuture, CatchUpFrom, ChangesPage, ClassicPage, Dialect, Feed, HistoryReader, Hub, HubOptions, NewConnection,
    RequestHandler, RequestOutcome, Response, SessionContext,
};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Wire;
use tokio_tungstenite::tungstenite::protocol::Role;

pub use site::{CAKE, Site, TEA, short};

/// Long enough for a busy machine; no test waits for it unless something is wrong.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A door that answers `echo …`, panics at `panic`, and finds all else malformed.
pub struct TestDoor {
    pub past: Arc<Past>,
}

impl RequestHandler for TestDoor {
    fn handle_v1(&self, caller: &SessionContext, greeted: bool, text: &str) -> RequestOutcome {
        site::receive(&self.past, caller, greeted, text)
    }

    fn handle_classic(&self, _: &SessionContext, text: &str) -> RequestOutcome {
        match text {
            "panic" => panic!("a bug of ours, on purpose"),
            "panic later" => RequestOutcome::Pending(Box::pin(async { panic!("another one, on purpose") })),
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

/// Everything that was said, as the store would tell it.
#[derive(Default)]
pub struct Past {
    pub messages: Mutex<Vec<Message>>,
    pub pages: AtomicU64,
    /// So many reads fail first.
    pub failures: AtomicU64,
    pub v1: Site,
}

impl HistoryReader for Past {
    fn changes(&self, room: RoomId, from: CatchUpFrom) -> BoxFuture<Option<ChangesPage>> {
        let page = self.v1.changes(&self.messages.lock().unwrap(), room, from);
        self.pages.fetch_add(1, Ordering::Relaxed);
        let reads = Arc::clone(&self.v1.reads);
        Box::pin(async move {
            let _turn = reads.acquire().await.unwrap();
            Some(page)
        })
    }

    fn own_reactions(&self, _: UserId, _: Vec<MessageId>) -> BoxFuture<Option<Vec<(MessageId, String)>>> {
        Box::pin(async { Some(vec![]) })
    }

    fn entries(&self, room: RoomId, users: Vec<UserId>) -> BoxFuture<Option<Vec<(UserId, RoomEntry)>>> {
        let entries = users.into_iter().map(|user| (user, site::entry(self, room, user))).collect();
        self.v1.looked();
        let gate = Arc::clone(&self.v1.entries);
        Box::pin(async move {
            let _turn = gate.acquire().await.unwrap();
            Some(entries)
        })
    }

    fn members(&self, room: RoomId) -> BoxFuture<Option<Vec<UserId>>> {
        let members = self.v1.members(room);
        let reads = Arc::clone(&self.v1.reads);
        Box::pin(async move {
            let _turn = reads.acquire().await.unwrap();
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

pub struct House {
    pub hub: Hub,
    pub feed: Feed,
    pub past: Arc<Past>,
    pub orders: u64,
    pub next_message: u64,
    pub rooms: HashMap<RoomId, u64>,
    /// When everybody's tokens were looked at, unless a test says otherwise.
    pub checked_at: Instant,
    /// Where the lobby stood when handshakes were answered, unless it is where it stands now.
    pub lobby: Option<(Version, Seq)>,
    /// When everybody's tokens were issued, likewise.
    pub issued_at: i64,
}

impl House {
    pub fn open(options: HubOptions) -> Self {
        let (prepared, feed) = Hub::prepare(options);
        let past = Arc::new(Past::default());
        let history = Arc::clone(&past) as Arc<dyn HistoryReader>;
        let door = Arc::new(TestDoor { past: Arc::clone(&past) });
        let hub = prepared.start(door, history, (Version(0), Seq(0))).unwrap();
        Self {
            hub,
            feed,
            past,
            orders: 0,
            next_message: 0,
            rooms: HashMap::new(),
            checked_at: Instant::now(),
            lobby: None,
            issued_at: 0,
        }
    }

    pub fn order(&mut self) -> AcceptOrder {
        self.orders += 1;
        AcceptOrder(self.orders)
    }

    pub async fn connect(&mut self, user: u64) -> Tab {
        let order = self.order();
        self.connect_as(user, order, None, &[]).await
    }

    pub async fn connect_as(&self, user: u64, accepted: AcceptOrder, device: Option<&str>, early: &[u8]) -> Tab {
        self.connect_speaking(Dialect::Classic, user, accepted, device, early).await
    }

    pub async fn connect_speaking(
        &self,
        dialect: Dialect,
        user: u64,
        accepted: AcceptOrder,
        device: Option<&str>,
        early: &[u8],
    ) -> Tab {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let arrival = NewConnection {
            user: UserId(user),
            accepted,
            dialect,
            device: device.map(Into::into),
            mark: TokenMark { issued_at: self.issued_at, ..mark(user) },
            checked_at: self.checked_at,
            lobby: self.lobby.unwrap_or_else(|| self.hub.lobby_head()),
            language: Language::En,
            address: Ipv4Addr::LOCALHOST.into(),
            stream: theirs,
            handshake_response: Bytes::new(),
            early_bytes: Bytes::copy_from_slice(early),
            permit: None,
        };
        self.hub.attach(arrival).await.unwrap();
        let stream = TcpStream::from_std(ours).unwrap();
        Tab { socket: WebSocketStream::from_raw_socket(stream, Role::Client, None).await }
    }

    /// Something is said in the lobby, and durable.
    pub fn say(&mut self, sender: u64, content: &str) {
        self.commit(LOBBY, Audience::Room, sender, content);
    }

    /// User 1 writes to user 2.
    pub fn whisper(&mut self, content: &str) {
        self.commit(RoomId(9), Audience::Direct(Box::new([profile(1), profile(2)])), 1, content);
    }

    /// Writes to sockets so far, by shards that are at rest.
    pub async fn writes(&self) -> u64 {
        assert!(self.hub.probe(Duration::from_secs(10)).await);
        self.hub.metrics().writes.get()
    }

    pub fn commit(&mut self, room: RoomId, audience: Audience, sender: u64, content: &str) {
        self.push_deferred(room, audience, sender, content);
        self.feed.flush_notify();
    }

    /// Something is said, and whoever said it is not answered yet.
    pub fn push_deferred(&mut self, room: RoomId, audience: Audience, sender: u64, content: &str) {
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
        self.past.messages.lock().unwrap().push(message.clone());
        let change = Change::Message { last_seq: message.seq, message, what: MessageChange::New };
        self.feed.push_commits(vec![Commit { room, audience, change }]);
    }
}

pub fn profile(id: u64) -> Profile {
    Profile { id: UserId(id), username: format!("u{id}"), nickname: format!("U{id}"), avatar: String::new() }
}

pub fn mark(user: u64) -> TokenMark {
    let token = TokenKey([u8::try_from(user).unwrap(); 16]);
    TokenMark { token, login: None, issued_at: 0, expires_at: i64::MAX / 2 }
}

pub struct Tab {
    pub socket: WebSocketStream<TcpStream>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Text(String),
    Closed(u16, String),
    Cut,
}

impl Tab {
    pub async fn hear(&mut self) -> Heard {
        loop {
            match tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("nothing came") {
                Some(Ok(Wire::Text(text))) => return Heard::Text(text.as_str().to_owned()),
                Some(Ok(Wire::Close(Some(frame)))) => {
                    return Heard::Closed(frame.code.into(), frame.reason.as_str().to_owned());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Heard::Cut,
            }
        }
    }

    pub async fn hear_text_with(&mut self, part: &str) -> String {
        loop {
            match self.hear().await {
                Heard::Text(text) if text.contains(part) => return text,
                Heard::Text(_) => {}
                other => panic!("waited for {part}, got {other:?}"),
            }
        }
    }

    pub async fn count(&mut self, users: u64) {
        self.hear_text_with(&format!(r#"{{"type":"online_count","data":{{"count":{users}}}}}"#)).await;
    }

    pub async fn end(&mut self) -> (u16, String) {
        loop {
            match self.hear().await {
                Heard::Closed(code, reason) => return (code, reason),
                Heard::Text(_) => {}
                Heard::Cut => panic!("cut without a goodbye"),
            }
        }
    }

    pub async fn send(&mut self, text: &str) {
        self.socket.send(Wire::text(text)).await.unwrap();
    }

    /// Everything up to the answer to an `echo`: what is not among it did not come.
    pub async fn all_until_echo(&mut self, mark: &str) -> Vec<String> {
        self.send(&format!("echo {mark}")).await;
        let mut all = Vec::new();
        loop {
            match self.hear().await {
                Heard::Text(text) if text == mark => return all,
                Heard::Text(text) => all.push(text),
                other => panic!("{other:?}"),
            }
        }
    }
}

pub fn small() -> HubOptions {
    HubOptions { shards: 2, presence_linger: Duration::from_millis(200), ..HubOptions::default() }
}
