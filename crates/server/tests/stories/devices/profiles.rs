//! What users learn about others: the current profile, and no address.

use reqwest::Method;
use serde_json::{Value, json};

use super::{private_room, server_and_users, server_with};
use crate::fixture::schema::contains_ip_address;
use crate::fixture::{RawSocket, request_head};

#[tokio::test]
async fn h16_a_new_name_or_picture_shows_at_once_on_every_device() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his, mut tablet) = (amy.device().await, bea.device().await, bea.device().await);
    let (_, direct) = amy.send_private(&bea, "hi").await;
    let said = hers.say(1, "hello").await["id"].as_u64().unwrap();
    for device in [&mut his, &mut tablet] {
        device.wait_for_version(1, 1).await;
        device.wait_for_version(direct, 1).await;
    }
    let profile = json!({"avatar": "https://example.com/a.png", "profile": {"nickname": "Amélie"}});
    amy.put("/api/auth/me", profile).await.expect(200);
    for device in [&mut hers, &mut his, &mut tablet] {
        device.wait_for_view("the name", |view| view.users.contains_key(&amy.id)).await;
        let expect =
            json!({"id": amy.id, "username": "amy", "nickname": "Amélie", "avatar": "https://example.com/a.png"});
        assert_eq!(device.view.users[&amy.id], expect);
        assert_eq!(device.view.message(said).unwrap()["sender"], expect);
    }
    assert_eq!(his.view.room(direct).entry["peer"]["nickname"], "Amélie");
    // New messages and loaded history have the new name.
    hers.say(1, "it is me").await;
    his.wait_for_version(1, 2).await;
    assert!(his.view.room(1).messages.values().all(|message| message["sender"]["nickname"] == "Amélie"));
    let page = tablet.request("history", json!({"room": 1})).await;
    assert_eq!(page["messages"][0]["sender"]["nickname"], "Amélie");
    let welcome = his.reconnect().await;
    assert_eq!(welcome["rooms"][1]["peer"]["nickname"], "Amélie");
    // A new name takes no version.
    assert_eq!(his.view.room(1).version, 2);
}

/// Every device checks all envelopes for addresses. Here the server knows some that it must not send.
#[tokio::test]
async fn h11_nothing_that_other_users_get_contains_an_ip_or_email_address() {
    let (mut server, [amy, bea]) = server_with(&[("TEAHOUSE_SERVER__TRUSTED_PROXIES", "127.0.0.1")], ["amy", "bea"]);
    let from = "X-Forwarded-For: 203.0.113.77\r\n";
    let mut socket = RawSocket::connect(server.address()).await;
    let offer = format!("Sec-WebSocket-Protocol: teahouse.v1, bearer.{}\r\n{from}", amy.token);
    socket.write(request_head("", &offer).as_bytes()).await;
    socket.read_head().await;
    let mut hers = bea.device().await;
    let mut owner = amy.device().await;
    let room = private_room(&mut owner, "tea", &[&bea]).await;
    let direct = owner.request("open", json!({"user": bea.id})).await["id"].clone();
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
        socket.send_text(&frame.to_string()).await;
    }
    let by_http = [("X-Forwarded-For", "203.0.113.77")];
    let body = Some(json!({"content": "by HTTP"}).to_string());
    amy.request(Method::POST, "/api/v1/rooms/1/messages", &by_http, body).await.expect(201);
    amy.put("/api/auth/me", json!({"profile": {"nickname": "Amélie"}})).await.expect(200);
    hers.wait_for_view("all of it", |view| {
        view.rooms.len() == 3
            && view.rooms.values().map(|room| room.last_seq).sum::<u64>() == 4
            && !view.users.is_empty()
    })
    .await;
    for room in hers.view.rooms.keys().copied().collect::<Vec<_>>() {
        hers.load_all(room).await;
        hers.request("members", json!({"room": room})).await;
    }
    hers.request("users", json!({"query": "a"})).await;
    hers.assert_same_as_fresh_load().await;
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
        assert!(!contains_ip_address(&answer.text) && !answer.text.contains("@example.org"), "{}", answer.text);
    }
    // The server stores it for moderators.
    server.stop().await;
    let kept = rusqlite::Connection::open(server.data().join("teahouse.db")).unwrap();
    let sql = "SELECT count(*) FROM messages WHERE ip = '203.0.113.77'";
    assert_eq!(kept.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 4);
}

#[tokio::test]
async fn users_are_found_by_the_prefix_of_their_names() {
    let (_server, [amy, bea, ann]) = server_and_users(["amy", "bea", "ann"]);
    let mut device = amy.device().await;
    for user in [&bea, &ann] {
        user.get("/api/auth/me").await.expect(200);
    }
    bea.put("/api/auth/me", json!({"profile": {"nickname": "Annabel"}})).await.expect(200);
    let mut found = async |query: &str| -> Vec<Value> {
        let page = device.request("users", json!({"query": query})).await;
        page["users"].as_array().unwrap().iter().map(|user| user["username"].clone()).collect()
    };
    assert_eq!(found("a").await, ["amy", "bea", "ann"]);
    assert_eq!(found("ANN").await, ["bea", "ann"]);
    assert_eq!(found("nn").await, [""; 0]);
    assert_eq!(found("_").await, [""; 0]);
}
