//! One connection takes over from another; a server goes down and comes again; a reader does not read.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::json;

use super::{house, house_with, private_room, public_room};
use crate::stage::{Device, Person, Server, Wire};

const ONE: (&str, &str) = ("TEAHOUSE_SESSIONS__PER_USER", "1");
const TWO: (&str, &str) = ("TEAHOUSE_SESSIONS__PER_USER", "2");

#[tokio::test]
async fn h0_h4_the_newer_connection_takes_over_and_the_older_is_notified() {
    let (server, [amy, bea]) = house_with(&[ONE], ["amy", "bea"]);
    let mut onlooker = bea.device().await;
    let mut held = amy.device().await;
    onlooker.until_view("two", |view| view.online == 2).await;
    for number in 1..=30 {
        onlooker.says(1, "and on").await;
        let mut next = Device::of(&amy);
        next.view = held.view.clone();
        next.comes().await;
        std::mem::replace(&mut held, next).is_closed(4501).await;
        held.until_version(1, number).await;
    }
    // A classic tab takes over as well, and the other way round.
    let mut tab = amy.opens_tab().await;
    held.is_closed(4501).await;
    held.comes().await;
    tab.is_displaced().await;
    held.is_alive().await;
    assert_eq!(onlooker.view.online, 2, "nobody saw anybody go");
    let heard = onlooker.until_marker(&mut held, 1).await;
    assert!(heard.iter().all(|one| one["type"] != "online_count"), "{heard:?}");
    server.assert_no_panic();
}

#[tokio::test]
async fn h0_the_same_device_replaces_itself_and_another_one_stays() {
    let (_server, [amy]) = house_with(&[TWO], ["amy"]);
    let mut laptop = amy.device_named("laptop").await;
    let mut phone = amy.device_named("phone").await;
    for _ in 0..5 {
        let again = amy.device_named("phone").await;
        std::mem::replace(&mut phone, again).is_closed(4501).await;
        laptop.is_alive().await;
    }
    // Without a name of its own it is the oldest that goes.
    let mut nameless = amy.device().await;
    laptop.is_closed(4501).await;
    phone.is_alive().await;
    nameless.is_alive().await;
    assert_eq!(amy.sees_online().await, [amy.id]);
}

#[tokio::test]
async fn h19_a_resume_works_at_once_while_the_old_socket_is_half_open() {
    let (_server, [amy, bea]) = house_with(&[TWO], ["amy", "bea"]);
    for name in [None, Some("phone")] {
        let mut hers = bea.device().await;
        let mut old = Device::of(&amy);
        old = if let Some(name) = name { old.named(name) } else { old };
        old.comes().await;
        let before = old.view.room(1).version;
        // Nothing of the old connection is read, answered or closed any more.
        hers.says_many(1, (0..20).map(|number| number.to_string())).await;
        let mut new = Device::of(&amy);
        new = if let Some(name) = name { new.named(name) } else { new };
        new.view = old.view.clone();
        new.comes().await;
        assert_eq!(new.view.room(1).version, before + 20);
        hers.says(1, "live").await;
        new.until_version(1, before + 21).await;
        if name.is_some() {
            old.is_closed(4501).await;
        } else {
            old.until_version(1, before + 21).await;
            old.closes(1000).await;
        }
        new.shows_the_same_as_a_fresh_load().await;
        new.drops();
        hers.closes(1000).await;
    }
}

#[tokio::test]
async fn p22_sigterm_gives_each_device_a_retry_time_and_loses_and_repeats_nothing() {
    const PEOPLE: u64 = 12;
    let (mut server, [amy]) = house(["amy"]);
    let people: Vec<Person> =
        (100..100 + PEOPLE).map(|id| Person::of_site(&server, id, &format!("user{id}"))).collect();
    let mut owner = amy.device().await;
    let room = private_room(&mut owner, "tea", &people.iter().collect::<Vec<_>>()).await;
    let mut devices = join_all(people.iter().map(Person::device)).await;
    // Everybody talks while it goes down, and sends what was not answered again when it is back.
    let talking = devices.into_iter().enumerate().map(|(index, mut device)| {
        tokio::spawn(async move {
            for number in 0.. {
                let key = format!("{index}-{number}");
                let data = json!({"room": ([1, room][number % 2]), "content": key, "client_id": key});
                match device.tries_while_it_lives("message", data.clone()).await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => assert_eq!(error["code"], "overloaded", "{error}"),
                    None => return (device, number, data),
                }
            }
            unreachable!()
        })
    });
    let talking: Vec<_> = talking.collect();
    owner.until_version(room, 40).await;
    server.terminate();
    let goodbye = owner.is_closed(1012).await;
    let (mut retries, mut open) = (vec![goodbye["retry_ms"].clone()], Vec::new());
    devices = Vec::new();
    for task in talking {
        let (device, number, data) = task.await.unwrap();
        let goodbye = device.view.goodbye.clone().expect("a goodbye before the end");
        assert_eq!((&goodbye["code"], &goodbye["reconnect"]), (&json!(1012), &json!(true)), "{goodbye}");
        retries.push(goodbye["retry_ms"].clone());
        open.push((number, data));
        devices.push(device);
    }
    assert!(retries.iter().all(serde_json::Value::is_u64), "{retries:?}");
    let distinct: BTreeSet<u64> = retries.iter().map(|retry| retry.as_u64().unwrap()).collect();
    assert!(distinct.len() > 2, "each its own time: {retries:?}");
    assert!(server.ended(crate::stage::PATIENCE).await.success());

    server.restart();
    owner.comes_back().await;
    let mut said = 0;
    for (device, (number, data)) in devices.iter_mut().zip(open) {
        device.comes_back().await;
        device.does("message", data).await;
        said += number + 1;
    }
    for device in devices.iter_mut().chain([&mut owner]) {
        device.until_view("all of it", |view| view.room(1).last_seq + view.room(room).last_seq >= said as u64).await;
        device.shows_the_same_as_a_fresh_load().await;
        // The server that came again goes on where the other ended: nothing was begun anew.
        assert!(device.view.rooms.values().all(|room| room.resets == 0));
    }
    let keys: BTreeSet<&str> = owner
        .view
        .rooms
        .values()
        .flat_map(|room| room.messages.values())
        .map(|message| message["client_id"].as_str().unwrap())
        .collect();
    assert_eq!(keys.len(), said, "each once");
    server.assert_no_panic();
}

#[tokio::test]
async fn h9_a_reader_stalled_for_long_catches_up_in_brackets_and_misses_nothing() {
    const MESSAGES: usize = 2500;
    let metrics = ("TEAHOUSE_METRICS__LISTEN", "127.0.0.1:0");
    // On a busy machine it takes more than a minute until everything has happened, and a device answers no ping
    // while another has its turn.
    let patient = [("TEAHOUSE_SESSIONS__STALL_TIMEOUT", "1h"), ("TEAHOUSE_SESSIONS__PING_INTERVAL", "1h")];
    let (server, [amy, bea, cid]) = house_with(&[metrics, patient[0], patient[1]], ["amy", "bea", "cid"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = private_room(&mut hers, "tea", &[&bea, &cid]).await;
    hers.says_many(room, (0..30).map(|number| number.to_string())).await;
    let mut stalled = Device::of(&cid).with_little_room();
    stalled.comes().await;
    let mut elsewhere = cid.device().await;
    for device in [&mut stalled, &mut elsewhere] {
        device.loads_all_of(room).await;
    }
    let ids: Vec<u64> = stalled.view.room(room).messages.keys().copied().collect();

    // It reads nothing, while everything happens that can happen.
    let text = "tea ".repeat(60);
    let texts = |who: &'static str| (0..MESSAGES / 2).map(move |number| format!("{who} {number} "));
    let long = |texts: Vec<String>| texts.into_iter().map(|number| number + &text).collect::<Vec<_>>();
    let reacts = async {
        for id in &ids {
            elsewhere.does("react", json!({"message": id, "emoji": "🍵", "on": true})).await;
            elsewhere.does("react", json!({"message": id, "emoji": "👍", "on": true})).await;
            elsewhere.does("react", json!({"message": id, "emoji": "👍", "on": false})).await;
        }
    };
    let (by_her, by_him) = (long(texts("amy").collect()), long(texts("bea").collect()));
    tokio::join!(hers.says_many(room, by_her), his.says_many(room, by_him), reacts);
    for id in &ids[..10] {
        hers.does("edit", json!({"message": id, "content": "edited"})).await;
    }
    for id in &ids[10..20] {
        hers.does("delete", json!({"message": id})).await;
    }
    hers.says_many(1, (0..1200).map(|number| format!("lobby {number} {text}"))).await;

    // The others had it all before the stalled one reads a byte of it, and now it reads.
    elsewhere.until_version(room, hers.view.room(room).version).await;
    assert_eq!(stalled.view.room(room).version, 30);
    stalled.has_room_again();
    stalled.shows_the_same_as_a_fresh_load().await;
    let held = stalled.view.room(room);
    assert!(held.brackets > 0 && held.resets == 0, "{} brackets", held.brackets);
    assert_eq!(held.messages.len(), 30 + MESSAGES);
    assert_eq!(held.mine.values().filter(|mine| !mine.is_empty()).count(), 20);
    assert!(server.metric("teahouse_catch_up_pages_total").await > 0, "it had fallen behind the tail");
    elsewhere.shows_the_same_as_a_fresh_load().await;
    server.assert_no_panic();
}

#[tokio::test]
async fn a_stalled_reader_gets_the_final_state_of_its_rooms() {
    let (_server, [amy, bea]) = house(["amy", "bea"]);
    let mut hers = amy.device().await;
    let rooms = [
        public_room(&mut hers, "taken from", &[&bea]).await,
        public_room(&mut hers, "taken from and back", &[&bea]).await,
        public_room(&mut hers, "back and forth", &[&bea]).await,
        public_room(&mut hers, "renamed", &[&bea]).await,
        public_room(&mut hers, "come back to", &[&bea]).await,
    ];
    let [taken, back, forth, renamed, own] = rooms;
    let mut stalled = Device::of(&bea).with_little_room();
    stalled.comes().await;
    // Fills what the network holds for it, so that all of the rest waits in the server.
    hers.says_many(1, (0..600).map(|number| format!("{number} {}", "tea ".repeat(200)))).await;
    let who = |room: u64| json!({"room": room, "user": bea.id});
    hers.does("remove", who(taken)).await;
    for _ in 0..2 {
        hers.does("remove", who(forth)).await;
        hers.says(forth, "without him").await;
        hers.does("invite", who(forth)).await;
        hers.says(forth, "with him").await;
    }
    hers.does("remove", who(forth)).await;
    hers.does("remove", who(back)).await;
    hers.says(back, "without him").await;
    hers.does("invite", who(back)).await;
    hers.says(back, "with him").await;
    hers.does("update", json!({"room": renamed, "title": "first"})).await;
    hers.does("role", json!({"room": renamed, "user": bea.id, "role": "moderator"})).await;
    hers.does("update", json!({"room": renamed, "title": "second", "name": "another"})).await;
    // It asks to come back into a room of which it has not heard yet that it is out.
    hers.does("remove", who(own)).await;
    hers.says(own, "without him").await;
    stalled.asks("join", json!({"room": own})).await;
    hers.until_view("him back", |view| view.room(own).entry["members"] == 2).await;
    hers.says(own, "with him").await;
    let new = private_room(&mut hers, "new", &[&bea]).await;
    hers.says(new, "hello").await;
    stalled.has_room_again();
    stalled.until_version(new, 1).await;
    assert!(!stalled.view.rooms.contains_key(&taken) && !stalled.view.rooms.contains_key(&forth));
    stalled.shows_the_same_as_a_fresh_load().await;
}

#[tokio::test]
async fn a_handshake_without_hello_is_closed_after_the_hello_timeout() {
    let server = Server::of_a_site(&[("TEAHOUSE_SESSIONS__HELLO_TIMEOUT", "1s")]);
    let amy = Person::of_site(&server, 7, "amy");
    let mut wire = Wire::connect(server.address()).await;
    let offer = format!("Sec-WebSocket-Protocol: teahouse.v1, bearer.{}\r\n", amy.token);
    wire.write(crate::stage::handshake("", &offer).replace("?token=", "").as_bytes()).await;
    assert!(wire.read_head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(wire.until_close_frame().await.0, 4002);
}
