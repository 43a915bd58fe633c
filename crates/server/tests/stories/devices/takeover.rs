//! Takeover between connections, restarts of the server, stalled readers.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::json;

use super::{invite, private_room, public_room, server_and_users, server_with};
use crate::fixture::{Device, RawSocket, Server, User};

const ONE: (&str, &str) = ("TEAHOUSE_SESSIONS__PER_USER", "1");
const TWO: (&str, &str) = ("TEAHOUSE_SESSIONS__PER_USER", "2");

#[tokio::test]
async fn h0_h4_the_newer_connection_takes_over_and_the_older_is_notified() {
    let (server, [amy, bea]) = server_with(&[ONE], ["amy", "bea"]);
    let mut observer = bea.device().await;
    let mut held = amy.device().await;
    observer.wait_for_view("two", |view| view.online == 2).await;
    for number in 1..=30 {
        observer.say(1, "and on").await;
        let mut next = Device::new(&amy);
        next.view = held.view.clone();
        next.connect().await;
        std::mem::replace(&mut held, next).expect_close(4501).await;
        held.wait_for_version(1, number).await;
    }
    // A classic tab takes over too, and the other way round.
    let mut tab = amy.open_tab().await;
    held.expect_close(4501).await;
    held.connect().await;
    tab.expect_displaced().await;
    held.assert_alive().await;
    assert_eq!(observer.view.online, 2, "the count did not change");
    let received = observer.read_to_marker(&mut held, 1).await;
    assert!(received.iter().all(|one| one["type"] != "online_count"), "{received:?}");
    server.assert_no_panic();
}

#[tokio::test]
async fn h0_the_same_device_replaces_itself_and_another_one_stays() {
    let (_server, [amy]) = server_with(&[TWO], ["amy"]);
    let mut laptop = amy.device_named("laptop").await;
    let mut phone = amy.device_named("phone").await;
    for _ in 0..5 {
        let again = amy.device_named("phone").await;
        std::mem::replace(&mut phone, again).expect_close(4501).await;
        laptop.assert_alive().await;
    }
    // Without a device name the oldest session is displaced.
    let mut nameless = amy.device().await;
    laptop.expect_close(4501).await;
    phone.assert_alive().await;
    nameless.assert_alive().await;
    assert_eq!(amy.online_users().await, [amy.id]);
}

#[tokio::test]
async fn h19_a_resume_works_at_once_while_the_old_socket_is_half_open() {
    let (_server, [amy, bea]) = server_with(&[TWO], ["amy", "bea"]);
    for name in [None, Some("phone")] {
        let mut hers = bea.device().await;
        let mut old = Device::new(&amy);
        old = if let Some(name) = name { old.named(name) } else { old };
        old.connect().await;
        let before = old.view.room(1).version;
        // The test neither reads nor closes the old connection.
        hers.say_many(1, (0..20).map(|number| number.to_string())).await;
        let mut new = Device::new(&amy);
        new = if let Some(name) = name { new.named(name) } else { new };
        new.view = old.view.clone();
        new.connect().await;
        assert_eq!(new.view.room(1).version, before + 20);
        hers.say(1, "live").await;
        new.wait_for_version(1, before + 21).await;
        if name.is_some() {
            old.expect_close(4501).await;
        } else {
            old.wait_for_version(1, before + 21).await;
            old.close(1000).await;
        }
        new.assert_same_as_fresh_load().await;
        new.cut();
        hers.close(1000).await;
    }
}

#[tokio::test]
async fn p22_sigterm_gives_each_device_a_retry_time_and_loses_and_repeats_nothing() {
    const PEOPLE: u64 = 12;
    let (mut server, [amy]) = server_and_users(["amy"]);
    let users: Vec<User> = (100..100 + PEOPLE).map(|id| User::of_site(&server, id, &format!("user{id}"))).collect();
    let mut owner = amy.device().await;
    let room = private_room(&mut owner, "tea", &users.iter().collect::<Vec<_>>()).await;
    let mut devices = join_all(users.iter().map(User::device)).await;
    // Everybody sends while the server goes down, and resends what was not answered when it is up again.
    let talking = devices.into_iter().enumerate().map(|(index, mut device)| {
        tokio::spawn(async move {
            for number in 0.. {
                let key = format!("{index}-{number}");
                let data = json!({"room": ([1, room][number % 2]), "content": key, "client_id": key});
                match device.request_if_alive("message", data.clone()).await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => assert_eq!(error["code"], "overloaded", "{error}"),
                    None => return (device, number, data),
                }
            }
            unreachable!()
        })
    });
    let talking: Vec<_> = talking.collect();
    owner.wait_for_version(room, 40).await;
    server.terminate();
    let goodbye = owner.expect_close(1012).await;
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
    assert!(distinct.len() > 2, "each device has its own retry time: {retries:?}");
    assert!(server.wait_for_exit(crate::fixture::PATIENCE).await.success());

    server.restart();
    owner.reconnect().await;
    let mut said = 0;
    for (device, (number, data)) in devices.iter_mut().zip(open) {
        device.reconnect().await;
        device.request("message", data).await;
        said += number + 1;
    }
    for device in devices.iter_mut().chain([&mut owner]) {
        device.wait_for_view("all of it", |view| view.room(1).last_seq + view.room(room).last_seq >= said as u64).await;
        device.assert_same_as_fresh_load().await;
        // The restarted server continues: no room was reset.
        assert!(device.view.all_rooms().all(|room| room.resets == 0));
    }
    let keys: BTreeSet<&str> = owner
        .view
        .all_rooms()
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
    // On a busy machine this takes more than a minute, and a device answers no ping while the test reads from another
    // one.
    let patient = [("TEAHOUSE_SESSIONS__STALL_TIMEOUT", "1h"), ("TEAHOUSE_SESSIONS__PING_INTERVAL", "1h")];
    let (server, [amy, bea, cid]) = server_with(&[metrics, patient[0], patient[1]], ["amy", "bea", "cid"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = private_room(&mut hers, "tea", &[&bea, &cid]).await;
    hers.say_many(room, (0..30).map(|number| number.to_string())).await;
    let mut stalled = Device::new(&cid).with_small_buffer();
    stalled.connect().await;
    let mut elsewhere = cid.device().await;
    for device in [&mut stalled, &mut elsewhere] {
        device.load_all(room).await;
    }
    let ids: Vec<u64> = stalled.view.room(room).messages.keys().copied().collect();

    // It reads nothing while every kind of change happens.
    let text = "tea ".repeat(60);
    let texts = |who: &'static str| (0..MESSAGES / 2).map(move |number| format!("{who} {number} "));
    let long = |texts: Vec<String>| texts.into_iter().map(|number| number + &text).collect::<Vec<_>>();
    let reacts = async {
        for id in &ids {
            elsewhere.request("react", json!({"message": id, "emoji": "🍵", "on": true})).await;
            elsewhere.request("react", json!({"message": id, "emoji": "👍", "on": true})).await;
            elsewhere.request("react", json!({"message": id, "emoji": "👍", "on": false})).await;
        }
    };
    let (by_her, by_him) = (long(texts("amy").collect()), long(texts("bea").collect()));
    tokio::join!(hers.say_many(room, by_her), his.say_many(room, by_him), reacts);
    for id in &ids[..10] {
        hers.request("edit", json!({"message": id, "content": "edited"})).await;
    }
    for id in &ids[10..20] {
        hers.request("delete", json!({"message": id})).await;
    }
    hers.say_many(1, (0..1200).map(|number| format!("lobby {number} {text}"))).await;

    // Everybody else has everything before the stalled reader reads the first byte. Now it reads.
    elsewhere.wait_for_version(room, hers.view.room(room).version).await;
    assert_eq!(stalled.view.room(room).version, 30);
    stalled.enlarge_buffer();
    stalled.assert_same_as_fresh_load().await;
    let held = stalled.view.room(room);
    assert!(held.brackets > 0 && held.resets == 0, "{} brackets", held.brackets);
    assert_eq!(held.messages.len(), 30 + MESSAGES);
    assert_eq!(held.mine.values().filter(|mine| !mine.is_empty()).count(), 20);
    assert!(server.metric("teahouse_catch_up_pages_total").await > 0, "its cursor left the tail");
    elsewhere.assert_same_as_fresh_load().await;
    server.assert_no_panic();
}

#[tokio::test]
async fn a_stalled_reader_gets_the_final_state_of_its_rooms() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let mut hers = amy.device().await;
    let rooms = [
        public_room(&mut hers, "taken from", &[&bea]).await,
        public_room(&mut hers, "taken from and back", &[&bea]).await,
        public_room(&mut hers, "back and forth", &[&bea]).await,
        public_room(&mut hers, "renamed", &[&bea]).await,
        public_room(&mut hers, "come back to", &[&bea]).await,
    ];
    let [taken, back, forth, renamed, own] = rooms;
    let mut stalled = Device::new(&bea).with_small_buffer();
    stalled.connect().await;
    // Fills the buffers of the network, so that everything else waits in the server.
    hers.say_many(1, (0..600).map(|number| format!("{number} {}", "tea ".repeat(200)))).await;
    let who = |room: u64| json!({"room": room, "user": bea.id});
    hers.request("remove", who(taken)).await;
    for _ in 0..2 {
        hers.request("remove", who(forth)).await;
        hers.say(forth, "without him").await;
        invite(&mut hers, forth, &bea).await;
        hers.say(forth, "with him").await;
    }
    hers.request("remove", who(forth)).await;
    hers.request("remove", who(back)).await;
    hers.say(back, "without him").await;
    invite(&mut hers, back, &bea).await;
    hers.say(back, "with him").await;
    hers.request("update", json!({"room": renamed, "title": "first"})).await;
    hers.request("role", json!({"room": renamed, "user": bea.id, "role": "moderator"})).await;
    hers.request("update", json!({"room": renamed, "title": "second", "name": "another"})).await;
    // It joins a room again before it has received its removal.
    hers.request("remove", who(own)).await;
    hers.say(own, "without him").await;
    stalled.send_request("join", json!({"room": own})).await;
    hers.wait_for_view("the join", |view| view.room(own).entry["members"] == 2).await;
    hers.say(own, "with him").await;
    let new = private_room(&mut hers, "new", &[&bea]).await;
    hers.say(new, "hello").await;
    stalled.enlarge_buffer();
    stalled.wait_for_version(new, 1).await;
    assert!(!stalled.view.rooms.contains_key(&taken) && !stalled.view.rooms.contains_key(&forth));
    stalled.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn a_handshake_without_hello_is_closed_after_the_hello_timeout() {
    let server = Server::of_site(&[("TEAHOUSE_SESSIONS__HELLO_TIMEOUT", "1s")]);
    let amy = User::of_site(&server, 7, "amy");
    let mut socket = RawSocket::connect(server.address()).await;
    let offer = format!("Sec-WebSocket-Protocol: teahouse.v1, bearer.{}\r\n", amy.token);
    socket.write(crate::fixture::request_head("", &offer).as_bytes()).await;
    assert!(socket.read_head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(socket.read_to_close_frame().await.0, 4002);
}
