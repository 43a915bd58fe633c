//! Read marks and unread counts: a mark is a seq, only moves forward, and is the same on every device.

use serde_json::json;

use super::{private_room, public_room, server_and_users};
use crate::fixture::{Device, Random, User};

async fn mark_read(device: &mut Device, room: u64, seq: u64) -> (u64, u64) {
    let answer = device.request("read", json!({"room": room, "seq": seq})).await;
    (answer["read_seq"].as_u64().unwrap(), answer["unread"].as_u64().unwrap())
}

async fn say_times(device: &mut Device, room: u64, count: usize) {
    device.say_many(room, (0..count).map(|number| number.to_string())).await;
}

#[tokio::test]
async fn p11_a_read_mark_moves_neither_back_nor_past_the_head() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = private_room(&mut hers, "tea", &[&bea]).await;
    say_times(&mut hers, room, 5).await;
    his.say(room, "mine is not unread to me").await;
    assert_eq!(mark_read(&mut his, room, 3).await, (3, 2));
    assert_eq!(mark_read(&mut his, room, 1).await, (3, 2), "late");
    assert_eq!(mark_read(&mut his, room, 3).await, (3, 2), "twice");
    let last = hers.say(room, "sent later").await["id"].clone();
    assert_eq!(mark_read(&mut his, room, 5).await, (5, 1));
    hers.request("delete", json!({"message": last})).await;
    assert_eq!(mark_read(&mut his, room, 5).await, (5, 0), "a deleted message is not unread");
    assert_eq!(mark_read(&mut his, room, 1_000_000).await, (7, 0), "not beyond the head");
    say_times(&mut hers, room, 1).await;
    assert_eq!(mark_read(&mut his, room, 0).await, (7, 1), "a new message is unread");
    hers.wait_for_view("his mark", |view| view.room(room).reads.get(&bea.id) == Some(&7)).await;
    for wrong in [json!(-1), json!(1.5), json!("7"), json!(null)] {
        his.expect_error("read", json!({"room": room, "seq": wrong}), "bad_request").await;
    }
    his.load_all(room).await;
    his.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn concurrent_read_marks_of_three_devices_converge() {
    const MESSAGES: usize = 120;
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let mut random = Random::of_run("marks");
    let mut hers = amy.device().await;
    let (room, direct) = {
        let room = private_room(&mut hers, "tea", &[&bea]).await;
        (room, hers.request("open", json!({"user": bea.id})).await["id"].as_u64().unwrap())
    };
    say_times(&mut hers, room, MESSAGES).await;
    say_times(&mut hers, direct, MESSAGES).await;
    let mut devices = [bea.device().await, bea.device().await, bea.device().await];
    let mut orders: Vec<Vec<(u64, u64)>> = Vec::new();
    for _ in &devices {
        let mut order: Vec<(u64, u64)> = (1..=40).map(|_| (room, 1 + random.below(100))).collect();
        order.extend((1..=40).map(|_| (direct, 1 + random.below(100))));
        random.shuffle(&mut order);
        orders.push(order);
    }
    let highest = |of: u64| orders.concat().iter().filter(|(room, _)| *room == of).map(|(_, seq)| *seq).max().unwrap();
    let (in_room, in_direct) = (highest(room), highest(direct));
    let marking = devices.iter_mut().zip(&orders).map(async |(device, order)| {
        let mut before = std::collections::BTreeMap::new();
        for (room, seq) in order {
            let (read_seq, unread) = mark_read(device, *room, *seq).await;
            let mark = before.entry(*room).or_insert(0);
            assert!(read_seq >= *seq && read_seq >= *mark, "{read_seq} after {mark} and {seq}");
            assert_eq!(unread, MESSAGES as u64 - read_seq);
            *mark = read_seq;
        }
    });
    futures_util::future::join_all(marking).await;
    for device in &mut devices {
        device
            .wait_for_view("the highest mark", |view| {
                (view.room(room).read_seq, view.room(direct).read_seq) == (in_room, in_direct)
            })
            .await;
        device.assert_same_as_fresh_load().await;
    }
    hers.wait_for_view("his marks", |view| {
        let mark = |room: u64| view.room(room).reads.get(&bea.id).copied();
        (mark(room), mark(direct)) == (Some(in_room), Some(in_direct))
    })
    .await;
    hers.assert_same_as_fresh_load().await;

    // Classic routes derive the same count from the same mark.
    let list = bea.get("/api/conversations").await.expect(200).data();
    assert_eq!(list["conversations"][0]["unread_count"], json!(MESSAGES as u64 - in_direct));
    bea.post(&format!("/api/conversations/{direct}/mark-read"), json!({})).await.expect(200);
    devices[0].wait_for_view("all read", |view| view.room(direct).read_seq == MESSAGES as u64).await;
}

#[tokio::test]
async fn read_marks_of_others_are_sent_only_in_small_private_rooms() {
    let (server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his, mut tablet) = (amy.device().await, bea.device().await, bea.device().await);
    let crowd: Vec<User> =
        (0..49).map(|number| User::of_site(&server, 1000 + number, &format!("user{number}"))).collect();
    let large = private_room(&mut hers, "large", &crowd.iter().chain([&bea]).collect::<Vec<_>>()).await;
    let public = public_room(&mut hers, "public", &[&bea]).await;
    let small = private_room(&mut hers, "small", &[&bea]).await;
    for room in [large, public, small] {
        say_times(&mut hers, room, 3).await;
        mark_read(&mut his, room, 2).await;
        // The user's own devices always receive it.
        tablet.wait_for_view("the mark", |view| view.rooms.get(&room).is_some_and(|room| room.read_seq == 2)).await;
    }
    let received = hers.read_to_marker(&mut his, 1).await;
    let sent: Vec<u64> =
        received.iter().filter(|one| one["type"] == "read").map(|one| one["data"]["room"].as_u64().unwrap()).collect();
    let marks = |room: u64| hers.view.room(room).reads.get(&bea.id).copied();
    assert_eq!((marks(large), marks(public), marks(small)), (None, None, Some(2)), "{sent:?}");
    // With one member less everybody receives marks.
    hers.request("remove", json!({"room": large, "user": 1000})).await;
    mark_read(&mut his, large, 3).await;
    hers.wait_for_view("his mark", |view| view.room(large).reads.get(&bea.id) == Some(&3)).await;
    hers.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn unread_is_capped_at_999() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = private_room(&mut hers, "tea", &[&bea]).await;
    say_times(&mut hers, room, 1002).await;
    assert_eq!(mark_read(&mut his, room, 1).await, (1, 999));
    assert_eq!(mark_read(&mut his, room, 4).await, (4, 998));
    let welcome = his.reconnect().await;
    let entry = welcome["rooms"].as_array().unwrap().iter().find(|entry| entry["id"] == json!(room)).unwrap();
    assert_eq!((&entry["unread"], &entry["read_seq"]), (&json!(998), &json!(4)));
    his.assert_same_as_fresh_load().await;
}
