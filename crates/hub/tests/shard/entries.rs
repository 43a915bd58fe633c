//! Rooms that v1 sessions come into and go out of, and look otherwise: what is told, and before what.

use std::sync::atomic::Ordering;

use serde_json::json;
use teahouse_core::SessionId;
use teahouse_hub::HubOptions;
use tokio::sync::Semaphore;

use super::stage::{House, TEA, short, small};

#[tokio::test]
async fn whoever_asked_to_come_in_is_answered_before_the_room_speaks() {
    let mut house = House::open(HubOptions { shards: 1, ..small() });
    let mut amy = house.v1(1).await;
    amy.ask(json!({"type": "hello", "id": "h", "data": {}})).await;
    let welcome = amy.envelope().await;
    let session = SessionId(welcome["data"]["session"].as_u64().unwrap());
    house.past.v1.reads.forget_permits(Semaphore::MAX_PERMITS);
    amy.ask(json!({"type": "join", "id": "j", "data": {"room": 7}})).await;
    house.joins(1).await;
    house.comes_in(TEA, 1, Some(session));
    house.say_in(TEA, "too early");
    house.say_in(TEA, "still");
    assert_eq!(amy.until_heartbeat().await, [""; 0]);
    house.past.v1.reads.add_permits(1);
    assert_eq!(amy.next_event().await["id"], "j");
    assert_eq!(short(&amy.next_event().await), "7@1: too early");
    assert_eq!(short(&amy.next_event().await), "7@2: still");
}

#[tokio::test]
async fn an_answer_that_is_older_than_what_became_of_the_room_is_taken_back() {
    let mut house = House::open(HubOptions { shards: 1, ..small() });
    house.comes_in(TEA, 1, None);
    let mut amy = house.v1(1).await;
    amy.ask(json!({"type": "hello", "id": "h", "data": {}})).await;
    let welcome = amy.envelope().await;
    let session = SessionId(welcome["data"]["session"].as_u64().unwrap());
    house.past.v1.reads.forget_permits(Semaphore::MAX_PERMITS);
    // She is in it, and goes out of it on another device before that is answered; then she asks once more.
    amy.ask(json!({"type": "join", "id": "old", "data": {"room": 7}})).await;
    house.joins(1).await;
    house.goes_out(TEA, 1);
    house.say_in(TEA, "without amy");
    amy.ask(json!({"type": "join", "id": "new", "data": {"room": 7}})).await;
    house.joins(2).await;
    house.comes_in(TEA, 1, Some(session));
    house.say_in(TEA, "welcome back");
    assert_eq!(short(&amy.next_event().await), "removed 7");
    house.past.v1.reads.add_permits(1);
    assert_eq!(amy.next_event().await["id"], "old");
    assert_eq!(short(&amy.next_event().await), "removed 7");
    let answer = amy.next_event().await;
    assert_eq!((&answer["id"], &answer["data"]["version"]), (&json!("new"), &json!(1)));
    assert_eq!(amy.next_of("message").await["version"], 2);
}

#[tokio::test]
async fn somebody_taken_out_of_a_room_hears_so_and_then_nothing_of_it() {
    let mut house = House::open(small());
    house.comes_in(TEA, 1, None);
    house.comes_in(TEA, 2, None);
    let (mut amy, mut bob) = (house.welcomed(1, json!([])).await, house.welcomed(2, json!([])).await);
    house.goes_out(TEA, 2);
    house.say_in(TEA, "without bob");
    house.say(1, "with bob");
    amy.next_of("message").await;
    let heard = [short(&bob.next_event().await), short(&bob.next_event().await)];
    assert_eq!(heard, ["removed 7", "1@1: with bob"]);
    bob.ask(json!({"type": "sync", "id": "s", "data": {"room": 7, "since": 0}})).await;
    assert_eq!(bob.next_of("error").await["code"], "not_found");
}

#[tokio::test]
async fn what_is_asked_about_a_room_that_one_is_taken_out_of_is_answered_once() {
    let mut house = House::open(HubOptions { shards: 1, ..small() });
    house.comes_in(TEA, 1, None);
    house.say_in(TEA, "a");
    let mut amy = house.welcomed(1, json!([])).await;
    house.past.v1.reads.forget_permits(Semaphore::MAX_PERMITS);
    for (id, kind, data) in [
        ("s1", "sync", json!({"room": 7, "since": 0})),
        ("s2", "sync", json!({"room": 7, "since": 0})),
        ("p1", "presence", json!({"room": 7, "on": true})),
        ("p2", "presence", json!({"room": 7, "on": false})),
        ("p3", "presence", json!({"room": 7, "on": true})),
    ] {
        amy.ask(json!({"type": kind, "id": id, "data": data})).await;
    }
    let mut answers = Vec::new();
    for _ in 0..2 {
        let answer = amy.next_event().await;
        answers.push((answer["id"].as_str().unwrap().to_owned(), answer["type"].as_str().unwrap().to_owned()));
    }
    house.goes_out(TEA, 1);
    while answers.len() < 5 {
        let answer = amy.next_event().await;
        if answer["type"] != "removed" {
            answers.push((answer["id"].as_str().unwrap().to_owned(), answer["type"].as_str().unwrap().to_owned()));
        }
    }
    house.past.v1.reads.add_permits(100);
    let rest = amy.until_heartbeat().await;
    assert!(rest.iter().all(|told| told == "removed 7"), "{rest:?}");
    answers.sort_unstable();
    let answers: Vec<_> = answers.iter().map(|(id, kind)| (id.as_str(), kind.as_str())).collect();
    assert_eq!(answers, [("p1", "ack"), ("p2", "ack"), ("p3", "error"), ("s1", "error"), ("s2", "error")]);
}

#[tokio::test]
async fn a_page_that_was_asked_before_one_went_out_and_came_back_is_worth_nothing() {
    let mut house = House::open(HubOptions { shards: 1, ..small() });
    house.comes_in(TEA, 1, None);
    let mut amy = house.welcomed(1, json!([])).await;
    house.past.v1.reads.forget_permits(Semaphore::MAX_PERMITS);
    amy.ask(json!({"type": "history", "id": "h", "data": {"room": 7}})).await;
    assert_eq!(amy.until_heartbeat().await, [""; 0]);
    house.goes_out(TEA, 1);
    house.say_in(TEA, "without amy");
    house.comes_in(TEA, 1, None);
    // By now the shard has taken all of that.
    house.say(1, "elsewhere");
    amy.next_of("message").await;
    house.past.v1.reads.add_permits(10);
    let error = loop {
        let envelope = amy.next_event().await;
        if envelope["id"] == "h" {
            break envelope;
        }
    };
    assert_eq!((&error["type"], &error["data"]["code"]), (&json!("error"), &json!("overloaded")));
}

#[tokio::test]
async fn what_is_asked_right_behind_a_hello_begins_with_the_welcome() {
    let mut house = House::open(HubOptions { shards: 1, ..small() });
    house.past.v1.gate.forget_permits(Semaphore::MAX_PERMITS);
    house.past.v1.reads.forget_permits(Semaphore::MAX_PERMITS);
    let mut amy = house.v1(1).await;
    let hello = json!({"type": "hello", "id": "h", "data": {"rooms": [{"room": 7, "version": 3}]}});
    amy.send(&format!("{hello}\n{}", json!({"type": "join", "id": "j", "data": {"room": 7}}))).await;
    house.snapshots(1).await;
    assert_eq!(house.past.v1.joins.load(Ordering::Relaxed), 0, "it would be deaf in a room that it came into now");
    house.past.v1.gate.add_permits(1);
    let welcome = amy.envelope().await;
    let session = SessionId(welcome["data"]["session"].as_u64().unwrap());
    assert_eq!(short(&amy.next_event().await), "removed 7");
    house.comes_in(TEA, 1, Some(session));
    house.say_in(TEA, "welcome, amy");
    house.past.v1.reads.add_permits(1);
    assert_eq!(amy.next_event().await["id"], "j");
    assert_eq!(short(&amy.next_event().await), "7@1: welcome, amy");
}

#[tokio::test]
async fn an_entry_that_changes_takes_nothing_from_whoever_was_taken_out_and_brought_in_again() {
    let mut house = House::open(HubOptions { shards: 1, ..small() });
    house.comes_in(TEA, 1, None);
    house.past.v1.gate.forget_permits(Semaphore::MAX_PERMITS);
    let mut amy = house.v1(1).await;
    amy.ask(json!({"type": "hello", "id": "h", "data": {"rooms": [{"room": 7, "version": 0}]}})).await;
    house.snapshots(1).await;
    house.goes_out(TEA, 1);
    house.say_in(TEA, "without amy");
    house.comes_in(TEA, 1, None);
    house.say_in(TEA, "welcome back");
    // She is given another role, say.
    house.comes_in(TEA, 1, None);
    house.past.v1.gate.add_permits(1);
    assert_eq!(amy.next_event().await["type"], "welcome");
    for told in ["removed 7", "room 7", "room 7"] {
        assert_eq!(short(&amy.next_event().await), told);
    }
    // Her shard knew nothing of the room any more: the store brings her what came behind that entry. The entry is read
    // once more, since it changed while she was greeted; that may be there before.
    let mut next = short(&amy.next_event().await);
    if next == "room 7" {
        next = short(&amy.next_event().await);
    }
    assert_eq!(next, "catch_up 7");
    assert_eq!(short(&amy.next_event().await), "7@2: welcome back");
}

#[tokio::test]
async fn what_is_asked_behind_a_hello_that_was_refused_may_be_answered_behind_the_next_one() {
    let mut house = House::open(HubOptions { shards: 1, ..small() });
    house.past.v1.gate.forget_permits(Semaphore::MAX_PERMITS);
    house.past.v1.reads.forget_permits(Semaphore::MAX_PERMITS);
    let mut amy = house.v1(1).await;
    let hello = json!({"type": "hello", "id": "h", "data": {"epoch": "refused"}});
    amy.send(&format!("{hello}\n{}", json!({"type": "join", "id": "j", "data": {"room": 7}}))).await;
    assert_eq!(amy.envelope().await["type"], "error");
    house.joins(1).await;
    amy.ask(json!({"type": "hello", "id": "h", "data": {}})).await;
    house.snapshots(1).await;
    let session = SessionId(1);
    house.comes_in(TEA, 1, Some(session));
    house.past.v1.reads.add_permits(1);
    // The shard has her answer by now.
    let mut bob = house.v1(2).await;
    assert_eq!(bob.until_heartbeat().await, [""; 0]);
    house.past.v1.gate.add_permits(1);
    assert_eq!(amy.next_event().await["data"]["session"], session.0);
    assert_eq!(amy.next_event().await["id"], "j");
    house.say_in(TEA, "welcome, amy");
    assert_eq!(amy.next_of("message").await["version"], 1);
}

#[tokio::test]
async fn a_room_that_looks_otherwise_is_told_whole_to_whoever_is_in_it() {
    let mut house = House::open(small());
    house.comes_in(TEA, 1, None);
    let mut amy = house.welcomed(1, json!([])).await;
    house.comes_in(TEA, 2, None);
    house.is_titled(TEA, "Tea");
    let entry = amy.next_of("room").await;
    assert_eq!((&entry["id"], &entry["kind"], &entry["members"]), (&json!(7), &json!("private"), &json!(2)));
}

/// Found by reading: what was read before somebody got another role came behind it, and had the last word.
#[tokio::test]
async fn what_was_read_before_somebody_got_another_role_is_not_told_behind_it() {
    let mut house = House::open(HubOptions { shards: 1, ..small() });
    house.comes_in(TEA, 1, None);
    let mut amy = house.welcomed(1, json!([])).await;
    house.past.v1.entries.forget_permits(Semaphore::MAX_PERMITS);
    house.is_titled(TEA, "Tea");
    house.looks(1).await;
    house.becomes_moderator(TEA, 1);
    assert_eq!(amy.next_of("room").await["role"], "moderator");
    house.past.v1.entries.add_permits(10);
    // The title is still to be told, with what she is by now.
    assert_eq!(amy.next_of("room").await["role"], "moderator");
    assert_eq!(amy.until_heartbeat().await, [""; 0]);
}
