//! Lobby messages: one code path for all transports, one order, an answer to every refusal, no duplicates.

use std::collections::HashSet;
use std::time::Instant;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Received, Server, Tab, User, of_type};

/// Sends a frame that the server refuses. Returns the code of the notification, which must be the next envelope.
async fn refusal(tab: &mut Tab, frame: &str) -> String {
    tab.send_text(frame.to_owned()).await;
    let envelope = tab.next_envelope().await;
    assert_eq!(
        (&envelope["type"], &envelope["data"]["level"]),
        (&json!("notification"), &json!("error")),
        "{frame:.80}"
    );
    assert!(envelope["data"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{envelope}");
    envelope["data"]["code"].as_str().unwrap().to_owned()
}

async fn open(user: &User) -> Tab {
    let mut tab = user.open_tab().await;
    tab.next_of("online_count").await;
    tab
}

#[tokio::test]
async fn h10_every_rejection_is_answered() {
    let server = Server::without_limits(&[]);
    let amy = User::of_site(&server, 7, "amy");
    let mut tab = open(&amy).await;
    let long = json!({"type": "message", "data": {"content": "x".repeat(501)}}).to_string();
    let deep = format!(r#"{{"type":"message","data":{{"content":{}1{}}}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    for (frame, code) in [
        ("", "bad_request"),
        ("{", "bad_request"),
        ("hello", "bad_request"),
        ("[]", "bad_request"),
        ("null", "bad_request"),
        ("{}", "bad_request"),
        (r#"{"type":7}"#, "bad_request"),
        (r#"{"type":"message"}"#, "bad_request"),
        (r#"{"type":"message","data":"hi"}"#, "bad_request"),
        (r#"{"type":"message","data":{"content":7}}"#, "bad_request"),
        (r#"{"type":"message","data":{"content":null}}"#, "bad_request"),
        (r#"{"type":"message","data":{"content":9007199254740993}}"#, "bad_request"),
        (r#"{"type":"message","data":{"content":NaN}}"#, "bad_request"),
        (r#"{"type":"message","data":{"content":"\ud800"}}"#, "bad_request"),
        (r#"{"type":"message","type":"heartbeat","data":{"content":"hi"}}"#, "bad_request"),
        (r#"{"type":"message","data":{"content":"a","content":"b"}}"#, "bad_request"),
        (&deep, "bad_request"),
        (r#"{"type":"hello","data":{}}"#, "unknown_type"),
        (r#"{"type":"Message","data":{"content":"hi"}}"#, "unknown_type"),
        (r#"{"type":"message","data":{"content":""}}"#, "empty"),
        (r#"{"type":"message","data":{"content":" \t\n "}}"#, "empty"),
        (&long, "too_long"),
    ] {
        assert_eq!(refusal(&mut tab, frame).await, code, "{frame:.80}");
    }
    assert_eq!(amy.lobby().await, Vec::<Value>::new(), "nothing was stored");
    tab.assert_alive().await;
}

#[tokio::test]
async fn h10_sending_too_fast_is_answered() {
    let server = Server::of_site(&[]);
    let amy = User::of_site(&server, 7, "amy");
    let mut tab = open(&amy).await;
    for number in 0..30 {
        tab.say(&format!("number {number}")).await;
    }
    let received = tab.read_to_heartbeat().await;
    let refused = of_type(&received, "notification");
    assert!(refused.len() >= 20 && refused.iter().all(|data| data["code"] == "rate_limited"), "{received:?}");
    let mut said = of_type(&received, "message").len();
    while said + refused.len() < 30 {
        tab.next_of("message").await;
        said += 1;
    }
    assert_eq!(amy.lobby().await.len(), said, "every one was either said or refused");
}

#[tokio::test]
async fn h10_binary_frames_close_with_1003() {
    let server = Server::of_site(&[]);
    let mut tab = open(&User::of_site(&server, 7, "amy")).await;
    tab.send_binary(b"hello").await;
    assert_eq!(tab.read_to_close().await.1, 1003);
}

#[tokio::test]
async fn h10_twenty_bad_envelopes_are_answered_and_the_next_one_closes() {
    let server = Server::of_site(&[]);
    let mut tab = open(&User::of_site(&server, 7, "amy")).await;
    for _ in 0..20 {
        assert_eq!(refusal(&mut tab, "nonsense").await, "bad_request");
    }
    // Well-formed envelopes that the server refuses do not count.
    assert_eq!(refusal(&mut tab, r#"{"type":"message","data":{"content":""}}"#).await, "empty");
    tab.send_text("nonsense").await;
    let (received, code, _) = tab.read_to_close().await;
    assert_eq!((of_type(&received, "notification").len(), code), (1, 1008), "{received:?}");
}

#[tokio::test]
async fn h12_with_fifty_senders_every_client_sees_the_order_of_history() {
    let server = Server::without_limits(&[]);
    let users: Vec<User> = (1..=50).map(|id| User::of_site(&server, id, &format!("user{id}"))).collect();
    let tabs = join_all(users.iter().map(User::open_tab)).await;
    let clients = tabs.into_iter().zip(&users).map(|(mut tab, user)| async move {
        for number in 0..10 {
            tab.say(&format!("{} says {number}", user.name)).await;
        }
        let mut ids = Vec::new();
        while ids.len() < 500 {
            ids.push(tab.next_of("message").await["id"].as_u64().unwrap());
        }
        ids
    });
    let seen = join_all(clients).await;
    let history = users[0].lobby().await;
    let order: Vec<u64> = history.iter().map(|message| message["id"].as_u64().unwrap()).collect();
    assert!(order.is_sorted_by(|a, b| a < b), "ids grow");
    assert!(history.is_sorted_by_key(|message| message["send_time"].as_str().unwrap()), "times never decrease");
    for (ids, user) in seen.iter().zip(&users) {
        assert_eq!(ids, &order, "{}", user.name);
    }
    // The messages of each sender come in the order in which they were sent.
    for user in &users {
        let own = history.iter().filter(|message| message["user_id"] == json!(user.id));
        let numbers = own.map(|message| message["content"].as_str().unwrap().rsplit(' ').next().unwrap());
        assert!(numbers.map(str::to_owned).eq((0..10).map(|number| number.to_string())), "{}", user.name);
    }
}

#[tokio::test]
async fn h15_the_limit_holds_across_reconnects_and_transports_and_counts_every_frame() {
    let server = Server::of_site(&[]);
    let amy = User::of_site(&server, 7, "amy");
    let begun = Instant::now();
    let mut passed = 0;
    for round in 0..8 {
        let mut tab = amy.open_tab().await;
        for _ in 0..5 {
            tab.say(&format!("round {round}")).await;
        }
        let received = tab.read_to_heartbeat().await;
        passed += 5 - of_type(&received, "notification").iter().filter(|data| data["code"] == "rate_limited").count();
        let answer = amy.post("/api/chat/send", json!({"content": "over the other transport"})).await;
        match answer.status {
            200 => passed += 1,
            _ => assert!(answer.headers.contains_key("retry-after"), "{}", answer.text),
        }
    }
    let allowed = 5 + begun.elapsed().as_secs() * 3 + 3;
    assert!(passed as u64 <= allowed, "{passed} of 48 passed, {allowed} are allowed");
    assert!(passed >= 5, "the burst is usable");
}

#[tokio::test]
async fn h15_messages_with_invalid_content_count_too() {
    let server = Server::of_site(&[]);
    let amy = User::of_site(&server, 7, "amy");
    let begun = Instant::now();
    let mut looked_at = 0;
    for _ in 0..4 {
        let mut tab = amy.open_tab().await;
        for _ in 0..50 {
            tab.say("").await;
        }
        for _ in 0..50 {
            looked_at += u64::from(tab.next_of("notification").await["code"] == "empty");
        }
    }
    // The limit of envelopes: 20 a second, 60 at once.
    let allowed = 60 + begun.elapsed().as_secs() * 20 + 20;
    assert!(looked_at <= allowed, "{looked_at} of 200 were looked at, {allowed} are allowed");
}

#[tokio::test]
async fn h16_a_rename_shows_in_the_next_message_and_in_history() {
    let server = Server::of_site(&[]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let (mut tab, mut other) = (amy.open_tab().await, bea.open_tab().await);
    tab.say("before").await;
    assert_eq!(other.next_of("message").await["nickname"], "amy");
    let change = json!({"avatar": "/amy.png", "profile": {"nickname": "Amy 茶", "bio": ""}});
    amy.put("/api/auth/me", change).await.expect(200);
    tab.say("after").await;
    let message = other.next_of("message").await;
    assert_eq!((&message["nickname"], &message["avatar"]), (&json!("Amy 茶"), &json!("/amy.png")));
    assert!(bea.lobby().await.iter().all(|message| message["nickname"] == "Amy 茶"), "and history says the same");
    bea.send_private(&amy, "a new name!").await;
    assert_eq!(tab.next_of("private_message").await["message"]["receiver"]["nickname"], "Amy 茶");
    assert_eq!(bea.get("/api/conversations").await.data()["conversations"][0]["other_user"]["nickname"], "Amy 茶");
    let online = bea.get("/api/chat/online-users").await.data();
    assert_eq!(online["users"][0]["nickname"], "Amy 茶");
}

#[tokio::test]
async fn p1_a_message_sent_over_http_is_broadcast_under_the_same_rules() {
    let server = Server::of_site(&[]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let (mut tab, mut other) = (amy.open_tab().await, bea.open_tab().await);
    let id = amy.say("  hello \n").await;
    for tab in [&mut tab, &mut other] {
        let message = tab.next_of("message").await;
        assert_eq!((&message["id"], &message["content"]), (&json!(id), &json!("hello")));
    }
    amy.post("/api/chat/send", json!({"content": " \t "})).await.expect_error(422, "empty");
    amy.post("/api/chat/send", json!({"content": "茶".repeat(501)})).await.expect_error(422, "too_long");
    let says = (0..40).map(|number| amy.post("/api/chat/send", json!({"content": number.to_string()})));
    let answers = join_all(says).await;
    let refused = answers.into_iter().find(|answer| answer.status != 200).expect("forty at once are too fast");
    let seconds: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=5).contains(&seconds), "{seconds}");
    refused.expect_error(429, "rate_limited");
}

#[tokio::test]
async fn p6_p7_invalid_page_parameters_are_400_with_the_field() {
    let server = Server::of_site(&[]);
    let amy = User::of_site(&server, 7, "amy");
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=x", "limit"),
        ("limit=1%20OR%201=1", "limit"),
        ("before_id=x", "before_id"),
        ("before_id=9007199254740992", "before_id"),
    ] {
        let body = amy.get(&format!("/api/chat/messages?{query}")).await.expect_error(400, "bad_request");
        assert_eq!(body["data"]["field"], field, "{body}");
    }
    amy.get("/api/chat/messages?limit=1000&before_id=0&_t=17").await.expect(200);
}

#[tokio::test]
async fn p12_the_same_key_gives_the_same_answer_after_a_restart_and_a_kill() {
    let mut server = Server::without_limits(&[]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    bea.get("/api/auth/me").await.expect(200);
    let first = amy.say_with_key("key-1", "once").await.expect(200).data();
    let private = json!({"receiver_id": 8, "content": "just for you"}).to_string();
    let write =
        || amy.request(Method::POST, "/api/messages/send", &[("Idempotency-Key", "key-2")], Some(private.clone()));
    let second = write().await.expect(201).data();

    // Ten concurrent requests under a new key are one message too.
    let answers = join_all((0..10).map(|_| amy.say_with_key("key-3", "all at once"))).await;
    let ids: HashSet<u64> =
        answers.into_iter().map(|answer| answer.expect(200).data()["message_id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), 1);

    for end in 0..3 {
        assert_eq!(amy.say_with_key("key-1", "once").await.expect(200).data(), first);
        assert_eq!(write().await.expect(201).data(), second);
        amy.say_with_key("key-1", "something else").await.expect_error(409, "conflict");
        amy.say_with_key("key-2", "just for you").await.expect_error(409, "conflict");
        match end {
            0 => drop(server.stop().await),
            1 => server.kill(),
            _ => break,
        }
        server.restart();
    }
    // The same key of another user is another key.
    bea.say_with_key("key-1", "mine").await.expect(200);
    let said: Vec<_> = amy.lobby().await.iter().map(|message| message["content"].clone()).collect();
    assert_eq!(said, ["once", "all at once", "mine"]);
    for key in ["", &"k".repeat(65)] {
        amy.say_with_key(key, "an invalid key").await.expect_error(400, "bad_request");
    }
}

#[tokio::test]
async fn p14_catching_up_is_complete_page_by_page() {
    let server = Server::without_limits(&[]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let last_seen = amy.say("the last one that Bea saw").await;
    let texts: Vec<String> = (0..250).map(|number| number.to_string()).collect();
    join_all(texts.iter().map(|text| amy.say(text))).await;
    let (mut after, mut pages, mut caught_up) = (last_seen, Vec::new(), Vec::new());
    loop {
        let page = bea.get(&format!("/api/chat/messages/new?after_id={after}&limit=100")).await.data();
        let messages = page["messages"].as_array().unwrap();
        caught_up.extend(messages.iter().map(|message| message["id"].as_u64().unwrap()));
        after = *caught_up.last().unwrap();
        pages.push((messages.len(), page["has_more"].as_bool().unwrap()));
        if !pages.last().unwrap().1 {
            break;
        }
    }
    assert_eq!(pages, [(100, true), (100, true), (50, false)]);
    assert!(caught_up.is_sorted_by(|a, b| a < b) && caught_up[0] > last_seen);

    // Backwards, as the old front end loads pages.
    let newest = bea.get("/api/chat/messages?limit=50").await.data();
    let ids: Vec<u64> =
        newest["messages"].as_array().unwrap().iter().map(|message| message["id"].as_u64().unwrap()).collect();
    assert_eq!((ids.as_slice(), &newest["has_more"]), (&caught_up[200..], &json!(true)));
    let before = bea.get(&format!("/api/chat/messages?limit=100&before_id={}", caught_up[0])).await.data();
    assert_eq!((before["messages"].as_array().unwrap().len(), &before["has_more"]), (1, &json!(false)));
}

#[tokio::test]
async fn p15_a_deletion_is_broadcast_and_each_mistake_has_its_own_answer() {
    let server = Server::of_site(&[]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let (mut tab, mut other) = (amy.open_tab().await, bea.open_tab().await);
    let (first, second) = (amy.say("a slip of the tongue").await, amy.say("something rude").await);

    bea.delete(&format!("/api/chat/messages/{first}")).await.expect_error(403, "forbidden");
    bea.delete("/api/chat/messages/999999").await.expect_error(404, "not_found");
    bea.delete("/api/chat/messages/x").await.expect_error(400, "bad_request");
    amy.delete(&format!("/api/chat/messages/{first}")).await.expect(200);
    for tab in [&mut tab, &mut other] {
        assert_eq!(tab.next_of("message_deleted").await, json!({"id": first}));
    }
    amy.delete(&format!("/api/chat/messages/{first}")).await.expect(200);

    server.command(&["user", "role", "bea", "moderator"]);
    bea.delete(&format!("/api/chat/messages/{second}")).await.expect(200);
    // Deleting again sent no event.
    assert_eq!(tab.next_of("message_deleted").await, json!({"id": second}));
    assert_eq!(bea.lobby().await, Vec::<Value>::new());
}

#[tokio::test]
async fn content_is_stored_as_it_was_sent() {
    let server = Server::without_limits(&[]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let (mut tab, mut other) = (amy.open_tab().await, bea.open_tab().await);
    let family = "👨‍👩‍👧‍👦".repeat(71);
    for text in [
        "'; DROP TABLE messages; --",
        "100% _ LIKE \\ %",
        "<script>alert(1)</script>",
        "\u{202e}backwards",
        "a\u{0}b",
        "line one\nline two",
        "茶".repeat(500).as_str(),
        family.as_str(),
    ] {
        tab.say(text).await;
        assert_eq!(other.next_of("message").await["content"], text);
    }
    // 7 scalar values in such a family emoji: 72 of them are over 500.
    assert_eq!(family.chars().count(), 497);
    tab.say(&"👨‍👩‍👧‍👦".repeat(72)).await;
    assert_eq!(tab.next_of("notification").await["code"], "too_long");
    assert_eq!(bea.lobby().await.len(), 8);
}

#[tokio::test]
async fn a_connection_cut_in_mid_send_stores_all_or_nothing() {
    let server = Server::without_limits(&[]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let mut other = bea.open_tab().await;
    for number in 0..50 {
        let mut tab = amy.open_tab().await;
        tab.say(&format!("number {number}")).await;
        drop(tab);
    }
    let received = of_type(&other.read_to_marker(&bea).await, "message");
    let stored = bea.lobby().await;
    // Messages that were under way when the marker was stored come after it.
    let before: Vec<_> = stored.into_iter().take_while(|message| message["user_id"] == 7).collect();
    assert_eq!(received, before, "exactly the stored messages were sent");
    assert!(matches!(amy.open_tab().await.next().await, Received::Envelope(_)));
}
