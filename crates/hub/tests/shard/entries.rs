//! Rooms that v1 sessions enter and leave, and whose entries change: what is sent, and in which order.

use std::sync::atomic::Ordering;

use serde_json::json;
use teahouse_core::SessionId;
use teahouse_hub::HubOptions;
use tokio::sync::Semaphore;

use super::test_bed::{TEA, TestBed, short, small_options};

#[tokio::test]
async fn a_join_is_answered_before_the_room_delivers_anything() {
    let mut bed = TestBed::start(HubOptions { shards: 1, ..small_options() });
    let mut amy = bed.connect_v1(1).await;
    amy.send_json(json!({"type": "hello", "id": "h", "data": {}})).await;
    let welcome = amy.envelope().await;
    let session = SessionId(welcome["data"]["session"].as_u64().unwrap());
    bed.history.v1.read_gate.forget_permits(Semaphore::MAX_PERMITS);
    amy.send_json(json!({"type": "join", "id": "j", "data": {"room": 7}})).await;
    bed.wait_for_joins(1).await;
    bed.add_member(TEA, 1, Some(session));
    bed.post_in(TEA, "too early");
    bed.post_in(TEA, "still");
    assert_eq!(amy.until_heartbeat().await, [""; 0]);
    bed.history.v1.read_gate.add_permits(1);
    assert_eq!(amy.next_event().await["id"], "j");
    assert_eq!(short(&amy.next_event().await), "7@1: too early");
    assert_eq!(short(&amy.next_event().await), "7@2: still");
}

#[tokio::test]
async fn a_join_reply_older_than_the_membership_is_followed_by_removed() {
    let mut bed = TestBed::start(HubOptions { shards: 1, ..small_options() });
    bed.add_member(TEA, 1, None);
    let mut amy = bed.connect_v1(1).await;
    amy.send_json(json!({"type": "hello", "id": "h", "data": {}})).await;
    let welcome = amy.envelope().await;
    let session = SessionId(welcome["data"]["session"].as_u64().unwrap());
    bed.history.v1.read_gate.forget_permits(Semaphore::MAX_PERMITS);
    // Amy is in the room and leaves it on another device before the join is answered; then she joins again.
    amy.send_json(json!({"type": "join", "id": "old", "data": {"room": 7}})).await;
    bed.wait_for_joins(1).await;
    bed.remove_member(TEA, 1);
    bed.post_in(TEA, "without amy");
    amy.send_json(json!({"type": "join", "id": "new", "data": {"room": 7}})).await;
    bed.wait_for_joins(2).await;
    bed.add_member(TEA, 1, Some(session));
    bed.post_in(TEA, "welcome back");
    assert_eq!(short(&amy.next_event().await), "removed 7");
    bed.history.v1.read_gate.add_permits(1);
    assert_eq!(amy.next_event().await["id"], "old");
    assert_eq!(short(&amy.next_event().await), "removed 7");
    let answer = amy.next_event().await;
    assert_eq!((&answer["id"], &answer["data"]["version"]), (&json!("new"), &json!(1)));
    assert_eq!(amy.next_of("message").await["version"], 2);
}

#[tokio::test]
async fn a_removed_member_receives_removed_and_then_nothing_of_the_room() {
    let mut bed = TestBed::start(small_options());
    bed.add_member(TEA, 1, None);
    bed.add_member(TEA, 2, None);
    let (mut amy, mut bob) = (bed.connect_welcomed(1, json!([])).await, bed.connect_welcomed(2, json!([])).await);
    bed.remove_member(TEA, 2);
    bed.post_in(TEA, "without bob");
    bed.post(1, "with bob");
    amy.next_of("message").await;
    let received = [short(&bob.next_event().await), short(&bob.next_event().await)];
    assert_eq!(received, ["removed 7", "1@1: with bob"]);
    bob.send_json(json!({"type": "sync", "id": "s", "data": {"room": 7, "since": 0}})).await;
    assert_eq!(bob.next_of("error").await["code"], "not_found");
}

#[tokio::test]
async fn requests_about_a_room_are_answered_once_when_the_member_is_removed() {
    let mut bed = TestBed::start(HubOptions { shards: 1, ..small_options() });
    bed.add_member(TEA, 1, None);
    bed.post_in(TEA, "a");
    let mut amy = bed.connect_welcomed(1, json!([])).await;
    bed.history.v1.read_gate.forget_permits(Semaphore::MAX_PERMITS);
    for (id, kind, data) in [
        ("s1", "sync", json!({"room": 7, "since": 0})),
        ("s2", "sync", json!({"room": 7, "since": 0})),
        ("p1", "presence", json!({"room": 7, "on": true})),
        ("p2", "presence", json!({"room": 7, "on": false})),
        ("p3", "presence", json!({"room": 7, "on": true})),
    ] {
        amy.send_json(json!({"type": kind, "id": id, "data": data})).await;
    }
    let mut answers = Vec::new();
    for _ in 0..2 {
        let answer = amy.next_event().await;
        answers.push((answer["id"].as_str().unwrap().to_owned(), answer["type"].as_str().unwrap().to_owned()));
    }
    bed.remove_member(TEA, 1);
    while answers.len() < 5 {
        let answer = amy.next_event().await;
        if answer["type"] != "removed" {
            answers.push((answer["id"].as_str().unwrap().to_owned(), answer["type"].as_str().unwrap().to_owned()));
        }
    }
    bed.history.v1.read_gate.add_permits(100);
    let rest = amy.until_heartbeat().await;
    assert!(rest.iter().all(|text| text == "removed 7"), "{rest:?}");
    answers.sort_unstable();
    let answers: Vec<_> = answers.iter().map(|(id, kind)| (id.as_str(), kind.as_str())).collect();
    assert_eq!(answers, [("p1", "ack"), ("p2", "ack"), ("p3", "error"), ("s1", "error"), ("s2", "error")]);
}

#[tokio::test]
async fn a_page_requested_before_leaving_and_rejoining_is_refused() {
    let mut bed = TestBed::start(HubOptions { shards: 1, ..small_options() });
    bed.add_member(TEA, 1, None);
    let mut amy = bed.connect_welcomed(1, json!([])).await;
    bed.history.v1.read_gate.forget_permits(Semaphore::MAX_PERMITS);
    amy.send_json(json!({"type": "history", "id": "h", "data": {"room": 7}})).await;
    assert_eq!(amy.until_heartbeat().await, [""; 0]);
    bed.remove_member(TEA, 1);
    bed.post_in(TEA, "without amy");
    bed.add_member(TEA, 1, None);
    // By now the shard has processed all of that.
    bed.post(1, "elsewhere");
    amy.next_of("message").await;
    bed.history.v1.read_gate.add_permits(10);
    let error = loop {
        let envelope = amy.next_event().await;
        if envelope["id"] == "h" {
            break envelope;
        }
    };
    assert_eq!((&error["type"], &error["data"]["code"]), (&json!("error"), &json!("overloaded")));
}

#[tokio::test]
async fn requests_sent_right_after_a_hello_begin_with_the_welcome() {
    let mut bed = TestBed::start(HubOptions { shards: 1, ..small_options() });
    bed.history.v1.welcome_gate.forget_permits(Semaphore::MAX_PERMITS);
    bed.history.v1.read_gate.forget_permits(Semaphore::MAX_PERMITS);
    let mut amy = bed.connect_v1(1).await;
    let hello = json!({"type": "hello", "id": "h", "data": {"rooms": [{"room": 7, "version": 3}]}});
    amy.send(&format!("{hello}\n{}", json!({"type": "join", "id": "j", "data": {"room": 7}}))).await;
    bed.wait_for_snapshots(1).await;
    assert_eq!(bed.history.v1.joins.load(Ordering::Relaxed), 0, "it would miss changes of a room that it entered now");
    bed.history.v1.welcome_gate.add_permits(1);
    let welcome = amy.envelope().await;
    let session = SessionId(welcome["data"]["session"].as_u64().unwrap());
    assert_eq!(short(&amy.next_event().await), "removed 7");
    bed.add_member(TEA, 1, Some(session));
    bed.post_in(TEA, "welcome, amy");
    bed.history.v1.read_gate.add_permits(1);
    assert_eq!(amy.next_event().await["id"], "j");
    assert_eq!(short(&amy.next_event().await), "7@1: welcome, amy");
}

#[tokio::test]
async fn a_changed_entry_takes_nothing_from_a_member_removed_and_added_again() {
    let mut bed = TestBed::start(HubOptions { shards: 1, ..small_options() });
    bed.add_member(TEA, 1, None);
    bed.history.v1.welcome_gate.forget_permits(Semaphore::MAX_PERMITS);
    let mut amy = bed.connect_v1(1).await;
    amy.send_json(json!({"type": "hello", "id": "h", "data": {"rooms": [{"room": 7, "version": 0}]}})).await;
    bed.wait_for_snapshots(1).await;
    bed.remove_member(TEA, 1);
    bed.post_in(TEA, "without amy");
    bed.add_member(TEA, 1, None);
    bed.post_in(TEA, "welcome back");
    // Her role changes, for example.
    bed.add_member(TEA, 1, None);
    bed.history.v1.welcome_gate.add_permits(1);
    assert_eq!(amy.next_event().await["type"], "welcome");
    for expected in ["removed 7", "room 7", "room 7"] {
        assert_eq!(short(&amy.next_event().await), expected);
    }
    // Her shard no longer had a tail of the room, so the store supplies what came after that entry. The entry is read
    // again, since it changed before the welcome; it may arrive first.
    let mut next = short(&amy.next_event().await);
    if next == "room 7" {
        next = short(&amy.next_event().await);
    }
    assert_eq!(next, "catch_up 7");
    assert_eq!(short(&amy.next_event().await), "7@2: welcome back");
}

#[tokio::test]
async fn requests_after_a_refused_hello_may_be_answered_after_the_next_one() {
    let mut bed = TestBed::start(HubOptions { shards: 1, ..small_options() });
    bed.history.v1.welcome_gate.forget_permits(Semaphore::MAX_PERMITS);
    bed.history.v1.read_gate.forget_permits(Semaphore::MAX_PERMITS);
    let mut amy = bed.connect_v1(1).await;
    let hello = json!({"type": "hello", "id": "h", "data": {"epoch": "refused"}});
    amy.send(&format!("{hello}\n{}", json!({"type": "join", "id": "j", "data": {"room": 7}}))).await;
    assert_eq!(amy.envelope().await["type"], "error");
    bed.wait_for_joins(1).await;
    amy.send_json(json!({"type": "hello", "id": "h", "data": {}})).await;
    bed.wait_for_snapshots(1).await;
    let session = SessionId(1);
    bed.add_member(TEA, 1, Some(session));
    bed.history.v1.read_gate.add_permits(1);
    // By now the shard has her reply.
    let mut bob = bed.connect_v1(2).await;
    assert_eq!(bob.until_heartbeat().await, [""; 0]);
    bed.history.v1.welcome_gate.add_permits(1);
    assert_eq!(amy.next_event().await["data"]["session"], session.0);
    assert_eq!(amy.next_event().await["id"], "j");
    bed.post_in(TEA, "welcome, amy");
    assert_eq!(amy.next_of("message").await["version"], 1);
}

#[tokio::test]
async fn a_changed_room_is_sent_whole_to_its_members() {
    let mut bed = TestBed::start(small_options());
    bed.add_member(TEA, 1, None);
    let mut amy = bed.connect_welcomed(1, json!([])).await;
    bed.add_member(TEA, 2, None);
    bed.set_title(TEA, "Tea");
    let entry = amy.next_of("room").await;
    assert_eq!((&entry["id"], &entry["kind"], &entry["members"]), (&json!(7), &json!("private"), &json!(2)));
}

/// A concurrent read of entries could complete after a newer entry was sent, and overwrite it.
#[tokio::test]
async fn an_entry_read_before_a_role_changed_is_not_sent_after_it() {
    let mut bed = TestBed::start(HubOptions { shards: 1, ..small_options() });
    bed.add_member(TEA, 1, None);
    let mut amy = bed.connect_welcomed(1, json!([])).await;
    bed.history.v1.entry_gate.forget_permits(Semaphore::MAX_PERMITS);
    bed.set_title(TEA, "Tea");
    bed.wait_for_entry_reads(1).await;
    bed.make_moderator(TEA, 1);
    assert_eq!(amy.next_of("room").await["role"], "moderator");
    bed.history.v1.entry_gate.add_permits(10);
    // The title is still to be sent, with her new role.
    assert_eq!(amy.next_of("room").await["role"], "moderator");
    assert_eq!(amy.until_heartbeat().await, [""; 0]);
}
