//! Rooms: creating, finding, joining, leaving, renaming, ownership, and who may see and do what.

use serde_json::{Value, json};

use super::{ids, private_room, public_room, server_and_users};
use crate::fixture::User;

#[tokio::test]
async fn a_room_is_created_found_joined_and_left() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let entry = hers.request("create", json!({"kind": "public", "name": " Tea ", "title": "All about tea"})).await;
    let room = entry["id"].as_u64().unwrap();
    assert_eq!((&entry["name"], &entry["title"]), (&json!("Tea"), &json!("All about tea")));
    assert_eq!((&entry["role"], &entry["members"], &entry["version"]), (&json!("owner"), &json!(1), &json!(0)));
    for text in ["one", "two", "three"] {
        hers.say(room, text).await;
    }

    let card = json!({"id": room, "name": "Tea", "title": "All about tea", "members": 1});
    for query in [json!({}), json!({"query": "TEA"}), json!({"query": "about"})] {
        assert_eq!(his.request("rooms", query).await, json!({"rooms": [card], "next": null}));
    }
    assert_eq!(his.request("rooms", json!({"query": "coffee"})).await["rooms"], json!([]));
    assert_eq!(hers.request("rooms", json!({})).await["rooms"], json!([]), "she is in it already");

    // A new member starts at the newest version. Anybody may load the history of a public room.
    his.request("history", json!({"room": room})).await;
    his.expect_error("message", json!({"room": room, "content": "hi", "client_id": "k"}), "forbidden").await;
    // A user who is not a member gets nothing that only members may have, over any transport.
    for (kind, data) in [
        ("sync", json!({"room": room, "since": 0})),
        ("presence", json!({"room": room, "on": true})),
        ("typing", json!({"room": room, "on": true})),
        ("leave", json!({"room": room})),
    ] {
        his.expect_error(kind, data, "not_found").await;
    }
    for path in ["changes?since=0", "presence"] {
        bea.get(&format!("/api/v1/rooms/{room}/{path}")).await.expect_error(404, "not_found");
    }
    let joined = his.request("join", json!({"room": room})).await;
    let numbers = ["version", "last_seq", "read_seq", "unread", "members"].map(|field| joined[field].as_u64().unwrap());
    assert_eq!((numbers, &joined["role"]), ([3, 3, 3, 0, 2], &json!("member")));
    assert_eq!(his.request("join", json!({"room": room})).await["members"], 2, "who is in it is in it");
    his.say(room, "four").await;
    hers.wait_for_version(room, 4).await;
    hers.wait_for_view("two members", |view| view.room(room).entry["members"] == 2).await;
    assert_eq!(his.request("rooms", json!({})).await["rooms"], json!([]));
    let members = his.request("members", json!({"room": room})).await;
    assert_eq!(ids(&members["members"]), [amy.id, bea.id]);
    assert_eq!(members["members"][0]["role"], "owner");
    hers.request("typing", json!({"room": room, "on": true})).await;
    his.load_all(room).await;
    his.assert_same_as_fresh_load().await;

    let left = his.request("leave", json!({"room": room})).await;
    assert_eq!((&left["id"], &left["name"]), (&json!(room), &json!("Tea")));
    his.wait_for_view("the removal", |view| !view.rooms.contains_key(&room)).await;
    hers.wait_for_view("one member", |view| view.room(room).entry["members"] == 1).await;
    his.expect_error("leave", json!({"room": room}), "not_found").await;
    assert_eq!(ids(&his.request("rooms", json!({})).await["rooms"]), [room]);
    his.assert_same_as_fresh_load().await;
    hers.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn room_names_are_required_unique_and_limited() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = private_room(&mut hers, "Tea", &[]).await;
    let create = |name: &str| json!({"kind": "public", "name": name});
    for (data, code) in [
        (create("tEA"), "conflict"),
        (create(""), "empty"),
        (create(" \u{202e} "), "empty"),
        (create(&"茶".repeat(51)), "too_long"),
        (json!({"kind": "public", "name": "x", "title": "茶".repeat(201)}), "too_long"),
        (json!({"kind": "public"}), "bad_request"),
        (json!({"kind": "direct", "name": "x"}), "bad_request"),
        (json!({"kind": "secret", "name": "x"}), "bad_request"),
        (json!({"name": "x"}), "bad_request"),
    ] {
        his.expect_error("create", data, code).await;
    }
    let longest = "茶".repeat(50);
    let other = his.request("create", create(&longest)).await;
    assert_eq!(other["name"], json!(longest));
    his.expect_error("update", json!({"room": other["id"], "name": "tea"}), "conflict").await;
    assert_eq!(his.request("update", json!({"room": other["id"], "title": "!"})).await["name"], json!(longest));
    // A room may take its own name in another case.
    assert_eq!(hers.request("update", json!({"room": room, "name": "TEA"})).await["name"], "TEA");
    his.assert_same_as_fresh_load().await;
    hers.assert_same_as_fresh_load().await;
}

/// Every request that names a room.
fn requests_naming(room: u64, somebody: u64) -> Vec<(&'static str, Value)> {
    vec![
        ("message", json!({"room": room, "content": "hi", "client_id": format!("guess-{room}")})),
        ("read", json!({"room": room, "seq": 1})),
        ("history", json!({"room": room})),
        ("sync", json!({"room": room, "since": 0})),
        ("presence", json!({"room": room, "on": true})),
        ("typing", json!({"room": room, "on": true})),
        ("update", json!({"room": room, "title": "mine"})),
        ("join", json!({"room": room})),
        ("leave", json!({"room": room})),
        ("invite", json!({"room": room, "user": somebody})),
        ("accept", json!({"room": room})),
        ("decline", json!({"room": room})),
        ("remove", json!({"room": room, "user": somebody})),
        ("role", json!({"room": room, "user": somebody, "role": "owner"})),
        ("members", json!({"room": room})),
    ]
}

#[tokio::test]
async fn private_rooms_of_others_are_not_found() {
    let (_server, [amy, bea, eve]) = server_and_users(["amy", "bea", "eve"]);
    let (mut hers, mut evil) = (amy.device().await, eve.device().await);
    let room = private_room(&mut hers, "secret", &[&bea]).await;
    let said = hers.say(room, "nobody else's business").await;
    let (_, direct) = amy.send_private(&bea, "psst").await;
    hers.wait_for_view("the direct room", |view| view.rooms.contains_key(&direct)).await;
    let written = hers.request("history", json!({"room": direct})).await["messages"][0]["id"].clone();
    evil.read_to_heartbeat().await;

    assert_eq!(evil.request("rooms", json!({})).await["rooms"], json!([]));
    for (kind, data) in requests_naming(999, bea.id) {
        let nowhere = evil.try_request(kind, data).await.unwrap_err();
        assert_eq!(nowhere["code"], "not_found", "{kind} {nowhere}");
        for hidden in [room, direct] {
            let (_, data) = requests_naming(hidden, bea.id).into_iter().find(|(other, _)| *other == kind).unwrap();
            let refused = evil.try_request(kind, data).await.expect_err(kind);
            assert_eq!(refused, nowhere, "{kind} tells that there is a room {hidden}");
        }
    }
    let nowhere = evil.expect_error("edit", json!({"message": 999_999, "content": "x"}), "not_found").await;
    for message in [&said["id"], &written] {
        for (kind, data) in [
            ("edit", json!({"message": message, "content": "x"})),
            ("delete", json!({"message": message})),
            ("react", json!({"message": message, "emoji": "👍", "on": true})),
        ] {
            assert_eq!(
                evil.try_request(kind, data).await.unwrap_err(),
                nowhere,
                "{kind} tells that there is a message"
            );
        }
        // A message of it cannot be replied to in another room.
        let data = json!({"room": 1, "content": "?", "client_id": format!("re-{message}"), "reply_to": message});
        evil.expect_error("message", data, "not_found").await;
    }
    for path in ["", "/messages", "/members", "/changes", "/presence"] {
        for hidden in [room, direct] {
            let path = format!("/api/v1/rooms/{hidden}{path}?since=0");
            eve.get(&path).await.expect_error(404, "not_found");
        }
    }
    assert_eq!(ids(&evil.request("members", json!({"room": 1})).await["members"]).len(), 3);
    evil.assert_alive().await;
    let received = evil.read_to_marker(&mut hers, 1).await;
    assert!(received.iter().all(|one| one["type"] == "online_count"), "{received:?}");
    hers.load_all(room).await;
    hers.load_all(direct).await;
    assert!(hers.view.room(room).messages.len() == 1 && hers.view.room(direct).messages.len() == 1);
}

#[tokio::test]
async fn a_room_is_managed_by_its_owners_and_always_has_one() {
    let (_server, users) = server_and_users(["amy", "bea", "cid", "dee"]);
    let [amy, bea, cid, dee] = &users;
    let (mut a, mut b, mut c) = (amy.device().await, bea.device().await, cid.device().await);
    let room = public_room(&mut a, "tea", &[bea, cid, dee]).await;
    let role = |user: &User, role: &str| json!({"room": room, "user": user.id, "role": role});
    let who = |user: &User| json!({"room": room, "user": user.id});
    let direct = a.request("open", who(bea)).await["id"].clone();

    for (kind, data, code) in [
        ("role", role(cid, "moderator"), "forbidden"),
        ("update", json!({"room": room, "title": "b's"}), "forbidden"),
        ("remove", who(cid), "forbidden"),
        ("remove", who(bea), "forbidden"),
        ("leave", json!({"room": 1}), "forbidden"),
        ("invite", json!({"room": room, "user": 999_999}), "not_found"),
        ("role", json!({"room": room, "user": cid.id, "role": "king"}), "bad_request"),
        ("open", who(bea), "bad_request"),
        ("open", json!({"user": 999_999}), "not_found"),
    ] {
        b.expect_error(kind, data, code).await;
    }
    a.expect_error("role", role(amy, "member"), "forbidden").await;
    a.expect_error("leave", json!({"room": direct}), "forbidden").await;
    a.expect_error("invite", json!({"room": direct, "user": cid.id}), "forbidden").await;

    a.request("role", role(bea, "moderator")).await;
    a.request("role", role(cid, "moderator")).await;
    b.wait_for_view("her role", |view| view.room(room).entry["role"] == "moderator").await;
    b.expect_error("remove", who(cid), "forbidden").await;
    b.expect_error("remove", who(amy), "forbidden").await;
    let entry = b.request("remove", who(dee)).await;
    assert_eq!((&entry["members"], &entry["role"]), (&json!(3), &json!("moderator")));
    b.expect_error("remove", who(dee), "not_found").await;
    // A moderator may delete the messages of others.
    let said = c.say(room, "something rude").await;
    b.request("delete", json!({"message": said["id"]})).await;
    c.expect_error("edit", json!({"message": said["id"], "content": "again"}), "not_found").await;

    // The last owner leaves. The member with the highest role takes over, and among equals the one with the lowest id.
    a.request("leave", json!({"room": room})).await;
    b.wait_for_view("the inheritance", |view| view.room(room).entry["role"] == "owner").await;
    b.request("update", json!({"room": room, "title": "hers now"})).await;
    c.wait_for_view("the title", |view| view.room(room).entry["title"] == "hers now").await;
    assert_eq!(c.view.room(room).entry["role"], "moderator");
    b.request("leave", json!({"room": room})).await;
    c.wait_for_view("the inheritance", |view| view.room(room).entry["role"] == "owner").await;
    c.request("leave", json!({"room": room})).await;
    // Nobody is left. The next user to join owns the room, and its history is still there.
    let back = a.request("join", json!({"room": room})).await;
    assert_eq!((&back["role"], &back["members"], &back["last_seq"]), (&json!("owner"), &json!(1), &json!(1)));
    for device in [&mut a, &mut b, &mut c] {
        device.assert_same_as_fresh_load().await;
    }
}

#[tokio::test]
async fn paged_lists_are_complete() {
    const MANY: usize = 120;
    let (server, [amy]) = server_and_users(["amy"]);
    let mut device = amy.device().await;
    let room = public_room(&mut device, "tea", &[]).await;
    let mut guests = Vec::new();
    for number in 0..MANY {
        let guest = User::of_site(&server, 1000 + number as u64, &format!("guest{number}"));
        guest.post(&format!("/api/v1/rooms/{room}/join"), json!({})).await.expect(200);
        let made = json!({"kind": "public", "name": format!("room {number}")});
        guest.post("/api/v1/rooms", made).await.expect(201);
        guests.push(guest.id);
    }
    for (kind, list, data, expect) in [
        ("rooms", "rooms", json!({"query": "room"}), MANY),
        ("members", "members", json!({"room": room}), MANY + 1),
        ("users", "users", json!({"query": "GUEST"}), MANY),
    ] {
        let (mut all, mut after, mut pages) = (Vec::new(), Value::Null, 0);
        loop {
            let mut data = data.clone();
            data["after"] = after;
            let page = device.request(kind, data).await;
            all.extend(ids(&page[list]));
            after = page["next"].clone();
            pages += 1;
            if after.is_null() {
                break;
            }
            assert_eq!(after, json!(all.last()), "{kind}");
        }
        assert_eq!((all.len(), pages), (expect, expect.div_ceil(50)), "{kind}");
        assert!(all.is_sorted_by(|a, b| a < b), "{kind}");
    }
    assert_eq!(device.request("users", json!({"query": "%"})).await["users"], json!([]), "LIKE's letters are letters");
    device.expect_error("users", json!({"query": "x".repeat(51)}), "too_long").await;
    device.wait_for_view("how many they are", |view| view.room(room).entry["members"] == json!(MANY + 1)).await;
    device.assert_same_as_fresh_load().await;
}
