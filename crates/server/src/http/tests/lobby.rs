//! The lobby over HTTP: sending, reading, deleting, online users.

use axum::body::Body;
use serde_json::{Value, json};
use teahouse_core::{MessageChange, UserId, UserRole};

use super::fixture::*;

/// Removes the rate limit of sending.
fn talkative() -> Fixture {
    fixture_with(&[("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "1000"), ("TEAHOUSE_LIMITS__SENDS_BURST", "1000")])
}

#[tokio::test]
async fn p1_a_message_over_http_is_trimmed_limited_stored_and_delivered_like_any_other() {
    let fixture = fixture();
    let amy = fixture.join("amy").await;
    let answer = fixture.post("/api/chat/send", Some(&amy), json!({ "content": "  hi\n", "_t": 1 })).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.fields(), ["message_id", "send_time"]);
    let messages = fixture.commits.messages();
    assert!(
        matches!(&messages[..], [(m, MessageChange::New)] if m.content == "hi" && m.sender.id == UserId(amy.id)),
        "{messages:?}"
    );
    for (content, expect) in [
        (json!(""), (422, "empty", Some("content"))),
        (json!(" \u{3000} "), (422, "empty", Some("content"))),
        (json!("茶".repeat(501)), (422, "too_long", Some("content"))),
        (json!(7), (422, "bad_request", Some("content"))),
    ] {
        assert_eq!(fixture.post("/api/chat/send", Some(&amy), json!({ "content": content })).await.error(), expect);
    }
    assert_eq!(fixture.post("/api/chat/send", Some(&amy), json!({})).await.error().2, Some("content"));
    assert_eq!(fixture.post("/api/chat/send", None, json!({ "content": "hi" })).await.status, UNAUTHORIZED);
    assert_eq!(fixture.commits.messages().len(), 1);
}

#[tokio::test]
async fn h15_sends_are_limited_per_user_and_errors_have_a_retry_time() {
    let fixture = fixture();
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    for n in 0..5 {
        fixture.say(&amy, &format!("{n}")).await;
    }
    let refused = fixture.post("/api/chat/send", Some(&amy), json!({ "content": "one more" })).await;
    assert_eq!(refused.error(), (429, "rate_limited", None));
    assert_eq!(refused.headers["retry-after"], "1");
    let private = json!({ "receiver_id": bob.id, "content": "hi" });
    assert_eq!(fixture.post("/api/messages/send", Some(&amy), private).await.status, 429);
    fixture.say(&bob, "not me").await;
}

#[tokio::test]
async fn p12_an_idempotency_key_stores_once_at_any_rate_of_repeats() {
    let fixture = fixture();
    let amy = fixture.join("amy").await;
    let send = |key: &str, content: &str| {
        let request = request("POST", "/api/chat/send", Some(&amy)).header("idempotency-key", key);
        fixture.ask(request.body(json!({ "content": content }).to_string().into()).unwrap())
    };
    let first = send("k-1", "hi").await;
    assert_eq!(first.status, 200);
    for n in 0..4 {
        fixture.say(&amy, &format!("{n}")).await;
    }
    for _ in 0..10 {
        assert_eq!(send("k-1", " hi ").await.body["data"], first.body["data"]);
    }
    assert_eq!(send("k-1", "ho").await.error(), (409, "conflict", Some("Idempotency-Key")));
    assert_eq!(send("k-2", "hi").await.status, 429, "the rate applies to a new message");
    for key in [&"k".repeat(65), ""] {
        assert_eq!(send(key, "hi").await.error(), (400, "bad_request", Some("Idempotency-Key")));
    }
    assert_eq!(fixture.commits.messages().len(), 5);
}

#[tokio::test]
async fn p12_a_hundred_concurrent_repeats_are_one_message() {
    let fixture = talkative();
    let amy = fixture.join("amy").await;
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let request = request("POST", "/api/chat/send", Some(&amy)).header("idempotency-key", "k");
        let (router, request) = (fixture.router.clone(), request.body(Body::from(r#"{"content":"hi"}"#)).unwrap());
        sends.spawn(async move { ask(&router, request).await.data("message_id").clone() });
    }
    let ids: std::collections::HashSet<String> = sends.join_all().await.iter().map(Value::to_string).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(fixture.commits.messages().len(), 1);
}

#[tokio::test]
async fn a_send_that_began_is_stored_though_its_client_disconnects() {
    let fixture = fixture();
    let amy = fixture.join("amy").await;
    let request = request("POST", "/api/chat/send", Some(&amy)).body(Body::from(r#"{"content":"hi"}"#)).unwrap();
    // Polled until the message is in the store's queue, then dropped as the request of a client that disconnects.
    let app = std::sync::Arc::clone(&fixture.app);
    {
        let asking = ask(&fixture.router, request);
        tokio::pin!(asking);
        while app.unfinished_tasks() == 0 {
            tokio::select! {
                biased;
                _ = &mut asking => break,
                () = tokio::task::yield_now() => {}
            }
        }
    }
    app.finish_tasks().await;
    assert_eq!(fixture.commits.messages().len(), 1);
}

#[tokio::test]
async fn history_comes_in_pages_oldest_first_with_current_names() {
    let fixture = talkative();
    let amy = fixture.join("amy").await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(fixture.say(&amy, &format!("{n}")).await);
    }
    fixture.put("/api/auth/me", &amy, json!({ "profile": { "nickname": "Amy" } })).await;
    let page = async |query: &str| {
        let answer = fixture.get(&format!("/api/chat/messages{query}"), Some(&amy)).await;
        let texts: Vec<String> =
            answer.data("messages").as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap().into()).collect();
        (texts.concat(), answer.data("has_more").as_bool().unwrap())
    };
    assert_eq!(page("").await, ("01234".into(), false));
    assert_eq!(page("?limit=2&_t=1").await, ("34".into(), true));
    assert_eq!(page(&format!("?limit=2&before_id={}", ids[3])).await, ("12".into(), true));
    assert_eq!(page(&format!("?before_id={}", ids[0])).await, (String::new(), false));
    assert_eq!(page("?before_id=0&limit=1000").await, ("01234".into(), false));
    assert_eq!(page(&format!("/new?after_id={}", ids[2])).await, ("34".into(), false));
    assert_eq!(page(&format!("/new?limit=1&after_id={}", ids[2])).await, ("3".into(), true));
    assert_eq!(page("/new?after_id=0&limit=2").await, ("01".into(), true));
    assert_eq!(page(&format!("/new?after_id={}", ids[4])).await, (String::new(), false));
    let newest = fixture.get("/api/chat/messages?limit=1", Some(&amy)).await;
    let message = &newest.data("messages")[0];
    assert_eq!((&message["nickname"], &message["username"]), (&json!("Amy"), &json!("amy")), "h16");
    let keys: Vec<&String> = message.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "avatar",
            "content",
            "created_at",
            "id",
            "message_type",
            "nickname",
            "send_time",
            "status",
            "user_id",
            "username"
        ]
    );
}

#[tokio::test]
async fn p14_catching_up_by_pages_is_complete() {
    let fixture = talkative();
    let amy = fixture.join("amy").await;
    for n in 0..230 {
        fixture.say(&amy, &format!("{n}")).await;
    }
    let (mut after, mut seen, mut more) = (0, 0, true);
    while more {
        let page = fixture.get(&format!("/api/chat/messages/new?limit=100&after_id={after}"), Some(&amy)).await;
        let messages = page.data("messages").as_array().unwrap();
        seen += messages.len();
        after = messages.last().unwrap()["id"].as_u64().unwrap();
        more = page.data("has_more").as_bool().unwrap();
    }
    assert_eq!(seen, 230);
}

#[tokio::test]
async fn p6_p7_bad_limits_are_400_naming_the_field() {
    let fixture = fixture();
    let amy = fixture.join("amy").await;
    for (path, field) in [
        ("/api/chat/messages?limit=0", "limit"),
        ("/api/chat/messages?limit=-1", "limit"),
        ("/api/chat/messages?limit=abc", "limit"),
        ("/api/chat/messages?limit=", "limit"),
        ("/api/chat/messages?before_id=x", "before_id"),
        ("/api/chat/messages?before_id=-1", "before_id"),
        ("/api/chat/messages?before_id=9007199254740992", "before_id"),
        ("/api/chat/messages/new?after_id=1.5", "after_id"),
        ("/api/conversations/x/messages", "id"),
    ] {
        assert_eq!(fixture.get(path, Some(&amy)).await.error(), (400, "bad_request", Some(field)), "{path}");
    }
    assert_eq!(fixture.delete("/api/chat/messages/x", &amy).await.error().2, Some("id"));
}

#[tokio::test]
async fn p15_a_deletion_is_published_and_its_errors_are_distinct() {
    let fixture = fixture();
    let (amy, bob, may) = (fixture.join("amy").await, fixture.join("bob").await, fixture.join("may").await);
    fixture.app.store.set_role("may", UserRole::Moderator).await.unwrap();
    let (first, second) = (fixture.say(&amy, "first").await, fixture.say(&amy, "second").await);
    let delete = async |id: u64, who: &TestUser| fixture.delete(&format!("/api/chat/messages/{id}"), who).await;
    assert_eq!(delete(first, &bob).await.error(), (403, "forbidden", None));
    assert_eq!(delete(999, &amy).await.error(), (404, "not_found", None));
    assert_eq!(delete(first, &amy).await.status, 200);
    assert_eq!(delete(first, &amy).await.status, 200, "already deleted");
    assert_eq!(delete(second, &may).await.status, 200);
    let deleted: Vec<(u64, u64)> = (fixture.commits.messages().iter())
        .filter_map(|(message, what)| match what {
            MessageChange::Delete { by } => Some((message.id.0, by.0)),
            _ => None,
        })
        .collect();
    assert_eq!(deleted, [(first, amy.id), (second, may.id)]);
    let left = fixture.get("/api/chat/messages", Some(&bob)).await;
    assert_eq!(left.data("messages"), &json!([]));
}

#[tokio::test]
async fn a_private_message_cannot_be_deleted_through_the_lobby() {
    let fixture = fixture();
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    let body = json!({ "receiver_id": bob.id, "content": "hi" });
    let id = fixture.post("/api/messages/send", Some(&amy), body).await.data("message_id").as_u64().unwrap();
    assert_eq!(fixture.delete(&format!("/api/chat/messages/{id}"), &amy).await.status, 404);
}

#[tokio::test]
async fn the_list_of_online_users_agrees_with_the_hub() {
    let fixture = fixture();
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    *fixture.live.online.lock().unwrap() = vec![UserId(amy.id), UserId(bob.id)];
    let count = fixture.get("/api/chat/online-count", Some(&amy)).await;
    assert_eq!(count.body["data"], json!({ "count": 2 }));
    let users = fixture.get("/api/chat/online-users", Some(&amy)).await;
    let user = |person: &TestUser, name: &str| json!({ "user_id": person.id, "username": name, "nickname": name, "avatar": "" });
    assert_eq!(users.body["data"], json!({ "users": [user(&amy, "amy"), user(&bob, "bob")], "count": 2 }));
}
