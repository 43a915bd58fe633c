//! The list of direct rooms: the newest ones in `welcome`, the others by `directs`, and all of them live.

use serde_json::{Value, json};

use super::{ids, private_room, server_and_users};
use crate::fixture::{Device, Server, User};

/// The number of direct rooms that `welcome` lists.
const LISTED: usize = 200;

/// Conversations of a user with this many others, oldest first, with two unread messages in each.
async fn conversations(server: &Server, user: &User, count: usize) -> Vec<(User, u64)> {
    // The server knows a user of the site from the first request on.
    user.get("/api/auth/me").await.expect(200);
    let mut all = Vec::new();
    for number in 0..count {
        let peer = User::of_site(server, 1000 + number as u64, &format!("peer{number}"));
        let (_, room) = peer.send_private(user, "hi").await;
        user.send_private(&peer, "hello").await;
        peer.send_private(user, "how are you?").await;
        all.push((peer, room));
    }
    all
}

fn directs(list: &Value) -> Vec<u64> {
    let directs = list.as_array().unwrap().iter().filter(|entry| entry["kind"] == "direct");
    directs.map(|entry| entry["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_last_message_is_cut_and_a_window_of_messages_is_not() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let mut hers = amy.device().await;
    let room = private_room(&mut hers, "tea", &[&bea]).await;
    let (long, short) = ("茶".repeat(201), "茶".repeat(200));
    let (_, direct) = bea.send_private(&amy, &long).await;
    hers.say(room, &short).await;

    let mut fresh = Device::new(&amy);
    fresh.open().await;
    let welcome = fresh.say_hello().await;
    let entry = |id: u64| welcome["rooms"].as_array().unwrap().iter().find(|entry| entry["id"] == id).unwrap();
    let (cut, whole) = (&entry(direct)["last_message"], &entry(room)["last_message"]);
    assert_eq!((&cut["content"], &cut["cut"]), (&json!(short), &json!(true)));
    assert_eq!((&whole["content"], whole.get("cut")), (&json!(short), None));
    let page = fresh.request("history", json!({"room": direct})).await;
    assert_eq!((&page["messages"][0]["content"], page["messages"][0].get("cut")), (&json!(long), None));
    let classic = amy.get("/api/conversations").await.expect(200).data();
    assert_eq!(classic["conversations"][0]["last_message"], json!(long));
}

#[tokio::test]
async fn the_newest_direct_rooms_are_listed_and_the_others_are_paged() {
    let (server, [amy]) = server_and_users(["amy"]);
    let all = conversations(&server, &amy, LISTED + 5).await;
    let newest_first: Vec<u64> = all.iter().rev().map(|(_, room)| *room).collect();

    let mut device = Device::new(&amy);
    device.open().await;
    let welcome = device.say_hello().await;
    let over_http = amy.get("/api/v1/rooms").await.expect(200).data();
    for list in [&welcome, &over_http] {
        let mut listed = directs(&list["rooms"]);
        listed.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(listed, newest_first[..LISTED]);
        assert_eq!(list["more_directs"], json!({"rooms": 5, "unread": 10}));
    }
    let (mut paged, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = device.request("directs", json!({"after": after})).await;
        let path =
            after.as_str().map_or("/api/v1/directs".to_owned(), |after| format!("/api/v1/directs?after={after}"));
        assert_eq!(amy.get(&path).await.expect(200).data(), page);
        paged.extend(ids(&page["rooms"]));
        after = page["next"].clone();
        if after.is_null() {
            break;
        }
        assert_eq!(ids(&page["rooms"]).len(), 50);
    }
    assert_eq!(paged, newest_first);
    device.expect_error("directs", json!({"after": "x"}), "bad_request").await;
}

#[tokio::test]
async fn a_direct_room_that_is_not_listed_is_live() {
    let (server, [amy]) = server_and_users(["amy"]);
    let all = conversations(&server, &amy, LISTED + 5).await;
    let mut device = amy.device().await;
    let (peer, room) = &all[0];
    assert!(device.view.find_room(*room).is_none());
    peer.send_private(&amy, "do you remember me?").await;
    peer.send_private(&amy, "it has been a while").await;
    for expected in ["do you remember me?", "it has been a while"] {
        let before = device.read_until(|one| one["type"] == "message").await;
        assert!(before.iter().all(|one| one["type"] != "removed"), "{before:?}");
        assert_eq!(device.view.room(*room).shown().last().unwrap()["content"], expected);
    }
    assert_eq!(device.view.room(*room).entry["peer"]["id"], json!(peer.id));

    // Opening one makes it live at once.
    let (peer, opened) = &all[1];
    let entry = device.request("open", json!({"user": peer.id})).await;
    assert_eq!((&entry["id"], &entry["last_seq"]), (&json!(opened), &json!(3)));
    device.request("typing", json!({"room": opened, "on": true})).await;
    device.request("sync", json!({"room": opened, "since": 0})).await;
    peer.send_private(&amy, "so quick!").await;
    device.wait_for_version(*opened, 4).await;

    // Rooms that hello names are listed, whatever their place.
    let (_, held) = &all[2];
    device.request("open", json!({"user": all[2].0.id})).await;
    for (peer, _) in &all[5..] {
        peer.send_private(&amy, "news").await;
    }
    device.cut();
    let welcome = device.connect().await;
    let listed = directs(&welcome["rooms"]);
    assert!(listed.contains(held) && listed.contains(room) && listed.contains(opened), "{listed:?}");
    device.read_to_heartbeat().await;
    assert!([held, room, opened].iter().all(|room| device.view.find_room(**room).is_some()), "none was removed");
    assert_eq!(welcome["more_directs"]["rooms"], json!(LISTED + 5 - listed.len()));
}
