//! Resume: missed changes come once and in order, however many there are. Where the server cannot send them one by one,
//! it resets the room.

use serde_json::{Value, json};

use super::{invite, private_room, public_room, server_and_users, server_with};
use crate::fixture::{Device, User};

fn texts(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("number {number}"))
}

#[tokio::test]
async fn a_device_is_complete_after_missing_few_or_many_messages() {
    let (server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let mut hers = amy.device().await;
    for (missed, resets) in [(0, 0), (1, 0), (300, 0), (500, 0), (501, 1), (3000, 1)] {
        let room = public_room(&mut hers, &format!("{missed} missed"), &[&bea]).await;
        hers.say_many(room, texts(10)).await;
        let mut his = bea.device().await;
        his.load_all(room).await;
        his.cut();
        hers.say_many(room, texts(missed)).await;
        his.reconnect().await;
        let held = his.view.room(room);
        assert_eq!((held.version, held.brackets, held.resets), (10 + missed as u64, 1, resets), "{missed} missed");
        assert_eq!(held.messages.len(), if resets == 0 { 10 + missed } else { 50 }, "{missed} missed");
        // The device is live from here on.
        hers.say(room, "and on").await;
        his.wait_for_version(room, 11 + missed as u64).await;
        his.assert_same_as_fresh_load().await;
        his.close(1000).await;
    }
    server.assert_no_panic();
}

#[tokio::test]
async fn a_message_changed_often_is_sent_once_in_its_latest_form() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = private_room(&mut hers, "tea", &[&bea]).await;
    let id = hers.say(room, "draft").await["id"].as_u64().unwrap();
    his.wait_for_version(room, 1).await;
    his.cut();
    for number in 0..600 {
        hers.request("edit", json!({"message": id, "content": format!("draft {number}")})).await;
    }
    his.reconnect().await;
    let held = his.view.room(room);
    assert_eq!((held.version, &held.messages[&id]["content"]), (601, &json!("draft 599")));
    his.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn versions_that_were_never_issued_reset_the_room() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = private_room(&mut hers, "tea", &[&bea]).await;
    hers.say_many(room, texts(80)).await;
    his.wait_for_version(room, 80).await;
    let epoch = his.view.epoch.clone().unwrap();

    // A version of the future, of another epoch, of no epoch.
    for (epoch, version, resets) in [
        (json!(epoch), 81, 1),
        (json!(epoch), (1_u64 << 53) - 1, 2),
        (json!("another"), 80, 3),
        (Value::Null, 80, 4),
        (json!(epoch), 0, 4),
        (json!(epoch), 80, 4),
    ] {
        his.open().await;
        his.say_hello_with(json!({"epoch": epoch, "rooms": [{"room": room, "version": version}]})).await;
        his.wait_for_view("the end of catch-up", |view| view.is_caught_up()).await;
        let held = his.view.room(room);
        assert_eq!((held.version, held.resets), (80, resets), "{epoch} {version}");
        his.load_all(room).await;
        hers.say(1, "—").await;
        his.assert_same_as_fresh_load().await;
    }
    // An invalid version is refused, and the client may say hello again.
    his.open().await;
    for version in [json!(-1), json!(1.5), json!("80"), json!(1_u64 << 53), Value::Null] {
        his.expect_error(
            "hello",
            json!({"epoch": epoch, "rooms": [{"room": room, "version": version}]}),
            "bad_request",
        )
        .await;
    }
    his.say_hello().await;
    his.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn a_restore_resets_every_room() {
    let (mut server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = private_room(&mut hers, "tea", &[&bea]).await;
    hers.say_many(room, texts(70)).await;
    let copies = tempfile::tempdir().unwrap();
    let copy = copies.path().join("copy");
    server.command(&["backup", copy.to_str().unwrap()]);
    // The restore will undo what happens from here on.
    let lost = json!({"room": room, "content": "lost", "client_id": "lost"});
    let before = hers.request("message", lost.clone()).await;
    let late = private_room(&mut hers, "late", &[&bea]).await;
    hers.say(late, "too late").await;
    his.wait_for_version(late, 1).await;
    his.wait_for_version(room, 71).await;

    server.stop().await;
    server.command(&["restore", copy.to_str().unwrap(), "--replace"]);
    server.restart();
    let old = his.view.epoch.clone();
    hers.reconnect().await;
    let again = hers.request("message", lost).await;
    assert!(again.get("duplicate").is_none() && again["seq"] == before["seq"], "{again}");
    his.reconnect().await;
    assert_ne!(his.view.epoch, old);
    assert_eq!(his.view.room(room).resets, 1);
    assert!(!his.view.rooms.contains_key(&late));
    his.load_all(room).await;
    his.assert_same_as_fresh_load().await;
    hers.assert_same_as_fresh_load().await;
    // The next resume continues in this epoch.
    his.reconnect().await;
    assert_eq!(his.view.room(room).resets, 1);
}

#[tokio::test]
async fn a_room_left_during_an_absence_is_sent_as_removed() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let (kept, lost) = (private_room(&mut hers, "kept", &[&bea]).await, private_room(&mut hers, "lost", &[&bea]).await);
    hers.say(lost, "secret").await;
    his.wait_for_version(lost, 1).await;
    his.cut();
    hers.request("remove", json!({"room": lost, "user": bea.id})).await;
    hers.say(lost, "without him").await;
    hers.say(kept, "with him").await;
    his.reconnect().await;
    assert_eq!(his.view.rooms.keys().copied().collect::<Vec<_>>(), [1, kept]);
    assert_eq!(his.view.room(kept).version, 1);

    // Removed and invited again during the absence: the device continues from its version.
    his.cut();
    hers.request("remove", json!({"room": kept, "user": bea.id})).await;
    hers.say(kept, "in between").await;
    invite(&mut hers, kept, &bea).await;
    his.reconnect().await;
    assert_eq!((his.view.room(kept).version, his.view.room(kept).resets), (2, 0));
    his.assert_same_as_fresh_load().await;

    // A room that does not exist is sent as removed.
    his.open().await;
    let epoch = his.view.epoch.clone();
    let rooms = json!([{"room": 999, "version": 4}, {"room": 1, "version": his.view.room(1).version}]);
    his.view.rooms.retain(|id, _| *id == 1);
    his.say_hello_with(json!({"epoch": epoch, "rooms": rooms})).await;
    assert_eq!(his.next_of("removed").await, json!({"room": 999}));
    his.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn rooms_are_caught_up_in_the_order_of_hello() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let mut rooms = vec![1];
    for number in 0..12 {
        rooms.push(private_room(&mut hers, &format!("room {number}"), &[&bea]).await);
    }
    his.wait_for_view("all rooms", |view| view.rooms.len() == rooms.len()).await;
    his.cut();
    for room in &rooms {
        hers.say_many(*room, texts(30)).await;
    }
    rooms.reverse();
    rooms.swap(3, 7);
    // Two rooms are not named: they are live from their entry on.
    let wanted = &rooms[..11];
    his.open().await;
    his.say_hello_for(wanted).await;
    let mut begun = Vec::new();
    while begun.len() < wanted.len() {
        begun.push(his.next_of("catch_up").await["room"].as_u64().unwrap());
    }
    assert_eq!(begun, wanted);
    his.wait_for_view("the end of catch-up", |view| view.is_caught_up()).await;
    for room in &rooms {
        assert_eq!(his.view.room(*room).brackets, usize::from(wanted.contains(room)));
        hers.say(*room, "on").await;
        his.wait_for_version(*room, 31).await;
    }
    his.assert_same_as_fresh_load().await;

    // Of a room that is named twice the first version counts.
    his.open().await;
    let epoch = his.view.epoch.clone();
    let named = json!([{"room": 1, "version": 31}, {"room": 1, "version": 2}]);
    his.say_hello_with(json!({"epoch": epoch, "rooms": named})).await;
    his.wait_for_view("the end of catch-up", |view| view.is_caught_up()).await;
    assert_eq!(his.view.room(1).brackets, 1);
    his.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn sync_sends_its_bracket_before_its_ack() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = private_room(&mut hers, "tea", &[&bea]).await;
    hers.say_many(room, texts(60)).await;
    his.wait_for_version(room, 60).await;
    let sync = |since: u64| json!({"room": room, "since": since});
    for since in [60, 40, 0] {
        his.request("sync", sync(since)).await;
        assert_eq!(his.view.room(room).version, 60);
    }
    assert_eq!((his.view.room(room).brackets, his.view.room(room).resets), (3, 0));
    // A version of the future resets the room.
    his.request("sync", sync(61)).await;
    assert_eq!((his.view.room(room).resets, his.view.room(room).messages.len()), (1, 50));
    // Many at once, while another device sends.
    let mut prepared = Vec::new();
    for since in [10, 60, 30, 0, 59] {
        prepared.push(his.prepare("sync", sync(since)));
    }
    let frame = prepared.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n");
    tokio::join!(his.send_text(frame), hers.say_many(room, texts(40)));
    for (id, _) in prepared {
        his.answer(&id).await.unwrap();
    }
    his.wait_for_version(room, 100).await;
    assert_eq!(his.view.room(room).brackets, 9);
    his.assert_same_as_fresh_load().await;
    his.expect_error("sync", json!({"room": room, "since": -1}), "bad_request").await;
}

#[tokio::test]
async fn connecting_during_traffic_misses_and_repeats_nothing() {
    const ARRIVALS: usize = 40;
    let (server, [amy, bea, cid]) = server_and_users(["amy", "bea", "cid"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = private_room(&mut hers, "tea", &[&bea, &cid]).await;
    his.wait_for_view("the room", |view| view.rooms.contains_key(&room)).await;
    let (done, is_done) = tokio::sync::watch::channel(false);
    let talks = async |device: &mut Device, room: u64| {
        let mut said = 0;
        while !*is_done.borrow() {
            device.say_many(room, texts(20)).await;
            said += 20;
        }
        said
    };
    // Devices assert that the first live version follows that of the entry or of the bracket.
    let arrives = async {
        let mut held = Device::new(&cid);
        for _ in 0..ARRIVALS {
            held.reconnect().await;
            let mut fresh = cid.device().await;
            for device in [&mut held, &mut fresh] {
                for id in [1, room] {
                    let version = device.view.room(id).version;
                    device.wait_for_version(id, version + 3).await;
                }
            }
            fresh.close(1000).await;
        }
        done.send(true).unwrap();
        held
    };
    let (in_the_room, in_the_lobby, mut held) = tokio::join!(talks(&mut hers, room), talks(&mut his, 1), arrives);
    assert!(in_the_room > ARRIVALS && in_the_lobby > ARRIVALS, "they did talk: {in_the_room} {in_the_lobby}");
    held.wait_for_version(room, in_the_room as u64).await;
    held.wait_for_version(1, in_the_lobby as u64).await;
    held.assert_same_as_fresh_load().await;
    server.assert_no_panic();
}

#[tokio::test]
async fn messages_queued_for_a_displaced_device_reach_its_next_connection() {
    let (_server, [amy, bea]) = server_with(&[("TEAHOUSE_SESSIONS__PER_USER", "2")], ["amy", "bea"]);
    let mut hers = amy.device().await;
    let mut stalled = Device::new(&bea).named("phone").with_small_buffer();
    stalled.connect().await;
    let room = private_room(&mut hers, "tea", &[&bea]).await;
    stalled.wait_for_view("the room", |view| view.rooms.contains_key(&room)).await;
    hers.say_many(room, (0..400).map(|number| format!("{number} {}", "tea ".repeat(200)))).await;
    // The device reconnects while its old connection is half open, and is complete.
    let user: User = bea.clone();
    let mut again = Device::new(&user).named("phone");
    again.view = stalled.view.clone();
    again.connect().await;
    assert_eq!(again.view.room(room).version, 400);
    stalled.expect_close(4501).await;
    again.assert_same_as_fresh_load().await;
}
