//! The hub's allocations: none for a delivery once all buffers have their size, and a bounded amount for a connection.
//! A test binary of its own, since the count is of the whole process.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot continue fails")]

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
    BoxFuture, CatchUpFrom, ChangesPage, ClassicPage, Dialect, Feed, HistoryReader, Hub, HubOptions, Identity,
    NewConnection, RequestHandler, RequestOutcome, SessionContext,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const FEW: usize = 10;
const MANY: usize = 410;
/// More than the lobby's tail holds, so that every message replaces an older one.
const WARM_UP: u64 = 1500;
const MESSAGES: u64 = 500;
/// More than ever waits for a socket here.
const BUFFER_BYTES: usize = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);
/// An idle session keeps no buffer. The limit for a whole connection is 1.5 KB; this is the hub's part.
const BYTES_PER_CONNECTION_MAX: f64 = 1500.0;

struct SilentPorts;

impl RequestHandler for SilentPorts {
    fn handle_classic(&self, _: &SessionContext, _: &str) -> RequestOutcome {
        RequestOutcome::NoReply
    }

    fn handle_v1(&self, _: &SessionContext, _: bool, _: &str) -> RequestOutcome {
        RequestOutcome::NoReply
    }
}

impl HistoryReader for SilentPorts {
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

/// A client with a buffer of its own, so that receiving allocates nothing.
struct Receiver {
    stream: TcpStream,
    buffer: Box<[u8; BUFFER_BYTES]>,
    length: usize,
}

impl Receiver {
    /// Reads until this arrives, and drops everything up to it.
    fn receive(&mut self, wanted: &[u8]) {
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

struct TestBed {
    hub: Hub,
    feed: Feed,
    said: u64,
    runtime: tokio::runtime::Runtime,
    receivers: Vec<Receiver>,
}

impl TestBed {
    fn start() -> Self {
        let (prepared, feed) = Hub::prepare(HubOptions { shards: 1, ..HubOptions::default() });
        let hub = prepared.start(Arc::new(SilentPorts), Arc::new(SilentPorts), (Version(0), Seq(0))).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { hub, feed, said: 0, runtime, receivers: Vec::new() }
    }

    fn sockets(count: usize) -> Vec<(TcpStream, Receiver)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let pair = |_| {
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let theirs = listener.accept().unwrap().0;
            theirs.set_nonblocking(true).unwrap();
            (theirs, Receiver { stream, buffer: Box::new([0; BUFFER_BYTES]), length: 0 })
        };
        (0..count).map(pair).collect()
    }

    /// Connects these sockets, and waits until each has received the online count.
    fn connect(&mut self, sockets: Vec<(TcpStream, Receiver)>) {
        let before = self.receivers.len();
        for (stream, receiver) in sockets {
            let user = self.receivers.len() as u64 + 1;
            let connection = NewConnection {
                identity: Identity {
                    user: UserId(user),
                    token: TokenMark { token: TokenKey([0; 16]), login: None, issued_at: 0, expires_at: i64::MAX / 2 },
                    language: Language::En,
                    address: Ipv4Addr::LOCALHOST.into(),
                },
                accepted: AcceptOrder(user),
                dialect: Dialect::Classic,
                device: None,
                checked_at: Instant::now(),
                lobby: self.hub.lobby_head(),
                stream,
                handshake_response: Bytes::new(),
                early_bytes: Bytes::new(),
                permit: None,
            };
            self.runtime.block_on(self.hub.attach(connection)).unwrap();
            self.receivers.push(receiver);
        }
        let all = format!(r#"{{"count":{}}}"#, self.receivers.len());
        let (first, last) = (before, self.receivers.len());
        self.receivers[first..last].iter_mut().for_each(|receiver| receiver.receive(all.as_bytes()));
    }

    /// Posts messages; every client receives one before the next is posted.
    fn post(&mut self, messages: u64) {
        for _ in 0..messages {
            self.said += 1;
            // All messages have the same length.
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
            self.receivers.iter_mut().for_each(|receiver| receiver.receive(content.as_bytes()));
        }
    }

    /// The allocations of this many messages, once all buffers have their size.
    fn allocations_of_posting(&mut self) -> usize {
        self.post(WARM_UP);
        let region = Region::new(ALLOCATOR);
        self.post(MESSAGES);
        let Stats { allocations, reallocations, .. } = region.change();
        allocations + reallocations
    }
}

/// One test, since the allocator is shared by the whole process.
#[test]
fn a_delivery_allocates_nothing_and_an_idle_connection_keeps_little() {
    let mut bed = TestBed::start();
    bed.connect(TestBed::sockets(FEW));
    let few = bed.allocations_of_posting();

    let sockets = TestBed::sockets(MANY - FEW);
    let region = Region::new(ALLOCATOR);
    bed.connect(sockets);
    let Stats { allocations, deallocations, bytes_allocated, bytes_deallocated, bytes_reallocated, .. } =
        region.change();
    let added = (MANY - FEW) as f64;
    let kept = allocations.saturating_sub(deallocations) as f64 / added;
    // Reallocations are counted separately and may be negative.
    let bytes = (bytes_allocated as f64 + bytes_reallocated as f64 - bytes_deallocated as f64) / added;

    let many = bed.allocations_of_posting();
    // The cost of a message does not depend on the number of sessions.
    let deliveries = (MANY - FEW) as f64 * MESSAGES as f64;
    let each = many.saturating_sub(few) as f64 / deliveries;
    println!("allocations per delivery in steady state: {each:.4}");
    println!("allocations per idle connection that it keeps: {kept:.2}");
    println!("bytes per idle connection that it keeps: {bytes:.0}");
    println!("({few} and {many} allocations for {MESSAGES} messages to {FEW} and to {MANY})");
    assert!(each < 0.01, "{few} allocations for {FEW} receivers, {many} for {MANY}");
    assert!(bytes < BYTES_PER_CONNECTION_MAX, "{bytes} bytes a connection");
}
