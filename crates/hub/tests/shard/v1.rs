//! v1 sessions on real sockets: what happens between a hello and its welcome, who hears of which room, and
//! how a session ends.

use std::time::Duration;

use serde_json::{Value, json};
use teahouse_core::token::Revoked;
use teahouse_core::{Audience, LOBBY, Revocation, RoomId, TokenKey, UserId};
use teahouse_hub::{HubOptions, Publication, PublishTo};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::stage::{CAKE, Heard, House, TEA, mark, short, small};

#[tokio::test]
async fn what_is_committed_and_the_answer_to_whoever_asked_leave_in_one_write() {
    let mut house = House::open(HubOptions { shards: 1, ..small() });
    house.past.v1.reads.forget_permits(Semaphore::MAX_PERMITS);
    let mut amy = house.welcomed(1, json!([])).await;
    amy.ask(json!({"type": "history", "id": "y", "data": {"room": 8}})).await;
    assert_eq!(amy.until_heartbeat().await, [""; 0]);
    let writes = house.writes().await;
    house.push_deferred(LOBBY, Audience::Room, 1, "hello");
    house.past.v1.reads.add_permits(1);
    house.feed.flush_notify();
    let mut heard = [amy.next_event().await, amy.next_event().await].map(|event| event["type"].to_string());
    heard.sort();
    assert_eq!(heard, ["\"ack\"", "\"message\""]);
    assert_eq!(house.writes().await, writes + 1);
}

#[tokio::test]
async fn what_happens_between_a_hello_and_its_welcome_is_neither_lost_nor_doubled() {
    let mut house = House::open(HubOptions { shards: 1, ..small() });
    house.comes_in(TEA, 1, None);
    house.say_in(TEA, "before");
    house.past.v1.gate.forget_permits(Semaphore::MAX_PERMITS);
    let mut amy = house.v1(1).await;
    amy.ask(
        json!({"type": "hello", "id": "h", "data": {"rooms": [{"room": 7, "version": 0}, {"room": 99, "version": 4}]}}),
    )
    .await;
    house.snapshots(1).await;
    // Nobody reads these rooms yet, so no tail is there to keep what is said now.
    house.say_in(TEA, "between");
    house.say(2, "in the lobby");
    house.comes_in(CAKE, 1, None);
    house.say_in(CAKE, "in another one");
    house.goes_out(TEA, 1);
    house.say_in(TEA, "not for amy");
    house.comes_in(TEA, 1, None);
    house.say_in(TEA, "back again");
    // She was never in it, as far as her snapshot knows, and is not in it now.
    house.comes_in(RoomId(99), 1, None);
    house.goes_out(RoomId(99), 1);
    // Behind her hello she asks at once.
    amy.ask(json!({"type": "presence", "id": "p", "data": {"room": 8, "on": true}})).await;
    // All of that has passed the shard before the hello is answered.
    let mut bob = house.connect(2).await;
    house.say(2, "awake");
    bob.hear_text_with("awake").await;
    house.past.v1.gate.add_permits(1);
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
    // The room's entry comes before its first envelope.
    let place = |text: &str| seen.iter().position(|seen| seen == text).unwrap_or_else(|| panic!("{text}: {seen:?}"));
    assert!(place("room 8") < place("8@1: in another one"), "{seen:?}");
    assert!(place("room 7") < place("7@4: back again"), "{seen:?}");
}

#[tokio::test]
async fn members_hear_their_rooms_and_nobody_elses_on_whichever_shard_they_live() {
    let mut house = House::open(small());
    for user in 1..=6 {
        house.comes_in(TEA, user, None);
    }
    let mut tabs = Vec::new();
    for user in 1..=8 {
        tabs.push(house.welcomed(user, json!([])).await);
    }
    house.say_in(TEA, "for members");
    house.say(1, "for all");
    for (index, tab) in tabs.iter_mut().enumerate() {
        let mut heard = Vec::new();
        while heard.last().map(String::as_str) != Some("1@1: for all") || (index < 6 && heard.len() < 2) {
            heard.push(short(&tab.next_event().await));
            heard.sort_by_key(|text| text.starts_with("1@"));
        }
        assert_eq!(heard.contains(&"7@1: for members".to_owned()), index < 6, "{heard:?}");
    }
}

#[tokio::test]
async fn a_returning_session_is_brought_what_it_missed_in_the_order_of_its_wishes() {
    let mut house = House::open(small());
    house.comes_in(TEA, 1, None);
    for text in ["a", "b", "c"] {
        house.say_in(TEA, text);
        house.say(1, text);
    }
    let held = json!([{"room": 7, "version": 1}, {"room": 1, "version": 3}]);
    let mut amy = house.welcomed(1, held).await;
    let mut heard = Vec::new();
    for _ in 0..6 {
        heard.push(short(&amy.next_event().await));
    }
    assert_eq!(heard, ["catch_up 7", "7@2: b", "7@3: c", "caught_up 7", "catch_up 1", "caught_up 1"]);
    house.say_in(TEA, "d");
    assert_eq!(short(&amy.next_event().await), "7@4: d");
    amy.ask(json!({"type": "sync", "id": "s", "data": {"room": 7, "since": 3}})).await;
    let heard = [short(&amy.next_event().await), short(&amy.next_event().await), short(&amy.next_event().await)];
    assert_eq!(heard, ["catch_up 7", "7@4: d", "caught_up 7"]);
    assert_eq!(amy.next_event().await["id"], "s");
}

#[tokio::test]
async fn a_short_absence_needs_nothing_of_the_store_unless_somebody_took_another_name() {
    let mut house = House::open(HubOptions { shards: 1, ..small() });
    for text in ["a", "b", "c"] {
        house.say(2, text);
    }
    let brought = ["catch_up 1", "1@2: b", "1@3: c", "caught_up 1"];
    house.past.v1.reads.forget_permits(Semaphore::MAX_PERMITS);
    let mut amy = house.welcomed(1, json!([{"room": 1, "version": 1}])).await;
    for told in brought {
        assert_eq!(short(&amy.next_event().await), told);
    }
    // What was said may show another name than its sender has by now.
    house.takes_another_name(2);
    let mut bob = house.welcomed(2, json!([{"room": 1, "version": 1}])).await;
    assert_eq!(bob.until_heartbeat().await, [""; 0]);
    house.past.v1.reads.add_permits(1);
    for told in brought {
        assert_eq!(short(&bob.next_event().await), told);
    }
    house.past.v1.reads.forget_permits(Semaphore::MAX_PERMITS);
    house.say(2, "d");
    let mut late = house.welcomed(3, json!([{"room": 1, "version": 3}])).await;
    for told in ["catch_up 1", "1@4: d", "caught_up 1"] {
        assert_eq!(short(&late.next_event().await), told);
    }
}

#[tokio::test]
async fn a_room_tells_who_is_typing_and_who_comes_and_goes() {
    let mut house = House::open(small());
    for user in 1..=3 {
        house.comes_in(TEA, user, None);
    }
    let (mut amy, mut bob) = (house.welcomed(1, json!([])).await, house.welcomed(2, json!([])).await);
    amy.ask(json!({"type": "presence", "id": "p", "data": {"room": 7, "on": true}})).await;
    let ack = amy.next_of("ack").await;
    assert_eq!(ack, json!({"online": [1, 2], "count": 2, "truncated": false}));
    let carol = house.welcomed(3, json!([])).await;
    assert_eq!(amy.next_of("presence").await, json!({"room": 7, "online": [3], "offline": [], "count": 3}));
    drop(carol);
    assert_eq!(amy.next_of("presence").await, json!({"room": 7, "online": [], "offline": [3], "count": 2}));
    house.goes_out(TEA, 2);
    assert_eq!(amy.next_of("presence").await, json!({"room": 7, "online": [], "offline": [2], "count": 1}));
    house.comes_in(TEA, 2, None);
    bob.next_of("room").await;
    bob.ask(json!({"type": "typing", "id": "t", "data": {"room": 7, "on": true}})).await;
    assert_eq!(amy.next_of("typing").await, json!({"room": 7, "users": [2]}));
    // It is over by itself when he does not go on.
    assert_eq!(amy.next_of("typing").await, json!({"room": 7, "users": []}));
    bob.ask(json!({"type": "typing", "id": "t", "data": {"room": 1, "on": true}})).await;
    assert_eq!(bob.next_of("error").await["code"], "forbidden");
    amy.ask(json!({"type": "presence", "id": "q", "data": {"room": 1, "on": true}})).await;
    assert_eq!(amy.next_of("ack").await, json!({"online": [], "count": 2, "truncated": true}));
}

/// Found by the history checker: who goes for good and comes back between two ticks was told as having come to those
/// who had them on their list; and who asked between two ticks was told again what their list said already.
#[tokio::test]
async fn presence_tells_what_is_news_to_whoever_is_told() {
    let mut house = House::open(small());
    for user in 1..=5 {
        house.comes_in(TEA, user, None);
    }
    let watch = json!({"type": "presence", "id": "p", "data": {"room": 7, "on": true}});
    let here = |list: &Value| list["online"].as_array().unwrap().iter().map(|user| user.as_u64().unwrap()).collect();
    let (mut amy, mut bob) = (house.welcomed(1, json!([])).await, house.welcomed(2, json!([])).await);
    amy.ask(watch.clone()).await;
    let seen_by_amy: std::collections::BTreeSet<u64> = here(&amy.next_of("ack").await);
    for _ in 0..5 {
        bob.socket.close(Some(CloseFrame { code: 1000.into(), reason: "".into() })).await.unwrap();
        bob.end().await;
        bob = house.welcomed(2, json!([])).await;
    }
    let mut carol = house.welcomed(3, json!([])).await;
    let _dave = house.welcomed(4, json!([])).await;
    carol.ask(watch).await;
    let seen_by_carol = here(&carol.next_of("ack").await);
    let _eve = house.welcomed(5, json!([])).await;
    for (tab, mut seen) in [(&mut amy, seen_by_amy), (&mut carol, seen_by_carol)] {
        while !seen.contains(&5) {
            let news = tab.next_of("presence").await;
            for user in news["offline"].as_array().unwrap() {
                assert!(seen.remove(&user.as_u64().unwrap()), "{news} for who sees {seen:?}");
            }
            for user in news["online"].as_array().unwrap() {
                assert!(seen.insert(user.as_u64().unwrap()), "{news} for who sees {seen:?}");
            }
            assert_eq!(news["count"], json!(seen.len()), "{news}");
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    }
}

#[tokio::test]
async fn who_goes_and_is_taken_out_between_two_ticks_is_not_shown_as_online_for_ever() {
    let mut house = House::open(small());
    for user in 1..=3 {
        house.comes_in(TEA, user, None);
    }
    let (mut amy, mut bob) = (house.welcomed(1, json!([])).await, house.welcomed(2, json!([])).await);
    amy.ask(json!({"type": "presence", "id": "p", "data": {"room": 7, "on": true}})).await;
    assert_eq!(amy.next_of("ack").await["online"], json!([1, 2]));
    bob.socket.close(Some(CloseFrame { code: 1000.into(), reason: "".into() })).await.unwrap();
    bob.end().await;
    house.goes_out(TEA, 2);
    let _carol = house.welcomed(3, json!([])).await;
    let mut gone = false;
    loop {
        let news = amy.next_of("presence").await;
        gone |= news["offline"] == json!([2]);
        if news["online"] == json!([3]) {
            break assert!(gone, "{news}");
        }
    }
}

#[tokio::test]
async fn what_is_published_reaches_whom_it_is_for_in_both_dialects() {
    let mut house = House::open(small());
    house.comes_in(TEA, 1, None);
    let mut amy = house.welcomed(1, json!([])).await;
    let mut bob = house.connect(2).await;
    bob.count(2).await;
    let publish = |to, name: &str| Publication { to, envelope: json!({"type": name, "data": {}}).to_string() };
    house.hub.publish(publish(PublishTo::Users(vec![UserId(1)]), "for_amy")).await;
    house.hub.publish(publish(PublishTo::Users(vec![UserId(2)]), "for_bob")).await;
    house.hub.publish(publish(PublishTo::All, "for_all")).await;
    let mut kinds = Vec::new();
    while kinds.last().map(String::as_str) != Some("for_all") {
        kinds.push(amy.next_event().await["type"].as_str().unwrap().to_owned());
    }
    assert_eq!(kinds, ["for_amy", "for_all"]);
    let mut told = Vec::<String>::new();
    while !told.last().is_some_and(|text| text.contains("for_all")) {
        told.push(bob.hear_text_with("").await);
    }
    assert_eq!(told.len(), 2, "{told:?}");
}

#[tokio::test]
async fn every_way_to_end_a_v1_session_says_goodbye_first() {
    let mut house = House::open(HubOptions { hello_timeout: Duration::from_millis(300), ..small() });
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
    let mut late = house.v1(9).await;
    goodbye(4002, true)(late.next_of("goodbye").await);
    assert_eq!(late.end().await.0, 4002);

    let mut amy = house.welcomed(1, json!([])).await;
    let mut newer = house.welcomed(1, json!([])).await;
    goodbye(4501, false)(amy.next_of("goodbye").await);
    assert_eq!(amy.end().await.0, 4501);

    house.hub.disconnect(UserId(1), "be kind".to_owned()).await;
    let data = newer.next_of("goodbye").await;
    assert_eq!(data["reason"], "be kind");
    goodbye(4502, false)(data);
    assert_eq!(newer.end().await, (4502, "be kind".to_owned()));

    let mut bob = house.welcomed(2, json!([])).await;
    house.hub.revoke(Revoked { user: UserId(2), what: Revocation::Key(mark(2).token) }).await;
    goodbye(4503, false)(bob.next_of("goodbye").await);
    assert_eq!(bob.end().await.0, 4503);

    let mut carol = house.welcomed(3, json!([])).await;
    for _ in 0..21 {
        carol.send("nonsense").await;
    }
    goodbye(4504, false)(loop {
        match carol.hear().await {
            Heard::Text(text) if text == "malformed" => {}
            Heard::Text(text) => break serde_json::from_str::<Value>(&text).unwrap()["data"].clone(),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(carol.end().await.0, 4504);
}

#[tokio::test]
async fn a_drain_gives_each_v1_session_its_own_time_to_come_back() {
    let mut house = House::open(HubOptions { shards: 1, ..small() });
    let mut tabs = Vec::new();
    for user in 1..=20 {
        tabs.push(house.welcomed(user, json!([])).await);
    }
    let hub = house.hub.clone();
    let drain = tokio::spawn(async move { hub.drain(Duration::from_millis(50)).await });
    let mut times = Vec::new();
    for tab in &mut tabs {
        let data = tab.next_of("goodbye").await;
        assert_eq!((&data["code"], &data["reconnect"]), (&json!(1012), &json!(true)));
        times.push(data["retry_ms"].as_u64().unwrap());
        assert_eq!(tab.end().await.0, 1012);
    }
    drop(tabs);
    drain.await.unwrap();
    times.sort_unstable();
    times.dedup();
    assert_eq!(times.len(), 20, "each its own: {times:?}");
}

#[tokio::test]
async fn a_drain_sends_v1_sessions_away_at_once_and_classic_ones_one_after_the_other() {
    let mut house = House::open(HubOptions { shards: 1, ..small() });
    let mut classic = Vec::new();
    for user in 101..=102 {
        classic.push(house.connect(user).await);
    }
    let mut v1 = Vec::new();
    for user in 1..=20 {
        v1.push(house.welcomed(user, json!([])).await);
    }
    // Of twenty-two sessions one goes at once, and the next after some minutes: a classic one has no other word for
    // when to come back than when it is closed.
    let hub = house.hub.clone();
    let drain = tokio::spawn(async move { hub.drain(Duration::from_secs(3600)).await });
    for tab in &mut v1 {
        assert_eq!(tab.end().await.0, 1012);
    }
    let last = classic.last_mut().unwrap();
    last.send("echo still here").await;
    last.hear_text_with("still here").await;
    drain.abort();
}

#[tokio::test]
async fn a_frame_carries_as_many_envelopes_as_it_has_lines() {
    let mut house = House::open(small());
    let mut amy = house.welcomed(1, json!([])).await;
    amy.send("{\"type\":\"heartbeat\",\"id\":\"1\"}\n\n{\"type\":\"heartbeat\",\"id\":\"2\"}\nnonsense\n").await;
    assert_eq!([amy.next_event().await["id"].clone(), amy.next_event().await["id"].clone()], [json!("1"), json!("2")]);
    assert_eq!(amy.hear().await, Heard::Text("malformed".to_owned()));
}

#[tokio::test]
async fn a_token_that_was_revoked_while_it_was_looked_at_renews_nothing() {
    let mut house = House::open(small());
    let mut amy = house.welcomed(1, json!([])).await;
    let auth = json!({"type": "auth", "id": "a", "data": {"token": "x"}});
    amy.ask(auth.clone()).await;
    assert_eq!(amy.next_event().await["id"], "a");
    // From here on it lives by the new token: the old one may go.
    house.hub.revoke(Revoked { user: UserId(1), what: Revocation::Key(mark(1).token) }).await;
    assert_eq!(amy.until_heartbeat().await, [""; 0]);
    let mut bob = house.welcomed(2, json!([])).await;
    house.hub.revoke(Revoked { user: UserId(2), what: Revocation::Key(TokenKey([77; 16])) }).await;
    bob.ask(auth).await;
    assert_eq!(bob.next_of("goodbye").await["code"], 4503);
}

#[tokio::test]
async fn what_is_newer_than_a_page_of_the_past_comes_behind_it() {
    let mut house = House::open(HubOptions { shards: 1, ..small() });
    house.comes_in(TEA, 1, None);
    house.say_in(TEA, "a");
    let mut amy = house.welcomed(1, json!([])).await;
    house.past.v1.reads.forget_permits(Semaphore::MAX_PERMITS);
    amy.ask(json!({"type": "history", "id": "h", "data": {"room": 7}})).await;
    assert_eq!(amy.until_heartbeat().await, [""; 0]);
    house.say_in(TEA, "b");
    house.say(1, "elsewhere");
    // The lobby goes on; the room waits for its page, which knows nothing of what is newer.
    assert_eq!(short(&amy.next_event().await), "1@1: elsewhere");
    house.past.v1.reads.add_permits(10);
    let page = amy.next_event().await;
    assert_eq!((&page["id"], &page["data"]["said"]), (&json!("h"), &json!(1)));
    assert_eq!(short(&amy.next_event().await), "7@2: b");
}

#[tokio::test]
async fn who_comes_while_a_page_is_being_read_is_not_given_that_one() {
    let mut house = House::open(HubOptions { shards: 1, ..small() });
    house.comes_in(TEA, 1, None);
    house.comes_in(TEA, 2, None);
    house.say_in(TEA, "a");
    house.say_in(TEA, "b");
    house.past.v1.reads.forget_permits(Semaphore::MAX_PERMITS);
    let held = json!([{"room": 7, "version": 1}]);
    let mut amy = house.welcomed(1, held.clone()).await;
    assert_eq!(amy.until_heartbeat().await, [""; 0]);
    // Her page knows nothing of this, and his welcome does.
    house.say_in(TEA, "c");
    let mut bob = house.welcomed(2, held).await;
    assert_eq!(bob.until_heartbeat().await, [""; 0]);
    house.past.v1.reads.add_permits(100);
    for told in ["catch_up 7", "7@2: b", "7@3: c", "caught_up 7"] {
        assert_eq!(short(&bob.next_event().await), told);
    }
    for told in ["catch_up 7", "7@2: b", "caught_up 7", "7@3: c"] {
        assert_eq!(short(&amy.next_event().await), told);
    }
}

#[tokio::test]
async fn a_welcome_does_not_overtake_what_an_earlier_hello_was_answered() {
    let mut house = House::open(small());
    let mut amy = house.v1(1).await;
    let refused = json!({"type": "hello", "id": "one", "data": {"epoch": "refused"}});
    let hello = json!({"type": "hello", "id": "two", "data": {}});
    let beat = json!({"type": "heartbeat", "id": "behind"});
    amy.send(&format!("{refused}\n{hello}\n{beat}")).await;
    for kind in ["error", "welcome", "ack"] {
        assert_eq!(amy.envelope().await["type"], kind);
    }
}
