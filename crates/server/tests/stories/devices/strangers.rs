//! Strangers: a user is a stranger to another one if they share no private room and the other one has never written to
//! them. Invites from strangers wait, and their direct rooms are requests, until they are answered.

use serde_json::{Value, json};

use super::{ids, server_and_users};
use crate::fixture::{DEVICES, Device, Server, User};

async fn create_room(owner: &mut Device, kind: &str, name: &str) -> u64 {
    owner.request("create", json!({"kind": kind, "name": name})).await["id"].as_u64().unwrap()
}

async fn welcome_of(user: &User) -> Value {
    let mut device = Device::new(user);
    device.open().await;
    device.say_hello().await
}

#[tokio::test]
async fn a_strangers_invite_waits_until_it_is_accepted() {
    let (_server, [amy, eve]) = server_and_users(["amy", "eve"]);
    let (mut hers, mut evil) = (amy.device().await, eve.device().await);
    for kind in ["public", "private"] {
        let room = create_room(&mut evil, kind, kind).await;
        let answer = evil.request("invite", json!({"room": room, "user": amy.id})).await;
        assert_eq!((&answer["pending"], &answer["members"]), (&json!(true), &json!(1)));
        let invited = hers.next_of("invited").await;
        let card = json!({"id": room, "kind": kind, "name": kind, "title": "", "members": 1});
        assert_eq!((&invited["room"], &invited["inviter"]["id"]), (&card, &json!(eve.id)));
        let welcome = welcome_of(&amy).await;
        assert_eq!((ids(&welcome["rooms"]), &welcome["invites"]), (vec![1], &json!([invited])));
        assert_eq!(amy.get("/api/v1/rooms").await.expect(200).data()["invites"], json!([invited]));

        let entry = hers.request("accept", json!({"room": room})).await;
        assert_eq!((&entry["id"], &entry["members"], entry.get("pending")), (&json!(room), &json!(2), None));
        evil.say(room, "welcome").await;
        assert_eq!(hers.next_of("message").await["room"], json!(room));
        assert_eq!(welcome_of(&amy).await.get("invites"), None);
        hers.request("leave", json!({"room": room})).await;
    }
    hers.assert_same_as_fresh_load().await;
    evil.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn a_declined_invite_is_gone_on_all_devices_and_stays_so() {
    let (_server, [amy, eve, ann]) = server_and_users(["amy", "eve", "ann"]);
    let (mut phone, mut laptop, mut evil) = (amy.device().await, amy.device().await, eve.device().await);
    let room = create_room(&mut evil, "private", "trap").await;
    let first = evil.request("invite", json!({"room": room, "user": amy.id})).await;
    laptop.next_of("invited").await;
    assert_eq!(phone.request("decline", json!({"room": room})).await, json!({}));
    assert_eq!(laptop.next_of("removed").await["room"], json!(room));
    phone.expect_error("accept", json!({"room": room}), "not_found").await;
    assert_eq!(evil.request("invite", json!({"room": room, "user": amy.id})).await, first, "it tells nobody");
    let received = laptop.read_to_marker(&mut evil, 1).await;
    assert!(received.iter().all(|one| one["type"] != "invited"), "{received:?}");
    assert_eq!(welcome_of(&amy).await.get("invites"), None);
    // Nobody learns of rooms by answering invites that they do not have.
    let mut other = ann.device().await;
    for kind in ["accept", "decline"] {
        let nowhere = other.expect_error(kind, json!({"room": 999}), "not_found").await;
        assert_eq!(other.expect_error(kind, json!({"room": room}), "not_found").await, nowhere);
        let path = format!("/api/v1/rooms/{room}/{kind}");
        ann.post(&path, json!({})).await.expect_error(404, "not_found");
    }
}

#[tokio::test]
async fn a_strangers_direct_room_is_a_request_until_it_is_answered() {
    let (_server, [amy, eve, ann]) = server_and_users(["amy", "eve", "ann"]);
    let (mut hers, mut evil) = (amy.device().await, eve.device().await);
    let room = evil.request("open", json!({"user": amy.id})).await["id"].as_u64().unwrap();
    evil.say(room, "buy tea").await;
    let entry = hers.next_of("room").await;
    assert_eq!((&entry["id"], &entry["request"]), (&json!(room), &json!(true)));
    assert_eq!(hers.next_of("message").await["content"], "buy tea");
    assert_eq!(evil.view.room(room).entry.get("request"), None, "it is none for its author");
    // Writing back accepts.
    hers.say(room, "no, thanks").await;
    hers.wait_for_view("the answer", |view| view.room(room).entry.get("request").is_none()).await;
    let (_, other) = ann.send_private(&amy, "hello").await;
    hers.wait_for_view("the request", |view| view.find_room(other).is_some()).await;
    assert_eq!(hers.request("accept", json!({"room": other})).await.get("request"), None);
    assert!(welcome_of(&amy).await["rooms"].as_array().unwrap().iter().all(|entry| entry.get("request").is_none()));
    // They are no strangers any more.
    let tea = create_room(&mut evil, "private", "tea").await;
    assert_eq!(evil.request("invite", json!({"room": tea, "user": amy.id})).await["members"], 2);
    hers.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn a_declined_request_is_silent_and_its_author_does_not_learn_of_it() {
    let (_server, [amy, eve]) = server_and_users(["amy", "eve"]);
    let (mut phone, mut laptop, mut evil) = (amy.device().await, amy.device().await, eve.device().await);
    let (_, room) = eve.send_private(&amy, "buy tea").await;
    laptop.wait_for_view("the request", |view| view.find_room(room).is_some()).await;
    evil.request("presence", json!({"room": room, "on": true})).await;
    amy.post(&format!("/api/v1/rooms/{room}/decline"), json!({})).await.expect(200);
    assert_eq!(laptop.next_of("removed").await["room"], json!(room));
    evil.say(room, "cheap tea").await;
    evil.request("typing", json!({"room": room, "on": true})).await;
    let received = laptop.read_to_marker(&mut evil, 1).await;
    assert!(received.iter().all(|one| one["data"]["room"] != room && one["data"]["id"] != room), "{received:?}");
    let welcome = welcome_of(&amy).await;
    assert_eq!((ids(&welcome["rooms"]), welcome.get("more_directs")), (vec![1], None));
    assert_eq!(evil.view.room(room).version, 2);
    evil.assert_same_as_fresh_load().await;
    // Its addressee can come back to it.
    let entry = phone.request("open", json!({"user": eve.id})).await;
    assert_eq!((&entry["id"], &entry["request"], &entry["last_seq"]), (&json!(room), &json!(true), &json!(2)));
    evil.say(room, "still cheap").await;
    phone.wait_for_version(room, 3).await;
    phone.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn new_strangers_are_twenty_a_day_also_after_a_restart() {
    let mut server = Server::of_site(DEVICES);
    let users: Vec<User> =
        (0..23).map(|number| User::of_site(&server, 100 + number, &format!("user{number}"))).collect();
    for user in &users {
        user.get("/api/auth/me").await.expect(200);
    }
    let eve = &users[0];
    let room = eve.post("/api/v1/rooms", json!({"kind": "private", "name": "trap"})).await.expect(201).data();
    let invite = |user: &User| format!("/api/v1/rooms/{}/members/{}", room["id"], user.id);
    for user in &users[1..20] {
        assert_eq!(eve.put(&invite(user), json!({})).await.expect(200).data()["pending"], true);
    }
    eve.post(&format!("/api/v1/users/{}/direct", users[20].id), json!({})).await.expect(200);
    // The same again is nothing new.
    assert_eq!(eve.put(&invite(&users[1]), json!({})).await.expect(200).data()["pending"], true);
    eve.send_private(&users[20], "hi").await;
    server.kill();
    server.restart();
    let refused = eve.put(&invite(&users[21]), json!({})).await;
    refused.expect_error(429, "rate_limited");
    eve.post(&format!("/api/v1/users/{}/direct", users[22].id), json!({})).await.expect_error(429, "rate_limited");
    let private = json!({"receiver_id": users[22].id, "content": "hi"});
    eve.post("/api/messages/send", private).await.expect_error(429, "rate_limited");
    // The user whom the other one wrote to is no stranger.
    users[22].send_private(eve, "hi").await;
    eve.send_private(&users[22], "hi").await;
}
