//! Shards with real sockets on loopback, a test handler and a model history. This file tests classic sessions, and what
//! holds in either dialect; `v1.rs` and `entries.rs` test v1 sessions.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot continue fails")]

mod entries;
mod test_bed;
mod v1;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use teahouse_core::token::Revoked;
use teahouse_core::{AcceptOrder, Revocation, UserId};
use teahouse_hub::tail::TailMax;
use teahouse_hub::{Dialect, HubOptions};
use test_bed::{PATIENCE, Received, TestBed, small_options, token_mark};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message as Wire;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// A tail of this many changes.
fn changes(changes: usize) -> TailMax {
    TailMax { changes, bytes: 1 << 20 }
}

#[tokio::test]
async fn h0_a_normal_leave() {
    let mut bed = TestBed::start(small_options());
    let (mut amy, mut bob) = (bed.connect(1).await, bed.connect(2).await);
    amy.receive_count(2).await;
    bob.socket.close(None).await.unwrap();
    amy.receive_count(1).await;
    assert_eq!(bed.hub.online_users(), [UserId(1)]);
}

#[tokio::test]
async fn h0_h4_a_reconnect_displaces_the_older_session_whose_late_leave_changes_nothing() {
    let mut bed = TestBed::start(small_options());
    let mut old = bed.connect(1).await;
    old.receive_count(1).await;
    let mut new = bed.connect(1).await;
    new.receive_count(1).await;
    assert!(matches!(old.receive().await, Received::Text(text) if text.contains(r#""code":"displaced""#)));
    assert_eq!(old.receive_close().await, (4501, "Unauthorized: connected elsewhere".to_owned()));
    drop(old);
    while bed.hub.metrics().stale_leaves.get() == 0 {
        tokio::task::yield_now().await;
    }
    bed.post(1, "still here");
    new.receive_text_containing("still here").await;
    assert_eq!(bed.hub.online_users(), [UserId(1)]);
    assert_eq!(bed.hub.metrics().sessions.get(), 1);
}

#[tokio::test]
async fn h0_of_many_racing_connections_of_one_user_the_last_accepted_survives() {
    let mut bed = TestBed::start(small_options());
    let mut observer = bed.connect(2).await;
    let mut orders: Vec<AcceptOrder> = (0..60).map(|_| bed.next_order()).collect();
    let newest = *orders.last().unwrap();
    // Handshakes end in a different order than they began.
    fastrand::Rng::with_seed(7).shuffle(&mut orders);
    let mut tabs = Vec::new();
    for order in orders {
        tabs.push((order, bed.connect_as(1, order, None, &[]).await));
    }
    for (order, tab) in &mut tabs {
        if *order != newest {
            assert_eq!(tab.receive_close().await.0, 4501);
        }
    }
    bed.post(2, "who is there?");
    let (_, survivor) = tabs.iter_mut().find(|(order, _)| *order == newest).unwrap();
    survivor.receive_text_containing("who is there?").await;
    assert_eq!(bed.hub.metrics().sessions.get(), 2);
    // The count is 1, then 2 by a tick; it never changes again.
    let mut counts = Vec::new();
    while counts.last().is_none_or(|text: &String| !text.contains(r#""count":2"#)) {
        counts.extend(observer.all_until_echo("mark").await.into_iter().filter(|text| text.contains("online_count")));
    }
    assert!(counts.len() <= 2, "{counts:?}");
}

#[tokio::test]
async fn a_device_displaces_its_own_earlier_session_only() {
    let mut bed = TestBed::start(small_options());
    let orders: Vec<_> = (0..6).map(|_| bed.next_order()).collect();
    let mut phone = bed.connect_with(Dialect::V1, 1, orders[0], Some("phone"), &[]).await;
    let mut desk = bed.connect_with(Dialect::V1, 1, orders[1], Some("desk"), &[]).await;
    // What a classic handshake names does not count.
    let mut tab = bed.connect_as(1, orders[2], Some("phone"), &[]).await;
    let mut newer_tab = bed.connect_as(1, orders[3], Some("desk"), &[]).await;
    assert_eq!(tab.receive_close().await.0, 4501);
    let mut newer_desk = bed.connect_with(Dialect::V1, 1, orders[5], Some("desk"), &[]).await;
    assert_eq!(desk.receive_close().await.0, 4501);
    let mut overtaken = bed.connect_with(Dialect::V1, 1, orders[4], Some("desk"), &[]).await;
    assert_eq!(overtaken.receive_close().await.0, 4501);
    bed.post(2, "all of you");
    newer_tab.receive_text_containing("all of you").await;
    for device in [&mut phone, &mut newer_desk] {
        device.send_json(json!({"type": "hello", "id": "h", "data": {}})).await;
        device.next_of("welcome").await;
    }
    assert_eq!((bed.hub.metrics().sessions.get(), bed.hub.metrics().displacements.get()), (3, 3));
}

#[tokio::test]
async fn frames_after_the_upgrade_request_are_read() {
    let mut bed = TestBed::start(small_options());
    let order = bed.next_order();
    // A masked text frame "echo x", with a mask of zeros.
    let mut tab = bed.connect_as(1, order, None, b"\x81\x86\0\0\0\0echo x").await;
    tab.receive_text_containing("x").await;
}

#[tokio::test]
async fn h9_a_stalled_reader_receives_everything_in_order_and_delays_nobody() {
    let mut bed = TestBed::start(HubOptions { tail_max: changes(16), ..small_options() }).with_small_buffers();
    let (mut stalled, mut live) = (bed.connect(1).await, bed.connect(2).await);
    stalled.receive_count(2).await;
    bed.history.failures.store(2, Ordering::Relaxed);
    let long = "x".repeat(2000);
    let total = 5000;
    for number in 1..=total {
        bed.post(3, &format!("{long} no {number}."));
        live.receive_text_containing(&format!(" no {number}.")).await;
    }
    for number in 1..=total {
        let Received::Text(text) = stalled.receive().await else { panic!("cut") };
        assert!(text.contains(&format!(" no {number}.")), "expected {number}, got {}", &text[text.len() - 120..]);
    }
    assert_eq!(stalled.all_until_echo("mark").await, [""; 0]);
    assert!(bed.history.pages.load(Ordering::Relaxed) > 2, "the stalled reader never needed the store");
}

#[tokio::test]
async fn p10_private_messages_reach_only_the_receiver_who_misses_none_when_stalled() {
    let mut bed = TestBed::start(HubOptions { tail_max: changes(4), ..small_options() }).with_small_buffers();
    let (mut sender, mut receiver) = (bed.connect(1).await, bed.connect(2).await);
    receiver.receive_count(2).await;
    let long = "x".repeat(2000);
    for number in 1..=5000 {
        bed.post_private(&format!("{long} no {number}."));
    }
    for number in 1..=5000 {
        let Received::Text(text) = receiver.receive().await else { panic!("cut") };
        assert!(text.contains(&format!(" no {number}.")), "expected {number}, got {}", &text[text.len() - 120..]);
    }
    assert!(receiver.all_until_echo("mark").await.is_empty());
    assert!(bed.history.pages.load(Ordering::Relaxed) > 0, "the receiver never needed the store");
    let received = sender.all_until_echo("mark").await;
    assert!(received.iter().all(|text| !text.contains("private_message")));
    // A direct room has a tail only while a session is behind in it; here it gets a new one.
    bed.post_private("one more");
    receiver.receive_text_containing("one more").await;
}

#[tokio::test]
async fn after_an_inbox_overflow_the_store_supplies_what_is_missing() {
    let mut bed = TestBed::start(HubOptions { inbox_commits_max: 3, ..small_options() });
    let mut tab = bed.connect(1).await;
    tab.receive_count(1).await;
    for number in 1..=2000 {
        bed.post(3, &format!("no {number}."));
    }
    for number in 1..=2000 {
        let Received::Text(text) = tab.receive().await else { panic!("cut") };
        assert!(text.contains(&format!("no {number}.")), "expected {number}, got {text}");
    }
    assert!(bed.hub.metrics().inbox_gaps.get() > 0, "the inbox never overflowed");
}

#[tokio::test]
async fn h17_a_revocation_ends_the_sessions_it_covers_and_those_that_arrive_just_after() {
    let mut bed = TestBed::start(small_options());
    let (mut amy, mut bob) = (bed.connect(1).await, bed.connect(2).await);
    bed.hub.revoke(Revoked { user: UserId(1), what: Revocation::Key(token_mark(1).token) }).await;
    assert_eq!(amy.receive_close().await.0, 1008);
    // Authenticated before the revocation, attached after it.
    assert_eq!(bed.connect(1).await.receive_close().await.0, 1008);
    bob.send("echo fine").await;
    bob.receive_text_containing("fine").await;
    assert_eq!(bed.hub.online_users(), [UserId(2)]);

    // Authenticated after the revocation: the check of its token knew of the revocation.
    bed.checked_at = Instant::now() + Duration::from_millis(1);
    let mut amy = bed.connect(1).await;
    amy.send("echo again").await;
    amy.receive_text_containing("again").await;
}

#[tokio::test]
async fn h17_a_connection_with_a_void_token_displaces_nobody() {
    let mut bed = TestBed::start(small_options());
    bed.issued_at = 6;
    let mut amy = bed.connect(1).await;
    bed.hub.revoke(Revoked { user: UserId(1), what: Revocation::IssuedUpTo { second: 5, except: None } }).await;
    bed.issued_at = 5;
    assert_eq!(bed.connect(1).await.receive_close().await.0, 1008);
    amy.send("echo still here").await;
    amy.receive_text_containing("still here").await;
    assert_eq!((bed.hub.metrics().displacements.get(), bed.hub.metrics().sessions.get()), (0, 1));
}

#[tokio::test]
async fn a_panic_in_a_handler_ends_only_its_session_with_1011() {
    let mut bed = TestBed::start(HubOptions { shards: 1, ..small_options() });
    let mut other = bed.connect(3).await;
    for (user, word) in [(1, "panic"), (2, "panic later")] {
        let mut tab = bed.connect(user).await;
        tab.send(word).await;
        assert_eq!(tab.receive_close().await.0, 1011);
    }
    other.send("later").await;
    other.receive_text_containing("later indeed").await;
    assert_eq!(bed.hub.metrics().panics.get(), 2);
}

#[tokio::test]
async fn h10_malformed_frames_are_answered_and_the_21st_closes() {
    let mut bed = TestBed::start(small_options());
    let mut tab = bed.connect(1).await;
    tab.receive_count(1).await;
    for _ in 0..21 {
        tab.send("nonsense").await;
    }
    for _ in 0..21 {
        assert_eq!(tab.receive().await, Received::Text("malformed".into()));
    }
    assert_eq!(tab.receive_close().await.0, 1008);
}

#[tokio::test]
async fn the_requests_of_a_client_that_does_not_read_wait_until_it_reads() {
    let mut bed = TestBed::start(HubOptions { waiting_envelopes_max: 8, ..small_options() }).with_small_buffers();
    let greedy = bed.connect(1).await;
    let asked = Arc::new(Notify::new());
    let answer = "y".repeat(30_000);
    let (mut sink, mut stream) = greedy.socket.split();
    let writer = {
        let (asked, answer) = (Arc::clone(&asked), answer.clone());
        tokio::spawn(async move {
            for _ in 0..500 {
                sink.send(Wire::text(format!("echo {answer}"))).await.unwrap();
                asked.notify_one();
            }
        })
    };
    asked.notified().await;
    let mut answers = 0;
    while answers < 500 {
        let frame = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap();
        answers += usize::from(matches!(frame, Wire::Text(text) if text.as_str() == answer));
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn the_bytes_of_replies_to_a_client_that_does_not_read_are_bounded() {
    const BYTES_MAX: u64 = 100_000;
    let options = HubOptions { reply_bytes_max: 100_000, ..small_options() };
    let mut bed = TestBed::start(options).with_small_buffers();
    let greedy = bed.connect(1).await;
    let answer = "y".repeat(30_000);
    let (mut sink, mut stream) = greedy.socket.split();
    let writer = {
        let answer = answer.clone();
        tokio::spawn(async move {
            for _ in 0..1000 {
                sink.send(Wire::text(format!("echo {answer}"))).await.unwrap();
            }
        })
    };
    let metrics = bed.hub.metrics().clone();
    tokio::time::timeout(PATIENCE, async {
        while metrics.bounds.times("answers.bytes_per_session") == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    // A batch that the socket did not accept, and the frames of one read, come on top.
    let waiting = metrics.bytes_in.get() - metrics.bytes_out.get();
    assert!(waiting < 3 * BYTES_MAX, "{waiting} bytes wait");
    let mut answers = 0;
    while answers < 1000 {
        let frame = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap();
        answers += usize::from(matches!(frame, Wire::Text(text) if text.as_str() == answer));
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn promise_7_a_drain_closes_every_session_with_1012_and_ends() {
    let mut bed = TestBed::start(small_options());
    let mut tabs = Vec::new();
    for user in 1..=40 {
        tabs.push(bed.connect(user).await);
    }
    let hub = bed.hub.clone();
    let drain = tokio::spawn(async move {
        hub.drain(Duration::from_millis(100)).await;
        hub.stop().await;
    });
    for tab in &mut tabs {
        assert_eq!(tab.receive_close().await.0, 1012);
        // The connection ends when the client answers the close frame.
        let _ = tokio::time::timeout(PATIENCE, tab.socket.next()).await;
    }
    drain.await.unwrap();
    assert_eq!(bed.hub.metrics().sessions.get(), 0);
}

#[tokio::test]
async fn a_client_that_requests_faster_than_it_is_answered_is_slowed_down() {
    let mut bed = TestBed::start(small_options());
    let reading = bed.connect(1).await.socket.into_inner().into_std().unwrap();
    reading.set_nonblocking(false).unwrap();
    let mut writing = reading.try_clone().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut &reading, &mut std::io::sink()));
    // Pings are the smallest requests, and pongs so small that the socket accepts all of them.
    let ping = [0x89, 0x80, 0, 0, 0, 0];
    let metrics = bed.hub.metrics().clone();
    let writer = std::thread::spawn(move || {
        let pings = ping.repeat(5000);
        for _ in 0..200 {
            writing.write_all(&pings).unwrap();
            let waiting = (metrics.bytes_in.get() / ping.len() as u64).saturating_sub(metrics.frames_out.get());
            assert!(waiting < 10_000, "{waiting} replies wait, and the client reads");
        }
        writing.shutdown(std::net::Shutdown::Write).unwrap();
    });
    tokio::task::spawn_blocking(move || writer.join().and_then(|()| reader.join())).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_frame_that_is_too_large_is_answered_with_1009_however_long_it_is() {
    let mut bed = TestBed::start(small_options());
    let mut tab = bed.connect(1).await;
    // More than all buffers on the way hold, so that it arrives only if the shard reads it.
    tab.socket.send(Wire::text("x".repeat(16 << 20))).await.unwrap();
    assert_eq!(tab.receive_close().await.0, 1009);
    assert_eq!(bed.hub.metrics().bounds.times("FRAME_BYTES_MAX"), 1);
}

#[tokio::test]
async fn presence_a_count_that_was_true_between_two_ticks_only_is_corrected() {
    let mut bed = TestBed::start(small_options());
    let (mut amy, mut bob) = (bed.connect(1).await, bed.connect(2).await);
    // By a tick and not with the welcome: the shards have sent 2 before.
    let mut dave = bed.connect(4).await;
    amy.receive_count(3).await;
    bob.receive_count(3).await;
    dave.socket.close(None).await.unwrap();
    amy.receive_count(2).await;
    bob.receive_count(2).await;
    let mut eve = bed.connect(3).await;
    eve.receive_count(3).await;
    // Offline before the next tick, which finds the same number of users as the tick before.
    bob.socket.close(Some(CloseFrame { code: 1000.into(), reason: "".into() })).await.unwrap();
    tokio::time::timeout(PATIENCE, eve.receive_count(2)).await.unwrap();
}

#[tokio::test]
async fn a_session_receives_what_was_posted_since_its_handshake_and_nothing_older() {
    let mut bed = TestBed::start(HubOptions { tail_max: changes(2), ..small_options() });
    bed.post(3, "before.");
    bed.lobby = Some(bed.hub.lobby_head());
    for number in 1..=5 {
        bed.post(3, &format!("on its way {number}."));
    }
    let mut tab = bed.connect(1).await;
    bed.post(3, "after.");
    for number in 1..=5 {
        let text = tab.receive_text_containing(r#""type":"message""#).await;
        assert!(text.contains(&format!("on its way {number}.")), "expected {number}, got {text}");
    }
    let text = tab.receive_text_containing(r#""type":"message""#).await;
    assert!(text.contains("after."), "{text}");
}

#[tokio::test]
async fn a_frame_that_arrives_a_byte_at_a_time_times_out_after_ten_seconds() {
    let mut bed = TestBed::start(small_options());
    let order = bed.next_order();
    // The head of a text frame of ten bytes, and its first three bytes.
    let mut slow = bed.connect_as(1, order, None, b"\x81\x8a\0\0\0\0abc").await;
    let mut idle = bed.connect(2).await;
    assert_eq!(slow.receive_close().await.0, 1008);
    assert_eq!(bed.hub.metrics().bounds.times("FRAME_TIMEOUT"), 1);
    idle.send("echo fine").await;
    idle.receive_text_containing("fine").await;
}

#[tokio::test]
async fn h13_every_shard_answers_a_probe() {
    let bed = TestBed::start(small_options());
    assert!(bed.hub.probe(PATIENCE).await);
    bed.hub.stop().await;
    assert!(!bed.hub.probe(PATIENCE).await);
}
