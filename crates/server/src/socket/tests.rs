//! The socket's door without a socket: what each envelope is answered, and what else becomes of the session.

use std::task::{Context, Waker};

use serde_json::{Value, json};
use teahouse_core::{Change, ErrorCode, LOBBY, Language, RoomId, SessionId, Timestamp, UserId, Version};
use teahouse_hub::{HubRequest, RequestHandler, RequestOutcome, Response, SessionContext, SessionEffect, WelcomeData};

use super::SocketHandler;
use crate::http::tests::stage::{Person, Stage, stage, stage_with};

/// One session of somebody.
struct Session {
    door: SocketHandler,
    caller: SessionContext,
}

/// What came of an envelope.
struct Told {
    envelope: Option<Value>,
    effect: Option<SessionEffect>,
    malformed: bool,
}

impl Session {
    fn of(stage: &Stage, who: &Person) -> Self {
        let address = "203.0.113.9".parse().unwrap();
        let caller = SessionContext { session: SessionId(17), user: UserId(who.id), language: Language::En, address };
        Self { door: SocketHandler::new(stage.app.clone()), caller }
    }

    /// Sends an envelope as a session that said hello.
    async fn send(&self, kind: &str, data: Value) -> Told {
        self.send_text(&json!({ "type": kind, "id": "r-1", "data": data }).to_string()).await
    }

    async fn send_text(&self, text: &str) -> Told {
        told(self.door.handle_v1(&self.caller, true, text)).await
    }

    async fn send_early(&self, kind: &str, data: Value) -> Told {
        let text = json!({ "type": kind, "id": "r-1", "data": data }).to_string();
        told(self.door.handle_v1(&self.caller, false, &text)).await
    }

    /// Sends a classic frame.
    async fn send_classic(&self, kind: &str, data: Value) -> Told {
        told(self.door.handle_classic(&self.caller, &json!({ "type": kind, "data": data }).to_string())).await
    }

    async fn say(&self, content: &str, client_id: &str) -> Told {
        self.send("message", json!({ "room": 1, "content": content, "client_id": client_id })).await
    }
}

async fn told(receipt: RequestOutcome) -> Told {
    let read = |text: String| serde_json::from_str(&text).unwrap();
    let (answer, malformed) = match receipt {
        RequestOutcome::NoReply => (Response::default(), false),
        RequestOutcome::Reply(text) => (Response::with_envelope(text), false),
        RequestOutcome::Malformed(text) => (Response::with_envelope(text), true),
        RequestOutcome::Pending(work) | RequestOutcome::Hello(work) | RequestOutcome::ReadingHistory { work, .. } => {
            (work.await, false)
        }
        RequestOutcome::Hub { .. } => panic!("this is for the hub"),
    };
    Told { envelope: answer.envelope.map(read), effect: answer.effect, malformed }
}

impl Told {
    /// The `data` of the `ack`.
    fn ack(&self) -> &Value {
        let envelope = self.envelope.as_ref().expect("an answer");
        assert_eq!((&envelope["type"], &envelope["id"]), (&json!("ack"), &json!("r-1")), "{envelope}");
        &envelope["data"]
    }

    /// Code and field of the `error`, which comes with the reference and something for a person.
    fn error(&self) -> (&str, Option<&str>) {
        let envelope = self.envelope.as_ref().expect("an answer");
        assert_eq!((&envelope["type"], &envelope["id"]), (&json!("error"), &json!("r-1")), "{envelope}");
        let data = &envelope["data"];
        assert!(data["message"].as_str().is_some_and(|message| !message.is_empty()), "{envelope}");
        (data["code"].as_str().unwrap(), data["field"].as_str())
    }

    fn greeting(self) -> WelcomeData {
        match self.effect {
            Some(SessionEffect::Welcome(greeting)) => *greeting,
            _ => panic!("{:?}", self.envelope),
        }
    }

    fn entered(&self) -> Option<(RoomId, Version)> {
        match self.effect {
            Some(SessionEffect::EnterRoom(room, version)) => Some((room, version)),
            _ => None,
        }
    }
}

// ── Hello ──

#[tokio::test]
async fn before_hello_nothing_else_is_a_request_and_hello_is_said_once() {
    let stage = stage();
    let session = Session::of(&stage, &stage.join("amy").await);
    for (kind, data) in [
        ("message", json!({ "room": 1, "content": "hi", "client_id": "c" })),
        ("heartbeat", json!({})),
        ("sync", json!({ "room": 1, "since": 0 })),
        ("auth", json!({ "token": "x" })),
    ] {
        let told = session.send_early(kind, data).await;
        assert_eq!((told.error(), told.malformed), (("bad_request", None), false), "{kind}");
    }
    assert!(stage.told.messages().is_empty());
    assert!(matches!(session.send_early("hello", json!({})).await.effect, Some(SessionEffect::Welcome(_))));
    assert_eq!(session.send("hello", json!({})).await.error(), ("bad_request", None));
}

#[tokio::test]
async fn hello_is_greeted_with_everything_as_it_is_now() {
    let stage = stage_with(&[("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "7")]);
    let amy = stage.join("amy").await;
    let session = Session::of(&stage, &amy);
    stage.put("/api/auth/me", &amy, json!({ "profile": { "nickname": "Amy" } })).await;
    let greeting = session.send_early("hello", json!({ "client": "test/1" })).await.greeting();
    assert_eq!((greeting.id.as_deref(), greeting.user.profile.nickname.as_str()), (Some("r-1"), "Amy"));
    assert_eq!((greeting.epoch.as_str(), greeting.time), (stage.app.store.epoch(), stage.app.now()));
    assert_eq!((greeting.limits.sends_per_second, greeting.limits.content_chars_max), (7, 4000));
    assert_eq!(greeting.rooms.iter().map(|room| room.id).collect::<Vec<_>>(), [LOBBY]);
    assert_eq!(greeting.held, []);
}

#[tokio::test]
async fn what_is_held_of_another_history_is_worth_nothing() {
    let stage = stage();
    let session = Session::of(&stage, &stage.join("amy").await);
    let epoch = stage.app.store.epoch().to_owned();
    let rooms = json!([{ "room": 9, "version": 88 }, { "room": 1, "version": 5 }]);
    for (epoch, ours) in [(json!(epoch), true), (json!("another"), false), (Value::Null, false)] {
        let hello = json!({ "epoch": epoch, "rooms": rooms });
        let held = session.send_early("hello", hello).await.greeting().held;
        let version = |version| ours.then_some(Version(version));
        assert_eq!(held, [(RoomId(9), version(88)), (LOBBY, version(5))], "{epoch}");
    }
}

#[tokio::test]
async fn a_hello_that_finds_the_store_busy_is_told_when_to_come_back() {
    let stage = stage();
    let session = Session::of(&stage, &stage.join("amy").await);
    stage.app.store.close().await;
    let told = session.send_early("hello", json!({})).await;
    assert_eq!(told.error(), ("overloaded", None));
    assert_eq!(told.envelope.as_ref().unwrap()["data"]["retry_after_ms"], 1000);
    assert!(told.effect.is_none());
}

// ── Requests and their answers ──

#[tokio::test]
async fn a_message_is_acknowledged_where_it_came_to_lie() {
    let stage = stage();
    let amy = stage.join("amy").await;
    let session = Session::of(&stage, &amy);
    let first = session.say(" hi ", "c-1").await;
    let (stored, _) = &stage.told.messages()[0];
    assert_eq!((stored.content.as_str(), stored.client_id.as_deref()), ("hi", Some("c-1")));
    let mut expect = json!({ "id": stored.id.0, "seq": 1, "version": 1, "send_time": "2026-11-22T06:25:36.120Z" });
    assert_eq!(first.ack(), &expect);
    expect["duplicate"] = json!(true);
    assert_eq!(session.say("hi", "c-1").await.ack(), &expect);
    assert_eq!(session.say("ho", "c-1").await.error(), ("conflict", Some("client_id")));
}

#[tokio::test]
async fn without_a_reference_it_is_done_and_only_refusals_are_told() {
    let stage = stage();
    let session = Session::of(&stage, &stage.join("amy").await);
    let said = session.send_text(r#"{"type":"message","data":{"room":1,"content":"hi","client_id":"c"}}"#).await;
    assert!(said.envelope.is_none() && stage.told.messages().len() == 1);
    let made = session.send_text(r#"{"type":"create","data":{"kind":"public","name":"tea"}}"#).await;
    assert!(made.envelope.is_none() && made.entered().is_some());
    let refused = session.send_text(r#"{"type":"message","data":{"room":1,"content":"","client_id":"d"}}"#).await;
    let envelope = refused.envelope.unwrap();
    assert_eq!((&envelope["type"], &envelope["data"]["code"]), (&json!("error"), &json!("empty")));
    assert!(envelope.get("id").is_none());
    // The answer is the point of a heartbeat.
    let beat = session.send_text(r#"{"type":"heartbeat"}"#).await.envelope.unwrap();
    assert_eq!(beat, json!({ "type": "ack", "data": { "time": "2026-11-22T06:25:36.120Z" } }));
    assert_eq!(session.send("heartbeat", json!({})).await.ack(), &json!({ "time": "2026-11-22T06:25:36.120Z" }));
}

#[tokio::test]
async fn what_a_session_says_in_one_breath_is_stored_in_its_order() {
    let stage = stage();
    let session = Session::of(&stage, &stage.join("amy").await);
    let mut works = Vec::new();
    for n in 0..5 {
        let data = json!({ "room": 1, "content": format!("{n}"), "client_id": format!("c-{n}") });
        let text = json!({ "type": "message", "id": "r-1", "data": data }).to_string();
        let RequestOutcome::Pending(mut work) = session.door.handle_v1(&session.caller, true, &text) else {
            panic!("{n}")
        };
        // As the hub does: once at once, and again when there is something to see; a quick store has answered.
        if work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            works.push(work);
        }
    }
    for work in works.into_iter().rev() {
        work.await;
    }
    let said: Vec<String> = stage.told.messages().into_iter().map(|(message, _)| message.content).collect();
    assert_eq!(said, ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn a_message_whose_session_is_gone_is_stored_all_the_same() {
    let stage = stage();
    let session = Session::of(&stage, &stage.join("amy").await);
    let text = r#"{"type":"message","data":{"room":1,"content":"hi","client_id":"c"}}"#;
    let RequestOutcome::Pending(mut work) = session.door.handle_v1(&session.caller, true, text) else { panic!() };
    let _ = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    drop(work);
    // What is asked next is done after it.
    session.say("there", "d").await.ack();
    assert_eq!(stage.told.messages().len(), 2);
}

#[tokio::test]
async fn who_comes_into_a_room_is_answered_before_hearing_of_it() {
    let stage = stage();
    let (amy, bob) = (stage.join("amy").await, stage.join("bob").await);
    let (session, other) = (Session::of(&stage, &amy), Session::of(&stage, &bob));
    let made = session.send("create", json!({ "kind": "public", "name": "tea" })).await;
    let room = made.ack()["id"].as_u64().unwrap();
    assert_eq!(made.entered(), Some((RoomId(room), Version(0))));
    session.send("message", json!({ "room": room, "content": "hi", "client_id": "c" })).await.ack();
    let joined = other.send("join", json!({ "room": room })).await;
    assert_eq!((joined.entered(), &joined.ack()["members"]), (Some((RoomId(room), Version(1))), &json!(2)));
    let opened = session.send("open", json!({ "user": bob.id })).await;
    assert_eq!(opened.entered().map(|(room, _)| room.0), opened.ack()["id"].as_u64());
    assert_eq!(opened.ack()["peer"]["id"], bob.id);
    let asked: Vec<_> = stage.told.of(|change| match change {
        Change::Entry { requester, entry, .. } if entry.id != LOBBY => {
            Some((*requester, Some((entry.id, entry.version))))
        }
        _ => None,
    });
    assert!(asked.len() >= 3 && asked.iter().all(|(requester, _)| *requester == Some(SessionId(17))), "{asked:?}");
    // The room waits for an answer of the version that was told, and would wait for ever for another.
    for answer in [&made, &joined, &opened] {
        assert!(asked.iter().any(|(_, entry)| *entry == answer.entered()), "{asked:?}");
    }
    // Whoever only changes something of others comes into nothing.
    for (kind, data) in [
        ("role", json!({ "room": room, "user": bob.id, "role": "moderator" })),
        ("invite", json!({ "room": room, "user": bob.id })),
        ("update", json!({ "room": room, "title": "green" })),
        ("remove", json!({ "room": room, "user": bob.id })),
        ("leave", json!({ "room": room })),
    ] {
        let told = session.send(kind, data).await;
        assert_eq!((told.entered(), &told.ack()["id"]), (None, &json!(room)), "{kind}");
    }
}

#[tokio::test]
async fn what_the_hub_knows_is_asked_of_the_hub() {
    let stage = stage();
    let session = Session::of(&stage, &stage.join("amy").await);
    for (kind, data, expect) in [
        ("sync", json!({ "room": 7, "since": 3 }), HubRequest::Sync(RoomId(7), Version(3))),
        ("presence", json!({ "room": 7, "on": true }), HubRequest::Presence(RoomId(7), true)),
        ("typing", json!({ "room": 7, "on": false }), HubRequest::Typing(RoomId(7), false)),
    ] {
        let text = json!({ "type": kind, "id": "r-1", "data": data }).to_string();
        match session.door.handle_v1(&session.caller, true, &text) {
            RequestOutcome::Hub { id, request } => assert_eq!((id.as_deref(), request), (Some("r-1"), expect)),
            _ => panic!("{kind}"),
        }
    }
}

#[tokio::test]
async fn every_other_request_is_answered_as_over_http() {
    let stage = stage();
    let (amy, bob) = (stage.join("amy").await, stage.join("bob").await);
    let session = Session::of(&stage, &amy);
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
        let over_http = stage.get(&path, Some(&amy)).await;
        assert_eq!(session.send(kind, data).await.ack(), &over_http.body["data"], "{kind}");
    }
    let entry = stage.get("/api/v1/rooms/1", Some(&bob)).await;
    assert_eq!(Session::of(&stage, &bob).send("join", json!({ "room": 1 })).await.ack(), &entry.body["data"]);
    assert_eq!(session.send("delete", json!({ "message": id })).await.ack(), &json!({ "version": 4 }));
}

// ── Refusals ──

#[tokio::test]
async fn what_is_no_request_counts_towards_closing() {
    let stage = stage();
    let session = Session::of(&stage, &stage.join("amy").await);
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
        let told = session.send_text(text).await;
        let envelope = told.envelope.unwrap();
        assert!(told.malformed, "{text}");
        assert_eq!((&envelope["type"], &envelope["data"]["code"]), (&json!("error"), &json!(code)), "{text}");
        assert_eq!(envelope["data"]["field"].as_str(), field, "{text}");
    }
}

#[tokio::test]
async fn each_refusal_has_its_code_and_the_same_one_over_http() {
    let stage = stage_with(&[("TEAHOUSE_LIMITS__SENDS_BURST", "1000"), ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "1000")]);
    let (amy, bob) = (stage.join("amy").await, stage.join("bob").await);
    let (session, other) = (Session::of(&stage, &amy), Session::of(&stage, &bob));
    let room = session.send("create", json!({ "kind": "private", "name": "tea" })).await.ack()["id"].clone();
    let said = other.say("hi", "c").await.ack()["id"].clone();
    session.say("hi", "taken").await.ack();
    let long = "茶".repeat(4001);
    let check = async |kind: &str, data: Value, http: (&str, String, Value), expect: (ErrorCode, Option<&str>)| {
        let told = session.send(kind, data).await;
        assert_eq!(told.error(), (expect.0.as_str(), expect.1), "{kind}");
        assert!(!told.malformed, "{kind}: it was understood");
        let (method, path, body) = http;
        let body = axum::body::Body::from(body.to_string());
        let request = crate::http::tests::stage::request(method, &format!("/api/v1{path}"), Some(&amy)).body(body);
        let answer = stage.ask(request.unwrap()).await;
        assert_eq!(answer.refusal().1, expect.0.as_str(), "{method} {path}");
        assert_eq!(answer.refusal().2, expect.1, "{method} {path}");
        assert_eq!(answer.body["message"], told.envelope.unwrap()["data"]["message"], "{kind}");
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

    let until = Timestamp(stage.app.now().0 + 60_000);
    stage.app.store.set_muted("amy", Some(until), stage.app.now()).await.unwrap();
    check("message", message(1, "hi"), post(1, content("hi")), (ErrorCode::Muted, None)).await;
    let thumb = json!({ "message": said, "emoji": "👍", "on": true });
    let put = ("PUT", format!("/messages/{said}/reactions/%F0%9F%91%8D"), json!({}));
    check("react", thumb, put, (ErrorCode::Muted, None)).await;
}

#[tokio::test]
async fn what_the_store_cannot_take_now_may_be_asked_again() {
    let stage = stage();
    let session = Session::of(&stage, &stage.join("amy").await);
    stage.app.store.close().await;
    for (kind, data) in [
        ("message", json!({ "room": 1, "content": "hi", "client_id": "c" })),
        ("delete", json!({ "message": 1 })),
        ("history", json!({ "room": 1 })),
        ("join", json!({ "room": 1 })),
        ("users", json!({})),
    ] {
        let told = session.send(kind, data).await;
        assert_eq!(told.error(), ("overloaded", None), "{kind}");
        assert_eq!(told.envelope.unwrap()["data"]["retry_after_ms"], 1000, "{kind}");
    }
}

#[tokio::test]
async fn what_failed_inside_is_told_as_that_and_as_nothing_more() {
    let stage = stage();
    let session = Session::of(&stage, &stage.join("amy").await);
    let database = rusqlite::Connection::open(stage.app.config.server.data.join("teahouse.db")).unwrap();
    database.execute_batch("ALTER TABLE reactions RENAME TO elsewhere").unwrap();
    session.say("hi", "c").await.ack();
    let told = session.send("history", json!({ "room": 1 })).await;
    assert_eq!(told.error(), ("internal", None));
    assert!(!told.envelope.unwrap().to_string().contains("reactions"));
}

// ── How fast ──

#[tokio::test]
async fn h15_sends_count_together_by_whichever_door_and_dialect_they_come() {
    let stage = stage_with(&[("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "1")]);
    let (amy, bob) = (stage.join("amy").await, stage.join("bob").await);
    let (one, other) = (Session::of(&stage, &amy), Session::of(&stage, &amy));
    stage.say(&amy, "classic, over HTTP").await;
    assert!(other.send_classic("message", json!({ "content": "classic" })).await.envelope.is_none());
    one.say("v1", "c-1").await.ack();
    other.say("v1, another session", "c-2").await.ack();
    let over_http = stage.post("/api/v1/rooms/1/messages", Some(&amy), json!({ "content": "v1, over HTTP" })).await;
    assert_eq!(over_http.status, 201);

    let refused = one.say("one too many", "c-3").await;
    assert_eq!(refused.error(), ("rate_limited", None));
    let wait = refused.envelope.unwrap()["data"]["retry_after_ms"].as_u64().unwrap();
    assert!((1..=1000).contains(&wait), "{wait}");
    let classic = other.send_classic("message", json!({ "content": "one too many" })).await.envelope.unwrap();
    assert_eq!(classic["data"]["code"], "rate_limited");
    let over_http = stage.post("/api/v1/rooms/1/messages", Some(&amy), json!({ "content": "one too many" })).await;
    assert_eq!(over_http.refusal(), (429, "rate_limited", None));
    assert_eq!(one.say("v1", "c-1").await.ack()["duplicate"], true, "a repeat is answered however fast");
    Session::of(&stage, &bob).say("not me", "c-1").await.ack();
    assert_eq!(stage.told.messages().len(), 6);
}

#[tokio::test]
async fn every_other_envelope_counts_whatever_comes_of_it() {
    let keys = [("TEAHOUSE_LIMITS__ENVELOPES_PER_SECOND", "1"), ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "1")];
    for (kind, data) in [
        ("heartbeat", json!({})),
        ("edit", json!({ "message": 999, "content": "x" })),
        ("message", json!({ "room": 1, "content": "", "client_id": "c" })),
        ("typing", json!({ "room": 1, "on": true })),
        ("hello", json!({})),
        ("dance", json!({})),
    ] {
        let stage = stage_with(&keys);
        let amy = stage.join("amy").await;
        let (one, other) = (Session::of(&stage, &amy), Session::of(&stage, &amy));
        let text = json!({ "type": kind, "id": "r-1", "data": data }).to_string();
        match one.door.handle_v1(&one.caller, true, &text) {
            RequestOutcome::Hub { .. } => {}
            receipt => assert_ne!(told(receipt).await.envelope.unwrap()["data"]["code"], "rate_limited", "{kind}"),
        }
        let refused = other.send("heartbeat", json!({})).await;
        assert_eq!(refused.error(), ("rate_limited", None), "{kind}");
        assert!(refused.envelope.unwrap()["data"]["retry_after_ms"].as_u64().unwrap() > 0, "{kind}");
        let join = stage.post("/api/v1/rooms/1/join", Some(&amy), json!({})).await;
        assert_eq!(join.status, 429, "{kind}");
    }
}

// ── Tokens ──

#[tokio::test]
async fn a_session_goes_on_under_a_fresh_token_of_the_same_user() {
    let stage = stage();
    let (amy, bob) = (stage.join("amy").await, stage.join("bob").await);
    let session = Session::of(&stage, &amy);
    let fresh = Person::of(&stage.log_in("amy", crate::http::tests::stage::PASSWORD).await);
    let renewed = session.send("auth", json!({ "token": fresh.token })).await;
    let day_ms = 24 * 3600 * 1000;
    let left = renewed.ack()["expires_in_ms"].as_u64().unwrap();
    assert!((day_ms - 2000..=day_ms + 2000).contains(&left), "{left}");
    let Some(SessionEffect::RenewToken(mark, good_for)) = renewed.effect else { panic!() };
    assert_eq!(good_for.as_millis(), u128::from(left));
    assert_eq!(mark, stage.app.tokens.verify(&fresh.token, stage.app.now()).unwrap().mark);

    let refused = session.send("auth", json!({ "token": bob.token })).await;
    assert_eq!(refused.error(), ("forbidden", Some("token")));
    assert!(refused.effect.is_none());
}

#[tokio::test]
async fn a_bad_token_renews_nothing_and_counts_against_its_address() {
    let stage =
        stage_with(&[("TEAHOUSE_LIMITS__BAD_TOKENS_PER_SECOND", "1"), ("TEAHOUSE_LIMITS__BAD_TOKENS_BURST", "2")]);
    let amy = stage.join("amy").await;
    let session = Session::of(&stage, &amy);
    let out = Person::of(&stage.log_in("amy", crate::http::tests::stage::PASSWORD).await);
    stage.post("/api/auth/logout", Some(&out), json!({})).await;
    for (token, expect) in [("a.b.c", "unauthorized"), (out.token.as_str(), "unauthorized"), ("a.b.c", "rate_limited")]
    {
        let told = session.send("auth", json!({ "token": token })).await;
        assert_eq!((told.error().0, told.effect.is_none()), (expect, true), "{token}");
    }
    assert!(matches!(
        session.send("auth", json!({ "token": amy.token })).await.effect,
        Some(SessionEffect::RenewToken(..))
    ));
}
