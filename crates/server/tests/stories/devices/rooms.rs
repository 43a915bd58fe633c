//! Rooms: made, found, joined, left, renamed, handed on; what one may not see, and what one may not do.

use serde_json::{Value, json};

use super::{house, ids, private_room, public_room};
use crate::stage::Person;

#[tokio::test]
async fn a_room_is_created_found_joined_and_left() {
    let (_server, [amy, bea]) = house(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let entry = hers.does("create", json!({"kind": "public", "name": " Tea ", "title": "All about tea"})).await;
    let room = entry["id"].as_u64().unwrap();
    assert_eq!((&entry["name"], &entry["title"]), (&json!("Tea"), &json!("All about tea")));
    assert_eq!((&entry["role"], &entry["members"], &entry["version"]), (&json!("owner"), &json!(1), &json!(0)));
    for text in ["one", "two", "three"] {
        hers.says(room, text).await;
    }

    let card = json!({"id": room, "name": "Tea", "title": "All about tea", "members": 1});
    for query in [json!({}), json!({"query": "TEA"}), json!({"query": "about"})] {
        assert_eq!(his.does("rooms", query).await, json!({"rooms": [card], "next": null}));
    }
    assert_eq!(his.does("rooms", json!({"query": "coffee"})).await["rooms"], json!([]));
    assert_eq!(hers.does("rooms", json!({})).await["rooms"], json!([]), "she is in it already");

    // Joining starts at the room's head; the past comes by history, to strangers too.
    his.does("history", json!({"room": room})).await;
    his.is_refused("message", json!({"room": room, "content": "hi", "client_id": "k"}), "forbidden").await;
    // Of what only members have there is nothing for a stranger, by whichever door.
    for (kind, data) in [
        ("sync", json!({"room": room, "since": 0})),
        ("presence", json!({"room": room, "on": true})),
        ("typing", json!({"room": room, "on": true})),
        ("leave", json!({"room": room})),
    ] {
        his.is_refused(kind, data, "not_found").await;
    }
    for path in ["changes?since=0", "presence"] {
        bea.get(&format!("/api/v1/rooms/{room}/{path}")).await.refused(404, "not_found");
    }
    let joined = his.does("join", json!({"room": room})).await;
    let numbers = ["version", "last_seq", "read_seq", "unread", "members"].map(|field| joined[field].as_u64().unwrap());
    assert_eq!((numbers, &joined["role"]), ([3, 3, 3, 0, 2], &json!("member")));
    assert_eq!(his.does("join", json!({"room": room})).await["members"], 2, "who is in it is in it");
    his.says(room, "four").await;
    hers.until_version(room, 4).await;
    hers.until_view("two members", |view| view.room(room).entry["members"] == 2).await;
    assert_eq!(his.does("rooms", json!({})).await["rooms"], json!([]));
    let members = his.does("members", json!({"room": room})).await;
    assert_eq!(ids(&members["members"]), [amy.id, bea.id]);
    assert_eq!(members["members"][0]["role"], "owner");
    hers.does("typing", json!({"room": room, "on": true})).await;
    his.loads_all_of(room).await;
    his.shows_the_same_as_a_fresh_load().await;

    let left = his.does("leave", json!({"room": room})).await;
    assert_eq!((&left["id"], &left["name"]), (&json!(room), &json!("Tea")));
    his.until_view("it is gone", |view| !view.rooms.contains_key(&room)).await;
    hers.until_view("one member", |view| view.room(room).entry["members"] == 1).await;
    his.is_refused("leave", json!({"room": room}), "not_found").await;
    assert_eq!(ids(&his.does("rooms", json!({})).await["rooms"]), [room]);
    his.shows_the_same_as_a_fresh_load().await;
    hers.shows_the_same_as_a_fresh_load().await;
}

#[tokio::test]
async fn room_names_are_required_unique_and_limited() {
    let (_server, [amy, bea]) = house(["amy", "bea"]);
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
        his.is_refused("create", data, code).await;
    }
    let longest = "茶".repeat(50);
    let other = his.does("create", create(&longest)).await;
    assert_eq!(other["name"], json!(longest));
    his.is_refused("update", json!({"room": other["id"], "name": "tea"}), "conflict").await;
    assert_eq!(his.does("update", json!({"room": other["id"], "title": "!"})).await["name"], json!(longest));
    // Its own name in another case is no other's.
    assert_eq!(hers.does("update", json!({"room": room, "name": "TEA"})).await["name"], "TEA");
    his.shows_the_same_as_a_fresh_load().await;
    hers.shows_the_same_as_a_fresh_load().await;
}

/// Everything that names a room, with what it needs besides.
fn everything_about(room: u64, somebody: u64) -> Vec<(&'static str, Value)> {
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
        ("remove", json!({"room": room, "user": somebody})),
        ("role", json!({"room": room, "user": somebody, "role": "owner"})),
        ("members", json!({"room": room})),
    ]
}

#[tokio::test]
async fn private_rooms_of_others_are_not_found() {
    let (_server, [amy, bea, eve]) = house(["amy", "bea", "eve"]);
    let (mut hers, mut evil) = (amy.device().await, eve.device().await);
    let room = private_room(&mut hers, "secret", &[&bea]).await;
    let said = hers.says(room, "nobody else's business").await;
    let (_, direct) = amy.writes(&bea, "psst").await;
    hers.until_view("the direct room", |view| view.rooms.contains_key(&direct)).await;
    let written = hers.does("history", json!({"room": direct})).await["messages"][0]["id"].clone();
    evil.until_heartbeat().await;

    assert_eq!(evil.does("rooms", json!({})).await["rooms"], json!([]));
    for (kind, data) in everything_about(999, bea.id) {
        let nowhere = evil.tries(kind, data).await.unwrap_err();
        assert_eq!(nowhere["code"], "not_found", "{kind} {nowhere}");
        for hidden in [room, direct] {
            let (_, data) = everything_about(hidden, bea.id).into_iter().find(|(other, _)| *other == kind).unwrap();
            let refused = evil.tries(kind, data).await.expect_err(kind);
            assert_eq!(refused, nowhere, "{kind} tells that there is a room {hidden}");
        }
    }
    let nowhere = evil.is_refused("edit", json!({"message": 999_999, "content": "x"}), "not_found").await;
    for message in [&said["id"], &written] {
        for (kind, data) in [
            ("edit", json!({"message": message, "content": "x"})),
            ("delete", json!({"message": message})),
            ("react", json!({"message": message, "emoji": "👍", "on": true})),
        ] {
            assert_eq!(evil.tries(kind, data).await.unwrap_err(), nowhere, "{kind} tells that there is a message");
        }
        // Nor can it be answered somewhere else.
        let data = json!({"room": 1, "content": "?", "client_id": format!("re-{message}"), "reply_to": message});
        evil.is_refused("message", data, "not_found").await;
    }
    for path in ["", "/messages", "/members", "/changes", "/presence"] {
        for hidden in [room, direct] {
            let path = format!("/api/v1/rooms/{hidden}{path}?since=0");
            eve.get(&path).await.refused(404, "not_found");
        }
    }
    assert_eq!(ids(&evil.does("members", json!({"room": 1})).await["members"]).len(), 3);
    evil.is_alive().await;
    let heard = evil.until_marker(&mut hers, 1).await;
    assert!(heard.iter().all(|one| one["type"] == "online_count"), "{heard:?}");
    hers.loads_all_of(room).await;
    hers.loads_all_of(direct).await;
    assert!(hers.view.room(room).messages.len() == 1 && hers.view.room(direct).messages.len() == 1);
}

#[tokio::test]
async fn a_room_is_managed_by_its_owners_and_always_has_one() {
    let (_server, people) = house(["amy", "bea", "cid", "dee"]);
    let [amy, bea, cid, dee] = &people;
    let (mut a, mut b, mut c) = (amy.device().await, bea.device().await, cid.device().await);
    let room = public_room(&mut a, "tea", &[bea, cid, dee]).await;
    let role = |user: &Person, role: &str| json!({"room": room, "user": user.id, "role": role});
    let who = |user: &Person| json!({"room": room, "user": user.id});
    let direct = a.does("open", who(bea)).await["id"].clone();

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
        b.is_refused(kind, data, code).await;
    }
    a.is_refused("role", role(amy, "member"), "forbidden").await;
    a.is_refused("leave", json!({"room": direct}), "forbidden").await;
    a.is_refused("invite", json!({"room": direct, "user": cid.id}), "forbidden").await;

    a.does("role", role(bea, "moderator")).await;
    a.does("role", role(cid, "moderator")).await;
    b.until_view("her role", |view| view.room(room).entry["role"] == "moderator").await;
    b.is_refused("remove", who(cid), "forbidden").await;
    b.is_refused("remove", who(amy), "forbidden").await;
    let entry = b.does("remove", who(dee)).await;
    assert_eq!((&entry["members"], &entry["role"]), (&json!(3), &json!("moderator")));
    b.is_refused("remove", who(dee), "not_found").await;
    // A moderator's right: what others said.
    let said = c.says(room, "something rude").await;
    b.does("delete", json!({"message": said["id"]})).await;
    c.is_refused("edit", json!({"message": said["id"], "content": "again"}), "not_found").await;

    // The last owner goes: the highest of the others, and among equals the one with the lowest id, takes over.
    a.does("leave", json!({"room": room})).await;
    b.until_view("the inheritance", |view| view.room(room).entry["role"] == "owner").await;
    b.does("update", json!({"room": room, "title": "hers now"})).await;
    c.until_view("the title", |view| view.room(room).entry["title"] == "hers now").await;
    assert_eq!(c.view.room(room).entry["role"], "moderator");
    b.does("leave", json!({"room": room})).await;
    c.until_view("the inheritance", |view| view.room(room).entry["role"] == "owner").await;
    c.does("leave", json!({"room": room})).await;
    // Nobody is left; whoever comes owns it, and everything that was said is still there.
    let back = a.does("join", json!({"room": room})).await;
    assert_eq!((&back["role"], &back["members"], &back["last_seq"]), (&json!("owner"), &json!(1), &json!(1)));
    for device in [&mut a, &mut b, &mut c] {
        device.shows_the_same_as_a_fresh_load().await;
    }
}

#[tokio::test]
async fn paged_lists_are_complete() {
    const MANY: usize = 120;
    let (server, [amy]) = house(["amy"]);
    let mut device = amy.device().await;
    let room = public_room(&mut device, "tea", &[]).await;
    let mut guests = Vec::new();
    for number in 0..MANY {
        let guest = Person::of_site(&server, 1000 + number as u64, &format!("guest{number}"));
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
            let page = device.does(kind, data).await;
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
    assert_eq!(device.does("users", json!({"query": "%"})).await["users"], json!([]), "LIKE's letters are letters");
    device.is_refused("users", json!({"query": "x".repeat(51)}), "too_long").await;
    device.until_view("how many they are", |view| view.room(room).entry["members"] == json!(MANY + 1)).await;
    device.shows_the_same_as_a_fresh_load().await;
}
