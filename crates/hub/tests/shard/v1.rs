//! v1 sessions on real sockets: changes between a hello and its welcome, which rooms a session receives, presence, and
//! how a session ends.

use std::time::Duration;

use serde_json::{Value, json};
use teahouse_core::token::Revoked;
use teahouse_core::{Audience, LOBBY, Revocation, RoomId, TokenKey, UserId};
use teahouse_hub::{HubOptions, Publication, PublishTo};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::test_bed::{CAKE, Received, TEA, TestBed, short, small_options, token_mark};

#[tokio::test]
async fn a_commit_and_the_reply_to_its_request_leave_in_one_write() {
    let mut bed = TestBed::start(HubOptions { shards: 1, ..small_options() });
    bed.history.v1.read_gate.forget_permits(Semaphore::MAX_PERMITS);
    let mut amy = bed.connect_welcomed(1, json!([])).await;
    amy.send_json(json!({"type": "history", "id": "y", "data": {"room": 8}})).await;
    assert_eq!(amy.until_heartbeat().await, [""; 0]);
    let writes = bed.writes().await;
    bed.push_deferred(LOBBY, Audience::Room, 1, "hello");
    bed.history.v1.read_gate.add_permits(1);
    bed.feed.flush_notify();
    let mut received = [amy.next_event().await, amy.next_event().await].map(|event| event["type"].to_string());
    received.sort();
    assert_eq!(received, ["\"ack\"", "\"message\""]);
    assert_eq!(bed.writes().await, writes + 1);
}

#[tokio::test]
async fn changes_between_a_hello_and_its_welcome_arrive_exactly_once() {
    let mut bed = TestBed::start(HubOptions { shards: 1, ..small_options() });
    bed.add_member(TEA, 1, None);
    bed.post_in(TEA, "before");
    bed.history.v1.welcome_gate.forget_permits(Semaphore::MAX_PERMITS);
    let mut amy = bed.connect_v1(1).await;
    amy.send_json(
        json!({"type": "hello", "id": "h", "data": {"rooms": [{"room": 7, "version": 0}, {"room": 99, "version": 4}]}}),
    )
    .await;
    bed.wait_for_snapshots(1).await;
    // No session reads these rooms yet, so no tail keeps what is posted now.
    bed.post_in(TEA, "between");
    bed.post(2, "in the lobby");
    bed.add_member(CAKE, 1, None);
    bed.post_in(CAKE, "in another one");
    bed.remove_member(TEA, 1);
    bed.post_in(TEA, "not for amy");
    bed.add_member(TEA, 1, None);
    bed.post_in(TEA, "back again");
    // Her snapshot says that she never was in this room, and she is not in it now.
    bed.add_member(RoomId(99), 1, None);
    bed.remove_member(RoomId(99), 1);
    // She sends a request right after her hello.
    amy.send_json(json!({"type": "presence", "id": "p", "data": {"room": 8, "on": true}})).await;
    // The shard has processed all of that before the hello is answered.
    let mut bob = bed.connect(2).await;
    bed.post(2, "awake");
    bob.receive_text_containing("awake").await;
    bed.history.v1.welcome_gate.add_permits(1);
    assert_eq!(amy.envelope().await["type"], "welcome");
    let mut seen = Vec::new();
    while !(seen.iter().any(|text: &String| text.ends_with("back again"))
        && seen.iter().any(|text: &String| text.ends_with("another one"))
        && seen.iter().any(|text: &String| text.starts_with("1@")))
    {
        seen.push(short(&amy.next_event().await));
    }
    seen.extend(amy.until_heartbeat().await);
    let of = |text: &str| seen.iter().filter(|seen| seen.ends_with(text)).count();
    assert_eq!(
        [of("in the lobby"), of("in another one"), of("back again"), of("not for amy")],
        [1, 1, 1, 0],
        "{seen:?}"
    );
    assert!(seen.contains(&"removed 99".to_owned()), "{seen:?}");
    // The room's entry comes before its first message.
    let place = |text: &str| seen.iter().position(|seen| seen == text).unwrap_or_else(|| panic!("{text}: {seen:?}"));
    assert!(place("room 8") < place("8@1: in another one"), "{seen:?}");
    assert!(place("room 7") < place("7@4: back again"), "{seen:?}");
}

#[tokio::test]
async fn members_receive_their_rooms_and_no_others_on_every_shard() {
    let mut bed = TestBed::start(small_options());
    for user in 1..=6 {
        bed.add_member(TEA, user, None);
    }
    let mut tabs = Vec::new();
    for user in 1..=8 {
        tabs.push(bed.connect_welcomed(user, json!([])).await);
    }
    bed.post_in(TEA, "for members");
    bed.post(1, "for all");
    for (index, tab) in tabs.iter_mut().enumerate() {
        let mut received = Vec::new();
        while received.last().map(String::as_str) != Some("1@1: for all") || (index < 6 && received.len() < 2) {
            received.push(short(&tab.next_event().await));
            received.sort_by_key(|text| text.starts_with("1@"));
        }
        assert_eq!(received.contains(&"7@1: for members".to_owned()), index < 6, "{received:?}");
    }
}

#[tokio::test]
async fn a_returning_session_is_caught_up_in_the_order_of_its_hello() {
    let mut bed = TestBed::start(small_options());
    bed.add_member(TEA, 1, None);
    for text in ["a", "b", "c"] {
        bed.post_in(TEA, text);
        bed.post(1, text);
    }
    let held = json!([{"room": 7, "version": 1}, {"room": 1, "version": 3}]);
    let mut amy = bed.connect_welcomed(1, held).await;
    let mut received = Vec::new();
    for _ in 0..6 {
        received.push(short(&amy.next_event().await));
    }
    assert_eq!(received, ["catch_up 7", "7@2: b", "7@3: c", "caught_up 7", "catch_up 1", "caught_up 1"]);
    bed.post_in(TEA, "d");
    assert_eq!(short(&amy.next_event().await), "7@4: d");
    amy.send_json(json!({"type": "sync", "id": "s", "data": {"room": 7, "since": 3}})).await;
    let received = [short(&amy.next_event().await), short(&amy.next_event().await), short(&amy.next_event().await)];
    assert_eq!(received, ["catch_up 7", "7@4: d", "caught_up 7"]);
    assert_eq!(amy.next_event().await["id"], "s");
}

#[tokio::test]
async fn a_short_absence_needs_no_read_of_the_store_unless_a_name_changed() {
    let mut bed = TestBed::start(HubOptions { shards: 1, ..small_options() });
    for text in ["a", "b", "c"] {
        bed.post(2, text);
    }
    let caught_up = ["catch_up 1", "1@2: b", "1@3: c", "caught_up 1"];
    bed.history.v1.read_gate.forget_permits(Semaphore::MAX_PERMITS);
    let mut amy = bed.connect_welcomed(1, json!([{"room": 1, "version": 1}])).await;
    for expected in caught_up {
        assert_eq!(short(&amy.next_event().await), expected);
    }
    // The tail may show a sender's old name.
    bed.rename_user(2);
    // Otherwise a slow shard sends it to the next session as well.
    amy.next_of("user").await;
    let mut bob = bed.connect_welcomed(2, json!([{"room": 1, "version": 1}])).await;
    assert_eq!(bob.until_heartbeat().await, [""; 0]);
    bed.history.v1.read_gate.add_permits(1);
    for expected in caught_up {
        assert_eq!(short(&bob.next_event().await), expected);
    }
    bed.history.v1.read_gate.forget_permits(Semaphore::MAX_PERMITS);
    bed.post(2, "d");
    let mut late = bed.connect_welcomed(3, json!([{"room": 1, "version": 3}])).await;
    for expected in ["catch_up 1", "1@4: d", "caught_up 1"] {
        assert_eq!(short(&late.next_event().await), expected);
    }
}

#[tokio::test]
async fn members_receive_typing_and_presence_of_their_rooms() {
    let mut bed = TestBed::start(small_options());
    for user in 1..=3 {
        bed.add_member(TEA, user, None);
    }
    let (mut amy, mut bob) = (bed.connect_welcomed(1, json!([])).await, bed.connect_welcomed(2, json!([])).await);
    amy.send_json(json!({"type": "presence", "id": "p", "data": {"room": 7, "on": true}})).await;
    let ack = amy.next_of("ack").await;
    assert_eq!(ack, json!({"online": [1, 2], "count": 2, "truncated": false}));
    let carol = bed.connect_welcomed(3, json!([])).await;
    assert_eq!(amy.next_of("presence").await, json!({"room": 7, "online": [3], "offline": [], "count": 3}));
    drop(carol);
    assert_eq!(amy.next_of("presence").await, json!({"room": 7, "online": [], "offline": [3], "count": 2}));
    bed.remove_member(TEA, 2);
    assert_eq!(amy.next_of("presence").await, json!({"room": 7, "online": [], "offline": [2], "count": 1}));
    bed.add_member(TEA, 2, None);
    bob.next_of("room").await;
    bob.send_json(json!({"type": "typing", "id": "t", "data": {"room": 7, "on": true}})).await;
    assert_eq!(amy.next_of("typing").await, json!({"room": 7, "users": [2]}));
    // It expires when he does not send it again.
    assert_eq!(amy.next_of("typing").await, json!({"room": 7, "users": []}));
    bob.send_json(json!({"type": "typing", "id": "t", "data": {"room": 1, "on": true}})).await;
    assert_eq!(bob.next_of("error").await["code"], "forbidden");
    amy.send_json(json!({"type": "presence", "id": "q", "data": {"room": 1, "on": true}})).await;
    assert_eq!(amy.next_of("ack").await, json!({"online": [], "count": 2, "truncated": true}));
}

/// The history checker found that a user who went offline and came back between two ticks was sent as new to watchers
/// whose list had that user, and that a watcher who asked between two ticks was sent what its list said already.
#[tokio::test]
async fn presence_sends_each_watcher_what_it_does_not_know() {
    let mut bed = TestBed::start(small_options());
    for user in 1..=5 {
        bed.add_member(TEA, user, None);
    }
    let watch = json!({"type": "presence", "id": "p", "data": {"room": 7, "on": true}});
    let here = |list: &Value| list["online"].as_array().unwrap().iter().map(|user| user.as_u64().unwrap()).collect();
    let (mut amy, mut bob) = (bed.connect_welcomed(1, json!([])).await, bed.connect_welcomed(2, json!([])).await);
    amy.send_json(watch.clone()).await;
    let seen_by_amy: std::collections::BTreeSet<u64> = here(&amy.next_of("ack").await);
    for _ in 0..5 {
        bob.socket.close(Some(CloseFrame { code: 1000.into(), reason: "".into() })).await.unwrap();
        bob.receive_close().await;
        bob = bed.connect_welcomed(2, json!([])).await;
    }
    let mut carol = bed.connect_welcomed(3, json!([])).await;
    let _dave = bed.connect_welcomed(4, json!([])).await;
    carol.send_json(watch).await;
    let seen_by_carol = here(&carol.next_of("ack").await);
    let _eve = bed.connect_welcomed(5, json!([])).await;
    for (tab, mut seen) in [(&mut amy, seen_by_amy), (&mut carol, seen_by_carol)] {
        while !seen.contains(&5) {
            let event = tab.next_of("presence").await;
            for user in event["offline"].as_array().unwrap() {
                assert!(seen.remove(&user.as_u64().unwrap()), "{event} for a client that shows {seen:?}");
            }
            for user in event["online"].as_array().unwrap() {
                assert!(seen.insert(user.as_u64().unwrap()), "{event} for a client that shows {seen:?}");
            }
            assert_eq!(event["count"], json!(seen.len()), "{event}");
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    }
}

#[tokio::test]
async fn a_member_offline_and_removed_between_two_ticks_is_not_shown_online_for_ever() {
    let mut bed = TestBed::start(small_options());
    for user in 1..=3 {
        bed.add_member(TEA, user, None);
    }
    let (mut amy, mut bob) = (bed.connect_welcomed(1, json!([])).await, bed.connect_welcomed(2, json!([])).await);
    amy.send_json(json!({"type": "presence", "id": "p", "data": {"room": 7, "on": true}})).await;
    assert_eq!(amy.next_of("ack").await["online"], json!([1, 2]));
    bob.socket.close(Some(CloseFrame { code: 1000.into(), reason: "".into() })).await.unwrap();
    bob.receive_close().await;
    bed.remove_member(TEA, 2);
    let _carol = bed.connect_welcomed(3, json!([])).await;
    let mut gone = false;
    loop {
        let event = amy.next_of("presence").await;
        gone |= event["offline"] == json!([2]);
        if event["online"] == json!([3]) {
            break assert!(gone, "{event}");
        }
    }
}

#[tokio::test]
async fn published_events_reach_their_recipients_in_both_dialects() {
    let mut bed = TestBed::start(small_options());
    bed.add_member(TEA, 1, None);
    let mut amy = bed.connect_welcomed(1, json!([])).await;
    let mut bob = bed.connect(2).await;
    bob.receive_count(2).await;
    let publish = |to, name: &str| Publication { to, envelope: json!({"type": name, "data": {}}).to_string() };
    bed.hub.publish(publish(PublishTo::Users(vec![UserId(1)]), "for_amy")).await;
    bed.hub.publish(publish(PublishTo::Users(vec![UserId(2)]), "for_bob")).await;
    bed.hub.publish(publish(PublishTo::All, "for_all")).await;
    let mut kinds = Vec::new();
    while kinds.last().map(String::as_str) != Some("for_all") {
        kinds.push(amy.next_event().await["type"].as_str().unwrap().to_owned());
    }
    assert_eq!(kinds, ["for_amy", "for_all"]);
    let mut texts = Vec::<String>::new();
    while !texts.last().is_some_and(|text| text.contains("for_all")) {
        texts.push(bob.receive_text_containing("").await);
    }
    assert_eq!(texts.len(), 2, "{texts:?}");
}

#[tokio::test]
async fn every_way_to_end_a_v1_session_sends_goodbye_first() {
    let hello_timeout = Duration::from_millis(300);
    let mut bed = TestBed::start(HubOptions { hello_timeout, devices_per_user: 1, ..small_options() });
    let goodbye = |code: u16, reconnect| {
        move |data: Value| {
            assert_eq!(
                (data["code"].as_u64(), data["reconnect"].as_bool()),
                (Some(code.into()), Some(reconnect)),
                "{data}"
            );
            assert!(data["retry_ms"].is_u64() && (reconnect || data["retry_ms"] == 0), "{data}");
        }
    };
    let mut late = bed.connect_v1(9).await;
    goodbye(4002, true)(late.next_of("goodbye").await);
    assert_eq!(late.receive_close().await.0, 4002);

    let mut amy = bed.connect_welcomed(1, json!([])).await;
    let mut newer = bed.connect_welcomed(1, json!([])).await;
    goodbye(4501, false)(amy.next_of("goodbye").await);
    assert_eq!(amy.receive_close().await.0, 4501);

    bed.hub.disconnect(UserId(1), "be kind".to_owned()).await;
    let data = newer.next_of("goodbye").await;
    assert_eq!(data["reason"], "be kind");
    goodbye(4502, false)(data);
    assert_eq!(newer.receive_close().await, (4502, "be kind".to_owned()));

    let mut bob = bed.connect_welcomed(2, json!([])).await;
    bed.hub.revoke(Revoked { user: UserId(2), what: Revocation::Key(token_mark(2).token) }).await;
    goodbye(4503, false)(bob.next_of("goodbye").await);
    assert_eq!(bob.receive_close().await.0, 4503);

    let mut carol = bed.connect_welcomed(3, json!([])).await;
    for _ in 0..21 {
        carol.send("nonsense").await;
    }
    goodbye(4504, false)(loop {
        match carol.receive().await {
            Received::Text(text) if text == "malformed" => {}
            Received::Text(text) => break serde_json::from_str::<Value>(&text).unwrap()["data"].clone(),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(carol.receive_close().await.0, 4504);
    let bounds = &bed.hub.metrics().bounds;
    for bound in ["sessions.hello_timeout", "sessions.per_user", "BAD_ENVELOPES_MAX"] {
        assert_eq!(bounds.times(bound), 1, "{bound}");
    }
}

#[tokio::test]
async fn a_drain_gives_each_v1_session_its_own_time_to_reconnect() {
    let mut bed = TestBed::start(HubOptions { shards: 1, ..small_options() });
    let mut tabs = Vec::new();
    for user in 1..=20 {
        tabs.push(bed.connect_welcomed(user, json!([])).await);
    }
    let hub = bed.hub.clone();
    let drain = tokio::spawn(async move { hub.drain(Duration::from_millis(50)).await });
    let mut times = Vec::new();
    for tab in &mut tabs {
        let data = tab.next_of("goodbye").await;
        assert_eq!((&data["code"], &data["reconnect"]), (&json!(1012), &json!(true)));
        times.push(data["retry_ms"].as_u64().unwrap());
        assert_eq!(tab.receive_close().await.0, 1012);
    }
    drop(tabs);
    drain.await.unwrap();
    times.sort_unstable();
    times.dedup();
    assert_eq!(times.len(), 20, "each has its own: {times:?}");
}

#[tokio::test]
async fn a_drain_closes_v1_sessions_at_once_and_classic_ones_one_by_one() {
    let mut bed = TestBed::start(HubOptions { shards: 1, ..small_options() });
    let mut classic = Vec::new();
    for user in 101..=102 {
        classic.push(bed.connect(user).await);
    }
    let mut v1 = Vec::new();
    for user in 1..=20 {
        v1.push(bed.connect_welcomed(user, json!([])).await);
    }
    // Of 22 sessions one is closed at once, and the next after minutes: only the time of the close tells a classic
    // client when to reconnect.
    let hub = bed.hub.clone();
    let drain = tokio::spawn(async move { hub.drain(Duration::from_secs(3600)).await });
    for tab in &mut v1 {
        assert_eq!(tab.receive_close().await.0, 1012);
    }
    let last = classic.last_mut().unwrap();
    last.send("echo still here").await;
    last.receive_text_containing("still here").await;
    drain.abort();
}

#[tokio::test]
async fn a_frame_carries_one_envelope_per_line() {
    let mut bed = TestBed::start(small_options());
    let mut amy = bed.connect_welcomed(1, json!([])).await;
    amy.send("{\"type\":\"heartbeat\",\"id\":\"1\"}\n\n{\"type\":\"heartbeat\",\"id\":\"2\"}\nnonsense\n").await;
    assert_eq!([amy.next_event().await["id"].clone(), amy.next_event().await["id"].clone()], [json!("1"), json!("2")]);
    assert_eq!(amy.receive().await, Received::Text("malformed".to_owned()));
}

#[tokio::test]
async fn a_token_revoked_while_it_is_checked_renews_nothing() {
    let mut bed = TestBed::start(small_options());
    let mut amy = bed.connect_welcomed(1, json!([])).await;
    let auth = json!({"type": "auth", "id": "a", "data": {"token": "x"}});
    amy.send_json(auth.clone()).await;
    assert_eq!(amy.next_event().await["id"], "a");
    // From here on the session depends on the new token, and the old one may be revoked.
    bed.hub.revoke(Revoked { user: UserId(1), what: Revocation::Key(token_mark(1).token) }).await;
    assert_eq!(amy.until_heartbeat().await, [""; 0]);
    let mut bob = bed.connect_welcomed(2, json!([])).await;
    bed.hub.revoke(Revoked { user: UserId(2), what: Revocation::Key(TokenKey([77; 16])) }).await;
    bob.send_json(auth).await;
    assert_eq!(bob.next_of("goodbye").await["code"], 4503);
}

#[tokio::test]
async fn changes_newer_than_a_page_of_the_past_arrive_after_it() {
    let mut bed = TestBed::start(HubOptions { shards: 1, ..small_options() });
    bed.add_member(TEA, 1, None);
    bed.post_in(TEA, "a");
    let mut amy = bed.connect_welcomed(1, json!([])).await;
    bed.history.v1.read_gate.forget_permits(Semaphore::MAX_PERMITS);
    amy.send_json(json!({"type": "history", "id": "h", "data": {"room": 7}})).await;
    assert_eq!(amy.until_heartbeat().await, [""; 0]);
    bed.post_in(TEA, "b");
    bed.post(1, "elsewhere");
    // The lobby goes on. The room waits for its page, which lacks what is newer.
    assert_eq!(short(&amy.next_event().await), "1@1: elsewhere");
    bed.history.v1.read_gate.add_permits(10);
    let page = amy.next_event().await;
    assert_eq!((&page["id"], &page["data"]["messages"]), (&json!("h"), &json!(1)));
    assert_eq!(short(&amy.next_event().await), "7@2: b");
}

#[tokio::test]
async fn a_session_that_attaches_while_a_page_is_read_does_not_receive_that_page() {
    let mut bed = TestBed::start(HubOptions { shards: 1, ..small_options() });
    bed.add_member(TEA, 1, None);
    bed.add_member(TEA, 2, None);
    bed.post_in(TEA, "a");
    bed.post_in(TEA, "b");
    bed.history.v1.read_gate.forget_permits(Semaphore::MAX_PERMITS);
    let held = json!([{"room": 7, "version": 1}]);
    let mut amy = bed.connect_welcomed(1, held.clone()).await;
    assert_eq!(amy.until_heartbeat().await, [""; 0]);
    // Her page lacks this message, and his welcome has it.
    bed.post_in(TEA, "c");
    let mut bob = bed.connect_welcomed(2, held).await;
    assert_eq!(bob.until_heartbeat().await, [""; 0]);
    bed.history.v1.read_gate.add_permits(100);
    for expected in ["catch_up 7", "7@2: b", "7@3: c", "caught_up 7"] {
        assert_eq!(short(&bob.next_event().await), expected);
    }
    for expected in ["catch_up 7", "7@2: b", "caught_up 7", "7@3: c"] {
        assert_eq!(short(&amy.next_event().await), expected);
    }
}

#[tokio::test]
async fn a_welcome_does_not_overtake_the_reply_to_an_earlier_hello() {
    let mut bed = TestBed::start(small_options());
    let mut amy = bed.connect_v1(1).await;
    let refused = json!({"type": "hello", "id": "one", "data": {"epoch": "refused"}});
    let hello = json!({"type": "hello", "id": "two", "data": {}});
    let beat = json!({"type": "heartbeat", "id": "behind"});
    amy.send(&format!("{refused}\n{hello}\n{beat}")).await;
    for kind in ["error", "welcome", "ack"] {
        assert_eq!(amy.envelope().await["type"], kind);
    }
}
