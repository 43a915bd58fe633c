//! Health as a table of times; what is gathered, and in which order.

mod splice;

use std::net::Ipv4Addr;
use std::rc::Rc;

use teahouse_core::{LOBBY, MessageId, RoomId, Seq, TokenKey, TokenMark, UserId, Version};

use super::cursor::Source;
use super::*;
use crate::inbox::CoalesceKey;
use crate::options::HubOptions;
use crate::ports::CatchUpFrom;
use crate::ring::Ring;
use crate::tail::{EncodedChange, Tail, TailMax};
use crate::websocket::text_frame;

fn at(seconds: u64) -> MonotonicMs {
    MonotonicMs(seconds * 1000)
}

fn params(hello_until: Option<MonotonicMs>) -> SessionParams {
    SessionParams {
        id: SessionId(1),
        identity: Identity {
            user: UserId(7),
            token: TokenMark { token: TokenKey([0; 16]), login: None, issued_at: 0, expires_at: i64::MAX },
            language: Language::En,
            address: Ipv4Addr::LOCALHOST.into(),
        },
        hello_until,
        ring_position: RingPosition::default(),
    }
}

fn session() -> Session {
    Session::new(params(None), at(0))
}

#[test]
fn h19_a_silent_peer_times_out_35_seconds_after_its_last_frame() {
    let options = HubOptions::default();
    let mut health = Health::new(at(0));
    assert_eq!(health.check(at(24), 0, false, &options), HealthStatus::Healthy);
    assert_eq!(health.check(at(25), 0, false, &options), HealthStatus::Ping);
    health.record_sent(2, at(25));
    // The ping itself is unacknowledged: the connection is half-open.
    assert_eq!(health.check(at(34), 2, false, &options), HealthStatus::Healthy);
    assert_eq!(health.check(at(35), 2, false, &options), HealthStatus::Silent);
}

#[test]
fn a_peer_that_answers_is_pinged_again_after_the_interval() {
    let options = HubOptions::default();
    let mut health = Health::new(at(0));
    assert_eq!(health.check(at(25), 0, false, &options), HealthStatus::Ping);
    health.record_received();
    assert_eq!(health.check(at(49), 0, false, &options), HealthStatus::Healthy);
    assert_eq!(health.check(at(50), 0, false, &options), HealthStatus::Ping);
}

#[test]
fn h19_while_data_waits_only_a_queue_without_progress_for_60_seconds_stalls() {
    let options = HubOptions::default();
    let mut health = Health::new(at(0));
    health.record_sent(100_000, at(10));
    for second in 11..70 {
        let status = health.check(at(second), 100_000, true, &options);
        assert!(matches!(status, HealthStatus::Healthy | HealthStatus::Ping), "{second}: {status:?}");
    }
    assert_eq!(health.check(at(70), 100_000, true, &options), HealthStatus::Stalled);
}

#[test]
fn a_slow_reader_that_makes_progress_is_never_stalled() {
    let options = HubOptions::default();
    let mut health = Health::new(at(0));
    health.record_sent(1_000_000, at(0));
    // A kilobyte a second, acknowledged in steps of 44 seconds, as loopback does.
    for step in 1..20 {
        let status = health.check(at(step * 44), 1_000_000 - step * 44_000, true, &options);
        assert!(matches!(status, HealthStatus::Healthy | HealthStatus::Ping), "{step}: {status:?}");
    }
}

#[test]
fn the_21st_malformed_frame_in_ten_seconds_exceeds_the_limit() {
    let mut session = session();
    assert!((0..20).all(|_| !session.record_malformed(at(1))));
    assert!(session.record_malformed(at(9)));
    // After ten seconds they no longer count, one by one.
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
    let (mut batch, mut reads) = (Batch::default(), Vec::new());
    let (count, ring) = (count(2), Ring::new(1, 1000));
    let missed = |_: Language, _: Dialect| frame("missed");
    let input = GatherInput { tail_of: |_| Some(tail), count: &count, ring: &ring, events_missed: &missed };
    session.gather(&input, &mut batch, &mut reads);
    (batch.frames.iter().map(|frame| String::from_utf8_lossy(frame).into_owned()).collect(), reads)
}

fn tail(envelopes_max: usize, versions: std::ops::RangeInclusive<u64>) -> Tail {
    let mut tail = Tail::new(
        Version(versions.start() - 1),
        Seq(versions.start() - 1),
        TailMax { changes: envelopes_max, bytes: usize::MAX },
    );
    for version in versions {
        let (classic, v1) = (Some(Bytes::from(format!("m{version}"))), Bytes::from(format!("v{version}")));
        tail.push(EncodedChange { classic, v1, ..EncodedChange::silent(Version(version), Seq(version)) }, 0);
    }
    tail
}

#[test]
fn a_batch_holds_replies_then_notifications_then_the_count_then_rooms() {
    let mut session = session();
    session.add_cursor(Cursor::at(LOBBY, (Version(0), Seq(0))));
    session.observe_count(2);
    session.notify(CoalesceKey::Read(RoomId(9), UserId(8)), frame("read"), 10, 1000);
    session.reply(frame("answer"));
    let tail = tail(10, 1..=2);
    assert_eq!(gather(&mut session, &tail).0, ["answer", "read", "count", "m1", "m2"]);
    assert_eq!(gather(&mut session, &tail).0, [""; 0]);
}

#[test]
fn a_closing_session_sends_its_goodbye_and_nothing_else() {
    let mut session = session();
    session.add_cursor(Cursor::at(LOBBY, (Version(0), Seq(0))));
    session.reply(frame("goodbye"));
    session.closing = true;
    assert_eq!(gather(&mut session, &tail(10, 1..=2)).0, ["goodbye"]);
}

#[test]
fn notifications_coalesce_by_key_and_an_overflow_sends_events_missed() {
    let mut session = session();
    for (reader, seq) in [(1, 5), (2, 5), (1, 6), (3, 5)] {
        session.notify(
            CoalesceKey::Read(RoomId(9), UserId(reader)),
            Bytes::from(format!("read{reader}:{seq}")),
            2,
            1000,
        );
    }
    // The session's own memberships are never missed.
    session.notify(CoalesceKey::Membership(RoomId(9)), frame("removed"), 2, 1000);
    assert_eq!(gather(&mut session, &tail(1, 1..=1)).0, ["read2:5", "read1:6", "removed", "missed"]);
}

#[test]
fn the_bound_that_notifications_reach_is_named_and_what_leaves_makes_room_again() {
    fn notify(session: &mut Session, room: u64, envelopes: usize) -> Option<(&'static str, usize)> {
        let key = CoalesceKey::Read(RoomId(room), UserId(1));
        session.notify(key, Bytes::from(vec![b'x'; 600]), envelopes, 1000)
    }
    let mut session = session();
    assert_eq!(notify(&mut session, 1, 1), None);
    assert_eq!(notify(&mut session, 2, 1), Some(("hub.waiting_envelopes_max", 1)));
    assert_eq!(notify(&mut session, 2, 9), None);
    assert_eq!(notify(&mut session, 3, 9), Some(("hub.notification_bytes_max", 1200)));
    // A newer one with the same key takes the place of the waiting one.
    assert_eq!(notify(&mut session, 2, 9), None);
    session.drop_pending_of_room(RoomId(1));
    assert_eq!(notify(&mut session, 3, 9), None);
    let aside = session.take_notifications();
    assert_eq!(notify(&mut session, 4, 9), None);
    session.append_notifications(aside);
    assert_eq!(notify(&mut session, 5, 9), Some(("hub.notification_bytes_max", 1800)));
}

#[test]
fn a_coalesced_notification_goes_after_those_queued_meanwhile() {
    let mut session = session();
    // The entry carries an older name; before it, the newer name would be overwritten.
    session.notify(CoalesceKey::Entry(RoomId(9)), frame("name: first"), 10, 1000);
    session.notify(CoalesceKey::Membership(RoomId(9)), frame("entry: first"), 10, 1000);
    session.notify(CoalesceKey::Entry(RoomId(9)), frame("name: second"), 10, 1000);
    assert_eq!(gather(&mut session, &tail(1, 1..=1)).0, ["entry: first", "name: second"]);
}

#[test]
fn h9_a_cursor_older_than_the_tail_reads_a_page_then_the_tail_without_gap_or_repeat() {
    let mut session = session();
    session.add_cursor(Cursor::at(LOBBY, (Version(3), Seq(3))));
    let tail = tail(2, 1..=9);
    let (nothing, reads) = gather(&mut session, &tail);
    assert_eq!((nothing.len(), reads), (0, vec![StoreRead::Classic(LOBBY, (Version(3), Seq(3)))]));
    // It is requested once, however often the session is gathered.
    assert_eq!(gather(&mut session, &tail), (vec![], vec![]));
    let page = Page {
        frames: (4..=8).map(|seq| (Bytes::from(format!("m{seq}")), None)).collect(),
        reset: false,
        reacted: vec![],
        reached: (Version(8), Seq(8)),
        complete: true,
    };
    let read = StoreRead::Classic(LOBBY, (Version(3), Seq(3)));
    assert!(session.cursor_in(LOBBY).unwrap().accept_page(&read, &Rc::new(page)));
    assert!(matches!(session.cursor_in(LOBBY).unwrap().source, Source::Page(..)));
    assert_eq!(gather(&mut session, &tail).0, ["m4", "m5", "m6", "m7", "m8", "m9"]);
}

#[test]
fn a_v1_session_receives_nothing_of_rooms_before_its_welcome() {
    let mut session = Session::new(params(Some(at(10))), at(0));
    session.reply(frame("error: say hello first"));
    session.notify(CoalesceKey::Published, frame("event"), 10, 1000);
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
fn replies_queued_before_a_hello_go_out_before_its_welcome() {
    let mut session = Session::new(params(Some(at(10))), at(0));
    session.reply(frame("error: not now"));
    session.begin_welcome();
    session.reply(frame("ack"));
    // Nothing was sent until here.
    session.welcome(frame("welcome"), 2);
    assert_eq!(gather(&mut session, &tail(10, 1..=2)).0, ["error: not now", "welcome", "ack"]);
}

#[test]
fn a_room_that_a_request_entered_waits_for_its_reply() {
    let mut session = Session::new(params(Some(at(10))), at(0));
    session.welcome(frame("welcome"), 2);
    session.add_cursor(Cursor::at(RoomId(7), (Version(0), Seq(0))));
    session.begin_entering(RoomId(7), Version(0));
    let tail = tail(10, 1..=2);
    // Only what is about the room waits.
    session.notify(CoalesceKey::Entry(RoomId(7)), frame("how it looks"), 10, 1000);
    session.notify(CoalesceKey::Entry(RoomId(8)), frame("another one"), 10, 1000);
    assert_eq!(gather(&mut session, &tail).0, ["welcome", "another one"]);
    session.reply(frame("ack: the entry"));
    assert!(session.finish_entering(RoomId(7), Version(0)));
    assert_eq!(gather(&mut session, &tail).0, ["ack: the entry", "how it looks", "v1", "v2"]);
}

#[test]
fn a_user_removed_while_entering_receives_the_reply_before_removed() {
    let mut session = Session::new(params(Some(at(10))), at(0));
    session.welcome(frame("welcome"), 2);
    session.add_cursor(Cursor::at(RoomId(7), (Version(0), Seq(0))));
    session.begin_entering(RoomId(7), Version(0));
    session.remove_cursor(RoomId(7));
    session.notify(CoalesceKey::Membership(RoomId(7)), frame("removed"), 10, 1000);
    let tail = tail(10, 1..=2);
    assert_eq!(gather(&mut session, &tail).0, ["welcome"]);
    session.reply(frame("ack: the entry"));
    assert!(session.finish_entering(RoomId(7), Version(0)));
    assert_eq!(gather(&mut session, &tail).0, ["ack: the entry", "removed"]);
}

#[test]
fn changes_newer_than_a_page_of_the_past_go_out_after_the_page() {
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
    // After leaving and re-entering, the room no longer waits for the earlier read.
    assert!(session.begin_reading(RoomId(7)));
    session.remove_cursor(RoomId(7));
    session.add_cursor(Cursor::at(RoomId(7), (Version(2), Seq(2))));
    assert!(!session.finish_read(RoomId(7)));
}

#[test]
fn a_message_that_changed_again_is_sent_once_in_a_catch_up() {
    let mut tail = Tail::new(Version(0), Seq(0), TailMax { changes: 8, bytes: usize::MAX });
    for (version, message, kind) in [(1, 1, "new"), (2, 2, "new"), (3, 1, "edit"), (4, 1, "delete")] {
        let v1 = text_frame(&format!(r#"{{"data":{{"version":{version},"change":{{"kind":"{kind}"}}}}}}"#));
        let bare = EncodedChange::silent(Version(version), Seq(version.min(2)));
        tail.push(EncodedChange { v1, message: MessageId(message), is_new: kind == "new", ..bare }, 0);
    }
    let mut session = Session::new(params(Some(at(10))), at(0));
    session.welcome(frame("welcome"), 2);
    session.add_cursor(Cursor::at(LOBBY, (Version(4), Seq(2))));
    session.resume(LOBBY, Some(Version(0)));
    let (sent, reads) = gather(&mut session, &tail);
    assert_eq!(reads, [], "the tail has all of it");
    let [welcome, begin, second, first, end] = &sent[..] else { panic!("{sent:?}") };
    assert!(welcome == "welcome" && begin.contains("catch_up") && end.contains(r#""version":4"#), "{sent:?}");
    assert!(second.ends_with(r#"{"data":{"version":2}}"#) && first.ends_with(r#"{"data":{"version":4}}"#), "{sent:?}");
}

#[test]
fn a_message_reacted_to_within_one_absence_is_sent_whole_and_live_readers_get_both_parts() {
    let reader = Reader { user: UserId(7), dialect: Dialect::V1 };
    let new = tail(8, 1..=1);
    let react = |tail: &mut Tail| {
        let (v1, whole) = (frame("reaction"), Some(frame("message with reaction")));
        let bare = EncodedChange::silent(Version(2), Seq(1));
        tail.push(EncodedChange { v1, whole, message: MessageId(1), is_new: false, ..bare }, 0);
    };
    let gather = |cursor: &mut Cursor, tail: &Tail, frames_before: usize| {
        let (mut batch, mut reads) = (Batch::default(), Vec::new());
        (0..frames_before).for_each(|_| batch.push(frame("before")));
        cursor.gather(reader, tail, &mut batch, &mut reads);
        assert_eq!(reads, []);
        let texts = batch.frames.iter().skip(frames_before);
        texts.map(|frame| String::from_utf8_lossy(frame).into_owned()).collect::<Vec<_>>()
    };
    let mut both = tail(8, 1..=1);
    react(&mut both);
    // A slow reader whose cursor is within the tail.
    let mut live = Cursor::at(LOBBY, (Version(0), Seq(0)));
    assert_eq!(gather(&mut live, &both, 0), ["v1", "reaction"]);
    let mut returning = Cursor::at(LOBBY, (Version(2), Seq(1)));
    returning.resume(Some(Version(0)));
    let sent = gather(&mut returning, &both, 0);
    assert!(sent.len() == 3 && sent[1] == "message with reaction" && sent[2].contains(r#""version":2"#), "{sent:?}");
    // The reaction comes while the catch-up is sent: it goes on up to the reaction.
    let mut slow = Cursor::at(LOBBY, (Version(1), Seq(1)));
    slow.resume(Some(Version(0)));
    let (began, mut grown) = (gather(&mut slow, &new, 63), new);
    react(&mut grown);
    let sent = gather(&mut slow, &grown, 0);
    assert!(began.len() == 1 && began[0].contains("catch_up"), "{began:?}");
    assert!(sent.len() == 2 && sent[0] == "message with reaction" && sent[1].contains(r#""version":2"#), "{sent:?}");
}

#[test]
fn a_catch_up_over_more_changes_than_the_limit_asks_the_store() {
    let reader = Reader { user: UserId(7), dialect: Dialect::V1 };
    let requested = |changes: u64| {
        let tail = tail(1024, 1..=changes);
        let mut cursor = Cursor::at(LOBBY, (Version(changes), Seq(changes)));
        cursor.resume(Some(Version(0)));
        let (mut batch, mut reads) = (Batch::default(), Vec::new());
        cursor.gather(reader, &tail, &mut batch, &mut reads);
        reads
    };
    assert_eq!(requested(500), []);
    assert_eq!(requested(501), [StoreRead::Changes(LOBBY, CatchUpFrom::Held(Version(0)))]);
}

#[test]
fn a_catch_up_that_began_with_a_page_of_the_store_continues_with_the_next_page() {
    // The store has version 5, which changed message 3; the feed has delivered version 4 to the shard.
    let mut tail = Tail::new(Version(2), Seq(2), TailMax { changes: 8, bytes: usize::MAX });
    for version in 3..=4 {
        tail.push(EncodedChange::silent(Version(version), Seq(version)), 0);
    }
    let reader = Reader { user: UserId(7), dialect: Dialect::V1 };
    let mut cursor = Cursor::at(LOBBY, (Version(4), Seq(4)));
    cursor.resume(Some(Version(0)));
    let gather = |cursor: &mut Cursor| {
        let (mut batch, mut reads) = (Batch::default(), Vec::new());
        cursor.gather(reader, &tail, &mut batch, &mut reads);
        (batch.frames.len(), reads)
    };
    let read = StoreRead::Changes(LOBBY, CatchUpFrom::Held(Version(0)));
    assert_eq!(gather(&mut cursor), (0, vec![read.clone()]));
    let frames = ["message 1", "message 2", "message 4"].map(|message| (frame(message), None)).to_vec();
    let reached = (Version(4), Seq(4));
    assert!(
        cursor.accept_page(&read, &Rc::new(Page { frames, reset: false, reacted: vec![], reached, complete: false }))
    );
    let next = StoreRead::Changes(LOBBY, CatchUpFrom::Since(Version(4)));
    assert_eq!(gather(&mut cursor), (4, vec![next]), "the catch_up is open: message 3 is missing");
}

#[test]
fn a_sync_never_moves_a_session_back_before_what_it_was_sent() {
    // The session began with a snapshot of version 5; the feed has delivered version 3 to the shard.
    let room = RoomId(7);
    let tail = Tail::new(Version(3), Seq(3), TailMax { changes: 8, bytes: usize::MAX });
    let reader = Reader { user: UserId(7), dialect: Dialect::V1 };
    let mut cursor = Cursor::at(room, (Version(5), Seq(5)));
    let gather = |cursor: &mut Cursor| {
        let (mut batch, mut reads) = (Batch::default(), Vec::new());
        cursor.gather(reader, &tail, &mut batch, &mut reads);
        (batch.frames.len(), reads)
    };
    assert_eq!(cursor.request_sync(Version(3), Some("a".into())), Ok(()));
    let read = StoreRead::Changes(room, CatchUpFrom::Held(Version(3)));
    assert_eq!(gather(&mut cursor), (0, vec![read.clone()]));
    let reached = (Version(6), Seq(6));
    let page = Rc::new(Page { frames: vec![], reset: false, reacted: vec![], reached, complete: true });
    assert!(cursor.accept_page(&read, &page));
    let (frames, reads) = gather(&mut cursor);
    assert_eq!((frames, reads, cursor.version), (3, vec![], Version(6)));
}

/// A session that is catching up these rooms from version 0, and the reads that it requests.
fn resuming(rooms: std::ops::RangeInclusive<u64>, tail: &Tail) -> (Session, Vec<StoreRead>) {
    let mut session = Session::new(params(Some(at(10))), at(0));
    assert!(session.begin_welcome());
    for room in rooms.map(RoomId) {
        session.add_cursor(Cursor::at(room, (Version(0), Seq(0))));
        session.resume(room, Some(Version(0)));
    }
    session.welcome(frame("welcome"), 2);
    let reads = gather(&mut session, tail).1;
    (session, reads)
}

fn page_of(bytes: usize) -> Rc<Page> {
    let frames = vec![(Bytes::from(vec![b'x'; bytes]), None)];
    Rc::new(Page { frames, reset: true, reacted: vec![], reached: (Version(6), Seq(6)), complete: true })
}

#[test]
fn pages_ahead_of_a_slow_room_are_requested_until_they_have_many_bytes() {
    let tail = tail(8, 5..=6);
    let read = |room| StoreRead::Changes(RoomId(room), CatchUpFrom::Held(Version(0)));
    for (bytes, expect) in [(1000, vec![read(5)]), (300_000, vec![])] {
        let (mut session, reads) = resuming(1..=6, &tail);
        assert_eq!(reads, [read(1), read(2), read(3), read(4)]);
        // The third room's page waits for that of the second.
        for (room, bytes) in [(1, 10), (3, bytes)] {
            assert!(session.cursor_in(RoomId(room)).unwrap().accept_page(&read(room), &page_of(bytes)));
        }
        assert_eq!(gather(&mut session, &tail).1, expect, "{bytes} bytes wait");
        // Whatever waits, the room whose turn it is goes on.
        assert!(session.cursor_in(RoomId(2)).unwrap().accept_page(&read(2), &page_of(10)));
        assert!(gather(&mut session, &tail).0.iter().any(|frame| frame.len() == bytes));
        let mut rest = gather(&mut session, &tail).1;
        rest.extend(expect);
        assert!(rest.contains(&read(5)));
    }
}

#[test]
fn a_closing_session_keeps_nothing_that_it_would_not_send() {
    let tail = tail(8, 5..=6);
    let (mut session, reads) = resuming(1..=2, &tail);
    let page = page_of(10);
    assert!(session.cursor_in(RoomId(2)).unwrap().accept_page(&reads[1], &page));
    let _ = session.notify(CoalesceKey::Published, frame("event"), 10, 1000);
    session.reply(frame("close"));
    session.begin_closing();
    assert_eq!(Rc::strong_count(&page), 1);
    assert_eq!(gather(&mut session, &tail).0, ["close"]);
    assert!(!session.has_output());
}
