//! The handler without a socket: the response to each envelope and its effect on the session.

mod errors;
mod rates;

use std::task::{Context, Waker};

use serde_json::{Value, json};
use teahouse_core::{Change, LOBBY, Language, RoomId, SessionId, UserId, Version};
use teahouse_hub::{HubRequest, RequestHandler, RequestOutcome, Response, SessionContext, SessionEffect, WelcomeData};

use super::SocketHandler;
use crate::http::tests::fixture::{Fixture, PASSWORD, TestUser, fixture, fixture_with};

/// One session of a user.
struct Session {
    handler: SocketHandler,
    context: SessionContext,
}

/// The response to an envelope.
struct Received {
    envelope: Option<Value>,
    effect: Option<SessionEffect>,
    malformed: bool,
}

impl Session {
    fn of(fixture: &Fixture, who: &TestUser) -> Self {
        let address = "203.0.113.9".parse().unwrap();
        let context = SessionContext { session: SessionId(17), user: UserId(who.id), language: Language::En, address };
        Self { handler: SocketHandler::new(fixture.app.clone()), context }
    }

    /// Sends an envelope of a session that has sent hello.
    async fn send(&self, kind: &str, data: Value) -> Received {
        self.send_text(&json!({ "type": kind, "id": "r-1", "data": data }).to_string()).await
    }

    async fn send_text(&self, text: &str) -> Received {
        received(self.handler.handle_v1(&self.context, true, text)).await
    }

    async fn send_early(&self, kind: &str, data: Value) -> Received {
        let text = json!({ "type": kind, "id": "r-1", "data": data }).to_string();
        received(self.handler.handle_v1(&self.context, false, &text)).await
    }

    /// Sends a classic frame.
    async fn send_classic(&self, kind: &str, data: Value) -> Received {
        received(self.handler.handle_classic(&self.context, &json!({ "type": kind, "data": data }).to_string())).await
    }

    async fn say(&self, content: &str, client_id: &str) -> Received {
        self.send("message", json!({ "room": 1, "content": content, "client_id": client_id })).await
    }
}

async fn received(outcome: RequestOutcome) -> Received {
    let read = |text: String| serde_json::from_str(&text).unwrap();
    let (answer, malformed) = match outcome {
        RequestOutcome::NoReply => (Response::default(), false),
        RequestOutcome::Reply(text) => (Response::with_envelope(text), false),
        RequestOutcome::Malformed(text) => (Response::with_envelope(text), true),
        RequestOutcome::Pending(work) | RequestOutcome::Hello(work) | RequestOutcome::ReadingHistory { work, .. } => {
            (work.await, false)
        }
        RequestOutcome::Hub { .. } => panic!("a request for the hub"),
    };
    Received { envelope: answer.envelope.map(read), effect: answer.effect, malformed }
}

impl Received {
    /// The `data` of the `ack`.
    fn ack(&self) -> &Value {
        let envelope = self.envelope.as_ref().expect("a response");
        assert_eq!((&envelope["type"], &envelope["id"]), (&json!("ack"), &json!("r-1")), "{envelope}");
        &envelope["data"]
    }

    /// Code and field of the `error`, which has the reference and a message.
    fn error(&self) -> (&str, Option<&str>) {
        let envelope = self.envelope.as_ref().expect("a response");
        assert_eq!((&envelope["type"], &envelope["id"]), (&json!("error"), &json!("r-1")), "{envelope}");
        let data = &envelope["data"];
        assert!(data["message"].as_str().is_some_and(|message| !message.is_empty()), "{envelope}");
        (data["code"].as_str().unwrap(), data["field"].as_str())
    }

    fn welcome(self) -> WelcomeData {
        match self.effect {
            Some(SessionEffect::Welcome(welcome)) => *welcome,
            _ => panic!("{:?}", self.envelope),
        }
    }

    fn entered(&self) -> Option<(RoomId, Version)> {
        match self.effect {
            Some(SessionEffect::EnterRoom(entered)) => Some((entered.room, entered.at.0)),
            _ => None,
        }
    }
}

// ── Hello ──

#[tokio::test]
async fn hello_comes_first_and_only_once() {
    let fixture = fixture();
    let session = Session::of(&fixture, &fixture.join("amy").await);
    for (kind, data) in [
        ("message", json!({ "room": 1, "content": "hi", "client_id": "c" })),
        ("heartbeat", json!({})),
        ("sync", json!({ "room": 1, "since": 0 })),
        ("auth", json!({ "token": "x" })),
    ] {
        let received = session.send_early(kind, data).await;
        assert_eq!((received.error(), received.malformed), (("bad_request", None), false), "{kind}");
    }
    assert!(fixture.commits.messages().is_empty());
    assert!(matches!(session.send_early("hello", json!({})).await.effect, Some(SessionEffect::Welcome(_))));
    assert_eq!(session.send("hello", json!({})).await.error(), ("bad_request", None));
}

#[tokio::test]
async fn hello_is_welcomed_with_the_current_state() {
    let fixture = fixture_with(&[("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "7")]);
    let amy = fixture.join("amy").await;
    let session = Session::of(&fixture, &amy);
    fixture.put("/api/auth/me", &amy, json!({ "profile": { "nickname": "Amy" } })).await;
    let welcome = session.send_early("hello", json!({ "client": "test/1" })).await.welcome();
    assert_eq!((welcome.id.as_deref(), welcome.user.profile.nickname.as_str()), (Some("r-1"), "Amy"));
    assert_eq!((welcome.epoch.as_str(), welcome.time), (fixture.app.store.epoch(), fixture.app.now()));
    assert_eq!((welcome.limits.sends_per_second, welcome.limits.content_chars_max), (7, 4000));
    assert_eq!(welcome.rooms.rooms.iter().map(|room| room.id).collect::<Vec<_>>(), [LOBBY]);
    assert_eq!(welcome.held, []);
}

#[tokio::test]
async fn versions_of_another_epoch_are_ignored() {
    let fixture = fixture();
    let session = Session::of(&fixture, &fixture.join("amy").await);
    let epoch = fixture.app.store.epoch().to_owned();
    let rooms = json!([{ "room": 9, "version": 88 }, { "room": 1, "version": 5 }]);
    for (epoch, ours) in [(json!(epoch), true), (json!("another"), false), (Value::Null, false)] {
        let hello = json!({ "epoch": epoch, "rooms": rooms });
        let held = session.send_early("hello", hello).await.welcome().held;
        let version = |version| ours.then_some(Version(version));
        assert_eq!(held, [(RoomId(9), version(88)), (LOBBY, version(5))], "{epoch}");
    }
}

#[tokio::test]
async fn a_hello_while_the_store_is_closed_gets_a_retry_time() {
    let fixture = fixture();
    let session = Session::of(&fixture, &fixture.join("amy").await);
    fixture.app.store.close().await;
    let received = session.send_early("hello", json!({})).await;
    assert_eq!(received.error(), ("overloaded", None));
    assert_eq!(received.envelope.as_ref().unwrap()["data"]["retry_after_ms"], 1000);
    assert!(received.effect.is_none());
}

// ── Requests and responses ──

#[tokio::test]
async fn a_message_is_acknowledged_with_its_position() {
    let fixture = fixture();
    let amy = fixture.join("amy").await;
    let session = Session::of(&fixture, &amy);
    let first = session.say(" hi ", "c-1").await;
    let (stored, _) = &fixture.commits.messages()[0];
    assert_eq!((stored.content.as_str(), stored.client_id.as_deref()), ("hi", Some("c-1")));
    let mut expect = json!({ "id": stored.id.0, "seq": 1, "version": 1, "send_time": "2026-11-22T06:25:36.120Z" });
    assert_eq!(first.ack(), &expect);
    expect["duplicate"] = json!(true);
    assert_eq!(session.say("hi", "c-1").await.ack(), &expect);
    assert_eq!(session.say("ho", "c-1").await.error(), ("conflict", Some("client_id")));
}

#[tokio::test]
async fn without_a_reference_only_errors_get_a_response() {
    let fixture = fixture();
    let session = Session::of(&fixture, &fixture.join("amy").await);
    let said = session.send_text(r#"{"type":"message","data":{"room":1,"content":"hi","client_id":"c"}}"#).await;
    assert!(said.envelope.is_none() && fixture.commits.messages().len() == 1);
    let made = session.send_text(r#"{"type":"create","data":{"kind":"public","name":"tea"}}"#).await;
    assert!(made.envelope.is_none() && made.entered().is_some());
    let refused = session.send_text(r#"{"type":"message","data":{"room":1,"content":"","client_id":"d"}}"#).await;
    let envelope = refused.envelope.unwrap();
    assert_eq!((&envelope["type"], &envelope["data"]["code"]), (&json!("error"), &json!("empty")));
    assert!(envelope.get("id").is_none());
    // A heartbeat gets a response in any case.
    let beat = session.send_text(r#"{"type":"heartbeat"}"#).await.envelope.unwrap();
    assert_eq!(beat, json!({ "type": "ack", "data": { "time": "2026-11-22T06:25:36.120Z" } }));
    assert_eq!(session.send("heartbeat", json!({})).await.ack(), &json!({ "time": "2026-11-22T06:25:36.120Z" }));
}

#[tokio::test]
async fn messages_of_a_session_are_stored_in_the_order_of_first_polls() {
    let fixture = fixture();
    let session = Session::of(&fixture, &fixture.join("amy").await);
    let mut works = Vec::new();
    for n in 0..5 {
        let data = json!({ "room": 1, "content": format!("{n}"), "client_id": format!("c-{n}") });
        let text = json!({ "type": "message", "id": "r-1", "data": data }).to_string();
        let RequestOutcome::Pending(mut work) = session.handler.handle_v1(&session.context, true, &text) else {
            panic!("{n}")
        };
        // The hub polls once at once; a fast store may have responded by then.
        if work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            works.push(work);
        }
    }
    for work in works.into_iter().rev() {
        work.await;
    }
    let said: Vec<String> = fixture.commits.messages().into_iter().map(|(message, _)| message.content).collect();
    assert_eq!(said, ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn a_message_is_stored_though_its_session_has_ended() {
    let fixture = fixture();
    let session = Session::of(&fixture, &fixture.join("amy").await);
    let text = r#"{"type":"message","data":{"room":1,"content":"hi","client_id":"c"}}"#;
    let RequestOutcome::Pending(mut work) = session.handler.handle_v1(&session.context, true, text) else { panic!() };
    let _ = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    drop(work);
    // The next request is served after it.
    session.say("there", "d").await.ack();
    assert_eq!(fixture.commits.messages().len(), 2);
}

#[tokio::test]
async fn entering_a_room_responds_before_the_room_is_delivered() {
    let fixture = fixture();
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    let (session, other) = (Session::of(&fixture, &amy), Session::of(&fixture, &bob));
    let made = session.send("create", json!({ "kind": "public", "name": "tea" })).await;
    let room = made.ack()["id"].as_u64().unwrap();
    assert_eq!(made.entered(), Some((RoomId(room), Version(0))));
    session.send("message", json!({ "room": room, "content": "hi", "client_id": "c" })).await.ack();
    let joined = other.send("join", json!({ "room": room })).await;
    assert_eq!((joined.entered(), &joined.ack()["members"]), (Some((RoomId(room), Version(1))), &json!(2)));
    let opened = session.send("open", json!({ "user": bob.id })).await;
    assert_eq!(opened.entered().map(|(room, _)| room.0), opened.ack()["id"].as_u64());
    assert_eq!(opened.ack()["peer"]["id"], bob.id);
    let asked: Vec<_> = fixture.commits.of(|change| match change {
        Change::Entry { requester, entry, .. } if entry.id != LOBBY => {
            Some((*requester, Some((entry.id, entry.version))))
        }
        _ => None,
    });
    assert!(asked.len() >= 3 && asked.iter().all(|(requester, _)| *requester == Some(SessionId(17))), "{asked:?}");
    // The hub holds the room back until a response has the version of the entry; another version would block it for ever.
    for answer in [&made, &joined, &opened] {
        assert!(asked.iter().any(|(_, entry)| *entry == answer.entered()), "{asked:?}");
    }
    // Other membership changes enter no room.
    for (kind, data) in [
        ("role", json!({ "room": room, "user": bob.id, "role": "moderator" })),
        ("invite", json!({ "room": room, "user": bob.id })),
        ("update", json!({ "room": room, "title": "green" })),
        ("remove", json!({ "room": room, "user": bob.id })),
        ("leave", json!({ "room": room })),
    ] {
        let received = session.send(kind, data).await;
        assert_eq!((received.entered(), &received.ack()["id"]), (None, &json!(room)), "{kind}");
    }
}

#[tokio::test]
async fn requests_of_the_hub_are_passed_on_to_it() {
    let fixture = fixture();
    let session = Session::of(&fixture, &fixture.join("amy").await);
    for (kind, data, expect) in [
        ("sync", json!({ "room": 7, "since": 3 }), HubRequest::Sync(RoomId(7), Version(3))),
        ("presence", json!({ "room": 7, "on": true }), HubRequest::Presence(RoomId(7), true)),
        ("typing", json!({ "room": 7, "on": false }), HubRequest::Typing(RoomId(7), false)),
    ] {
        let text = json!({ "type": kind, "id": "r-1", "data": data }).to_string();
        match session.handler.handle_v1(&session.context, true, &text) {
            RequestOutcome::Hub { id, request } => assert_eq!((id.as_deref(), request), (Some("r-1"), expect)),
            _ => panic!("{kind}"),
        }
    }
}

#[tokio::test]
async fn every_other_request_gets_the_same_response_as_over_http() {
    let fixture = fixture();
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    let session = Session::of(&fixture, &amy);
    let id = session.say("hi", "c").await.ack()["id"].clone();
    assert_eq!(
        session.send("edit", json!({ "message": id, "content": "hello" })).await.ack(),
        &json!({ "version": 2 })
    );
    let react = json!({ "message": id, "emoji": "👍", "on": true });
    assert_eq!(session.send("react", react).await.ack(), &json!({ "version": 3 }));
    assert_eq!(session.send("read", json!({ "room": 1, "seq": 1 })).await.ack()["read_seq"], 1);
    for (kind, data, path) in [
        ("history", json!({ "room": 1 }), "/api/v1/rooms/1/messages".to_owned()),
        ("members", json!({ "room": 1 }), "/api/v1/rooms/1/members".to_owned()),
        ("users", json!({ "query": "a" }), "/api/v1/users?query=a".to_owned()),
        ("rooms", json!({}), "/api/v1/rooms/browse".to_owned()),
    ] {
        let over_http = fixture.get(&path, Some(&amy)).await;
        assert_eq!(session.send(kind, data).await.ack(), &over_http.body["data"], "{kind}");
    }
    let entry = fixture.get("/api/v1/rooms/1", Some(&bob)).await;
    assert_eq!(Session::of(&fixture, &bob).send("join", json!({ "room": 1 })).await.ack(), &entry.body["data"]);
    assert_eq!(session.send("delete", json!({ "message": id })).await.ack(), &json!({ "version": 4 }));
}

// ── Tokens ──

#[tokio::test]
async fn a_session_continues_with_a_fresh_token_of_the_same_user() {
    let fixture = fixture();
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    let session = Session::of(&fixture, &amy);
    let fresh = TestUser::of(&fixture.log_in("amy", PASSWORD).await);
    let renewed = session.send("auth", json!({ "token": fresh.token })).await;
    let day_ms = 24 * 3600 * 1000;
    let left = renewed.ack()["expires_in_ms"].as_u64().unwrap();
    assert!((day_ms - 2000..=day_ms + 2000).contains(&left), "{left}");
    let Some(SessionEffect::RenewToken(mark, good_for)) = renewed.effect else { panic!() };
    assert_eq!(good_for.as_millis(), u128::from(left));
    assert_eq!(mark, fixture.app.tokens.verify(&fresh.token, fixture.app.now()).unwrap().mark);

    let refused = session.send("auth", json!({ "token": bob.token })).await;
    assert_eq!(refused.error(), ("forbidden", Some("token")));
    assert!(refused.effect.is_none());
}

#[tokio::test]
async fn an_invalid_token_renews_nothing_and_counts_against_its_address() {
    let fixture =
        fixture_with(&[("TEAHOUSE_LIMITS__BAD_TOKENS_PER_SECOND", "1"), ("TEAHOUSE_LIMITS__BAD_TOKENS_BURST", "2")]);
    let amy = fixture.join("amy").await;
    let session = Session::of(&fixture, &amy);
    let out = TestUser::of(&fixture.log_in("amy", PASSWORD).await);
    fixture.post("/api/auth/logout", Some(&out), json!({})).await;
    for (token, expect) in [("a.b.c", "unauthorized"), (out.token.as_str(), "unauthorized"), ("a.b.c", "rate_limited")]
    {
        let received = session.send("auth", json!({ "token": token })).await;
        assert_eq!((received.error().0, received.effect.is_none()), (expect, true), "{token}");
    }
    assert!(matches!(
        session.send("auth", json!({ "token": amy.token })).await.effect,
        Some(SessionEffect::RenewToken(..))
    ));
}
