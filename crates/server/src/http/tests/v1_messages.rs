//! Messages over HTTP: sending, reading, changing, reacting, catching up, and repeats of each.

use axum::body::Body;
use serde_json::{Value, json};
use teahouse_core::Timestamp;

use super::fixture::*;

/// Removes the rate limit of sending.
fn talkative() -> Fixture {
    fixture_with(&[("TEAHOUSE_LIMITS__SENDS_BURST", "1000"), ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "1000")])
}

const LOBBY: &str = "/api/v1/rooms/1/messages";
const THUMB: &str = "%F0%9F%91%8D";

impl Fixture {
    async fn tell(&self, who: &TestUser, content: &str) -> TestResponse {
        let answer = self.post(LOBBY, Some(who), json!({ "content": content })).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer
    }

    async fn tell_with_key(&self, who: &TestUser, key: &str, body: Value) -> TestResponse {
        let request = request("POST", LOBBY, Some(who)).header("idempotency-key", key);
        self.ask(request.body(body.to_string().into()).unwrap()).await
    }
}

#[tokio::test]
async fn the_path_decides_the_room_of_a_message() {
    let fixture = talkative();
    let amy = fixture.join("amy").await;
    let first = fixture.tell(&amy, "  hi\n").await;
    assert_eq!(first.fields(), ["id", "send_time", "seq", "version"]);
    assert_eq!((first.data("seq"), first.data("version")), (&json!(1), &json!(1)));
    let body = json!({ "content": "hi yourself", "reply_to": first.data("id"), "client_id": null });
    let second = fixture.post(LOBBY, Some(&amy), body).await;
    assert_eq!(second.data("seq"), 2);
    let page = fixture.get(LOBBY, Some(&amy)).await;
    let messages = page.data("messages");
    assert_eq!((&messages[0]["content"], &messages[1]["reply_to"]), (&json!("hi"), first.data("id")));
    assert_ne!(messages[0]["client_id"], messages[1]["client_id"], "each message gets its own client_id");
    let elsewhere = fixture.post(LOBBY, Some(&amy), json!({ "content": "hi", "reply_to": 999 })).await;
    assert_eq!(elsewhere.error(), (404, "not_found", None));
    let nowhere = fixture.post("/api/v1/rooms/999/messages", Some(&amy), json!({ "content": "hi" })).await;
    assert_eq!(nowhere.error(), (404, "not_found", None));
}

#[tokio::test]
async fn p12_a_client_id_comes_by_header_or_body_and_stores_once() {
    let fixture = fixture_with(&[("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "1")]);
    let amy = fixture.join("amy").await;
    let hi = json!({ "content": "hi" });
    let first = fixture.tell_with_key(&amy, "k-1", hi.clone()).await;
    assert_eq!(first.status, 201);
    for n in 0..4 {
        fixture.tell(&amy, &format!("{n}")).await;
    }
    assert_eq!(fixture.tell_with_key(&amy, "k-2", hi.clone()).await.error(), (429, "rate_limited", None));
    let mut expect = first.body["data"].clone();
    expect["duplicate"] = json!(true);
    for _ in 0..10 {
        let by_header = fixture.tell_with_key(&amy, "k-1", hi.clone()).await;
        let by_body = fixture.post(LOBBY, Some(&amy), json!({ "content": " hi ", "client_id": "k-1" })).await;
        let by_both = fixture.tell_with_key(&amy, "k-1", json!({ "content": "hi", "client_id": "\u{6b}-1" })).await;
        for again in [by_header, by_body, by_both] {
            assert_eq!(again.body["data"], expect, "{again:?}");
        }
    }
    // A key belongs to the sender, so a classic route finds it too.
    let classic = request("POST", "/api/chat/send", Some(&amy)).header("idempotency-key", "k-1");
    let classic = fixture.ask(classic.body(Body::from(r#"{"content":"hi"}"#)).unwrap()).await;
    assert_eq!(classic.data("message_id"), first.data("id"));
    for (key, body, expect) in [
        ("k-1", json!({ "content": "ho" }), (409, "conflict", Some("Idempotency-Key"))),
        ("k-1", json!({ "content": "hi", "client_id": "k-2" }), (400, "bad_request", Some("Idempotency-Key"))),
        ("", hi.clone(), (400, "bad_request", Some("Idempotency-Key"))),
        (&"k".repeat(65), hi, (400, "bad_request", Some("Idempotency-Key"))),
    ] {
        assert_eq!(fixture.tell_with_key(&amy, key, body).await.error(), expect, "{key}");
    }
    let other = json!({ "content": "ho", "client_id": "k-1" });
    assert_eq!(fixture.post(LOBBY, Some(&amy), other).await.error(), (409, "conflict", Some("client_id")));
    assert_eq!(fixture.commits.messages().len(), 5);
}

#[tokio::test]
async fn repeats_succeed_for_a_muted_user_and_cost_no_turn() {
    let fixture = fixture();
    let amy = fixture.join("amy").await;
    let hi = json!({ "content": "hi" });
    fixture.tell_with_key(&amy, "k", hi.clone()).await;
    for _ in 0..10 {
        assert_eq!(fixture.tell_with_key(&amy, "k", hi.clone()).await.data("duplicate"), true);
    }
    for n in 0..4 {
        fixture.tell(&amy, &format!("{n}")).await;
    }
    let until = Timestamp(fixture.app.now().0 + 60_000);
    fixture.app.store.set_muted("amy", Some(until), fixture.app.now()).await.unwrap();
    assert_eq!(fixture.tell_with_key(&amy, "k", hi).await.data("duplicate"), true);
}

#[tokio::test]
async fn history_reads_from_either_end_and_around_a_message() {
    let fixture = talkative();
    let amy = fixture.join("amy").await;
    for n in 1..=9 {
        fixture.tell(&amy, &format!("{n}")).await;
    }
    let page = async |query: &str| {
        let answer = fixture.get(&format!("{LOBBY}{query}"), Some(&amy)).await;
        let texts: Vec<&str> =
            answer.data("messages").as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap()).collect();
        (texts.concat(), answer.data("has_more_before") == true, answer.data("has_more_after") == true)
    };
    let expect = |texts: &str, before, after| (texts.to_owned(), before, after);
    assert_eq!(page("").await, expect("123456789", false, false));
    assert_eq!(page("?limit=2").await, expect("89", true, false));
    assert_eq!(page("?limit=2&before=8").await, expect("67", true, true));
    assert_eq!(page("?limit=2&after=0").await, expect("12", false, true));
    assert_eq!(page("?limit=100&after=7").await, expect("89", true, false));
    assert_eq!(page("?limit=1000").await, expect("123456789", false, false));
    let (around, before, after) = page("?limit=4&around=5").await;
    assert!(around.len() == 4 && around.contains('5') && before && after, "{around}");
}

#[tokio::test]
async fn a_message_is_edited_reacted_to_and_deleted() {
    let fixture = talkative();
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    let id = fixture.tell(&amy, "hi").await.data("id").as_u64().unwrap();
    let path = format!("/api/v1/messages/{id}");
    let thumb = format!("{path}/reactions/{THUMB}");
    assert_eq!(fixture.patch(&path, &amy, json!({ "content": " hello " })).await.data("version"), 2);
    assert_eq!(fixture.put(&thumb, &bob, json!({})).await.data("version"), 3);
    assert_eq!(fixture.put(&thumb, &bob, json!({})).await.data("version"), 3, "the reaction exists already");
    let page = fixture.get(LOBBY, Some(&bob)).await;
    let message = &page.data("messages")[0];
    assert_eq!((&message["content"], &message["reactions"]), (&json!("hello"), &json!({ "👍": 1 })));
    assert!(message["edited_at"].is_string());
    assert_eq!(page.data("my_reactions"), &json!({ id.to_string(): ["👍"] }));
    assert_eq!(fixture.get(LOBBY, Some(&amy)).await.data("my_reactions"), &json!({}));
    assert_eq!(fixture.delete(&thumb, &bob).await.data("version"), 4);

    for (answer, expect) in [
        (fixture.patch(&path, &bob, json!({ "content": "mine" })).await, (403, "forbidden", None)),
        (fixture.patch(&path, &amy, json!({ "content": " " })).await, (422, "empty", Some("content"))),
        (fixture.patch(&path, &amy, json!({ "content": "茶".repeat(4001) })).await, (422, "too_long", Some("content"))),
        (fixture.delete(&path, &bob).await, (403, "forbidden", None)),
        (fixture.delete("/api/v1/messages/999", &amy).await, (404, "not_found", None)),
        (fixture.put("/api/v1/messages/999/reactions/%F0%9F%91%8D", &amy, json!({})).await, (404, "not_found", None)),
    ] {
        assert_eq!(answer.error(), expect);
    }
    assert_eq!(fixture.delete(&path, &amy).await.data("version"), 5);
    assert_eq!(fixture.delete(&path, &amy).await.data("version"), 5, "already deleted");
    assert_eq!(fixture.patch(&path, &amy, json!({ "content": "back" })).await.error().1, "not_found");
    let gone = fixture.get(LOBBY, Some(&bob)).await;
    let message = &gone.data("messages")[0];
    assert_eq!((&message["content"], &message["deleted"], &message["seq"]), (&json!(""), &json!(true), &json!(1)));
}

#[tokio::test]
async fn changes_since_a_version_come_once_each_in_order() {
    let fixture = talkative();
    let amy = fixture.join("amy").await;
    let mut ids = Vec::new();
    for n in 1..=3 {
        ids.push(fixture.tell(&amy, &format!("{n}")).await.data("id").as_u64().unwrap());
    }
    fixture.put(&format!("/api/v1/messages/{}/reactions/{THUMB}", ids[0]), &amy, json!({})).await;
    let changes = async |since: u64| {
        let answer = fixture.get(&format!("/api/v1/rooms/1/changes?since={since}"), Some(&amy)).await;
        assert_eq!(answer.data("epoch"), fixture.app.store.epoch());
        let one = |m: &Value| (m["id"].as_u64().unwrap(), m["version"].as_u64().unwrap());
        let messages: Vec<_> = answer.data("messages").as_array().unwrap().iter().map(one).collect();
        let own = answer.data("my_reactions").clone();
        (messages, answer.data("version").as_u64().unwrap(), answer.data("reset") == true, own)
    };
    let own = json!({ ids[0].to_string(): ["👍"] });
    assert_eq!(changes(0).await, (vec![(ids[1], 2), (ids[2], 3), (ids[0], 4)], 4, false, own.clone()));
    assert_eq!(changes(3).await, (vec![(ids[0], 4)], 4, false, own.clone()));
    assert_eq!(changes(4).await, (vec![], 4, false, json!({})));
    let (messages, version, reset, _) = changes(1000).await;
    assert_eq!((messages.len(), version, reset), (3, 4, true), "a version from the future is a reset");
}

#[tokio::test]
async fn reading_moves_the_mark_forward_and_never_back() {
    let fixture = talkative();
    let (amy, bob, eve) = (fixture.join("amy").await, fixture.join("bob").await, fixture.join("eve").await);
    for n in 1..=3 {
        fixture.tell(&amy, &format!("{n}")).await;
    }
    let read = async |who: &TestUser, room: u64, seq: u64| {
        fixture.post(&format!("/api/v1/rooms/{room}/read"), Some(who), json!({ "seq": seq })).await
    };
    let mark = |read_seq, unread| json!({ "read_seq": read_seq, "unread": unread });
    assert_eq!(read(&bob, 1, 0).await.body["data"], mark(0, 3));
    assert_eq!(read(&bob, 1, 2).await.body["data"], mark(2, 1));
    assert_eq!(read(&bob, 1, 1).await.body["data"], mark(2, 1));
    assert_eq!(read(&bob, 1, 1000).await.body["data"], mark(3, 0), "not beyond the newest message");
    assert_eq!(read(&bob, 999, 1).await.error(), (404, "not_found", None));
    let direct = fixture.write(&amy, &bob, "hi").await;
    assert_eq!(read(&eve, direct, 1).await.error(), (404, "not_found", None));
}

#[tokio::test]
async fn a_muted_user_may_read_but_not_write() {
    let fixture = talkative();
    let amy = fixture.join("amy").await;
    let id = fixture.tell(&amy, "hi").await.data("id").as_u64().unwrap();
    let until = Timestamp(fixture.app.now().0 + 60_000);
    fixture.app.store.set_muted("amy", Some(until), fixture.app.now()).await.unwrap();
    let thumb = format!("/api/v1/messages/{id}/reactions/{THUMB}");
    for refused in [
        fixture.post(LOBBY, Some(&amy), json!({ "content": "hi" })).await,
        fixture.put(&thumb, &amy, json!({})).await,
        fixture.patch(&format!("/api/v1/messages/{id}"), &amy, json!({ "content": "ho" })).await,
    ] {
        assert_eq!(refused.error(), (403, "muted", None));
        assert_eq!(refused.headers["retry-after"], "60");
    }
    assert_eq!(fixture.get("/api/v1/rooms/1", Some(&amy)).await.data("muted"), true);
    assert_eq!(fixture.get(LOBBY, Some(&amy)).await.status, 200);
}

#[tokio::test]
async fn every_request_while_the_store_is_closed_is_overloaded() {
    let fixture = talkative();
    let amy = fixture.join("amy").await;
    fixture.app.store.close().await;
    let answer = fixture.post(LOBBY, Some(&amy), json!({ "content": "hi" })).await;
    assert_eq!(answer.error(), (503, "overloaded", None));
    assert_eq!(answer.headers["retry-after"], "1");
}
