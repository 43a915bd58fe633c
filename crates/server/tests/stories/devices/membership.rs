//! Coming into rooms and going out of them: felt at once by every device, in order with what is said.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{house, private_room, public_room};
use crate::stage::Device;

const SOON: Duration = Duration::from_secs(1);

#[tokio::test]
async fn h17_a_membership_change_takes_effect_everywhere_within_a_second() {
    let (_server, [amy, bea]) = house(["amy", "bea"]);
    let mut hers = amy.device().await;
    let (mut phone, mut laptop) = (bea.device().await, bea.device().await);
    let mut tab = bea.opens_tab().await;
    let room = private_room(&mut hers, "tea", &[]).await;
    let path = format!("/api/v1/rooms/{room}/messages");
    bea.get(&path).await.refused(404, "not_found");

    for round in 1..=3 {
        let asked = Instant::now();
        hers.does("invite", json!({"room": room, "user": bea.id})).await;
        for device in [&mut phone, &mut laptop] {
            device.until_view("the room", |view| view.rooms.contains_key(&room)).await;
        }
        assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
        bea.get(&path).await.expect(200);
        let said = hers.says(room, &format!("in round {round}")).await["version"].as_u64().unwrap();
        for device in [&mut phone, &mut laptop] {
            device.until_version(room, said).await;
        }

        let asked = Instant::now();
        hers.does("remove", json!({"room": room, "user": bea.id})).await;
        for device in [&mut phone, &mut laptop] {
            device.until_view("its end", |view| !view.rooms.contains_key(&room)).await;
        }
        assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
        bea.get(&path).await.refused(404, "not_found");
        bea.post(&path, json!({"content": "hello?"})).await.refused(403, "forbidden");
        hers.says(room, "about her").await;
        for device in [&mut phone, &mut laptop] {
            let heard = device.until_marker(&mut hers, 1).await;
            let of_the_lobby = |one: &Value| one["type"] == "online_count" || one["data"]["room"] == 1;
            assert!(heard.iter().all(of_the_lobby), "{heard:?}");
        }
    }
    // The classic dialect knows no such rooms, so it heard nothing of it all.
    let heard = tab.until_heartbeat().await;
    assert!(heard.iter().all(|one| one["type"] == "online_count" || one["data"]["content"] == "— a marker —"));
    phone.shows_the_same_as_a_fresh_load().await;
    laptop.shows_the_same_as_a_fresh_load().await;
}

#[tokio::test]
async fn a_message_in_flight_to_a_room_just_left_is_forbidden_and_not_stored() {
    let (_server, [amy, bea]) = house(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = public_room(&mut hers, "tea", &[&bea]).await;
    his.until_view("the room", |view| view.rooms.contains_key(&room)).await;
    let say = |text: &str, key: &str| json!({"room": room, "content": text, "client_id": key});
    let prepared = [
        his.prepares("message", say("before", "k-1")),
        his.prepares("leave", json!({"room": room})),
        his.prepares("message", say("after", "k-2")),
    ];
    his.sends(prepared.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n")).await;
    his.answer(&prepared[0].0).await.unwrap();
    his.answer(&prepared[1].0).await.unwrap();
    assert_eq!(his.answer(&prepared[2].0).await.unwrap_err()["code"], "forbidden");
    // What was accepted once is answered the same for ever, also to who is no longer there.
    assert_eq!(his.does("message", say("before", "k-1")).await["duplicate"], true);
    hers.until_version(room, 1).await;
    hers.until_marker(&mut his, 1).await;
    let said: Vec<_> = hers.view.room(room).messages.values().map(|message| message["content"].clone()).collect();
    assert_eq!(said, ["before"]);
}

#[tokio::test]
async fn a_member_removed_while_sending_stored_exactly_what_was_acknowledged() {
    let (_server, [amy, bea]) = house(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = public_room(&mut hers, "tea", &[]).await;
    let mut acknowledged = Vec::new();
    for round in 0..10 {
        hers.does("invite", json!({"room": room, "user": bea.id})).await;
        his.until_view("the room", |view| view.rooms.contains_key(&room)).await;
        let talking = async {
            for number in 0.. {
                let text = format!("{round} {number}");
                let data = json!({"room": room, "content": text, "client_id": text});
                match his.tries("message", data).await {
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
            hers.until_version(room, before + 5).await;
            hers.does("remove", json!({"room": room, "user": bea.id})).await;
        };
        tokio::join!(talking, removing);
        his.until_view("its end", |view| !view.rooms.contains_key(&room)).await;
    }
    hers.loads_all_of(room).await;
    hers.until_version(room, acknowledged.len() as u64).await;
    let said: Vec<_> = hers.view.room(room).messages.values().map(|one| one["content"].as_str().unwrap()).collect();
    assert_eq!(said, acknowledged);
    hers.shows_the_same_as_a_fresh_load().await;
    his.shows_the_same_as_a_fresh_load().await;
}

/// A device asserts that nothing comes of a room before its entry; here everything happens at once.
#[tokio::test]
async fn a_rooms_entry_comes_before_its_first_envelope() {
    let (_server, [amy, bea]) = house(["amy", "bea"]);
    let (mut hers, mut his, mut tablet) = (amy.device().await, bea.device().await, bea.device().await);
    let mut rooms = Vec::new();
    for number in 0..20 {
        let room = public_room(&mut hers, &format!("room {number}"), &[]).await;
        let say = |text: &str| json!({"room": room, "content": text, "client_id": format!("{text} {number}")});
        let (first, second) = (hers.prepares("message", say("first")), hers.prepares("message", say("second")));
        // Half of them he joins himself, while she talks.
        if number % 2 == 0 {
            let invite = hers.prepares("invite", json!({"room": room, "user": bea.id}));
            hers.sends(format!("{}\n{}\n{}", invite.1, first.1, second.1)).await;
            hers.answer(&invite.0).await.unwrap();
        } else {
            let talking = hers.sends(format!("{}\n{}", first.1, second.1));
            let ((), joined) = tokio::join!(talking, his.does("join", json!({"room": room})));
            assert_eq!(joined["id"], json!(room));
        }
        hers.answer(&first.0).await.unwrap();
        hers.answer(&second.0).await.unwrap();
        rooms.push(room);
    }
    for room in rooms {
        for device in [&mut his, &mut tablet] {
            device.until_view("all of it", |view| view.rooms.get(&room).is_some_and(|room| room.version == 2)).await;
        }
    }
    hers.shows_the_same_as_a_fresh_load().await;
    his.shows_the_same_as_a_fresh_load().await;
    tablet.shows_the_same_as_a_fresh_load().await;
}

#[tokio::test]
async fn concurrent_join_and_remove_end_in_the_stored_state() {
    let (_server, [amy, bea]) = house(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let mut tablet = bea.device().await;
    let room = public_room(&mut hers, "tea", &[]).await;
    for number in 0..60 {
        // She takes him out as soon as the room lets her, whether he is in it or not.
        let join = his.asks("join", json!({"room": room})).await;
        let remove = async |device: &mut Device| loop {
            if device.tries("remove", json!({"room": room, "user": bea.id})).await.is_ok() {
                return;
            }
        };
        let (joined, ()) = tokio::join!(his.answer(&join), remove(&mut hers));
        joined.unwrap();
        hers.says(room, &format!("without him {number}")).await;
    }
    his.shows_the_same_as_a_fresh_load().await;
    tablet.shows_the_same_as_a_fresh_load().await;
    hers.shows_the_same_as_a_fresh_load().await;
}

#[tokio::test]
async fn opening_a_direct_room_from_both_sides_at_once_makes_one_room() {
    let (_server, people) = house(["amy", "bea", "cid", "dee", "eve", "fay"]);
    let mut devices = join_all(people.iter().map(crate::stage::Person::device)).await;
    let ids: Vec<u64> = people.iter().map(|person| person.id).collect();
    let opening = devices.iter_mut().enumerate().map(|(index, device)| {
        let peer = ids[index ^ 1];
        async move {
            let entry = device.does("open", json!({"user": peer})).await;
            assert_eq!(entry["peer"]["id"], json!(peer));
            device.says(entry["id"].as_u64().unwrap(), "hi").await;
            entry["id"].as_u64().unwrap()
        }
    });
    let rooms = join_all(opening).await;
    for (index, device) in devices.iter_mut().enumerate() {
        assert_eq!(rooms[index], rooms[index ^ 1]);
        device.until_version(rooms[index], 2).await;
        device.shows_the_same_as_a_fresh_load().await;
    }
}
