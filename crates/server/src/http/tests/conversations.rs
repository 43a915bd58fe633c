//! Private messages over HTTP: sending, the list, reading, read marks.

use serde_json::{Value, json};
use teahouse_core::{Change, Seq, UserId};

use super::fixture::*;

#[tokio::test]
async fn p2_a_private_message_is_stored_whole_or_not_at_all() {
    let fixture = fixture();
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    let send = |receiver: Value, content: String| {
        fixture.post("/api/messages/send", Some(&amy), json!({ "receiver_id": receiver, "content": content }))
    };
    let long = send(json!(bob.id), "茶".repeat(1000)).await;
    assert_eq!((long.status, long.fields()), (201, vec!["conversation_id", "message_id"]));
    for (receiver, content, expect) in [
        (json!(bob.id), "茶".repeat(1001), (422, "too_long", Some("content"))),
        (json!(bob.id), " ".into(), (422, "empty", Some("content"))),
        (json!(amy.id), "hi".into(), (422, "bad_request", Some("receiver_id"))),
        (json!(999), "hi".into(), (404, "not_found", None)),
        (json!("2"), "hi".into(), (422, "bad_request", Some("receiver_id"))),
        (json!(-2), "hi".into(), (422, "bad_request", Some("receiver_id"))),
        (json!(1_u64 << 60), "hi".into(), (422, "bad_request", Some("receiver_id"))),
    ] {
        let answer = send(receiver.clone(), content).await;
        assert_eq!(answer.error(), expect, "{receiver}");
    }
    assert_eq!(fixture.commits.messages().len(), 1);
}

#[tokio::test]
async fn p12_a_key_holds_for_private_messages_as_well() {
    let fixture = fixture();
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    let send = |content: &str| {
        let request = request("POST", "/api/messages/send", Some(&amy)).header("idempotency-key", "k");
        fixture.ask(request.body(json!({ "receiver_id": bob.id, "content": content }).to_string().into()).unwrap())
    };
    let (first, again) = (send("hi").await, send("hi").await);
    assert_eq!((first.status, &first.body["data"]), (again.status, &again.body["data"]));
    assert_eq!(send("ho").await.status, 409);
}

#[tokio::test]
async fn p5_a_conversation_is_the_same_from_either_side_also_at_once() {
    let fixture = fixture();
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    let (there, back) =
        (format!("/api/conversations/start/{}", bob.id), format!("/api/conversations/start/{}", amy.id));
    let (one, other) =
        tokio::join!(fixture.post(&there, Some(&amy), json!({})), fixture.post(&back, Some(&bob), json!({})));
    assert_eq!(one.data("conversation_id"), other.data("conversation_id"));
    let written = fixture.write(&amy, &bob, "hi").await;
    assert_eq!(one.data("conversation_id"), written);
    for (path, expect) in [
        (back.as_str(), (422, "bad_request", Some("userId"))),
        ("/api/conversations/start/999", (404, "not_found", None)),
        ("/api/conversations/start/x", (400, "bad_request", Some("userId"))),
    ] {
        assert_eq!(fixture.post(path, Some(&amy), json!({})).await.error(), expect, "{path}");
    }
}

#[tokio::test]
async fn the_peer_sees_a_conversation_with_its_first_message() {
    let fixture = fixture();
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    fixture.post(&format!("/api/conversations/start/{}", bob.id), Some(&amy), json!({})).await;
    let opened = fixture.get("/api/conversations", Some(&amy)).await;
    let entry = &opened.data("conversations")[0];
    assert_eq!((&entry["last_message"], &entry["last_message_time"]), (&json!(""), &Value::Null));
    assert_eq!(entry["other_user"], json!({ "id": bob.id, "username": "bob", "nickname": "bob", "avatar": "" }));
    let list = fixture.get("/api/conversations", Some(&bob)).await;
    assert_eq!(list.body["data"], json!({ "conversations": [], "total_unread": 0 }));

    fixture.write(&amy, &bob, "hi").await;
    fixture.write(&amy, &bob, "there").await;
    let list = fixture.get("/api/conversations", Some(&bob)).await;
    let entry = &list.data("conversations")[0];
    assert_eq!((&entry["last_message"], &entry["unread_count"]), (&json!("there"), &json!(2)));
    assert_eq!(list.data("total_unread"), 2);
    let unread = fixture.get("/api/conversations/unread-count", Some(&bob)).await;
    assert_eq!(unread.body["data"], json!({ "unread_count": 2 }));
}

#[tokio::test]
async fn p3_p11_reading_marks_messages_read_and_notifies_the_author() {
    let fixture = fixture();
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    let room = fixture.write(&amy, &bob, "one").await;
    fixture.write(&bob, &amy, "two").await;
    fixture.write(&amy, &bob, "three").await;
    let path = format!("/api/conversations/{room}/messages");
    let read = async |query: &str, who: &TestUser| {
        let page = fixture.get(&format!("{path}{query}"), Some(who)).await;
        let one = |m: &Value| format!("{} {} {}", m["content"].as_str().unwrap(), m["is_self"], m["is_read"]);
        let lines: Vec<String> = page.data("messages").as_array().unwrap().iter().map(one).collect();
        assert_eq!(page.data("total"), lines.len());
        lines
    };
    // Bob reads only the oldest message, so amy sees only that one as read.
    let messages = fixture.get(&path, Some(&amy)).await;
    let second = messages.data("messages")[1]["id"].as_u64().unwrap();
    assert_eq!(read(&format!("?before_id={second}"), &bob).await, ["one false true"]);
    assert_eq!(read("", &amy).await, ["one true true", "two false true", "three true false"]);
    assert_eq!(read("?limit=1", &bob).await, ["three false true"]);
    assert_eq!(read("?limit=2", &amy).await, ["two false true", "three true true"]);
    let marks = fixture.commits.of(|change| match change {
        Change::Read { reader, seq, .. } => Some((*reader, *seq)),
        _ => None,
    });
    let (amy_id, bob_id) = (UserId(amy.id), UserId(bob.id));
    assert_eq!(marks, [(amy_id, Seq(3)), (bob_id, Seq(1)), (bob_id, Seq(3))]);

    fixture.write(&amy, &bob, "four").await;
    let done = fixture.post(&format!("/api/conversations/{room}/mark-read"), Some(&bob), json!({})).await;
    assert_eq!((done.status, &done.body["data"]), (200, &Value::Null));
    let unread = fixture.get("/api/conversations/unread-count", Some(&bob)).await;
    assert_eq!(unread.data("unread_count"), 0);
    assert_eq!(read("?limit=1", &amy).await, ["four true true"]);
}

#[tokio::test]
async fn a_conversation_is_hidden_from_other_users() {
    let fixture = fixture();
    let (amy, bob, eve) = (fixture.join("amy").await, fixture.join("bob").await, fixture.join("eve").await);
    let room = fixture.write(&amy, &bob, "hi").await;
    let paths =
        |room: u64| (format!("/api/conversations/{room}/messages"), format!("/api/conversations/{room}/mark-read"));
    let (messages, mark) = paths(room);
    assert_eq!(fixture.get(&messages, Some(&eve)).await.error(), (403, "forbidden", None));
    assert_eq!(fixture.post(&mark, Some(&eve), json!({})).await.error(), (403, "forbidden", None));
    // Neither the lobby nor an unknown room is a conversation.
    for room in [1, 999] {
        let (messages, mark) = paths(room);
        assert_eq!(fixture.get(&messages, Some(&amy)).await.error(), (404, "not_found", None), "{room}");
        assert_eq!(fixture.post(&mark, Some(&amy), json!({})).await.error(), (404, "not_found", None), "{room}");
    }
    assert_eq!(fixture.get(&messages, None).await.status, UNAUTHORIZED);
}
