//! Shards with real sockets on loopback: named users with their tabs, a door and a history that the
//! test plays itself. Here: sessions of whatever dialect, and the classic one's.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

mod entries;
mod stage;
mod v1;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use stage::{Heard, House, PATIENCE, mark, small};
use teahouse_core::token::Revoked;
use teahouse_core::{AcceptOrder, Revocation, UserId};
use teahouse_hub::HubOptions;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message as Wire;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

#[tokio::test]
async fn h0_a_normal_leave() {
    let mut house = House::open(small());
    let (mut amy, mut bob) = (house.connect(1).await, house.connect(2).await);
    amy.count(2).await;
    bob.socket.close(None).await.unwrap();
    amy.count(1).await;
    assert_eq!(house.hub.online_users(), [UserId(1)]);
}

#[tokio::test]
async fn h0_h4_a_fast_reconnect_displaces_the_older_one_with_a_notice_and_its_late_leave_changes_nothing() {
    let mut house = House::open(small());
    let mut old = house.connect(1).await;
    old.count(1).await;
    let mut new = house.connect(1).await;
    new.count(1).await;
    assert!(matches!(old.hear().await, Heard::Text(text) if text.contains(r#""code":"displaced""#)));
    assert_eq!(old.end().await, (4501, "Unauthorized: connected elsewhere".to_owned()));
    drop(old);
    while house.hub.metrics().stale_leaves.get() == 0 {
        tokio::task::yield_now().await;
    }
    house.say(1, "still here");
    new.hear_text_with("still here").await;
    assert_eq!(house.hub.online_users(), [UserId(1)]);
    assert_eq!(house.hub.metrics().sessions.get(), 1);
}

#[tokio::test]
async fn h0_many_connections_of_one_user_race_and_the_last_accepted_survives() {
    let mut house = House::open(small());
    let mut onlooker = house.connect(2).await;
    let mut orders: Vec<AcceptOrder> = (0..60).map(|_| house.order()).collect();
    let newest = *orders.last().unwrap();
    // A fixed shuffle: handshakes end in another order than they began.
    orders.sort_by_key(|order| order.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32);
    let mut tabs = Vec::new();
    for order in orders {
        tabs.push((order, house.connect_as(1, order, None, &[]).await));
    }
    for (order, tab) in &mut tabs {
        if *order != newest {
            assert_eq!(tab.end().await.0, 4501);
        }
    }
    house.say(2, "who is there?");
    let (_, survivor) = tabs.iter_mut().find(|(order, _)| *order == newest).unwrap();
    survivor.hear_text_with("who is there?").await;
    assert_eq!(house.hub.metrics().sessions.get(), 2);
    // One alone, two when the user came, which a tick tells; then never a change.
    let mut counts = Vec::new();
    while counts.last().is_none_or(|text: &String| !text.contains(r#""count":2"#)) {
        counts.extend(onlooker.all_until_echo("mark").await.into_iter().filter(|text| text.contains("online_count")));
    }
    assert!(counts.len() <= 2, "{counts:?}");
}

#[tokio::test]
async fn a_device_takes_the_place_of_its_own_earlier_session() {
    let mut house = House::open(HubOptions { sessions_per_user: 2, ..small() });
    let (a, b, c) = (house.order(), house.order(), house.order());
    let mut phone = house.connect_as(1, a, Some("phone"), &[]).await;
    let mut desk = house.connect_as(1, b, Some("desk"), &[]).await;
    let mut desk_again = house.connect_as(1, c, Some("desk"), &[]).await;
    assert_eq!(desk.end().await.0, 4501);
    house.say(2, "both");
    phone.hear_text_with("both").await;
    desk_again.hear_text_with("both").await;
}

#[tokio::test]
async fn frames_behind_the_upgrade_request_are_read() {
    let mut house = House::open(small());
    let order = house.order();
    // A masked text frame "echo x", with a mask of zeros.
    let mut tab = house.connect_as(1, order, None, b"\x81\x86\0\0\0\0echo x").await;
    tab.hear_text_with("x").await;
}

#[tokio::test]
async fn h9_a_stalled_reader_gets_everything_in_order_when_it_reads_again_and_delays_nobody() {
    let mut house = House::open(HubOptions { tail_envelopes_max: 16, send_buffer_bytes: 4096, ..small() });
    let (mut stalled, mut live) = (house.connect(1).await, house.connect(2).await);
    stalled.count(2).await;
    house.past.failures.store(2, Ordering::Relaxed);
    let long = "x".repeat(2000);
    let total = 5000;
    for number in 1..=total {
        house.say(3, &format!("{long} no {number}."));
        live.hear_text_with(&format!(" no {number}.")).await;
    }
    for number in 1..=total {
        let Heard::Text(text) = stalled.hear().await else { panic!("cut") };
        assert!(text.contains(&format!(" no {number}.")), "expected {number}, got {}", &text[text.len() - 120..]);
    }
    assert_eq!(stalled.all_until_echo("mark").await, [""; 0]);
    assert!(house.past.pages.load(Ordering::Relaxed) > 2, "the stalled one never needed the store");
}

#[tokio::test]
async fn p10_a_private_message_reaches_the_receivers_sessions_only_and_a_stalled_one_misses_none() {
    let mut house = House::open(HubOptions { tail_envelopes_max: 4, send_buffer_bytes: 4096, ..small() });
    let (mut sender, mut receiver) = (house.connect(1).await, house.connect(2).await);
    receiver.count(2).await;
    let long = "x".repeat(2000);
    for number in 1..=5000 {
        house.whisper(&format!("{long} no {number}."));
    }
    for number in 1..=5000 {
        let Heard::Text(text) = receiver.hear().await else { panic!("cut") };
        assert!(text.contains(&format!(" no {number}.")), "expected {number}, got {}", &text[text.len() - 120..]);
    }
    assert!(receiver.all_until_echo("mark").await.is_empty());
    assert!(house.past.pages.load(Ordering::Relaxed) > 0, "the receiver never needed the store");
    let heard = sender.all_until_echo("mark").await;
    assert!(heard.iter().all(|text| !text.contains("private_message")));
    // The tail of a direct room lives only while somebody is behind in it; it begins anew here.
    house.whisper("one more");
    receiver.hear_text_with("one more").await;
}

#[tokio::test]
async fn an_inbox_that_overflows_is_mended_from_the_store() {
    let mut house = House::open(HubOptions { inbox_commits_max: 3, ..small() });
    let mut tab = house.connect(1).await;
    tab.count(1).await;
    for number in 1..=2000 {
        house.say(3, &format!("no {number}."));
    }
    for number in 1..=2000 {
        let Heard::Text(text) = tab.hear().await else { panic!("cut") };
        assert!(text.contains(&format!("no {number}.")), "expected {number}, got {text}");
    }
    assert!(house.hub.metrics().inbox_gaps.get() > 0, "the inbox never overflowed");
}

#[tokio::test]
async fn h17_a_revocation_ends_what_it_covers_also_what_arrives_just_after_it() {
    let mut house = House::open(small());
    let (mut amy, mut bob) = (house.connect(1).await, house.connect(2).await);
    house.hub.revoke(Revoked { user: UserId(1), what: Revocation::Key(mark(1).token) }).await;
    assert_eq!(amy.end().await.0, 1008);
    // Authenticated before the revocation, attached after it.
    assert_eq!(house.connect(1).await.end().await.0, 1008);
    bob.send("echo fine").await;
    bob.hear_text_with("fine").await;
    assert_eq!(house.hub.online_users(), [UserId(2)]);

    // Let in since: the look at the token knew of the revocation, and of what came after it.
    house.checked_at = Instant::now() + Duration::from_millis(1);
    let mut amy = house.connect(1).await;
    amy.send("echo again").await;
    amy.hear_text_with("again").await;
}

#[tokio::test]
async fn h17_a_connection_whose_token_is_void_displaces_nobody() {
    let mut house = House::open(small());
    house.issued_at = 6;
    let mut amy = house.connect(1).await;
    house.hub.revoke(Revoked { user: UserId(1), what: Revocation::IssuedUpTo { second: 5, except: None } }).await;
    house.issued_at = 5;
    assert_eq!(house.connect(1).await.end().await.0, 1008);
    amy.send("echo still here").await;
    amy.hear_text_with("still here").await;
    assert_eq!((house.hub.metrics().displacements.get(), house.hub.metrics().sessions.get()), (0, 1));
}

#[tokio::test]
async fn a_panic_in_a_handler_ends_one_session_with_1011_and_nobody_elses() {
    let mut house = House::open(HubOptions { shards: 1, ..small() });
    let mut other = house.connect(3).await;
    for (user, word) in [(1, "panic"), (2, "panic later")] {
        let mut tab = house.connect(user).await;
        tab.send(word).await;
        assert_eq!(tab.end().await.0, 1011);
    }
    other.send("later").await;
    other.hear_text_with("later indeed").await;
    assert_eq!(house.hub.metrics().panics.get(), 2);
}

#[tokio::test]
async fn h10_malformed_frames_are_answered_and_the_21st_closes() {
    let mut house = House::open(small());
    let mut tab = house.connect(1).await;
    tab.count(1).await;
    for _ in 0..21 {
        tab.send("nonsense").await;
    }
    for _ in 0..21 {
        assert_eq!(tab.hear().await, Heard::Text("malformed".into()));
    }
    assert_eq!(tab.end().await.0, 1008);
}

#[tokio::test]
async fn a_client_that_asks_and_never_reads_is_left_alone_until_it_reads() {
    let mut house = House::open(HubOptions { waiting_envelopes_max: 8, send_buffer_bytes: 4096, ..small() });
    let greedy = house.connect(1).await;
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
async fn promise_7_a_drain_sends_everybody_away_with_1012_and_ends() {
    let mut house = House::open(small());
    let mut tabs = Vec::new();
    for user in 1..=40 {
        tabs.push(house.connect(user).await);
    }
    let hub = house.hub.clone();
    let drain = tokio::spawn(async move {
        hub.drain(Duration::from_millis(100)).await;
        hub.stop().await;
    });
    for tab in &mut tabs {
        assert_eq!(tab.end().await.0, 1012);
        // Answering the goodbye is what ends the connection.
        let _ = tokio::time::timeout(PATIENCE, tab.socket.next()).await;
    }
    drain.await.unwrap();
    assert_eq!(house.hub.metrics().sessions.get(), 0);
}

#[tokio::test]
async fn a_client_that_asks_faster_than_it_can_be_answered_waits_for_its_answers() {
    let mut house = House::open(small());
    let reading = house.connect(1).await.socket.into_inner().into_std().unwrap();
    reading.set_nonblocking(false).unwrap();
    let mut writing = reading.try_clone().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut &reading, &mut std::io::sink()));
    // Pings are the smallest of requests, and pongs so small that the socket takes them all.
    let ping = [0x89, 0x80, 0, 0, 0, 0];
    let metrics = house.hub.metrics().clone();
    let writer = std::thread::spawn(move || {
        let pings = ping.repeat(5000);
        for _ in 0..200 {
            writing.write_all(&pings).unwrap();
            let waiting = (metrics.bytes_in.get() / ping.len() as u64).saturating_sub(metrics.frames_out.get());
            assert!(waiting < 10_000, "{waiting} answers wait, and the client reads");
        }
        writing.shutdown(std::net::Shutdown::Write).unwrap();
    });
    tokio::task::spawn_blocking(move || writer.join().and_then(|()| reader.join())).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn whoever_sends_a_frame_too_large_is_told_so_however_much_follows() {
    let mut house = House::open(small());
    let mut tab = house.connect(1).await;
    // More than any buffer on the way holds, so that it goes through only when somebody reads it.
    tab.socket.send(Wire::text("x".repeat(16 << 20))).await.unwrap();
    assert_eq!(tab.end().await.0, 1009);
}

#[tokio::test]
async fn presence_a_number_that_was_true_for_a_moment_only_is_mended() {
    let mut house = House::open(small());
    let (mut amy, mut bob) = (house.connect(1).await, house.connect(2).await);
    // By a tick, not by the welcome: from now on the shards tell 2.
    let mut dave = house.connect(4).await;
    amy.count(3).await;
    bob.count(3).await;
    dave.socket.close(None).await.unwrap();
    amy.count(2).await;
    bob.count(2).await;
    let mut eve = house.connect(3).await;
    eve.count(3).await;
    // Gone before the next tick, which finds as many people as the one before it did.
    bob.socket.close(Some(CloseFrame { code: 1000.into(), reason: "".into() })).await.unwrap();
    tokio::time::timeout(PATIENCE, eve.count(2)).await.unwrap();
}

#[tokio::test]
async fn what_is_said_while_a_session_is_on_its_way_to_its_shard_is_heard_and_nothing_older() {
    let mut house = House::open(HubOptions { tail_envelopes_max: 2, ..small() });
    house.say(3, "before.");
    house.lobby = Some(house.hub.lobby_head());
    for number in 1..=5 {
        house.say(3, &format!("on its way {number}."));
    }
    let mut tab = house.connect(1).await;
    house.say(3, "after.");
    for number in 1..=5 {
        let text = tab.hear_text_with(r#""type":"message""#).await;
        assert!(text.contains(&format!("on its way {number}.")), "expected {number}, got {text}");
    }
    let text = tab.hear_text_with(r#""type":"message""#).await;
    assert!(text.contains("after."), "{text}");
}

#[tokio::test]
async fn a_frame_that_comes_a_byte_at_a_time_is_not_waited_for_longer_than_ten_seconds() {
    let mut house = House::open(small());
    let order = house.order();
    // The head of a text frame of ten bytes, and the first three of them.
    let mut slow = house.connect_as(1, order, None, b"\x81\x8a\0\0\0\0abc").await;
    let mut idle = house.connect(2).await;
    assert_eq!(slow.end().await.0, 1008);
    idle.send("echo fine").await;
    idle.hear_text_with("fine").await;
}

#[tokio::test]
async fn h13_every_shard_answers_a_probe() {
    let house = House::open(small());
    assert!(house.hub.probe(PATIENCE).await);
    house.hub.stop().await;
    assert!(!house.hub.probe(PATIENCE).await);
}
