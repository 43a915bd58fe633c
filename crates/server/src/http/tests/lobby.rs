//! The lobby over HTTP: saying, reading, deleting, who is there.

use axum::body::Body;
use serde_json::{Value, json};
use teahouse_core::{MessageChange, UserId, UserRole};

use super::stage::*;

/// Everybody may say as much as the test wants.
fn talkative() -> Stage {
    stage_with(&[("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "1000"), ("TEAHOUSE_LIMITS__SENDS_BURST", "1000")])
}

#[tokio::test]
async fn p1_what_is_said_over_http_is_trimmed_limited_stored_and_told_like_anything_else() {
    let stage = stage();
    let amy = stage.join("amy").await;
    let answer = stage.post("/api/chat/send", Some(&amy), json!({ "content": "  hi\n", "_t": 1 })).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.fields(), ["message_id", "send_time"]);
    let told = stage.told.messages();
    assert!(
        matches!(&told[..], [(m, MessageChange::New)] if m.content == "hi" && m.sender.id == UserId(amy.id)),
        "{told:?}"
    );
    for (content, expect) in [
        (json!(""), (422, "empty", Some("content"))),
        (json!(" \u{3000} "), (422, "empty", Some("content"))),
        (json!("茶".repeat(501)), (422, "too_long", Some("content"))),
        (json!(7), (422, "bad_request", Some("content"))),
    ] {
        assert_eq!(stage.post("/api/chat/send", Some(&amy), json!({ "content": content })).await.refusal(), expect);
    }
    assert_eq!(stage.post("/api/chat/send", Some(&amy), json!({})).await.refusal().2, Some("content"));
    assert_eq!(stage.post("/api/chat/send", None, json!({ "content": "hi" })).await.status, UNAUTHORIZED);
    assert_eq!(stage.told.messages().len(), 1);
}

#[tokio::test]
async fn h15_sends_are_limited_per_user_and_refused_ones_say_when() {
    let stage = stage();
    let (amy, bob) = (stage.join("amy").await, stage.join("bob").await);
    for n in 0..5 {
        stage.say(&amy, &format!("{n}")).await;
    }
    let refused = stage.post("/api/chat/send", Some(&amy), json!({ "content": "one more" })).await;
    assert_eq!(refused.refusal(), (429, "rate_limited", None));
    assert_eq!(refused.headers["retry-after"], "1");
    let private = json!({ "receiver_id": bob.id, "content": "hi" });
    assert_eq!(stage.post("/api/messages/send", Some(&amy), private).await.status, 429);
    stage.say(&bob, "not me").await;
}

#[tokio::test]
async fn p12_a_key_stores_once_however_often_and_fast_it_comes() {
    let stage = stage();
    let amy = stage.join("amy").await;
    let send = |key: &str, content: &str| {
        let request = request("POST", "/api/chat/send", Some(&amy)).header("idempotency-key", key);
        stage.ask(request.body(json!({ "content": content }).to_string().into()).unwrap())
    };
    let first = send("k-1", "hi").await;
    assert_eq!(first.status, 200);
    for n in 0..4 {
        stage.say(&amy, &format!("{n}")).await;
    }
    for _ in 0..10 {
        assert_eq!(send("k-1", " hi ").await.body["data"], first.body["data"]);
    }
    assert_eq!(send("k-1", "ho").await.refusal(), (409, "conflict", Some("Idempotency-Key")));
    assert_eq!(send("k-2", "hi").await.status, 429, "a new one is held to the rate");
    for key in [&"k".repeat(65), ""] {
        assert_eq!(send(key, "hi").await.refusal(), (400, "bad_request", Some("Idempotency-Key")));
    }
    assert_eq!(stage.told.messages().len(), 5);
}

#[tokio::test]
async fn p12_a_hundred_times_the_same_at_once_is_one_message() {
    let stage = talkative();
    let amy = stage.join("amy").await;
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let request = request("POST", "/api/chat/send", Some(&amy)).header("idempotency-key", "k");
        let (router, request) = (stage.router.clone(), request.body(Body::from(r#"{"content":"hi"}"#)).unwrap());
        sends.spawn(async move { ask(&router, request).await.data("message_id").clone() });
    }
    let ids: std::collections::HashSet<String> = sends.join_all().await.iter().map(Value::to_string).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(stage.told.messages().len(), 1);
}

#[tokio::test]
async fn a_send_that_began_is_stored_though_its_client_hangs_up() {
    let stage = stage();
    let amy = stage.join("amy").await;
    let request = request("POST", "/api/chat/send", Some(&amy)).body(Body::from(r#"{"content":"hi"}"#)).unwrap();
    // Polled until the message lies in the store's queue, then dropped like the request of somebody who left.
    let app = std::sync::Arc::clone(&stage.app);
    {
        let asking = ask(&stage.router, request);
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
    assert_eq!(stage.told.messages().len(), 1);
}

#[tokio::test]
async fn history_goes_by_pages_oldest_first_and_shows_names_as_they_are_now() {
    let stage = talkative();
    let amy = stage.join("amy").await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(stage.say(&amy, &format!("{n}")).await);
    }
    stage.put("/api/auth/me", &amy, json!({ "profile": { "nickname": "Amy" } })).await;
    let page = async |query: &str| {
        let answer = stage.get(&format!("/api/chat/messages{query}"), Some(&amy)).await;
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
    let newest = stage.get("/api/chat/messages?limit=1", Some(&amy)).await;
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
    let stage = talkative();
    let amy = stage.join("amy").await;
    for n in 0..230 {
        stage.say(&amy, &format!("{n}")).await;
    }
    let (mut after, mut seen, mut more) = (0, 0, true);
    while more {
        let page = stage.get(&format!("/api/chat/messages/new?limit=100&after_id={after}"), Some(&amy)).await;
        let messages = page.data("messages").as_array().unwrap();
        seen += messages.len();
        after = messages.last().unwrap()["id"].as_u64().unwrap();
        more = page.data("has_more").as_bool().unwrap();
    }
    assert_eq!(seen, 230);
}

#[tokio::test]
async fn p6_p7_bad_limits_are_400_naming_the_field() {
    let stage = stage();
    let amy = stage.join("amy").await;
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
        assert_eq!(stage.get(path, Some(&amy)).await.refusal(), (400, "bad_request", Some(field)), "{path}");
    }
    assert_eq!(stage.delete("/api/chat/messages/x", &amy).await.refusal().2, Some("id"));
}

#[tokio::test]
async fn p15_deleting_is_told_and_its_refusals_are_told_apart() {
    let stage = stage();
    let (amy, bob, may) = (stage.join("amy").await, stage.join("bob").await, stage.join("may").await);
    stage.app.store.set_role("may", UserRole::Moderator).await.unwrap();
    let (first, second) = (stage.say(&amy, "first").await, stage.say(&amy, "second").await);
    let delete = async |id: u64, who: &Person| stage.delete(&format!("/api/chat/messages/{id}"), who).await;
    assert_eq!(delete(first, &bob).await.refusal(), (403, "forbidden", None));
    assert_eq!(delete(999, &amy).await.refusal(), (404, "not_found", None));
    assert_eq!(delete(first, &amy).await.status, 200);
    assert_eq!(delete(first, &amy).await.status, 200, "already gone");
    assert_eq!(delete(second, &may).await.status, 200);
    let deleted: Vec<(u64, u64)> = (stage.told.messages().iter())
        .filter_map(|(message, what)| match what {
            MessageChange::Delete { by } => Some((message.id.0, by.0)),
            _ => None,
        })
        .collect();
    assert_eq!(deleted, [(first, amy.id), (second, may.id)]);
    let left = stage.get("/api/chat/messages", Some(&bob)).await;
    assert_eq!(left.data("messages"), &json!([]));
}

#[tokio::test]
async fn a_private_message_is_not_deleted_through_the_lobby() {
    let stage = stage();
    let (amy, bob) = (stage.join("amy").await, stage.join("bob").await);
    let body = json!({ "receiver_id": bob.id, "content": "hi" });
    let id = stage.post("/api/messages/send", Some(&amy), body).await.data("message_id").as_u64().unwrap();
    assert_eq!(stage.delete(&format!("/api/chat/messages/{id}"), &amy).await.status, 404);
}

#[tokio::test]
async fn who_is_online_agrees_with_the_live_half() {
    let stage = stage();
    let (amy, bob) = (stage.join("amy").await, stage.join("bob").await);
    *stage.live.online.lock().unwrap() = vec![UserId(amy.id), UserId(bob.id)];
    let count = stage.get("/api/chat/online-count", Some(&amy)).await;
    assert_eq!(count.body["data"], json!({ "count": 2 }));
    let users = stage.get("/api/chat/online-users", Some(&amy)).await;
    let user =
        |person: &Person, name: &str| json!({ "user_id": person.id, "username": name, "nickname": name, "avatar": "" });
    assert_eq!(users.body["data"], json!({ "users": [user(&amy, "amy"), user(&bob, "bob")], "count": 2 }));
}
