//! The server API: what its routes accept and refuse, and to whom they deliver.

use axum::body::Body;
use serde_json::{Value, json};
use teahouse_core::{MessageKind, RoomId, Timestamp, UserId};
use teahouse_hub::{Publication, PublishTo};
use teahouse_protocol::routes::{Auth, ROUTES};
use teahouse_protocol::server_api::check_published_type;
use teahouse_store::{Membership, MembershipChange, NewRoom};

use super::fixture::*;
use super::v1::filled;
use crate::secrets::ApiKey;

/// A server whose site's backend has an API key.
struct Site {
    fixture: Fixture,
    key: String,
}

impl std::ops::Deref for Site {
    type Target = Fixture;

    fn deref(&self) -> &Fixture {
        &self.fixture
    }
}

async fn site() -> Site {
    site_with(&[]).await
}

async fn site_with(keys: &[(&str, &str)]) -> Site {
    let fixture = fixture_with(keys);
    let key = ApiKey::random();
    fixture.app.store.add_api_key("backend", key.fingerprint(), fixture.app.now()).await.unwrap();
    Site { fixture, key: key.expose().to_owned() }
}

impl Site {
    /// Sends a request of the backend.
    async fn call(&self, method: &str, path: &str, body: impl Into<Body>) -> TestResponse {
        let request = request(method, path, None).header("authorization", format!("ApiKey {}", self.key));
        self.ask(request.body(body.into()).unwrap()).await
    }

    async fn posts(&self, path: &str, body: &Value) -> TestResponse {
        self.call("POST", path, body.to_string()).await
    }

    async fn publish(&self, body: &Value) -> TestResponse {
        self.posts("/api/server/publish", body).await
    }

    async fn message(&self, room: u64, body: &Value) -> TestResponse {
        self.posts(&format!("/api/server/rooms/{room}/messages"), body).await
    }

    /// The published events, in order.
    fn published(&self) -> Vec<Publication> {
        self.live.published.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn every_route_requires_a_key() {
    let site = site().await;
    let amy = site.join("amy").await;
    let other = ApiKey::random();
    for route in ROUTES.iter().filter(|route| route.auth == Auth::ApiKey) {
        let (method, path) = (route.method.as_str(), filled(route.path, "1"));
        for authorization in [
            String::new(),
            format!("Bearer {}", amy.token),
            format!("Bearer {}", site.key),
            format!("ApiKey {}", other.expose()),
            format!("ApiKey {}x", site.key),
            "ApiKey".to_owned(),
            "ApiKey thk_".to_owned(),
        ] {
            // The key is checked before the body is read.
            let request = request(method, &path, None).header("authorization", &authorization);
            let answer = site.ask(request.body(Body::from("{")).unwrap()).await;
            assert_eq!(answer.error(), (401, "unauthorized", None), "{method} {path} {authorization}");
            assert_eq!(answer.headers["www-authenticate"], "ApiKey");
        }
    }
    // The scheme is case-insensitive, and a key is not a user's token.
    let small =
        request("GET", "/api/server/presence?user_ids=", None).header("authorization", format!("apikey {}", site.key));
    assert_eq!(site.ask(small.body(Body::empty()).unwrap()).await.status, 200);
    assert_eq!(site.call("GET", "/api/auth/me", "").await.status, 401);
}

#[tokio::test]
async fn a_revoked_key_is_refused_from_the_next_request_on() {
    let site = site().await;
    let ask = || site.call("GET", "/api/server/presence?user_ids=1", "");
    assert_eq!(ask().await.status, 200);
    assert!(site.app.store.revoke_api_key("backend").await.unwrap());
    assert_eq!(ask().await.status, 401);
}

#[tokio::test]
async fn invalid_keys_count_by_address_and_valid_ones_are_exempt() {
    let site =
        site_with(&[("TEAHOUSE_LIMITS__BAD_TOKENS_PER_SECOND", "1"), ("TEAHOUSE_LIMITS__BAD_TOKENS_BURST", "2")]).await;
    let with = |key: &str| {
        let request = request("GET", "/api/server/presence?user_ids=1", None);
        site.ask(request.header("authorization", format!("ApiKey {key}")).body(Body::empty()).unwrap())
    };
    let guess = ApiKey::random();
    for expect in [401, 401, 429] {
        assert_eq!(with(guess.expose()).await.status, expect);
    }
    assert_eq!(with(&site.key).await.status, 200);
}

#[tokio::test]
async fn an_event_goes_to_its_target_on_one_line() {
    let site = site().await;
    let bodies = [
        (json!({ "all": true }), PublishTo::All),
        (json!({ "users": [9, 7, 9] }), PublishTo::Users(vec![UserId(7), UserId(9)])),
        (json!({ "users": [] }), PublishTo::Users(vec![])),
        (json!({ "room": 1 }), PublishTo::All),
    ];
    for (to, expect) in &bodies {
        let answer = site.publish(&json!({ "to": to, "type": "new_article", "data": { "id": 5 }, "more": 1 })).await;
        assert_eq!((answer.status, &answer.body["data"]), (200, &json!({ "ok": true })), "{to}");
        let envelope = r#"{"type":"new_article","data":{"id":5}}"#.to_owned();
        assert_eq!(site.published().pop(), Some(Publication { to: expect.clone(), envelope }));
    }
    let spread =
        "{ \"type\":\"x\",\n\"data\": {\n \"b\": 1.50,\r\n \"a\": \"two  words\\n\" },\n \"to\":{\"all\":true} }";
    assert_eq!(site.call("POST", "/api/server/publish", spread).await.status, 200);
    let envelope = site.published().pop().unwrap().envelope;
    assert_eq!(envelope, r#"{"type":"x","data":{"b":1.50,"a":"two  words\n"}}"#);
    assert_eq!(site.publish(&json!({ "to": { "all": true }, "type": "x" })).await.status, 200);
    assert_eq!(site.published().pop().unwrap().envelope, r#"{"type":"x","data":{}}"#);
}

#[tokio::test]
async fn an_invalid_event_is_refused_with_its_field_and_not_delivered() {
    let site = site().await;
    let check = async |body: Value, expect: (u16, &str, Option<&str>)| {
        let answer = site.publish(&body).await;
        assert_eq!(answer.error(), expect, "{body:.200}");
    };
    let wrong = |field| (422, "bad_request", Some(field));
    for to in [
        json!({}),
        json!({ "all": false }),
        json!({ "all": true, "room": 1 }),
        json!({ "users": [1], "room": 1 }),
        json!({ "everybody": true }),
    ] {
        check(json!({ "to": to, "type": "x" }), wrong("to")).await;
    }
    check(json!({ "type": "x" }), wrong("to")).await;
    check(json!({ "to": { "all": true } }), wrong("type")).await;
    check(json!({ "to": { "users": ["7"] }, "type": "x" }), wrong("to.users[0]")).await;
    check(json!({ "to": { "users": vec![7; 10_001] }, "type": "x" }), wrong("to.users")).await;
    check(json!({ "to": { "room": 999 }, "type": "x" }), (404, "not_found", None)).await;
    for own in ["message", "welcome", "ack", "notification", "private_message", "heartbeat", "hello", "online_count"] {
        assert!(check_published_type(own).is_err());
        check(json!({ "to": { "all": true }, "type": own }), wrong("type")).await;
    }
    for kind in ["", "two words", "新文章", &"a".repeat(65)] {
        check(json!({ "to": { "all": true }, "type": kind }), wrong("type")).await;
    }
    for data in [json!([]), json!(7), json!("x"), json!({ "id": 9_007_199_254_740_992_u64 })] {
        check(json!({ "to": { "all": true }, "type": "x", "data": data }), wrong("data")).await;
    }
    let around = r#"{"type":"x","data":{"t":""}}"#.len();
    let with_text = |bytes: usize| json!({ "to": { "all": true }, "type": "x", "data": { "t": "a".repeat(bytes) } });
    check(with_text(64 * 1024 - around + 1), (422, "too_long", Some("data"))).await;
    assert_eq!(site.published(), []);
    assert_eq!(site.publish(&with_text(64 * 1024 - around)).await.status, 200);
    assert_eq!(site.published()[0].envelope.len(), 64 * 1024);
    for broken in ["", "{", "[]", "7"] {
        let status = site.call("POST", "/api/server/publish", broken).await.status;
        assert_eq!(status, if broken.is_empty() { 422 } else { 400 }, "{broken}");
    }
    let large = vec![b' '; 4 * 1024 * 1024 + 1];
    assert_eq!(site.call("POST", "/api/server/publish", large).await.error(), (413, "too_long", None));
}

#[tokio::test]
async fn a_message_without_a_sender_is_a_system_notice() {
    let site = site().await;
    let amy = site.join("amy").await;
    let notice = site.message(1, &json!({ "content": " closed on Monday\n", "client_id": "n-1" })).await;
    assert_eq!(notice.status, 201);
    assert_eq!(notice.fields(), ["id", "message_id", "send_time", "seq", "version"]);
    assert_eq!(notice.data("id"), notice.data("message_id"));
    let said = site.message(1, &json!({ "content": "hi", "client_id": "b-1", "as": amy.id })).await;
    assert_eq!((said.data("seq"), said.data("version")), (&json!(2), &json!(2)));
    let messages = site.commits.messages();
    let what: Vec<_> = messages.iter().map(|(m, _)| (m.content.as_str(), m.kind, m.sender.username.as_str())).collect();
    let expect = [("closed on Monday", MessageKind::System, "system"), ("hi", MessageKind::Text, "amy")];
    assert_eq!(what, expect);
    // A repeat gets the same response, by either name of the key, and is not published again.
    let again = site.message(1, &json!({ "content": "closed on Monday", "client_id": "n-1" })).await;
    assert_eq!((again.status, again.data("id"), again.data("duplicate")), (201, notice.data("id"), &json!(true)));
    let request = request("POST", "/api/server/rooms/1/messages", None)
        .header("authorization", format!("ApiKey {}", site.key))
        .header("idempotency-key", "b-1");
    let again = site.ask(request.body(json!({ "content": "hi", "as": amy.id }).to_string().into()).unwrap()).await;
    assert_eq!(again.data("id"), said.data("id"));
    let conflict = site.message(1, &json!({ "content": "another", "client_id": "n-1" })).await;
    assert_eq!(conflict.error(), (409, "conflict", Some("client_id")));
    assert_eq!(site.commits.messages().len(), 2);
    // The message is in the history.
    let history = site.get("/api/chat/messages", Some(&amy)).await;
    assert_eq!(history.data("messages").as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_backend_has_no_rate_limit_and_a_larger_content_limit() {
    let site = site().await;
    for number in 0..30 {
        let body = json!({ "content": "茶".repeat(4000), "client_id": format!("n-{number}") });
        assert_eq!(site.message(1, &body).await.status, 201, "{number}");
    }
}

#[tokio::test]
async fn an_invalid_message_of_a_site_is_refused() {
    let site = site().await;
    let (amy, bob) = (site.join("amy").await, site.join("bob").await);
    let direct = site.write(&amy, &bob, "between us").await;
    let messages = site.commits.messages().len();
    let check = async |room: u64, body: Value, expect: (u16, &str, Option<&str>)| {
        assert_eq!(site.message(room, &body).await.error(), expect, "{room} {body:.200}");
    };
    check(1, json!({ "content": " ", "client_id": "1" }), (422, "empty", Some("content"))).await;
    let long = json!({ "content": "茶".repeat(4001), "client_id": "1" });
    check(1, long, (422, "too_long", Some("content"))).await;
    check(1, json!({ "client_id": "1" }), (422, "bad_request", Some("content"))).await;
    check(1, json!({ "content": "hi" }), (422, "bad_request", Some("client_id"))).await;
    check(1, json!({ "content": "hi", "client_id": "" }), (422, "bad_request", Some("client_id"))).await;
    let long_id = json!({ "content": "hi", "client_id": "x".repeat(65) });
    check(1, long_id, (422, "bad_request", Some("client_id"))).await;
    check(1, json!({ "content": "hi", "client_id": "1", "as": 999 }), (422, "bad_request", Some("as"))).await;
    check(1, json!({ "content": "hi", "client_id": "1", "as": "amy" }), (422, "bad_request", Some("as"))).await;
    check(999, json!({ "content": "hi", "client_id": "1" }), (404, "not_found", None)).await;
    check(999, json!({ "content": "hi", "client_id": "1", "as": amy.id }), (404, "not_found", None)).await;
    let notice = json!({ "content": "hi", "client_id": "1" });
    check(direct, notice, (403, "forbidden", None)).await;
    site.app.store.set_muted("amy", Some(Timestamp(i64::MAX / 2)), site.app.now()).await.unwrap();
    check(1, json!({ "content": "hi", "client_id": "1", "as": amy.id }), (403, "muted", None)).await;
    site.app.store.set_disabled("bob", true).await.unwrap();
    check(1, json!({ "content": "hi", "client_id": "1", "as": bob.id }), (403, "forbidden", None)).await;
    assert_eq!(site.call("POST", "/api/server/rooms/x/messages", "{}").await.error().0, 400);
    assert_eq!(site.commits.messages().len(), messages);
}

#[tokio::test]
async fn a_user_posts_to_public_and_own_rooms_and_a_notice_goes_to_all_of_them() {
    let site = site().await;
    let (amy, bob) = (site.join("amy").await, site.join("bob").await);
    let room = async |kind, name: &str| {
        let (owner, now) = (UserId(amy.id), site.app.now());
        let new = NewRoom { owner, kind, name: name.to_owned(), title: String::new(), now, requester: None };
        site.app.store.create_room(new).await.unwrap().id
    };
    let open = room(teahouse_core::RoomKind::Public, "garden").await;
    let closed = room(teahouse_core::RoomKind::Private, "kitchen").await;
    let say = async |room: RoomId, client_id: &str, speaker: Option<u64>| {
        let mut body = json!({ "content": "hi", "client_id": client_id });
        if let Some(speaker) = speaker {
            body["as"] = json!(speaker);
        }
        site.message(room.0, &body).await.status
    };
    assert_eq!(say(open, "1", Some(bob.id)).await, 201);
    assert!(site.app.store.member_ids(open).await.unwrap().contains(&UserId(bob.id)), "the sender has joined the room");
    assert_eq!(say(closed, "2", Some(bob.id)).await, 403);
    assert_eq!(say(closed, "2", Some(amy.id)).await, 201);
    let invite = MembershipChange {
        room: closed,
        actor: UserId(amy.id),
        what: Membership::Invite(UserId(bob.id)),
        now: site.app.now(),
        requester: None,
    };
    site.app.store.change_membership(invite).await.unwrap();
    site.app.store.accept(closed, UserId(bob.id), site.app.now(), None).await.unwrap();
    assert_eq!(say(closed, "2", Some(bob.id)).await, 201, "keys are separate for each sender");
    for (room, id) in [(open, "n1"), (closed, "n2")] {
        assert_eq!(say(room, id, None).await, 201);
        let members = site.app.store.member_ids(room).await.unwrap();
        assert_eq!(members, [UserId(amy.id), UserId(bob.id)], "a notice does not join the room");
    }
}

/// A site that manages its own accounts.
async fn own_accounts() -> Site {
    site_with(&[("TEAHOUSE_AUTH__JWT_SECRET", "the secret of the site")]).await
}

#[tokio::test]
async fn a_site_puts_one_or_many_users_and_their_texts_are_made_inert() {
    let site = own_accounts().await;
    let one = site.posts("/api/server/users", &json!({ "id": 7, "username": "amy", "email": "amy@example.org" })).await;
    assert_eq!(one.status, 200);
    let amy =
        |nickname: &str, avatar: &str| json!({ "id": 7, "username": "amy", "nickname": nickname, "avatar": avatar });
    assert_eq!(one.body["data"], json!({ "users": [amy("amy", "")] }));
    let many = json!([
        { "id": "7", "username": "amy", "nickname": "\u{202e}Amy\n", "avatar": "/a.png", "bio": "tea", "x": 1 },
        { "subject": "auth0|bob", "username": "Bob the builder" },
        { "subject": "8", "username": "may" },
    ]);
    let answer = site.posts("/api/server/users", &many).await;
    let users = answer.data("users").as_array().unwrap().clone();
    assert_eq!(users[0], amy("Amy", "/a.png"));
    assert!(users[1]["id"].as_u64().unwrap() >= 1 << 40, "a subject gets an id of the server's range");
    assert_eq!((&users[2]["id"], &users[2]["username"]), (&json!(8), &json!("may")), "a numeric subject is an id");
    let known = site.app.store.user(UserId(7)).await.unwrap().unwrap();
    assert_eq!((known.email.as_deref(), known.bio.as_str()), (Some("amy@example.org"), "tea"));
    // Absent fields stay unchanged.
    site.posts("/api/server/users", &json!({ "id": 7, "username": "amy" })).await;
    let kept = site.app.store.user(UserId(7)).await.unwrap().unwrap();
    assert_eq!((kept.profile.nickname.as_str(), kept.bio.as_str()), ("Amy", "tea"));
    assert_eq!(site.posts("/api/server/users", &json!([])).await.body["data"], json!({ "users": [] }));
}

#[tokio::test]
async fn an_invalid_user_is_refused_with_its_index_and_none_is_created() {
    let site = own_accounts().await;
    let check = async |body: Value, expect: (u16, &str, Option<&str>)| {
        let answer = site.posts("/api/server/users", &body).await;
        assert_eq!(answer.error(), expect, "{body:.200}");
    };
    let wrong = |field| (422, "bad_request", Some(field));
    check(json!({ "username": "amy" }), wrong("id")).await;
    check(json!({ "id": 7 }), wrong("username")).await;
    check(json!({ "id": 7, "subject": "7", "username": "amy" }), wrong("subject")).await;
    for id in [json!(0), json!("07"), json!("amy"), json!(1_u64 << 40), json!(-7), json!(7.5)] {
        check(json!({ "id": id, "username": "amy" }), wrong("id")).await;
    }
    for subject in ["", " ", "teahouse:system", &"s".repeat(256)] {
        check(json!({ "subject": subject, "username": "amy" }), wrong("subject")).await;
    }
    for username in ["", "\u{202e} ", &"a".repeat(51)] {
        check(json!({ "id": 7, "username": username }), wrong("username")).await;
    }
    check(json!({ "id": 7, "username": "amy", "email": "amy" }), wrong("email")).await;
    check(json!({ "id": 7, "username": "amy", "avatar": "javascript:alert(1)" }), wrong("avatar")).await;
    let long = json!({ "id": 7, "username": "amy", "nickname": "a".repeat(51) });
    check(long, (422, "too_long", Some("nickname"))).await;
    let long = json!({ "id": 7, "username": "amy", "bio": "a".repeat(501) });
    check(long, (422, "too_long", Some("bio"))).await;
    let good = json!({ "id": 7, "username": "amy" });
    check(json!([good, { "id": 8, "username": "" }]), wrong("[1].username")).await;
    check(json!([good, { "id": 8 }]), wrong("[1].username")).await;
    check(json!([good, { "username": "bob" }]), wrong("[1].id")).await;
    check(json!(vec![good; 1001]), wrong("users")).await;
    check(json!(7), (400, "bad_request", None)).await;
    assert_eq!(site.app.store.user(UserId(7)).await.unwrap(), None, "all or none");
}

#[tokio::test]
async fn a_thousand_users_with_long_names_fit_into_one_request() {
    let site = own_accounts().await;
    let user = |id: u64| {
        let avatar = format!("https://example.org/{}", "a".repeat(2000));
        json!({ "id": id, "username": format!("user{id}"), "avatar": avatar, "bio": "茶".repeat(500) })
    };
    let users: Vec<_> = (1..=1000).map(user).collect();
    let answer = site.posts("/api/server/users", &json!(users)).await;
    assert_eq!(answer.data("users").as_array().unwrap().len(), 1000);
}

#[tokio::test]
async fn a_server_without_site_tokens_accepts_no_users_and_reports_why() {
    let site = site().await;
    let answer = site.posts("/api/server/users", &json!({ "id": 7, "username": "amy" })).await;
    assert_eq!(answer.error(), (403, "forbidden", None));
    assert!(answer.body["message"].as_str().unwrap().contains("auth.jwt_secret"), "{answer:?}");
}

#[tokio::test]
async fn disconnecting_sends_the_reason_and_does_not_disable_the_user() {
    let site = site().await;
    let amy = site.join("amy").await;
    let check = async |body: Value, expect: (u16, &str, Option<&str>)| {
        assert_eq!(site.posts("/api/server/disconnect", &body).await.error(), expect, "{body}");
    };
    check(json!({}), (422, "bad_request", Some("user_id"))).await;
    check(json!({ "user_id": "7" }), (422, "bad_request", Some("user_id"))).await;
    check(json!({ "user_id": 999 }), (404, "not_found", None)).await;
    let long = json!({ "user_id": amy.id, "reason": "茶".repeat(34) });
    check(long, (422, "too_long", Some("reason"))).await;
    assert_eq!(*site.live.disconnected.lock().unwrap(), []);
    for (reason, expect) in [
        (json!("  be\u{202e} kind\n"), "be kind"),
        (json!("茶".repeat(33)), &*"茶".repeat(33)),
        (json!(null), "disconnected by the site"),
    ] {
        let body = json!({ "user_id": amy.id, "reason": reason });
        assert_eq!(site.posts("/api/server/disconnect", &body).await.body["data"], json!({ "ok": true }));
        let last = site.live.disconnected.lock().unwrap().last().cloned();
        assert_eq!(last, Some((UserId(amy.id), expect.to_owned())));
    }
    assert_eq!(site.get("/api/auth/me", Some(&amy)).await.status, 200);
}

#[tokio::test]
async fn presence_lists_the_requested_users_only() {
    let site = site().await;
    *site.live.online.lock().unwrap() = vec![UserId(7), UserId(9), UserId(11)];
    let ask = async |ids: &str| site.call("GET", &format!("/api/server/presence?{ids}"), "").await;
    for (ids, expect) in [
        ("user_ids=9,8,7,9", json!([7, 9])),
        ("user_ids=%209%20,%2011", json!([9, 11])),
        ("user_ids=5", json!([])),
        ("user_ids=", json!([])),
    ] {
        assert_eq!(ask(ids).await.body["data"], json!({ "online": expect }), "{ids}");
    }
    for ids in ["", "user_ids=x", "user_ids=1,,2", "user_ids=-1", "user_ids=9007199254740992"] {
        assert_eq!(ask(ids).await.error(), (400, "bad_request", Some("user_ids")), "{ids}");
    }
    let many = |count: usize| format!("user_ids={}", vec!["7"; count].join(","));
    assert_eq!(ask(&many(1000)).await.body["data"], json!({ "online": [7] }));
    assert_eq!(ask(&many(1001)).await.error(), (400, "bad_request", Some("user_ids")));
}

#[tokio::test]
async fn a_backend_gets_messages_in_its_language() {
    let site = site().await;
    let request = request("POST", "/api/server/publish", None)
        .header("authorization", format!("ApiKey {}", site.key))
        .header("accept-language", "zh");
    let body = json!({ "to": { "all": true }, "type": "message" });
    let answer = site.ask(request.body(body.to_string().into()).unwrap()).await;
    assert_eq!(answer.body["message"], "“message”是服务器自身的请求或事件名称，请换一个名称。");
}
