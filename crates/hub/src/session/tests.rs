//! Health as a table of moments, and what is gathered in which order.

mod splice;

use std::net::Ipv4Addr;
use std::rc::Rc;

use teahouse_core::{MessageId, Seq, TokenKey, Version};

use super::cursor::Source;
use super::*;
use crate::options::HubOptions;
use crate::tail::EncodedChange;

fn at(seconds: u64) -> MonotonicMs {
    MonotonicMs(seconds * 1000)
}

fn params(hello_until: Option<MonotonicMs>) -> SessionParams {
    SessionParams {
        id: SessionId(1),
        user: UserId(7),
        mark: TokenMark { token: TokenKey([0; 16]), login: None, issued_at: 0, expires_at: i64::MAX },
        language: Language::En,
        address: Ipv4Addr::LOCALHOST.into(),
        hello_until,
        ring_position: RingPosition::default(),
    }
}

fn session() -> Session {
    Session::new(params(None), at(0))
}

#[test]
fn h19_a_silent_peer_is_given_up_35_seconds_after_its_last_sign() {
    let options = HubOptions::default();
    let mut health = Health::new(at(0));
    assert_eq!(health.check(at(24), 0, false, &options), HealthStatus::Healthy);
    assert_eq!(health.check(at(25), 0, false, &options), HealthStatus::Ping);
    health.record_sent(2, at(25));
    // The ping itself is unacknowledged: the peer is half-open.
    assert_eq!(health.check(at(34), 2, false, &options), HealthStatus::Healthy);
    assert_eq!(health.check(at(35), 2, false, &options), HealthStatus::Silent);
}

#[test]
fn a_peer_that_answers_is_asked_again_after_the_interval() {
    let options = HubOptions::default();
    let mut health = Health::new(at(0));
    assert_eq!(health.check(at(25), 0, false, &options), HealthStatus::Ping);
    health.record_received();
    assert_eq!(health.check(at(49), 0, false, &options), HealthStatus::Healthy);
    assert_eq!(health.check(at(50), 0, false, &options), HealthStatus::Ping);
}

#[test]
fn h19_with_data_waiting_only_the_queue_counts_and_it_has_60_seconds() {
    let options = HubOptions::default();
    let mut health = Health::new(at(0));
    health.record_sent(100_000, at(10));
    for second in 11..70 {
        let verdict = health.check(at(second), 100_000, true, &options);
        assert!(matches!(verdict, HealthStatus::Healthy | HealthStatus::Ping), "{second}: {verdict:?}");
    }
    assert_eq!(health.check(at(70), 100_000, true, &options), HealthStatus::Stalled);
}

#[test]
fn a_slow_reader_that_makes_progress_is_never_stalled() {
    let options = HubOptions::default();
    let mut health = Health::new(at(0));
    health.record_sent(1_000_000, at(0));
    // A kilobyte a second, seen in steps of 44 seconds, as loopback does it.
    for step in 1..20 {
        let verdict = health.check(at(step * 44), 1_000_000 - step * 44_000, true, &options);
        assert!(matches!(verdict, HealthStatus::Healthy | HealthStatus::Ping), "{step}: {verdict:?}");
    }
}

#[test]
fn twenty_one_malformed_frames_in_ten_seconds_are_one_too_many() {
    let mut session = session();
    assert!((0..20).all(|_| !session.record_malformed(at(1))));
    assert!(session.record_malformed(at(9)));
    // Ten seconds later those are forgotten, one by one.
    let mut patient = self::session();
    assert!((0..100).all(|second| !patient.record_malformed(at(second))));
    assert!((0..10).all(|_| !patient.record_malformed(at(99))));
    assert!(patient.record_malformed(at(99)));
}

fn frame(name: &'static str) -> Bytes {
    Bytes::from_static(name.as_bytes())
}

fn count(users: u64) -> OnlineCount {
    OnlineCount { users, frame: frame("count") }
}

fn gather(session: &mut Session, tail: &Tail) -> (Vec<String>, Vec<StoreRead>) {
    let (mut batch, mut wants) = (Batch::default(), Vec::new());
    let (count, ring) = (count(2), Ring::new(1));
    let missed = |_: Language, _: Dialect| frame("missed");
    let sources = GatherInput { tail_of: |_| Some(tail), count: &count, ring: &ring, events_missed: &missed };
    session.gather(&sources, &mut batch, &mut wants);
    (batch.frames.iter().map(|frame| String::from_utf8_lossy(frame).into_owned()).collect(), wants)
}

fn tail(envelopes_max: usize, versions: std::ops::RangeInclusive<u64>) -> Tail {
    let mut tail = Tail::new(Version(versions.start() - 1), Seq(versions.start() - 1), envelopes_max);
    for version in versions {
        let (classic, v1) = (Some(Bytes::from(format!("m{version}"))), Bytes::from(format!("v{version}")));
        tail.push(EncodedChange { classic, v1, ..EncodedChange::silent(Version(version), Seq(version)) });
    }
    tail
}

const LOBBY: RoomId = RoomId(1);

#[test]
fn answers_go_first_then_what_is_for_the_user_then_the_count_then_the_rooms() {
    let mut session = session();
    session.add_cursor(Cursor::at(LOBBY, (Version(0), Seq(0))));
    session.observe_count(2);
    session.notify(CoalesceKey::Read(RoomId(9), UserId(8)), frame("read"), 10);
    session.reply(frame("answer"));
    let tail = tail(10, 1..=2);
    assert_eq!(gather(&mut session, &tail).0, ["answer", "read", "count", "m1", "m2"]);
    assert_eq!(gather(&mut session, &tail).0, [""; 0]);
}

#[test]
fn a_closing_session_says_goodbye_and_nothing_else() {
    let mut session = session();
    session.add_cursor(Cursor::at(LOBBY, (Version(0), Seq(0))));
    session.reply(frame("goodbye"));
    session.closing = true;
    assert_eq!(gather(&mut session, &tail(10, 1..=2)).0, ["goodbye"]);
}

#[test]
fn what_says_the_same_is_told_once_and_too_much_is_told_as_missed() {
    let mut session = session();
    for (reader, seq) in [(1, 5), (2, 5), (1, 6), (3, 5)] {
        session.notify(CoalesceKey::Read(RoomId(9), UserId(reader)), Bytes::from(format!("read{reader}:{seq}")), 2);
    }
    // What becomes of one's own rooms is never missed.
    session.notify(CoalesceKey::Membership(RoomId(9)), frame("removed"), 2);
    assert_eq!(gather(&mut session, &tail(1, 1..=1)).0, ["read2:5", "read1:6", "removed", "missed"]);
}

#[test]
fn the_newest_word_on_something_stands_behind_what_was_told_meanwhile() {
    let mut session = session();
    // The entry has the name of its time; in front of it, the newer name would be lost.
    session.notify(CoalesceKey::Entry(RoomId(9)), frame("name: first"), 10);
    session.notify(CoalesceKey::Membership(RoomId(9)), frame("entry: first"), 10);
    session.notify(CoalesceKey::Entry(RoomId(9)), frame("name: second"), 10);
    assert_eq!(gather(&mut session, &tail(1, 1..=1)).0, ["entry: first", "name: second"]);
}

#[test]
fn h9_a_cursor_older_than_the_tail_is_served_a_page_and_goes_on_in_the_tail_without_gap_or_repeat() {
    let mut session = session();
    session.add_cursor(Cursor::at(LOBBY, (Version(3), Seq(3))));
    let tail = tail(2, 1..=9);
    let (nothing, wants) = gather(&mut session, &tail);
    assert_eq!((nothing.len(), wants), (0, vec![StoreRead::Classic(LOBBY, (Version(3), Seq(3)))]));
    // Asked once, however often it is looked at.
    assert_eq!(gather(&mut session, &tail), (vec![], vec![]));
    let page = Page {
        frames: (4..=8).map(|seq| (Bytes::from(format!("m{seq}")), None)).collect(),
        reset: false,
        reacted: vec![],
        reached: (Version(8), Seq(8)),
        complete: true,
    };
    let want = StoreRead::Classic(LOBBY, (Version(3), Seq(3)));
    assert!(session.cursor_in(LOBBY).unwrap().accept_page(&want, &Rc::new(page)));
    assert!(matches!(session.cursor_in(LOBBY).unwrap().source, Source::Page(..)));
    assert_eq!(gather(&mut session, &tail).0, ["m4", "m5", "m6", "m7", "m8", "m9"]);
}

#[test]
fn a_v1_session_hears_nothing_of_rooms_before_its_welcome_and_then_the_welcome_first() {
    let mut session = Session::new(params(Some(at(10))), at(0));
    session.reply(frame("error: say hello first"));
    session.notify(CoalesceKey::Published, frame("event"), 10);
    let tail = tail(10, 1..=2);
    assert_eq!(gather(&mut session, &tail).0, ["error: say hello first"]);
    session.reply(frame("error: not now"));
    assert!(session.begin_welcome() && !session.begin_welcome());
    session.reply(frame("ack"));
    assert_eq!(gather(&mut session, &tail).0, ["error: not now"]);
    assert_eq!(gather(&mut session, &tail).0, [""; 0]);
    session.add_cursor(Cursor::at(LOBBY, (Version(1), Seq(1))));
    session.welcome(frame("welcome"), 2);
    assert_eq!(gather(&mut session, &tail).0, ["welcome", "ack", "event", "v2"]);
}

#[test]
fn what_was_answered_before_a_hello_goes_out_before_its_welcome() {
    let mut session = Session::new(params(Some(at(10))), at(0));
    session.reply(frame("error: not now"));
    session.begin_welcome();
    session.reply(frame("ack"));
    // Nothing could be sent until here.
    session.welcome(frame("welcome"), 2);
    assert_eq!(gather(&mut session, &tail(10, 1..=2)).0, ["error: not now", "welcome", "ack"]);
}

#[test]
fn a_room_that_ones_own_request_brought_waits_for_the_answer() {
    let mut session = Session::new(params(Some(at(10))), at(0));
    session.welcome(frame("welcome"), 2);
    session.add_cursor(Cursor::at(RoomId(7), (Version(0), Seq(0))));
    session.begin_entering(RoomId(7), Version(0));
    let tail = tail(10, 1..=2);
    // How it looks, who is typing: all that is of the room, and nothing else.
    session.notify(CoalesceKey::Entry(RoomId(7)), frame("how it looks"), 10);
    session.notify(CoalesceKey::Entry(RoomId(8)), frame("another one"), 10);
    assert_eq!(gather(&mut session, &tail).0, ["welcome", "another one"]);
    session.reply(frame("ack: the entry"));
    assert!(session.finish_entering(RoomId(7), Version(0)));
    assert_eq!(gather(&mut session, &tail).0, ["ack: the entry", "how it looks", "v1", "v2"]);
}

#[test]
fn whoever_is_taken_out_while_coming_in_hears_the_answer_first() {
    let mut session = Session::new(params(Some(at(10))), at(0));
    session.welcome(frame("welcome"), 2);
    session.add_cursor(Cursor::at(RoomId(7), (Version(0), Seq(0))));
    session.begin_entering(RoomId(7), Version(0));
    session.remove_cursor(RoomId(7));
    session.notify(CoalesceKey::Membership(RoomId(7)), frame("removed"), 10);
    let tail = tail(10, 1..=2);
    assert_eq!(gather(&mut session, &tail).0, ["welcome"]);
    session.reply(frame("ack: the entry"));
    assert!(session.finish_entering(RoomId(7), Version(0)));
    assert_eq!(gather(&mut session, &tail).0, ["ack: the entry", "removed"]);
}

#[test]
fn what_is_newer_than_a_page_of_the_past_goes_out_behind_it() {
    let mut session = Session::new(params(Some(at(10))), at(0));
    session.welcome(frame("welcome"), 2);
    session.add_cursor(Cursor::at(RoomId(7), (Version(0), Seq(0))));
    assert!(session.begin_reading(RoomId(7)) && session.begin_reading(RoomId(7)) && !session.begin_reading(RoomId(8)));
    let tail = tail(10, 1..=2);
    assert_eq!(gather(&mut session, &tail).0, ["welcome"]);
    session.reply(frame("a page"));
    assert!(session.finish_read(RoomId(7)));
    assert_eq!(gather(&mut session, &tail).0, ["a page"]);
    session.reply(frame("another page"));
    assert!(session.finish_read(RoomId(7)) && !session.finish_read(RoomId(7)));
    assert_eq!(gather(&mut session, &tail).0, ["another page", "v1", "v2"]);
    // Whoever went out and came back holds nothing for what was asked before.
    assert!(session.begin_reading(RoomId(7)));
    session.remove_cursor(RoomId(7));
    session.add_cursor(Cursor::at(RoomId(7), (Version(2), Seq(2))));
    assert!(!session.finish_read(RoomId(7)));
}

#[test]
fn a_message_that_changed_again_comes_once_in_a_bracket() {
    let mut tail = Tail::new(Version(0), Seq(0), 8);
    for (version, message, kind) in [(1, 1, "new"), (2, 2, "new"), (3, 1, "edit"), (4, 1, "delete")] {
        let v1 = text_frame(&format!(r#"{{"data":{{"version":{version},"change":{{"kind":"{kind}"}}}}}}"#));
        let bare = EncodedChange::silent(Version(version), Seq(version.min(2)));
        tail.push(EncodedChange { v1, message: MessageId(message), is_new: kind == "new", ..bare });
    }
    let mut session = Session::new(params(Some(at(10))), at(0));
    session.welcome(frame("welcome"), 2);
    session.add_cursor(Cursor::at(LOBBY, (Version(4), Seq(2))));
    session.resume(LOBBY, Some(Version(0)));
    let (heard, wants) = gather(&mut session, &tail);
    assert_eq!(wants, [], "the tail has it all");
    let [welcome, begin, second, first, end] = &heard[..] else { panic!("{heard:?}") };
    assert!(welcome == "welcome" && begin.contains("catch_up") && end.contains(r#""version":4"#), "{heard:?}");
    assert!(second.ends_with(r#"{"data":{"version":2}}"#) && first.ends_with(r#"{"data":{"version":4}}"#), "{heard:?}");
}

#[test]
fn of_more_changes_than_are_brought_one_by_one_the_store_says_that_the_room_begins_anew() {
    let reader = Reader { user: UserId(7), dialect: Dialect::V1 };
    let asked = |changes: u64| {
        let tail = tail(1024, 1..=changes);
        let mut cursor = Cursor::at(LOBBY, (Version(changes), Seq(changes)));
        cursor.resume(Some(Version(0)));
        let (mut batch, mut wants) = (Batch::default(), Vec::new());
        cursor.gather(reader, &tail, &mut batch, &mut wants);
        wants
    };
    assert_eq!(asked(500), []);
    assert_eq!(asked(501), [StoreRead::Changes(LOBBY, crate::ports::CatchUpFrom::Held(Version(0)))]);
}

#[test]
fn a_bracket_that_began_with_a_page_of_the_store_goes_on_with_the_next() {
    // The store knows of a version 5, which changed message 3; the street has brought its shard version 4.
    let mut tail = Tail::new(Version(2), Seq(2), 8);
    (3..=4).for_each(|version| tail.push(EncodedChange::silent(Version(version), Seq(version))));
    let reader = Reader { user: UserId(7), dialect: Dialect::V1 };
    let mut cursor = Cursor::at(LOBBY, (Version(4), Seq(4)));
    cursor.resume(Some(Version(0)));
    let gather = |cursor: &mut Cursor| {
        let (mut batch, mut wants) = (Batch::default(), Vec::new());
        cursor.gather(reader, &tail, &mut batch, &mut wants);
        (batch.frames.len(), wants)
    };
    let want = StoreRead::Changes(LOBBY, crate::ports::CatchUpFrom::Held(Version(0)));
    assert_eq!(gather(&mut cursor), (0, vec![want.clone()]));
    let frames = ["message 1", "message 2", "message 4"].map(|message| (frame(message), None)).to_vec();
    let reached = (Version(4), Seq(4));
    assert!(
        cursor.accept_page(&want, &Rc::new(Page { frames, reset: false, reacted: vec![], reached, complete: false }))
    );
    let next = StoreRead::Changes(LOBBY, crate::ports::CatchUpFrom::Since(Version(4)));
    assert_eq!(gather(&mut cursor), (4, vec![next]), "the catch_up is open: message 3 is missing");
}

#[test]
fn whoever_asks_to_sync_is_not_taken_back_behind_what_they_were_sent() {
    // The session began with a snapshot of version 5; of that the street has brought its shard version 3.
    let room = RoomId(7);
    let tail = Tail::new(Version(3), Seq(3), 8);
    let reader = Reader { user: UserId(7), dialect: Dialect::V1 };
    let mut cursor = Cursor::at(room, (Version(5), Seq(5)));
    let gather = |cursor: &mut Cursor| {
        let (mut batch, mut wants) = (Batch::default(), Vec::new());
        cursor.gather(reader, &tail, &mut batch, &mut wants);
        (batch.frames.len(), wants)
    };
    assert_eq!(cursor.request_sync(Version(3), Some("a".into())), Ok(()));
    let want = StoreRead::Changes(room, crate::ports::CatchUpFrom::Held(Version(3)));
    assert_eq!(gather(&mut cursor), (0, vec![want.clone()]));
    let reached = (Version(6), Seq(6));
    let page = Rc::new(Page { frames: vec![], reset: false, reacted: vec![], reached, complete: true });
    assert!(cursor.accept_page(&want, &page));
    let (frames, wants) = gather(&mut cursor);
    assert_eq!((frames, wants, cursor.version), (3, vec![], Version(6)));
}
