//! Limits: they hold per user over all devices, transports and dialects, count every envelope and are answered. A refusal
//! closes nothing.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::server_and_users;
use crate::fixture::{DEVICES, Device, Server, User, wait_until};

fn say(number: usize) -> Value {
    json!({"room": 1, "content": "hi", "client_id": format!("key-{number}")})
}

/// Sends requests in as few frames as possible, and counts the `rate_limited` answers. Each request has one answer.
async fn count_rate_limited(device: &mut Device, requests: Vec<(&str, Value)>) -> usize {
    let prepared: Vec<_> = requests.into_iter().map(|(kind, data)| device.prepare(kind, data)).collect();
    device.send_text(prepared.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n")).await;
    let mut refused = 0;
    for (id, text) in prepared {
        if let Err(error) = device.answer(&id).await {
            assert_eq!(error["code"], "rate_limited", "{text} {error}");
            let retry = error["retry_after_ms"].as_u64().unwrap();
            assert!((1..=60_000).contains(&retry), "{error}");
            refused += 1;
        }
    }
    refused
}

#[tokio::test]
async fn h15_sends_are_limited_per_user_across_devices_transports_and_reconnects() {
    let server = Server::of_site(DEVICES);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let (mut phone, mut laptop, mut his) = (amy.device().await, amy.device().await, bea.device().await);
    let refused = count_rate_limited(&mut phone, (0..60).map(|number| ("message", say(number))).collect()).await;
    assert!((40..=55).contains(&refused), "five at once, three a second: {refused} of 60");
    // Other users are not affected.
    his.say(1, "calmly").await;
    for round in 0..3 {
        let first = 100 + round * 10;
        let burst = join_all([
            Box::pin(count_rate_limited(
                &mut phone,
                (first..first + 10).map(|number| ("message", say(number))).collect(),
            )),
            Box::pin(count_rate_limited(
                &mut laptop,
                (first..first + 10).map(|number| ("message", say(500 + number))).collect(),
            )),
        ]);
        let by_http = join_all((0..10).map(|_| amy.post("/api/v1/rooms/1/messages", json!({"content": "hi"}))));
        let by_classic = join_all((0..10).map(|_| amy.post("/api/chat/send", json!({"content": "hi"}))));
        let (burst, by_http, by_classic) = tokio::join!(burst, by_http, by_classic);
        let mut refused: usize = burst.iter().sum();
        for answer in by_http.into_iter().chain(by_classic) {
            if answer.status == 429 {
                let seconds = answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap();
                assert!((1..=60).contains(&seconds));
                answer.expect_error(429, "rate_limited");
                refused += 1;
            }
        }
        assert!(refused >= 25, "one rate for all transports: {refused} of 40");
        phone.reconnect().await;
    }
    // After waiting the user may send again.
    wait_until(async || {
        amy.post("/api/v1/rooms/1/messages", json!({"content": "within_patience"})).await.status == 201
    })
    .await;
    phone.assert_alive().await;
}

#[tokio::test]
async fn h15_every_kind_of_envelope_counts() {
    // Edits and updates count as sends, everything else as an envelope.
    let limits = [
        ("TEAHOUSE_LIMITS__ENVELOPES_PER_SECOND", "1"),
        ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "20"),
        ("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "1"),
        ("TEAHOUSE_LIMITS__SENDS_BURST", "20"),
    ];
    let server = Server::of_site(&[DEVICES, &limits].concat());
    let kinds: &[(&str, Value)] = &[
        ("edit", json!({"message": 1, "content": "x"})),
        ("delete", json!({"message": 1})),
        ("react", json!({"message": 1, "emoji": "👍", "on": true})),
        ("read", json!({"room": 1, "seq": 0})),
        ("history", json!({"room": 1})),
        ("sync", json!({"room": 1, "since": 0})),
        ("presence", json!({"room": 1, "on": true})),
        ("typing", json!({"room": 1, "on": true})),
        ("rooms", json!({})),
        ("create", json!({"kind": "public"})),
        ("update", json!({"room": 1})),
        ("join", json!({"room": 1})),
        ("leave", json!({"room": 1})),
        ("invite", json!({"room": 1, "user": 7})),
        ("accept", json!({"room": 1})),
        ("decline", json!({"room": 1})),
        ("directs", json!({})),
        ("remove", json!({"room": 1, "user": 7})),
        ("role", json!({"room": 1, "user": 7, "role": "owner"})),
        ("open", json!({"user": 7})),
        ("members", json!({"room": 1})),
        ("users", json!({})),
        ("auth", json!({"token": "x"})),
        ("heartbeat", json!({})),
        ("hello", json!({})),
        ("message", json!({"room": 1, "content": "", "client_id": "k"})),
        ("dance", json!({})),
    ];
    for (index, (kind, data)) in kinds.iter().enumerate() {
        let user = User::of_site(&server, 100 + index as u64, &format!("user{index}"));
        let mut device = user.device().await;
        let mut limited = 0;
        // Each kind alone exhausts the limit. Malformed ones stay below the number that closes a session.
        let enough = if *kind == "dance" { 20 } else { 40 };
        let prepared: Vec<_> = (0..enough).map(|_| device.prepare(kind, data.clone())).collect();
        device.send_text(prepared.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n")).await;
        for (id, _) in prepared {
            if let Err(error) = device.answer(&id).await
                && error["code"] == "rate_limited"
            {
                assert!(error["retry_after_ms"].as_u64().is_some_and(|retry| retry > 0), "{kind} {error}");
                limited += 1;
            }
        }
        // `hello` took one token.
        let expect = if *kind == "dance" { 1 } else { 15 };
        assert!(limited >= expect, "{kind}: {limited} of {enough} were too fast");
        assert!(limited <= enough - 19, "{kind}: {limited} of {enough} were too fast");
        device.close(1000).await;
    }
}

#[tokio::test]
async fn a_message_with_invalid_content_uses_no_send_token() {
    let limits = [("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "1"), ("TEAHOUSE_LIMITS__SENDS_BURST", "3")];
    let server = Server::of_site(&[DEVICES, &limits].concat());
    let mut device = User::of_site(&server, 7, "amy").device().await;
    let mut prepared = Vec::new();
    for number in 0..10 {
        prepared.push(device.prepare("message", json!({"room": 1, "content": " ", "client_id": number.to_string()})));
    }
    for number in 0..3 {
        prepared.push(device.prepare("message", say(number)));
    }
    device.send_text(prepared.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n")).await;
    for (index, (id, _)) in prepared.iter().enumerate() {
        let answer = device.answer(id).await;
        if index < 10 {
            assert_eq!(answer.unwrap_err()["code"], "empty");
        } else {
            answer.unwrap();
        }
    }
}

#[tokio::test]
async fn the_21st_bad_envelope_closes_a_session_and_refused_requests_never_do() {
    let (server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let mut refused = bea.device().await;
    for number in 0..300 {
        refused
            .expect_error("message", json!({"room": 999, "content": "x", "client_id": number.to_string()}), "not_found")
            .await;
    }
    refused.assert_alive().await;

    let bad = [
        "",
        "{",
        "hello",
        "[]",
        "null",
        "{}",
        r#"{"type":7}"#,
        r#"{"type":"dance"}"#,
        r#"{"type":"message"}"#,
        r#"{"type":"message","data":[]}"#,
        r#"{"type":"message","data":{"room":1,"content":7,"client_id":"k"}}"#,
        r#"{"type":"message","id":7,"data":{"room":1,"content":"x","client_id":"k"}}"#,
        r#"{"type":"message","data":{"room":NaN,"content":"x","client_id":"k"}}"#,
        r#"{"type":"message","data":{"room":1,"room":2,"content":"x","client_id":"k"}}"#,
        r#"{"type":"message","data":{"room":9007199254740993,"content":"x","client_id":"k"}}"#,
        r#"{"type":"message","data":{"room":1,"content":"\ud800","client_id":"k"}}"#,
        r#"{"type":"message","data":{"room":-1,"content":"x","client_id":"k"}}"#,
        r#"{"type":"message","data":{"room":1.5,"content":"x","client_id":"k"}}"#,
        r#"{"type":"react","data":{"message":1,"emoji":"👍","on":"yes"}}"#,
        r#"{"type":"heartbeat"} {"type":"heartbeat"}"#,
        r#"{"type":"sync","data":{"room":1}}"#,
    ];
    let mut device = amy.device().await;
    for (number, text) in bad.iter().enumerate() {
        device.send_text(*text).await;
        if number < 20 {
            let error = device.next_of("error").await;
            let expect = if text.contains("dance") { "unknown_type" } else { "bad_request" };
            assert_eq!(error["code"], expect, "{text}: {error}");
        }
    }
    device.expect_close(4504).await;
    // The goodbye tells the client that it may reconnect.
    device.reconnect().await;
    device.assert_alive().await;
    server.assert_no_panic();
}

#[tokio::test]
async fn deep_and_large_envelopes_are_answered_and_delay_nobody() {
    let (server, [amy]) = server_and_users(["amy"]);
    let mut device = amy.device().await;
    for open in ["[", r#"{"a":"#] {
        let close = if open == "[" { "]" } else { "}" };
        let deep = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        device.send_text(format!(r#"{{"type":"heartbeat","data":{{"x":{deep}}}}}"#)).await;
        let answer = device.wait_for(|one| one["type"] == "error" || one["type"] == "ack").await;
        assert!(answer["type"] == "ack" || answer["data"]["code"] == "bad_request", "{answer}");
        device.send_text(deep).await;
        assert_eq!(device.next_of("error").await["code"], "bad_request");
    }
    let around = device.prepare("heartbeat", json!({"x": ""})).1.len();
    let (id, text) = device.prepare("heartbeat", json!({"x": "x".repeat(64 * 1024 - around)}));
    assert_eq!(text.len(), 64 * 1024);
    device.send_text(text).await;
    device.answer(&id).await.unwrap();
    device.send_text(" ".repeat(64 * 1024 + 1)).await;
    device.expect_close(1009).await;
    server.assert_no_panic();
}

#[tokio::test]
async fn content_is_limited_to_4000_unicode_scalar_values() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut tab) = (amy.device().await, bea.open_tab().await);
    let family = "👨‍👩‍👧‍👦".repeat(571);
    assert_eq!(family.chars().count(), 3997);
    let mut number = 0;
    let mut say = |text: &str| {
        number += 1;
        json!({"room": 1, "content": text, "client_id": format!("size-{number}")})
    };
    for text in [family.clone() + "茶茶茶", "茶".repeat(4000), "x".repeat(4000), "x".to_owned()] {
        let id = hers.request("message", say(&format!("\n {text}\t"))).await["id"].as_u64().unwrap();
        hers.wait_for_view("the message", |view| view.message(id).is_some()).await;
        assert_eq!(hers.view.message(id).unwrap()["content"], json!(text), "trimmed and whole");
        // The limit of the classic dialect applies to what classic clients send, not to what they receive.
        assert_eq!(tab.next_of("message").await["content"], json!(text));
    }
    for text in [family + "茶茶茶茶", "茶".repeat(4001)] {
        let error = hers.expect_error("message", say(&text), "too_long").await;
        assert_eq!(error["field"], "content");
    }
    for text in ["", " ", "\n\t\u{3000}\u{a0} "] {
        hers.expect_error("message", say(text), "empty").await;
    }
    // Content is stored unchanged.
    for text in ["a\u{0}b", "\u{202e}backwards", "<script>alert(1)</script>", "'; DROP TABLE messages; --"] {
        hers.request("message", say(text)).await;
        assert_eq!(tab.next_of("message").await["content"], json!(text));
    }
    hers.wait_for_version(1, 8).await;
    hers.assert_same_as_fresh_load().await;
}
