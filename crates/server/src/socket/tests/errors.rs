//! Errors: malformed envelopes, and the same errors as over HTTP.

use serde_json::{Value, json};
use teahouse_core::{ErrorCode, Timestamp};

use super::Session;
use crate::http::tests::fixture::{fixture, fixture_with, request};

#[tokio::test]
async fn malformed_envelopes_count_towards_closing() {
    let fixture = fixture();
    let session = Session::of(&fixture, &fixture.join("amy").await);
    for (text, code, field) in [
        ("", "bad_request", None),
        ("{", "bad_request", None),
        ("[]", "bad_request", None),
        ("{}", "bad_request", Some("type")),
        (r#"{"type":"dance"}"#, "unknown_type", None),
        (r#"{"type":"message","data":{"room":1,"client_id":"c"}}"#, "bad_request", Some("content")),
        (r#"{"type":"message","data":[]}"#, "bad_request", Some("data")),
        (r#"{"type":"react","data":{"message":"7","emoji":"👍","on":true}}"#, "bad_request", Some("message")),
    ] {
        let received = session.send_text(text).await;
        let envelope = received.envelope.unwrap();
        assert!(received.malformed, "{text}");
        assert_eq!((&envelope["type"], &envelope["data"]["code"]), (&json!("error"), &json!(code)), "{text}");
        assert_eq!(envelope["data"]["field"].as_str(), field, "{text}");
    }
}

#[tokio::test]
async fn each_error_has_its_code_and_the_same_one_over_http() {
    let fixture =
        fixture_with(&[("TEAHOUSE_LIMITS__SENDS_BURST", "1000"), ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "1000")]);
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    let (session, other) = (Session::of(&fixture, &amy), Session::of(&fixture, &bob));
    let room = session.send("create", json!({ "kind": "private", "name": "tea" })).await.ack()["id"].clone();
    let said = other.say("hi", "c").await.ack()["id"].clone();
    session.say("hi", "taken").await.ack();
    let long = "茶".repeat(4001);
    let check = async |kind: &str, data: Value, http: (&str, String, Value), expect: (ErrorCode, Option<&str>)| {
        let received = session.send(kind, data).await;
        assert_eq!(received.error(), (expect.0.as_str(), expect.1), "{kind}");
        assert!(!received.malformed, "{kind}: the envelope is well-formed");
        let (method, path, body) = http;
        let body = axum::body::Body::from(body.to_string());
        let request = request(method, &format!("/api/v1{path}"), Some(&amy)).body(body);
        let answer = fixture.ask(request.unwrap()).await;
        assert_eq!(answer.error().1, expect.0.as_str(), "{method} {path}");
        assert_eq!(answer.error().2, expect.1, "{method} {path}");
        assert_eq!(answer.body["message"], received.envelope.unwrap()["data"]["message"], "{kind}");
    };
    let post = |room: u64, body: Value| ("POST", format!("/rooms/{room}/messages"), body);
    let message = |room: u64, content: &str| json!({ "room": room, "content": content, "client_id": "new" });
    let content = |content: &str| json!({ "content": content });
    check("message", message(1, " "), post(1, content(" ")), (ErrorCode::Empty, Some("content"))).await;
    check("message", message(1, &long), post(1, content(&long)), (ErrorCode::TooLong, Some("content"))).await;
    check("message", message(999, "hi"), post(999, content("hi")), (ErrorCode::NotFound, None)).await;
    let taken = json!({ "room": 1, "content": "ho", "client_id": "taken" });
    check("message", taken.clone(), post(1, taken), (ErrorCode::Conflict, Some("client_id"))).await;
    let unnamed = json!({ "room": 1, "content": "ho", "client_id": "" });
    check("message", unnamed.clone(), post(1, unnamed), (ErrorCode::BadRequest, Some("client_id"))).await;
    let edit = json!({ "message": said, "content": "mine" });
    check("edit", edit, ("PATCH", format!("/messages/{said}"), content("mine")), (ErrorCode::Forbidden, None)).await;
    let delete = ("DELETE", "/messages/999".to_owned(), json!({}));
    check("delete", json!({ "message": 999 }), delete, (ErrorCode::NotFound, None)).await;
    let like = json!({ "message": said, "emoji": "like", "on": true });
    let put = ("PUT", format!("/messages/{said}/reactions/like"), json!({}));
    check("react", like, put, (ErrorCode::BadRequest, Some("emoji"))).await;
    let twice = json!({ "kind": "public", "name": "TEA" });
    check("create", twice.clone(), ("POST", "/rooms".into(), twice), (ErrorCode::Conflict, Some("name"))).await;
    let direct = json!({ "kind": "direct", "name": "two" });
    check("create", direct.clone(), ("POST", "/rooms".into(), direct), (ErrorCode::BadRequest, Some("kind"))).await;
    let role = json!({ "room": 1, "user": bob.id, "role": "owner" });
    let put = ("PUT", format!("/rooms/1/members/{}/role", bob.id), role.clone());
    check("role", role, put, (ErrorCode::Forbidden, None)).await;
    let oneself = ("POST", format!("/users/{}/direct", amy.id), json!({}));
    check("open", json!({ "user": amy.id }), oneself, (ErrorCode::BadRequest, Some("user"))).await;
    let zero = ("GET", "/rooms/1/messages?limit=0".to_owned(), json!({}));
    check("history", json!({ "room": 1, "limit": 0 }), zero, (ErrorCode::BadRequest, Some("limit"))).await;
    let both = ("GET", "/rooms/1/messages?before=2&after=1".to_owned(), json!({}));
    check("history", json!({ "room": 1, "before": 2, "after": 1 }), both, (ErrorCode::BadRequest, None)).await;
    assert_eq!(other.send("join", json!({ "room": room })).await.error(), ("not_found", None));

    let until = Timestamp(fixture.app.now().0 + 60_000);
    fixture.app.store.set_muted("amy", Some(until), fixture.app.now()).await.unwrap();
    check("message", message(1, "hi"), post(1, content("hi")), (ErrorCode::Muted, None)).await;
    let thumb = json!({ "message": said, "emoji": "👍", "on": true });
    let put = ("PUT", format!("/messages/{said}/reactions/%F0%9F%91%8D"), json!({}));
    check("react", thumb, put, (ErrorCode::Muted, None)).await;
}

#[tokio::test]
async fn requests_while_the_store_is_closed_get_a_retry_time() {
    let fixture = fixture();
    let session = Session::of(&fixture, &fixture.join("amy").await);
    fixture.app.store.close().await;
    for (kind, data) in [
        ("message", json!({ "room": 1, "content": "hi", "client_id": "c" })),
        ("delete", json!({ "message": 1 })),
        ("history", json!({ "room": 1 })),
        ("join", json!({ "room": 1 })),
        ("users", json!({})),
    ] {
        let received = session.send(kind, data).await;
        assert_eq!(received.error(), ("overloaded", None), "{kind}");
        assert_eq!(received.envelope.unwrap()["data"]["retry_after_ms"], 1000, "{kind}");
    }
}

#[tokio::test]
async fn an_internal_error_does_not_reveal_its_cause() {
    let fixture = fixture();
    let session = Session::of(&fixture, &fixture.join("amy").await);
    let database = rusqlite::Connection::open(fixture.app.config.server.data.join("teahouse.db")).unwrap();
    database.execute_batch("ALTER TABLE reactions RENAME TO elsewhere").unwrap();
    session.say("hi", "c").await.ack();
    let received = session.send("history", json!({ "room": 1 })).await;
    assert_eq!(received.error(), ("internal", None));
    assert!(!received.envelope.unwrap().to_string().contains("reactions"));
}
