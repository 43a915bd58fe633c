//! Read marks and unread counts: a mark is a seq, moves forward only, and is the same everywhere.

use serde_json::json;

use super::{house, private_room, public_room};
use crate::stage::{Chance, Device, Person};

async fn reads(device: &mut Device, room: u64, seq: u64) -> (u64, u64) {
    let answer = device.does("read", json!({"room": room, "seq": seq})).await;
    (answer["read_seq"].as_u64().unwrap(), answer["unread"].as_u64().unwrap())
}

async fn talks(device: &mut Device, room: u64, count: usize) {
    device.says_many(room, (0..count).map(|number| number.to_string())).await;
}

#[tokio::test]
async fn p11_a_read_mark_moves_neither_back_nor_past_the_head() {
    let (_server, [amy, bea]) = house(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = private_room(&mut hers, "tea", &[&bea]).await;
    talks(&mut hers, room, 5).await;
    his.says(room, "mine is not unread to me").await;
    assert_eq!(reads(&mut his, room, 3).await, (3, 2));
    assert_eq!(reads(&mut his, room, 1).await, (3, 2), "late");
    assert_eq!(reads(&mut his, room, 3).await, (3, 2), "twice");
    let last = hers.says(room, "sent later").await["id"].clone();
    assert_eq!(reads(&mut his, room, 5).await, (5, 1));
    hers.does("delete", json!({"message": last})).await;
    assert_eq!(reads(&mut his, room, 5).await, (5, 0), "what is gone is not unread");
    assert_eq!(reads(&mut his, room, 1_000_000).await, (7, 0), "not beyond the head");
    talks(&mut hers, room, 1).await;
    assert_eq!(reads(&mut his, room, 0).await, (7, 1), "what is said now was not read before");
    hers.until_view("his mark", |view| view.room(room).reads.get(&bea.id) == Some(&7)).await;
    for wrong in [json!(-1), json!(1.5), json!("7"), json!(null)] {
        his.is_refused("read", json!({"room": room, "seq": wrong}), "bad_request").await;
    }
    his.loads_all_of(room).await;
    his.shows_the_same_as_a_fresh_load().await;
}

#[tokio::test]
async fn concurrent_read_marks_of_three_devices_converge() {
    const MESSAGES: usize = 120;
    let (_server, [amy, bea]) = house(["amy", "bea"]);
    let mut chance = Chance::printed("marks");
    let mut hers = amy.device().await;
    let (room, direct) = {
        let room = private_room(&mut hers, "tea", &[&bea]).await;
        (room, hers.does("open", json!({"user": bea.id})).await["id"].as_u64().unwrap())
    };
    talks(&mut hers, room, MESSAGES).await;
    talks(&mut hers, direct, MESSAGES).await;
    let mut devices = [bea.device().await, bea.device().await, bea.device().await];
    let mut orders: Vec<Vec<(u64, u64)>> = Vec::new();
    for _ in &devices {
        let mut order: Vec<(u64, u64)> = (1..=40).map(|_| (room, 1 + chance.below(100))).collect();
        order.extend((1..=40).map(|_| (direct, 1 + chance.below(100))));
        chance.shuffle(&mut order);
        orders.push(order);
    }
    let highest = |of: u64| orders.concat().iter().filter(|(room, _)| *room == of).map(|(_, seq)| *seq).max().unwrap();
    let (in_room, in_direct) = (highest(room), highest(direct));
    let marking = devices.iter_mut().zip(&orders).map(async |(device, order)| {
        let mut before = std::collections::BTreeMap::new();
        for (room, seq) in order {
            let (read_seq, unread) = reads(device, *room, *seq).await;
            let mark = before.entry(*room).or_insert(0);
            assert!(read_seq >= *seq && read_seq >= *mark, "{read_seq} after {mark} and {seq}");
            assert_eq!(unread, MESSAGES as u64 - read_seq);
            *mark = read_seq;
        }
    });
    futures_util::future::join_all(marking).await;
    for device in &mut devices {
        device
            .until_view("the highest mark", |view| {
                (view.room(room).read_seq, view.room(direct).read_seq) == (in_room, in_direct)
            })
            .await;
        device.shows_the_same_as_a_fresh_load().await;
    }
    hers.until_view("his marks", |view| {
        let mark = |room: u64| view.room(room).reads.get(&bea.id).copied();
        (mark(room), mark(direct)) == (Some(in_room), Some(in_direct))
    })
    .await;
    hers.shows_the_same_as_a_fresh_load().await;

    // The classic door derives the same from the same mark.
    let list = bea.get("/api/conversations").await.expect(200).data();
    assert_eq!(list["conversations"][0]["unread_count"], json!(MESSAGES as u64 - in_direct));
    bea.post(&format!("/api/conversations/{direct}/mark-read"), json!({})).await.expect(200);
    devices[0].until_view("all read", |view| view.room(direct).read_seq == MESSAGES as u64).await;
}

#[tokio::test]
async fn read_marks_of_others_are_sent_only_in_small_private_rooms() {
    let (server, [amy, bea]) = house(["amy", "bea"]);
    let (mut hers, mut his, mut tablet) = (amy.device().await, bea.device().await, bea.device().await);
    let crowd: Vec<Person> =
        (0..49).map(|number| Person::of_site(&server, 1000 + number, &format!("user{number}"))).collect();
    let large = private_room(&mut hers, "large", &crowd.iter().chain([&bea]).collect::<Vec<_>>()).await;
    let public = public_room(&mut hers, "public", &[&bea]).await;
    let small = private_room(&mut hers, "small", &[&bea]).await;
    for room in [large, public, small] {
        talks(&mut hers, room, 3).await;
        reads(&mut his, room, 2).await;
        // One's own devices hear of it everywhere.
        tablet.until_view("the mark", |view| view.rooms.get(&room).is_some_and(|room| room.read_seq == 2)).await;
    }
    let heard = hers.until_marker(&mut his, 1).await;
    let told: Vec<u64> =
        heard.iter().filter(|one| one["type"] == "read").map(|one| one["data"]["room"].as_u64().unwrap()).collect();
    let marks = |room: u64| hers.view.room(room).reads.get(&bea.id).copied();
    assert_eq!((marks(large), marks(public), marks(small)), (None, None, Some(2)), "{told:?}");
    // One member less, and they are told.
    hers.does("remove", json!({"room": large, "user": 1000})).await;
    reads(&mut his, large, 3).await;
    hers.until_view("his mark", |view| view.room(large).reads.get(&bea.id) == Some(&3)).await;
    hers.shows_the_same_as_a_fresh_load().await;
}

#[tokio::test]
async fn unread_is_capped_at_999() {
    let (_server, [amy, bea]) = house(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = private_room(&mut hers, "tea", &[&bea]).await;
    talks(&mut hers, room, 1002).await;
    assert_eq!(reads(&mut his, room, 1).await, (1, 999));
    assert_eq!(reads(&mut his, room, 4).await, (4, 998));
    let welcome = his.comes_back().await;
    let entry = welcome["rooms"].as_array().unwrap().iter().find(|entry| entry["id"] == json!(room)).unwrap();
    assert_eq!((&entry["unread"], &entry["read_seq"]), (&json!(998), &json!(4)));
    his.shows_the_same_as_a_fresh_load().await;
}
