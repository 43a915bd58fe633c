//! Rooms over HTTP: creating, finding, joining, leaving, and permissions.

use serde_json::{Value, json};
use teahouse_core::{UserId, UserRole};

use super::fixture::*;

/// Removes the rate limits.
fn busy() -> Fixture {
    fixture_with(&[("TEAHOUSE_LIMITS__ENVELOPES_BURST", "1000"), ("TEAHOUSE_LIMITS__SENDS_BURST", "1000")])
}

impl Fixture {
    /// Creates a room and returns its id.
    async fn make_room(&self, who: &TestUser, kind: &str, name: &str) -> u64 {
        let answer = self.post("/api/v1/rooms", Some(who), json!({ "kind": kind, "name": name })).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.data("id").as_u64().unwrap()
    }

    async fn v1(&self, method: &str, path: &str, who: &TestUser, body: Value) -> TestResponse {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask(request(method, &format!("/api/v1{path}"), Some(who)).body(body.into()).unwrap()).await
    }
}

fn ids(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_room_is_created_found_joined_and_left() {
    let fixture = busy();
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    let body = json!({ "kind": "public", "name": " Tea\u{202e} ", "title": "All about tea" });
    let made = fixture.post("/api/v1/rooms", Some(&amy), body).await;
    assert_eq!(made.status, 201);
    let room = made.data("id").as_u64().unwrap();
    for (field, expect) in [
        ("kind", json!("public")),
        ("name", json!("Tea")),
        ("title", json!("All about tea")),
        ("members", json!(1)),
        ("role", json!("owner")),
        ("unread", json!(0)),
        ("muted", json!(false)),
    ] {
        assert_eq!(made.data(field), &expect, "{field}");
    }
    let again = fixture.post("/api/v1/rooms", Some(&bob), json!({ "kind": "private", "name": "TEA" })).await;
    assert_eq!(again.error(), (409, "conflict", Some("name")));

    let found = fixture.v1("GET", "/rooms/browse?query=tea&_t=1", &bob, Value::Null).await;
    let card = json!({ "id": room, "name": "Tea", "title": "All about tea", "members": 1 });
    assert_eq!(found.body["data"], json!({ "rooms": [card], "next": null }));
    assert_eq!(fixture.v1("GET", "/rooms/browse?query=tea", &amy, Value::Null).await.data("rooms"), &json!([]));

    let joined = fixture.v1("POST", &format!("/rooms/{room}/join"), &bob, Value::Null).await;
    assert_eq!((joined.data("members"), joined.data("role")), (&json!(2), &json!("member")));
    let own = fixture.v1("GET", "/rooms", &bob, Value::Null).await;
    assert_eq!(ids(own.data("rooms")), [1, room]);
    assert_eq!(own.data("rooms")[1], joined.body["data"]);
    let one = fixture.v1("GET", &format!("/rooms/{room}"), &bob, Value::Null).await;
    assert_eq!(one.body["data"], joined.body["data"]);

    assert_eq!(fixture.v1("POST", &format!("/rooms/{room}/leave"), &bob, Value::Null).await.status, 200);
    assert_eq!(ids(fixture.v1("GET", "/rooms", &bob, Value::Null).await.data("rooms")), [1]);
    assert_eq!(fixture.v1("POST", "/rooms/1/leave", &bob, Value::Null).await.error().0, 403, "nobody leaves the lobby");
}

#[tokio::test]
async fn a_private_room_does_not_exist_for_users_outside() {
    let fixture = busy();
    let (amy, bob, eve) = (fixture.join("amy").await, fixture.join("bob").await, fixture.join("eve").await);
    let room = fixture.make_room(&amy, "private", "secret").await;
    let said = fixture.v1("POST", &format!("/rooms/{room}/messages"), &amy, json!({ "content": "psst" })).await;
    let message = said.data("id").as_u64().unwrap();
    for (method, path, body) in [
        ("GET", format!("/rooms/{room}"), Value::Null),
        ("PATCH", format!("/rooms/{room}"), json!({ "title": "x" })),
        ("POST", format!("/rooms/{room}/join"), Value::Null),
        ("GET", format!("/rooms/{room}/members"), Value::Null),
        ("PUT", format!("/rooms/{room}/members/{}", eve.id), Value::Null),
        ("DELETE", format!("/rooms/{room}/members/{}", amy.id), Value::Null),
        ("PUT", format!("/rooms/{room}/members/{}/role", eve.id), json!({ "role": "owner" })),
        ("GET", format!("/rooms/{room}/messages"), Value::Null),
        ("GET", format!("/rooms/{room}/changes?since=0"), Value::Null),
        ("GET", format!("/rooms/{room}/presence"), Value::Null),
        ("POST", format!("/rooms/{room}/read"), json!({ "seq": 1 })),
        ("PATCH", format!("/messages/{message}"), json!({ "content": "x" })),
        ("DELETE", format!("/messages/{message}"), Value::Null),
        ("PUT", format!("/messages/{message}/reactions/%F0%9F%91%8D"), Value::Null),
    ] {
        let answer = fixture.v1(method, &path, &eve, body).await;
        assert_eq!((answer.status, answer.error().1), (404, "not_found"), "{method} {path}");
    }
    let browsed = fixture.v1("GET", "/rooms/browse", &eve, Value::Null).await;
    assert_eq!(browsed.data("rooms"), &json!([]));

    let invited = fixture.v1("PUT", &format!("/rooms/{room}/members/{}", bob.id), &amy, Value::Null).await;
    assert_eq!((invited.data("members"), invited.data("pending")), (&json!(1), &json!(true)));
    let accepted = fixture.v1("POST", &format!("/rooms/{room}/accept"), &bob, Value::Null).await;
    assert_eq!(accepted.data("members"), 2);
    let members = fixture.v1("GET", &format!("/rooms/{room}/members"), &bob, Value::Null).await;
    let member = |who: &TestUser, name: &str, role: &str| json!({ "id": who.id, "username": name, "nickname": name, "avatar": "", "role": role });
    assert_eq!(
        members.body["data"],
        json!({ "members": [member(&amy, "amy", "owner"), member(&bob, "bob", "member")], "next": null })
    );
    let page = fixture.v1("GET", &format!("/rooms/{room}/members?after={}", amy.id), &bob, Value::Null).await;
    assert_eq!(ids(page.data("members")), [bob.id]);
    let read = fixture.v1("GET", &format!("/rooms/{room}/messages"), &bob, Value::Null).await;
    assert_eq!(ids(read.data("messages")), [message]);
}

#[tokio::test]
async fn roles_decide_who_may_do_what() {
    let fixture = busy();
    let (amy, bob, eve) = (fixture.join("amy").await, fixture.join("bob").await, fixture.join("eve").await);
    let room = fixture.make_room(&amy, "public", "tea").await;
    for who in [&bob, &eve] {
        fixture.v1("POST", &format!("/rooms/{room}/join"), who, Value::Null).await;
    }
    let path = |who: &TestUser| format!("/rooms/{room}/members/{}", who.id);
    let role = |who: &TestUser| format!("{}/role", path(who));
    let moderator = json!({ "role": "moderator" });
    assert_eq!(fixture.v1("PUT", &role(&bob), &bob, moderator.clone()).await.error().1, "forbidden");
    assert_eq!(fixture.v1("DELETE", &path(&eve), &bob, Value::Null).await.error().1, "forbidden");
    assert_eq!(
        fixture.v1("PATCH", &format!("/rooms/{room}"), &bob, json!({ "title": "x" })).await.error().1,
        "forbidden"
    );
    assert_eq!(fixture.v1("PUT", &role(&bob), &amy, moderator).await.status, 200);
    assert_eq!(fixture.v1("GET", &format!("/rooms/{room}"), &bob, Value::Null).await.data("role"), "moderator");
    assert_eq!(fixture.v1("DELETE", &path(&amy), &bob, Value::Null).await.error().1, "forbidden");
    assert_eq!(fixture.v1("DELETE", &path(&eve), &bob, Value::Null).await.data("members"), 2);
    assert_eq!(
        fixture.v1("PUT", &path(&TestUser { id: 999, ..eve.clone() }), &amy, Value::Null).await.error().1,
        "not_found"
    );

    let renamed =
        fixture.v1("PATCH", &format!("/rooms/{room}"), &amy, json!({ "name": "Green tea", "title": null })).await;
    assert_eq!((renamed.data("name"), renamed.data("title")), (&json!("Green tea"), &json!("")));
    let titled = fixture.v1("PATCH", &format!("/rooms/{room}"), &amy, json!({ "title": "And black" })).await;
    assert_eq!((titled.data("name"), titled.data("title")), (&json!("Green tea"), &json!("And black")));
}

#[tokio::test]
async fn a_direct_room_is_opened_and_shows_the_peer() {
    let fixture = busy();
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    *fixture.live.online.lock().unwrap() = vec![UserId(bob.id)];
    let opened = fixture.v1("POST", &format!("/users/{}/direct", bob.id), &amy, Value::Null).await;
    assert_eq!(opened.status, 200);
    let peer =
        json!({ "id": bob.id, "username": "bob", "nickname": "bob", "avatar": "", "online": true, "read_seq": 0 });
    assert_eq!(
        (opened.data("kind"), opened.data("name"), opened.data("peer")),
        (&json!("direct"), &Value::Null, &peer)
    );
    // The room is a conversation of the classic dialect.
    assert_eq!(&json!(fixture.write(&bob, &amy, "hi").await), opened.data("id"));
    for (path, expect) in [
        (format!("/users/{}/direct", amy.id), (400, "bad_request", Some("user"))),
        ("/users/999/direct".to_owned(), (404, "not_found", None)),
    ] {
        assert_eq!(fixture.v1("POST", &path, &amy, Value::Null).await.error(), expect, "{path}");
    }
}

#[tokio::test]
async fn presence_lists_small_rooms_and_counts_the_lobby() {
    let fixture = busy();
    let (amy, bob, eve) = (fixture.join("amy").await, fixture.join("bob").await, fixture.join("eve").await);
    let room = fixture.make_room(&amy, "public", "tea").await;
    fixture.v1("POST", &format!("/rooms/{room}/join"), &bob, Value::Null).await;
    *fixture.live.online.lock().unwrap() = vec![UserId(bob.id), UserId(eve.id)];
    let there = fixture.v1("GET", &format!("/rooms/{room}/presence"), &amy, Value::Null).await;
    assert_eq!(there.body["data"], json!({ "online": [bob.id], "count": 1, "truncated": false }));
    let lobby = fixture.v1("GET", "/rooms/1/presence", &amy, Value::Null).await;
    assert_eq!(lobby.body["data"], json!({ "online": [], "count": 2, "truncated": true }));
    for path in ["presence", "changes?since=0"] {
        let outside = fixture.v1("GET", &format!("/rooms/{room}/{path}"), &eve, Value::Null).await;
        assert_eq!(outside.error(), (404, "not_found", None), "{path}");
    }
}

#[tokio::test]
async fn users_are_found_by_the_beginning_of_their_name() {
    let fixture = busy();
    let (amy, amos, bob) = (fixture.join("amy").await, fixture.join("Amos").await, fixture.join("bob").await);
    let find = async |query: &str| {
        let answer = fixture.v1("GET", &format!("/users{query}"), &bob, Value::Null).await;
        (ids(answer.data("users")), answer.data("next").clone())
    };
    assert_eq!(find("?query=AM").await, (vec![amy.id, amos.id], Value::Null));
    assert_eq!(find(&format!("?query=am&after={}", amy.id)).await, (vec![amos.id], Value::Null));
    assert_eq!(find("?query=%20amos").await.0, [amos.id]);
    assert!(find("?query=nobody").await.0.is_empty());
    assert_eq!(find("").await.0, [amy.id, amos.id, bob.id]);
    fixture.app.store.set_disabled("Amos", true).await.unwrap();
    assert_eq!(find("?query=am").await.0, [amy.id]);
}

#[tokio::test]
async fn a_moderator_of_the_server_moderates_public_rooms() {
    let fixture = busy();
    let (amy, may) = (fixture.join("amy").await, fixture.join("may").await);
    fixture.app.store.set_role("may", UserRole::Moderator).await.unwrap();
    let room = fixture.make_room(&amy, "public", "tea").await;
    let said = fixture.v1("POST", &format!("/rooms/{room}/messages"), &amy, json!({ "content": "rude" })).await;
    let deleted = fixture.v1("DELETE", &format!("/messages/{}", said.data("id")), &may, Value::Null).await;
    assert_eq!(deleted.status, 200);
    assert_eq!(deleted.fields(), ["version"]);
}
