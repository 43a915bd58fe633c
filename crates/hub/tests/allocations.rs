//! What the hub asks of the allocator: nothing for a delivery once everything has found its size, and a
//! bounded amount for a connection. A binary of its own, since the count is of the whole process.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

use std::alloc::System;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use teahouse_core::{
    AcceptOrder, Audience, Change, Commit, LOBBY, Language, Message, MessageChange, MessageId, MessageKind, Profile,
    RoomEntry, RoomId, Seq, Timestamp, TokenKey, TokenMark, UserId, Version,
};
use teahouse_hub::{
    BoxFuture, CatchUpFrom, ChangesPage, ClassicPage, Dialect, Feed, HistoryReader, Hub, HubOptions, NewConnection,
    RequestHandler, RequestOutcome, SessionContext,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const FEW: usize = 10;
const MANY: usize = 410;
/// More than the lobby's tail holds, so that the newest takes the place of the oldest.
const WARM_UP: u64 = 1500;
const MESSAGES: u64 = 500;
/// Longer than what waits for a socket at any time here.
const BUFFER_BYTES: usize = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);
/// A session without a frame under way keeps no buffer: ARCHITECTURE.md, "Shards". The promise for a whole
/// connection is 1.5 KB, and the hub's part of it is less.
const BYTES_PER_CONNECTION_MAX: f64 = 1500.0;

struct Mute;

impl RequestHandler for Mute {
    fn handle_classic(&self, _: &SessionContext, _: &str) -> RequestOutcome {
        RequestOutcome::NoReply
    }

    fn handle_v1(&self, _: &SessionContext, _: bool, _: &str) -> RequestOutcome {
        RequestOutcome::NoReply
    }
}

impl HistoryReader for Mute {
    fn classic_page(&self, _: RoomId, _: (Version, Seq)) -> BoxFuture<Option<ClassicPage>> {
        Box::pin(async { None })
    }

    fn changes(&self, _: RoomId, _: CatchUpFrom) -> BoxFuture<Option<ChangesPage>> {
        Box::pin(async { None })
    }

    fn own_reactions(&self, _: UserId, _: Vec<MessageId>) -> BoxFuture<Option<Vec<(MessageId, String)>>> {
        Box::pin(async { None })
    }

    fn entries(&self, _: RoomId, _: Vec<UserId>) -> BoxFuture<Option<Vec<(UserId, RoomEntry)>>> {
        Box::pin(async { None })
    }

    fn members(&self, _: RoomId) -> BoxFuture<Option<Vec<UserId>>> {
        Box::pin(async { None })
    }
}

/// A listener with a buffer of its own, so that hearing allocates nothing.
struct Listener {
    stream: TcpStream,
    buffer: Box<[u8; BUFFER_BYTES]>,
    length: usize,
}

impl Listener {
    /// Reads until this has come, and forgets all up to there.
    fn hear(&mut self, wanted: &[u8]) {
        let began = Instant::now();
        loop {
            let heard = &self.buffer[..self.length];
            if let Some(at) = heard.windows(wanted.len()).position(|part| part == wanted) {
                let rest = at + wanted.len();
                self.buffer.copy_within(rest..self.length, 0);
                self.length -= rest;
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{} did not come", String::from_utf8_lossy(wanted));
            let read = self.stream.read(&mut self.buffer[self.length..]).unwrap();
            assert!(read > 0, "cut off");
            self.length += read;
        }
    }
}

struct House {
    hub: Hub,
    feed: Feed,
    said: u64,
    runtime: tokio::runtime::Runtime,
    listeners: Vec<Listener>,
}

impl House {
    fn open() -> Self {
        let (prepared, feed) = Hub::prepare(HubOptions { shards: 1, ..HubOptions::default() });
        let hub = prepared.start(Arc::new(Mute), Arc::new(Mute), (Version(0), Seq(0))).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { hub, feed, said: 0, runtime, listeners: Vec::new() }
    }

    fn sockets(count: usize) -> Vec<(TcpStream, Listener)> {
        let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let pair = |_| {
            let stream = TcpStream::connect(door.local_addr().unwrap()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let theirs = door.accept().unwrap().0;
            theirs.set_nonblocking(true).unwrap();
            (theirs, Listener { stream, buffer: Box::new([0; BUFFER_BYTES]), length: 0 })
        };
        (0..count).map(pair).collect()
    }

    /// So many come in, and have heard that they are there.
    fn gather(&mut self, sockets: Vec<(TcpStream, Listener)>) {
        let before = self.listeners.len();
        for (stream, listener) in sockets {
            let user = self.listeners.len() as u64 + 1;
            let arrival = NewConnection {
                user: UserId(user),
                accepted: AcceptOrder(user),
                dialect: Dialect::Classic,
                device: None,
                mark: TokenMark { token: TokenKey([0; 16]), login: None, issued_at: 0, expires_at: i64::MAX / 2 },
                checked_at: Instant::now(),
                lobby: self.hub.lobby_head(),
                language: Language::En,
                address: Ipv4Addr::LOCALHOST.into(),
                stream,
                handshake_response: Bytes::new(),
                early_bytes: Bytes::new(),
                permit: None,
            };
            self.runtime.block_on(self.hub.attach(arrival)).unwrap();
            self.listeners.push(listener);
        }
        let all = format!(r#"{{"count":{}}}"#, self.listeners.len());
        let (first, last) = (before, self.listeners.len());
        self.listeners[first..last].iter_mut().for_each(|listener| listener.hear(all.as_bytes()));
    }

    /// Messages that all have heard before the next one is said.
    fn say(&mut self, messages: u64) {
        for _ in 0..messages {
            self.said += 1;
            // Always as long, so that it is found as it is.
            let content = format!("no {:08}.", self.said);
            let message = Message {
                id: MessageId(self.said),
                room: LOBBY,
                seq: Seq(self.said),
                version: Version(self.said),
                sender: Profile { id: UserId(1), username: "amy".into(), nickname: "Amy".into(), avatar: "".into() },
                client_id: None,
                content: content.clone(),
                kind: MessageKind::Text,
                reply_to: None,
                mentions: Vec::new(),
                reactions: Vec::new(),
                edited_at: None,
                deleted: false,
                sent_at: Timestamp(0),
            };
            let change = Change::Message { last_seq: message.seq, message, what: MessageChange::New };
            self.feed.push_commits(vec![Commit { room: LOBBY, audience: Audience::Room, change }]);
            self.feed.flush_notify();
            self.listeners.iter_mut().for_each(|listener| listener.hear(content.as_bytes()));
        }
    }

    /// Allocations while so many messages are said, once everything has found its size.
    fn allocations_of_saying(&mut self) -> usize {
        self.say(WARM_UP);
        let region = Region::new(ALLOCATOR);
        self.say(MESSAGES);
        let Stats { allocations, reallocations, .. } = region.change();
        allocations + reallocations
    }
}

/// One test, since the allocator is everybody's.
#[test]
fn a_delivery_allocates_nothing_and_an_idle_connection_keeps_little() {
    let mut house = House::open();
    house.gather(House::sockets(FEW));
    let few = house.allocations_of_saying();

    let sockets = House::sockets(MANY - FEW);
    let region = Region::new(ALLOCATOR);
    house.gather(sockets);
    let Stats { allocations, deallocations, bytes_allocated, bytes_deallocated, bytes_reallocated, .. } =
        region.change();
    let added = (MANY - FEW) as f64;
    let kept = allocations.saturating_sub(deallocations) as f64 / added;
    // What grew in place is counted apart, and may have shrunk.
    let bytes = (bytes_allocated as f64 + bytes_reallocated as f64 - bytes_deallocated as f64) / added;

    let many = house.allocations_of_saying();
    // What a message costs whoever hears it is the same with few and with many.
    let deliveries = (MANY - FEW) as f64 * MESSAGES as f64;
    let each = many.saturating_sub(few) as f64 / deliveries;
    println!("allocations per delivery in steady state: {each:.4}");
    println!("allocations per idle connection that it keeps: {kept:.2}");
    println!("bytes per idle connection that it keeps: {bytes:.0}");
    println!("({few} and {many} allocations for {MESSAGES} messages to {FEW} and to {MANY})");
    assert!(each < 0.01, "{few} allocations for {FEW} listeners, {many} for {MANY}");
    assert!(bytes < BYTES_PER_CONNECTION_MAX, "{bytes} bytes a connection");
}
