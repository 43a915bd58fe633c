//! In which order a shard processes its inbox and what is done, with a request handler of the test's own.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use bytes::Bytes;
use teahouse_core::{
    AcceptOrder, LOBBY, Language, MessageId, Profile, Role, RoomEntry, RoomId, RoomKind, RoomList, Seq, SessionId,
    Timestamp, TokenKey, TokenMark, User, UserId, UserRole, Version,
};
use teahouse_protocol::v1::LimitsBody;

use super::connection::Connection;
use super::jobs::{Done, ReadResult};
use super::state::Shard;
use super::{Environment, Ports};
use crate::clock::MonotonicMs;
use crate::inbox::{CoalesceKey, Delivery, Inbox, InboxMax, Notification, Recipients};
use crate::metrics::HubMetrics;
use crate::online::Online;
use crate::options::HubOptions;
use crate::ports::{
    BoxFuture, CatchUpFrom, ChangesPage, ClassicPage, Dialect, Entered, HistoryReader, Identity, NewConnection,
    RequestHandler, RequestOutcome, Response, SessionContext, SessionEffect, WelcomeData,
};
use crate::session::StoreRead;
use crate::tail::{EncodedChange, TailMax};
use crate::websocket::text_frame;

const AMY: UserId = UserId(1);
const TEA: RoomId = RoomId(7);
const SESSION: SessionId = SessionId(1);

/// A store that commits before it answers, and answers at once.
struct Server(Arc<[Arc<Inbox>]>);

impl RequestHandler for Server {
    fn handle_classic(&self, _: &SessionContext, _: &str) -> RequestOutcome {
        RequestOutcome::NoReply
    }

    fn handle_v1(&self, context: &SessionContext, _: bool, text: &str) -> RequestOutcome {
        let response = |envelope: Option<&str>, effect| {
            Box::pin(std::future::ready(Response {
                envelope: envelope.map(str::to_owned),
                effect: Some(effect),
                permit: None,
            }))
        };
        if text == "hello" {
            return RequestOutcome::Hello(response(None, SessionEffect::Welcome(Box::new(welcome_data()))));
        }
        let member = Delivery::Member { user: AMY, entry: Arc::new(entry(TEA)), requester: Some(context.session) };
        self.0[0].push(&[member], &HubMetrics::default());
        RequestOutcome::Pending(response(Some("joined"), SessionEffect::EnterRoom((&entry(TEA)).into())))
    }
}

impl HistoryReader for Server {
    fn classic_page(&self, _: RoomId, _: (Version, Seq)) -> BoxFuture<Option<ClassicPage>> {
        Box::pin(std::future::pending())
    }

    fn changes(&self, _: RoomId, _: CatchUpFrom) -> BoxFuture<Option<ChangesPage>> {
        Box::pin(std::future::pending())
    }

    fn own_reactions(&self, _: UserId, _: Vec<MessageId>) -> BoxFuture<Option<Vec<(MessageId, String)>>> {
        Box::pin(std::future::pending())
    }

    fn entries(&self, _: RoomId, _: Vec<UserId>) -> BoxFuture<Option<Vec<(UserId, RoomEntry)>>> {
        Box::pin(std::future::pending())
    }

    fn members(&self, _: RoomId) -> BoxFuture<Option<Vec<UserId>>> {
        Box::pin(std::future::pending())
    }
}

fn entry(room: RoomId) -> RoomEntry {
    RoomEntry {
        id: room,
        kind: RoomKind::Public,
        name: None,
        title: String::new(),
        version: Version(4),
        last_seq: Seq(4),
        members: 1,
        role: Role::default(),
        read_seq: Seq(0),
        unread: 0,
        muted: false,
        peer: None,
        last_message: None,
        reads: Vec::new(),
        request: false,
    }
}

fn welcome_data() -> WelcomeData {
    let profile = Profile { id: AMY, ..Profile::default() };
    WelcomeData {
        id: None,
        user: User {
            profile,
            email: None,
            bio: String::new(),
            role: UserRole::User,
            disabled: false,
            muted_until: None,
            created_at: Timestamp(0),
        },
        epoch: String::new(),
        time: Timestamp(0),
        limits: LimitsBody {
            content_chars_max: 1,
            frame_bytes_max: 1,
            sends_per_second: 1,
            sends_burst: 1,
            envelopes_per_second: 1,
            envelopes_burst: 1,
            history_messages_max: 1,
        },
        rooms: RoomList { rooms: vec![entry(LOBBY)], more_directs: None, invites: Vec::new() },
        held: Vec::new(),
    }
}

/// A short client frame, masked with zeros.
fn client_frame(text: &str) -> Vec<u8> {
    [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat()
}

/// A shard with amy's v1 session, which is welcomed.
struct Stage {
    shard: Shard,
    inbox: Arc<Inbox>,
    client: TcpStream,
}

impl Stage {
    fn open() -> Self {
        Self::with(HubOptions::default())
    }

    fn with(options: HubOptions) -> Self {
        let inboxes: Arc<[Arc<Inbox>]> = Arc::from([Arc::new(Inbox::new(InboxMax::new(&options)))]);
        let server = Arc::new(Server(Arc::clone(&inboxes)));
        let environment = Environment {
            index: 0,
            options,
            metrics: HubMetrics::default(),
            ports: Ports { handler: Arc::clone(&server) as Arc<dyn RequestHandler>, history: server },
            online: Arc::new(Online::default()),
            inboxes: Arc::clone(&inboxes),
            next_session: Arc::new(AtomicU64::new(SESSION.0)),
        };
        let mut shard = Shard::new(environment, (Version(4), Seq(4)));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = listener.accept().unwrap().0;
        stream.set_nonblocking(true).unwrap();
        let token = TokenMark { token: TokenKey([0; 16]), login: None, issued_at: 0, expires_at: i64::MAX / 2000 };
        let connection = NewConnection {
            identity: Identity { user: AMY, token, language: Language::En, address: Ipv4Addr::LOCALHOST.into() },
            accepted: AcceptOrder(1),
            dialect: Dialect::V1,
            device: None,
            checked_at: Instant::now(),
            lobby: (Version(4), Seq(4)),
            stream,
            handshake_response: Bytes::new(),
            early_bytes: Bytes::from(client_frame("hello")),
            permit: None,
        };
        shard.attach(connection, MonotonicMs(0), Timestamp(0), |stream, _, _| Ok(Connection::Tcp(stream)));
        let mut stage = Self { shard, inbox: Arc::clone(&inboxes[0]), client };
        stage.shard.process_inbox(Vec::new());
        stage.run();
        stage
    }

    fn run(&mut self) {
        let mut buffer = [0; 1024];
        self.shard.run_time_slices(&mut buffer, |_| || false);
    }

    /// Processes these deliveries at once, and then an answer with this effect.
    fn process(&mut self, deliveries: &[Delivery], effect: Option<SessionEffect>) {
        self.inbox.push(deliveries, &HubMetrics::default());
        let answer = |effect| Response { envelope: Some("opened".to_owned()), effect: Some(effect), permit: None };
        self.shard.process_inbox(effect.map(|effect| Done::Request(SESSION, Ok(answer(effect)))).into_iter().collect());
        self.run();
    }

    /// Answers the reads of room entries with one at this version. Returns the other reads that were wanted.
    fn answer_entries(&mut self, version: u64) -> Vec<StoreRead> {
        let mut others = Vec::new();
        while let Some(read) = self.shard.reads.start_next() {
            if let StoreRead::Entries(room, _) = read {
                let entry = RoomEntry {
                    kind: RoomKind::Direct,
                    version: Version(version),
                    last_seq: Seq(version),
                    ..entry(room)
                };
                self.shard.finish_read(read, Some(ReadResult::Entries(vec![(AMY, entry)])));
                self.run();
            } else {
                others.push(read);
            }
        }
        others
    }

    fn bound_reached(&self, bound: &'static str) -> u64 {
        self.shard.environment.metrics.bounds.times(bound)
    }

    fn writes(&self) -> u64 {
        self.shard.environment.metrics.writes.get()
    }

    /// Closes the shard's side and returns all that the client received.
    fn received(mut self) -> String {
        drop(self.shard);
        let mut bytes = Vec::new();
        self.client.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[test]
fn commits_before_an_answer_are_processed_before_it() {
    let mut stage = Stage::open();
    let index = stage.shard.slot_of(SESSION).unwrap();
    // The commit is in the inbox and the answer is ready before the request returns to the shard.
    stage.shard.receive(index, &mut client_frame("join"));
    assert!(!stage.shard.slots[index].session.is_in(TEA));
    stage.shard.process_inbox(Vec::new());
    assert!(stage.shard.slots[index].session.is_in(TEA));
    stage.run();
    let received = stage.received();
    assert!(received.contains("joined"), "{received}");
    // An answer that came first would begin the room in the client before the server has it there.
    assert!(!received.contains("removed"), "{received}");
}

#[test]
fn the_answer_that_is_done_when_the_inbox_is_taken_waits_for_the_inbox() {
    let mut stage = Stage::open();
    let member = Delivery::Member { user: AMY, entry: Arc::new(entry(TEA)), requester: Some(SESSION) };
    stage.inbox.push(&[member], &HubMetrics::default());
    let effect = Some(SessionEffect::EnterRoom((&entry(TEA)).into()));
    let response = Response { envelope: Some("joined".to_owned()), effect, permit: None };
    stage.shard.process_inbox(vec![Done::Request(SESSION, Ok(response))]);
    stage.run();
    let received = stage.received();
    assert!(received.contains("joined") && !received.contains("removed"), "{received}");
}

#[test]
fn a_message_and_its_ack_leave_in_one_write() {
    let mut stage = Stage::open();
    let change = EncodedChange { v1: text_frame("the message"), ..EncodedChange::silent(Version(5), Seq(5)) };
    stage.inbox.push(&[Delivery::RoomChange { room: LOBBY, change }], &HubMetrics::default());
    let ack = Response::with_envelope("the ack".to_owned());
    let writes = stage.writes();
    stage.shard.process_inbox(vec![Done::Request(SESSION, Ok(ack))]);
    stage.run();
    assert_eq!(stage.writes(), writes + 1);
    let received = stage.received();
    assert!(received.contains("the ack") && received.contains("the message"), "{received}");
}

/// A message that bob wrote to amy.
fn message_to_amy(room: RoomId, version: u64) -> Delivery {
    let v1 = text_frame(&format!("message {version}"));
    let silent = EncodedChange::silent(Version(version), Seq(version));
    let change = EncodedChange { v1, receiver: Some(AMY), author: UserId(2), ..silent };
    Delivery::RoomChange { room, change }
}

/// The answer to an `open` of a direct room that was at this version.
fn opened_at(version: u64) -> Option<SessionEffect> {
    Some(SessionEffect::EnterRoom(Entered { room: TEA, at: (Version(version), Seq(version)), direct: true }))
}

#[test]
fn a_direct_room_opened_between_two_messages_loses_none_of_them() {
    for version in 4..=7 {
        let mut stage = Stage::open();
        // No session of the shard is in the room: the first message brings amy into it.
        stage.process(&[5, 6, 7].map(|version| message_to_amy(TEA, version)), opened_at(version));
        assert_eq!(stage.answer_entries(7), []);
        let received = stage.received();
        let after = (5..=7).filter(|later| received.contains(&format!("message {later}")));
        assert_eq!(after.collect::<Vec<u64>>(), (version + 1..=7).collect::<Vec<u64>>(), "opened at {version}");
    }
}

#[test]
fn a_session_enters_an_unlisted_room_before_the_first_of_the_changes_that_were_lost() {
    let mut stage = Stage::with(HubOptions { inbox_commits_max: 1, ..HubOptions::default() });
    let rooms = (10..40).map(RoomId);
    let change = |room: RoomId, version, author, receiver| {
        let silent = EncodedChange::silent(Version(version), Seq(version));
        let change = EncodedChange { author, receiver: Some(receiver), classic: Some(Bytes::new()), ..silent };
        Delivery::RoomChange { room, change }
    };
    let lost = rooms.clone().flat_map(|room| [change(room, 5, UserId(2), AMY), change(room, 6, AMY, UserId(2))]);
    let first = Delivery::EntriesChanged(LOBBY);
    stage.process(&[first].into_iter().chain(lost).collect::<Vec<_>>(), None);
    let index = stage.shard.slot_of(SESSION).unwrap();
    let session = &mut stage.shard.slots[index].session;
    for room in rooms {
        assert_eq!(session.cursor_in(room).map(|cursor| cursor.version), Some(Version(4)), "room {room}");
    }
}

#[test]
fn a_full_tail_is_reported_only_when_a_reader_falls_out_of_it() {
    let tail_max = TailMax { changes: 100, bytes: 3000 };
    let mut stage = Stage::with(HubOptions { tail_max, ..HubOptions::default() });
    let change = |version| {
        let v1 = text_frame(&"x".repeat(1000));
        let change = EncodedChange { v1, ..EncodedChange::silent(Version(version), Seq(version)) };
        Delivery::RoomChange { room: LOBBY, change }
    };
    (5..15).for_each(|version| stage.process(&[change(version)], None));
    assert_eq!(stage.bound_reached("hub.tail_max.bytes"), 0);
    stage.process(&(15..25).map(change).collect::<Vec<_>>(), None);
    assert_eq!(stage.bound_reached("hub.tail_max.bytes"), 1);
}

#[test]
fn a_small_bound_of_replies_leaves_notifications_alone() {
    let mut stage = Stage::with(HubOptions { reply_bytes_max: 4096, ..HubOptions::default() });
    let event = |number| {
        let v1 = Some(text_frame(&format!("event {number}{}", "x".repeat(1000))));
        let (recipients, key) = (Recipients::User(AMY), CoalesceKey::Published);
        Delivery::Notification(Notification { recipients, key, classic: None, v1 })
    };
    stage.process(&(0..10).map(event).collect::<Vec<_>>(), None);
    let received = stage.received();
    assert!((0..10).all(|number| received.contains(&format!("event {number}"))), "{received}");
}

#[test]
fn a_full_ring_is_reported_only_when_a_session_missed_an_event() {
    let mut stage = Stage::with(HubOptions { ring_bytes_max: 3000, ..HubOptions::default() });
    let event = || {
        let v1 = Some(text_frame(&"x".repeat(1000)));
        let (recipients, key) = (Recipients::Everyone, CoalesceKey::Published);
        Delivery::Notification(Notification { recipients, key, classic: None, v1 })
    };
    (0..10).for_each(|_| stage.process(&[event()], None));
    assert_eq!(stage.bound_reached("hub.ring_bytes_max"), 0);
    stage.process(&[(); 10].map(|()| event()), None);
    assert_eq!(stage.bound_reached("hub.ring_bytes_max"), 1);
}
