//! What one is told of other people: their names, as they are now, and nothing that is nobody's business.

use reqwest::Method;
use serde_json::{Value, json};

use super::{house, house_with, private_room};
use crate::stage::schema::speaks_of_an_address;
use crate::stage::{Wire, handshake};

#[tokio::test]
async fn h16_a_new_name_or_picture_shows_at_once_on_every_device() {
    let (_server, [amy, bea]) = house(["amy", "bea"]);
    let (mut hers, mut his, mut tablet) = (amy.device().await, bea.device().await, bea.device().await);
    let (_, direct) = amy.writes(&bea, "hi").await;
    let said = hers.says(1, "hello").await["id"].as_u64().unwrap();
    for device in [&mut his, &mut tablet] {
        device.until_version(1, 1).await;
        device.until_version(direct, 1).await;
    }
    let profile = json!({"avatar": "https://example.com/a.png", "profile": {"nickname": "Amélie"}});
    amy.put("/api/auth/me", profile).await.expect(200);
    for device in [&mut hers, &mut his, &mut tablet] {
        device.until_view("the name", |view| view.users.contains_key(&amy.id)).await;
        let expect =
            json!({"id": amy.id, "username": "amy", "nickname": "Amélie", "avatar": "https://example.com/a.png"});
        assert_eq!(device.view.users[&amy.id], expect);
        assert_eq!(device.view.message(said).unwrap()["sender"], expect);
    }
    assert_eq!(his.view.room(direct).entry["peer"]["nickname"], "Amélie");
    // And what is said from now on, and what is loaded, has the new name.
    hers.says(1, "it is me").await;
    his.until_version(1, 2).await;
    assert!(his.view.room(1).messages.values().all(|message| message["sender"]["nickname"] == "Amélie"));
    let page = tablet.does("history", json!({"room": 1})).await;
    assert_eq!(page["messages"][0]["sender"]["nickname"], "Amélie");
    let welcome = his.comes_back().await;
    assert_eq!(welcome["rooms"][1]["peer"]["nickname"], "Amélie");
    // A name takes no version.
    assert_eq!(his.view.room(1).version, 2);
}

/// Every device looks for addresses in whatever comes to it; here there is something to be found.
#[tokio::test]
async fn h11_nothing_that_other_users_get_contains_an_ip_or_email_address() {
    let (mut server, [amy, bea]) = house_with(&[("TEAHOUSE_SERVER__TRUSTED_PROXIES", "127.0.0.1")], ["amy", "bea"]);
    let from = "X-Forwarded-For: 203.0.113.77\r\n";
    let mut wire = Wire::connect(server.address()).await;
    let offer = format!("Sec-WebSocket-Protocol: teahouse.v1, bearer.{}\r\n{from}", amy.token);
    wire.write(handshake("", &offer).replace("?token=", "").as_bytes()).await;
    wire.read_head().await;
    let mut hers = bea.device().await;
    let mut owner = amy.device().await;
    let room = private_room(&mut owner, "tea", &[&bea]).await;
    let direct = owner.does("open", json!({"user": bea.id})).await["id"].clone();
    let mut frames = vec![json!({"type": "hello", "data": {}})];
    for room in [json!(1), json!(room), direct] {
        let say = json!({"room": room, "content": "hello", "client_id": format!("said in {room}")});
        frames.push(json!({"type": "message", "data": say}));
        frames.push(json!({"type": "typing", "data": {"room": room, "on": true}}));
        frames.push(json!({"type": "read", "data": {"room": room, "seq": 1}}));
    }
    frames.push(json!({"type": "react", "data": {"message": 1, "emoji": "🍵", "on": true}}));
    frames.push(json!({"type": "edit", "data": {"message": 1, "content": "hello!"}}));
    frames.push(json!({"type": "delete", "data": {"message": 1}}));
    for frame in frames {
        wire.send_text(&frame.to_string()).await;
    }
    let by_http = [("X-Forwarded-For", "203.0.113.77")];
    let body = Some(json!({"content": "by HTTP"}).to_string());
    amy.ask(Method::POST, "/api/v1/rooms/1/messages", &by_http, body).await.expect(201);
    amy.put("/api/auth/me", json!({"profile": {"nickname": "Amélie"}})).await.expect(200);
    hers.until_view("all of it", |view| {
        view.rooms.len() == 3
            && view.rooms.values().map(|room| room.last_seq).sum::<u64>() == 4
            && !view.users.is_empty()
    })
    .await;
    for room in hers.view.rooms.keys().copied().collect::<Vec<_>>() {
        hers.loads_all_of(room).await;
        hers.does("members", json!({"room": room})).await;
    }
    hers.does("users", json!({"query": "a"})).await;
    hers.shows_the_same_as_a_fresh_load().await;
    for path in [
        "/api/v1/rooms",
        "/api/v1/rooms/1",
        "/api/v1/rooms/1/messages",
        "/api/v1/rooms/1/changes?since=0",
        "/api/v1/rooms/1/members",
        "/api/v1/rooms/browse",
        "/api/v1/users?query=a",
    ] {
        let answer = bea.get(path).await.expect(200);
        assert!(!speaks_of_an_address(&answer.text) && !answer.text.contains("@example.org"), "{}", answer.text);
    }
    // It is kept, for moderators.
    server.stop().await;
    let kept = rusqlite::Connection::open(server.data().join("teahouse.db")).unwrap();
    let sql = "SELECT count(*) FROM messages WHERE ip = '203.0.113.77'";
    assert_eq!(kept.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 4);
}

#[tokio::test]
async fn users_are_found_by_the_prefix_of_their_names() {
    let (_server, [amy, bea, ann]) = house(["amy", "bea", "ann"]);
    let mut device = amy.device().await;
    for person in [&bea, &ann] {
        person.get("/api/auth/me").await.expect(200);
    }
    bea.put("/api/auth/me", json!({"profile": {"nickname": "Annabel"}})).await.expect(200);
    let mut found = async |query: &str| -> Vec<Value> {
        let page = device.does("users", json!({"query": query})).await;
        page["users"].as_array().unwrap().iter().map(|user| user["username"].clone()).collect()
    };
    assert_eq!(found("a").await, ["amy", "bea", "ann"]);
    assert_eq!(found("ANN").await, ["bea", "ann"]);
    assert_eq!(found("nn").await, [""; 0]);
    assert_eq!(found("_").await, [""; 0]);
}
