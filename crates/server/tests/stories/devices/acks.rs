//! Acknowledged messages: stored once under their id and seq, also when the socket ended before the ack.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{private_room, public_room, server_and_users, server_with};
use crate::fixture::{DEVICES, Device, Random, Server, User};

fn say(room: u64, text: &str, key: &str) -> Value {
    json!({"room": room, "content": text, "client_id": key})
}

/// The same over HTTP: status and body.
async fn post(user: &User, room: u64, text: &str, key: &str) -> (u16, Value) {
    let path = format!("/api/v1/rooms/{room}/messages");
    let body = json!({"content": text}).to_string();
    let answer = user.request(Method::POST, &path, &[("Idempotency-Key", key)], Some(body)).await;
    (answer.status, answer.data())
}

fn place(answer: &Value) -> (u64, u64, u64, String) {
    let number = |field: &str| answer[field].as_u64().unwrap();
    (number("id"), number("seq"), number("version"), answer["send_time"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn p12_h2_a_message_cut_between_commit_and_ack_and_resent_is_stored_once() {
    const CUTS: usize = 60;
    let (server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let mut random = Random::of_run("p12_h2");
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let mut repeats = 0;
    for number in 0..CUTS {
        let key = format!("cut-{number}");
        hers.send_request("message", say(1, &key, &key)).await;
        // In some rounds the ack is already under way.
        if random.below(2) == 0 {
            his.wait_for_version(1, number as u64 + 1).await;
        }
        hers.reconnect().await;
        let again = hers.request("message", say(1, &key, &key)).await;
        repeats += usize::from(again["duplicate"] == true);
        assert_eq!(again["seq"], json!(number + 1), "one row each");
    }
    assert!(repeats > CUTS / 4, "the cut came after the commit only {repeats} times of {CUTS}");
    his.wait_for_version(1, CUTS as u64).await;
    hers.load_all(1).await;
    let keys: BTreeSet<&str> =
        his.view.room(1).messages.values().map(|one| one["client_id"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), CUTS);
    hers.assert_same_as_fresh_load().await;
    his.assert_same_as_fresh_load().await;
    server.assert_no_panic();
}

#[tokio::test]
async fn p12_one_key_sent_over_all_transports_at_once_is_one_message() {
    let (_server, [amy]) = server_and_users(["amy"]);
    let (mut phone, mut laptop) = (amy.device().await, amy.device().await);
    let room = private_room(&mut phone, "tea", &[]).await;
    let mut first_by = BTreeSet::new();
    for number in 0..20 {
        let key = format!("key-of-all-{number}");
        let (one, other, (status, by_http)) = tokio::join!(
            phone.request("message", say(room, "once", &key)),
            laptop.request("message", say(room, "once", &key)),
            post(&amy, room, "once", &key),
        );
        assert_eq!(status, 201);
        let answers = [&one, &other, &by_http];
        assert!(answers.iter().all(|answer| place(answer) == place(&one)), "{answers:?}");
        let first: Vec<usize> = (0..3).filter(|index| answers[*index].get("duplicate").is_none()).collect();
        assert_eq!(first.len(), 1, "exactly one is no duplicate: {answers:?}");
        first_by.insert(first[0]);
    }
    phone.wait_for_version(room, 20).await;
    laptop.wait_for_version(room, 20).await;
    phone.assert_same_as_fresh_load().await;

    // The keys of classic routes are the same keys.
    let said = phone.request("message", say(1, "in the lobby", "key-classic")).await;
    assert_eq!(amy.say_with_key("key-classic", "in the lobby").await.expect(200).data()["message_id"], said["id"]);
    amy.say_with_key("key-classic", "something else").await.expect_error(409, "conflict");
}

#[tokio::test]
async fn p12_one_key_with_another_content_room_or_reply_is_a_conflict() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = public_room(&mut hers, "tea", &[]).await;
    let question = hers.say(room, "question").await["id"].clone();
    let said = hers.request("message", say(room, "answer", "key")).await;
    let mut answering = say(room, "answer", "key");
    answering["reply_to"] = question;
    for data in [say(room, "another answer", "key"), say(1, "answer", "key"), answering] {
        hers.expect_error("message", data, "conflict").await;
    }
    assert_eq!(post(&amy, room, "another answer", "key").await.0, 409);
    assert_eq!(post(&amy, 1, "answer", "key").await.0, 409);
    // Trimmed content is the same content, and the same key of another user is another key.
    assert_eq!(place(&hers.request("message", say(room, " answer\n", "key")).await), place(&said));
    his.request("join", json!({"room": room})).await;
    assert_ne!(his.request("message", say(room, "answer", "key")).await["id"], said["id"]);
    for key in ["", &"k".repeat(65)] {
        hers.expect_error("message", say(room, "answer", key), "bad_request").await;
    }
    hers.request("message", say(room, "longest", &"茶".repeat(64))).await;
    // Later changes of the message do not change the answer.
    hers.request("edit", json!({"message": said["id"], "content": "edited"})).await;
    hers.request("delete", json!({"message": said["id"]})).await;
    assert_eq!(place(&hers.request("message", say(room, "answer", "key")).await), place(&said));
    hers.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn a_repeat_is_answered_after_the_sender_lost_the_right_to_send() {
    let limits = [("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "1"), ("TEAHOUSE_LIMITS__SENDS_BURST", "5")];
    let server = Server::of_site(&[DEVICES, &limits].concat());
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = public_room(&mut hers, "tea", &[&bea]).await;
    let mut first = Vec::new();
    for number in 0..5 {
        first.push(his.request("message", say(room, "hi", &format!("key-{number}"))).await);
    }
    let repeats = async |his: &mut Device, why: &str| {
        for (number, first) in first.iter().enumerate() {
            let again = his.request("message", say(room, "hi", &format!("key-{number}"))).await;
            assert_eq!((place(&again), &again["duplicate"]), (place(first), &json!(true)), "{why}");
        }
        his.expect_error("message", say(room, "other", "key-0"), "conflict").await;
    };
    // All in one frame, so that the limit cannot refill.
    let mut prepared: Vec<_> =
        (0..20).map(|number| his.prepare("message", say(1, "new", &format!("new-{number}")))).collect();
    prepared.push(his.prepare("message", say(room, "hi", "key-0")));
    his.send_text(prepared.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n")).await;
    let mut refused = 0;
    for (id, _) in &prepared[..20] {
        refused += usize::from(his.answer(id).await.is_err_and(|error| error["code"] == "rate_limited"));
    }
    assert!(refused >= 10, "{refused} of 20 were too fast");
    assert_eq!(place(&his.answer(&prepared[20].0).await.unwrap()), place(&first[0]));

    server.command(&["user", "mute", "bea", "--for", "1h"]);
    repeats(&mut his, "muted").await;
    hers.request("remove", json!({"room": room, "user": bea.id})).await;
    repeats(&mut his, "muted and taken out").await;
    let (status, answer) = post(&bea, room, "hi", "key-3").await;
    assert_eq!((status, place(&answer)), (201, place(&first[3])));
    hers.wait_for_version(room, 5).await;
    hers.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn h12_with_fifty_senders_every_device_has_one_order() {
    const SENDERS: u64 = 50;
    const EACH: usize = 20;
    let (server, [amy]) = server_with(&[("TEAHOUSE_LIMITS__CONNECTS_BURST", "1000")], ["amy"]);
    let mut observer = amy.device().await;
    let users: Vec<User> = (100..100 + SENDERS).map(|id| User::of_site(&server, id, &format!("user{id}"))).collect();
    let mut devices = join_all(users.iter().map(User::device)).await;
    let acks = join_all(devices.iter_mut().map(async |device| {
        let mut acks = Vec::new();
        for number in 0..EACH {
            acks.push(device.say(1, &number.to_string()).await["seq"].as_u64().unwrap());
        }
        assert!(acks.is_sorted_by(|a, b| a < b), "own messages are in the order in which they were sent");
        acks
    }))
    .await;
    let mut seqs: Vec<u64> = acks.concat();
    seqs.sort_unstable();
    let all = SENDERS * EACH as u64;
    assert_eq!(seqs, (1..=all).collect::<Vec<_>>(), "seq without a hole");
    // Devices assert that live messages have no gap and no repeat.
    for device in &mut devices {
        device.wait_for_version(1, all).await;
    }
    observer.wait_for_version(1, all).await;
    observer.assert_same_as_fresh_load().await;
    devices[7].load_all(1).await;
    assert_eq!(devices[7].view.room(1).messages, observer.view.room(1).messages);
    server.assert_no_panic();
}
