//! Membership changes: every device receives them at once, in order with the messages.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{invite, private_room, public_room, server_and_users};
use crate::fixture::Device;

const SOON: Duration = Duration::from_secs(1);

#[tokio::test]
async fn h17_a_membership_change_takes_effect_everywhere_within_a_second() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let mut hers = amy.device().await;
    let (mut phone, mut laptop) = (bea.device().await, bea.device().await);
    let mut tab = bea.open_tab().await;
    let room = private_room(&mut hers, "tea", &[]).await;
    let path = format!("/api/v1/rooms/{room}/messages");
    bea.get(&path).await.expect_error(404, "not_found");

    for round in 1..=3 {
        let asked = Instant::now();
        invite(&mut hers, room, &bea).await;
        for device in [&mut phone, &mut laptop] {
            device.wait_for_view("the room", |view| view.rooms.contains_key(&room)).await;
        }
        assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
        bea.get(&path).await.expect(200);
        let said = hers.say(room, &format!("in round {round}")).await["version"].as_u64().unwrap();
        for device in [&mut phone, &mut laptop] {
            device.wait_for_version(room, said).await;
        }

        let asked = Instant::now();
        hers.request("remove", json!({"room": room, "user": bea.id})).await;
        for device in [&mut phone, &mut laptop] {
            device.wait_for_view("the removal", |view| !view.rooms.contains_key(&room)).await;
        }
        assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
        bea.get(&path).await.expect_error(404, "not_found");
        bea.post(&path, json!({"content": "hello?"})).await.expect_error(403, "forbidden");
        hers.say(room, "about her").await;
        for device in [&mut phone, &mut laptop] {
            let received = device.read_to_marker(&mut hers, 1).await;
            let of_the_lobby = |one: &Value| one["type"] == "online_count" || one["data"]["room"] == 1;
            assert!(received.iter().all(of_the_lobby), "{received:?}");
        }
    }
    // The classic dialect has no such rooms, so the tab received nothing.
    let received = tab.read_to_heartbeat().await;
    assert!(received.iter().all(|one| one["type"] == "online_count" || one["data"]["content"] == "— a marker —"));
    phone.assert_same_as_fresh_load().await;
    laptop.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn a_message_in_flight_to_a_room_just_left_is_forbidden_and_not_stored() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = public_room(&mut hers, "tea", &[&bea]).await;
    his.wait_for_view("the room", |view| view.rooms.contains_key(&room)).await;
    let say = |text: &str, key: &str| json!({"room": room, "content": text, "client_id": key});
    let prepared = [
        his.prepare("message", say("before", "k-1")),
        his.prepare("leave", json!({"room": room})),
        his.prepare("message", say("after", "k-2")),
    ];
    his.send_text(prepared.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n")).await;
    his.answer(&prepared[0].0).await.unwrap();
    his.answer(&prepared[1].0).await.unwrap();
    assert_eq!(his.answer(&prepared[2].0).await.unwrap_err()["code"], "forbidden");
    // A repeat of an accepted message gets the same answer for ever, also for a former member.
    assert_eq!(his.request("message", say("before", "k-1")).await["duplicate"], true);
    hers.wait_for_version(room, 1).await;
    hers.read_to_marker(&mut his, 1).await;
    let said: Vec<_> = hers.view.room(room).messages.values().map(|message| message["content"].clone()).collect();
    assert_eq!(said, ["before"]);
}

#[tokio::test]
async fn a_member_removed_while_sending_stored_exactly_what_was_acknowledged() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = public_room(&mut hers, "tea", &[]).await;
    let mut acknowledged = Vec::new();
    for round in 0..10 {
        invite(&mut hers, room, &bea).await;
        his.wait_for_view("the room", |view| view.rooms.contains_key(&room)).await;
        let talking = async {
            for number in 0.. {
                let text = format!("{round} {number}");
                let data = json!({"room": room, "content": text, "client_id": text});
                match his.try_request("message", data).await {
                    Ok(_) => acknowledged.push(text),
                    Err(error) => {
                        assert_eq!(error["code"], "forbidden");
                        return;
                    }
                }
            }
        };
        let removing = async {
            let before = hers.view.room(room).version;
            hers.wait_for_version(room, before + 5).await;
            hers.request("remove", json!({"room": room, "user": bea.id})).await;
        };
        tokio::join!(talking, removing);
        his.wait_for_view("the removal", |view| !view.rooms.contains_key(&room)).await;
    }
    hers.load_all(room).await;
    hers.wait_for_version(room, acknowledged.len() as u64).await;
    let said: Vec<_> = hers.view.room(room).messages.values().map(|one| one["content"].as_str().unwrap()).collect();
    assert_eq!(said, acknowledged);
    hers.assert_same_as_fresh_load().await;
    his.assert_same_as_fresh_load().await;
}

/// Devices assert that the entry of a room comes before its first envelope. Here everything happens concurrently.
#[tokio::test]
async fn a_rooms_entry_comes_before_its_first_envelope() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his, mut tablet) = (amy.device().await, bea.device().await, bea.device().await);
    // They know each other, so that invites do not wait.
    let friends = private_room(&mut hers, "friends", &[&bea]).await;
    his.wait_for_view("the first room", |view| view.rooms.contains_key(&friends)).await;
    let mut rooms = Vec::new();
    for number in 0..20 {
        let room = public_room(&mut hers, &format!("room {number}"), &[]).await;
        let say = |text: &str| json!({"room": room, "content": text, "client_id": format!("{text} {number}")});
        let (first, second) = (hers.prepare("message", say("first")), hers.prepare("message", say("second")));
        // He joins half of them while she sends.
        if number % 2 == 0 {
            let invite = hers.prepare("invite", json!({"room": room, "user": bea.id}));
            hers.send_text(format!("{}\n{}\n{}", invite.1, first.1, second.1)).await;
            hers.answer(&invite.0).await.unwrap();
        } else {
            let talking = hers.send_text(format!("{}\n{}", first.1, second.1));
            let ((), joined) = tokio::join!(talking, his.request("join", json!({"room": room})));
            assert_eq!(joined["id"], json!(room));
        }
        hers.answer(&first.0).await.unwrap();
        hers.answer(&second.0).await.unwrap();
        rooms.push(room);
    }
    for room in rooms {
        for device in [&mut his, &mut tablet] {
            device.wait_for_view("all of it", |view| view.rooms.get(&room).is_some_and(|room| room.version == 2)).await;
        }
    }
    hers.assert_same_as_fresh_load().await;
    his.assert_same_as_fresh_load().await;
    tablet.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn concurrent_join_and_remove_end_in_the_stored_state() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let mut tablet = bea.device().await;
    let room = public_room(&mut hers, "tea", &[]).await;
    for number in 0..60 {
        // She removes him at any moment, whether he is a member or not.
        let join = his.send_request("join", json!({"room": room})).await;
        let remove = async |device: &mut Device| loop {
            if device.try_request("remove", json!({"room": room, "user": bea.id})).await.is_ok() {
                return;
            }
        };
        let (joined, ()) = tokio::join!(his.answer(&join), remove(&mut hers));
        joined.unwrap();
        hers.say(room, &format!("without him {number}")).await;
    }
    his.assert_same_as_fresh_load().await;
    tablet.assert_same_as_fresh_load().await;
    hers.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn opening_a_direct_room_from_both_sides_at_once_makes_one_room() {
    let (_server, users) = server_and_users(["amy", "bea", "cid", "dee", "eve", "fay"]);
    let mut devices = join_all(users.iter().map(crate::fixture::User::device)).await;
    let ids: Vec<u64> = users.iter().map(|user| user.id).collect();
    let opening = devices.iter_mut().enumerate().map(|(index, device)| {
        let peer = ids[index ^ 1];
        async move {
            let entry = device.request("open", json!({"user": peer})).await;
            assert_eq!(entry["peer"]["id"], json!(peer));
            device.say(entry["id"].as_u64().unwrap(), "hi").await;
            entry["id"].as_u64().unwrap()
        }
    });
    let rooms = join_all(opening).await;
    for (index, device) in devices.iter_mut().enumerate() {
        assert_eq!(rooms[index], rooms[index ^ 1]);
        device.wait_for_version(rooms[index], 2).await;
        device.assert_same_as_fresh_load().await;
    }
}
