//! What one user sends costs the members of a room little more than that, on the wire and in the server's memory.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{private_room, server_and_users};
use crate::fixture::{Backend, Device};

/// The longest message that is allowed: 16,000 bytes.
fn long_message() -> String {
    "🍵".repeat(4000)
}

fn bytes_of(envelopes: &[Value]) -> usize {
    envelopes.iter().map(|envelope| envelope.to_string().len()).sum()
}

#[tokio::test]
async fn a_reaction_to_a_long_message_costs_each_member_a_few_hundred_bytes() {
    const REACTIONS: usize = 100;
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = private_room(&mut hers, "tea", &[&bea]).await;
    let id = hers.say(room, &long_message()).await["id"].as_u64().unwrap();
    his.wait_for_version(room, 1).await;
    for number in 0..REACTIONS {
        hers.request("react", json!({"message": id, "emoji": "👍", "on": number % 2 == 0})).await;
    }
    let received = his.read_to_marker(&mut hers, room).await;
    let bytes = bytes_of(&received) / REACTIONS;
    assert!(bytes <= 300, "a member received {bytes} bytes for each reaction");
    his.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn a_message_that_is_new_and_reacted_to_within_one_absence_comes_once_as_it_is() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = private_room(&mut hers, "tea", &[&bea]).await;
    hers.say(room, "before").await;
    his.wait_for_version(room, 1).await;
    his.cut();
    let id = hers.say(room, "new").await["id"].as_u64().unwrap();
    for (emoji, on) in [("👍", true), ("🍵", true), ("👍", false)] {
        hers.request("react", json!({"message": id, "emoji": emoji, "on": on})).await;
    }
    hers.wait_for_version(room, 5).await;
    his.reconnect().await;
    let held = his.view.room(room);
    assert_eq!((held.version, held.brackets, held.resets), (5, 1, 0));
    assert_eq!(held.messages[&id]["reactions"], json!({"🍵": 1}));
    // What follows is live again, on top of the message that the catch-up brought.
    his.request("react", json!({"message": id, "emoji": "🍵", "on": true})).await;
    his.wait_for_version(room, 6).await;
    assert_eq!(his.view.room(room).mine[&id], ["🍵".to_owned()].into());
    assert_eq!(his.view.message(id).unwrap()["reactions"], json!({"🍵": 2}));
    his.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn a_stalled_member_does_not_keep_long_messages_in_memory() {
    const MESSAGES: usize = 60;
    let (server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let backend = Backend::new(&server);
    let mut hers = amy.device().await;
    let room = private_room(&mut hers, "tea", &[&bea]).await;
    let mut stalled = Device::new(&bea).with_small_buffer();
    stalled.connect().await;
    // Fills the buffers of the network.
    hers.say_many(1, (0..600).map(|number| format!("{number} {}", "tea ".repeat(200)))).await;
    let content = long_message();
    for number in 0..MESSAGES {
        let body = json!({"content": content, "client_id": number.to_string()});
        backend.post(&format!("/api/server/rooms/{room}/messages"), body).await.expect(201);
    }
    // These are fewer messages than a room keeps in memory, and more bytes: the store serves them.
    stalled.enlarge_buffer();
    stalled.wait_for_version(room, MESSAGES as u64).await;
    let held = stalled.view.room(room);
    assert!(held.brackets > 0 && held.resets == 0, "{} brackets", held.brackets);
    stalled.assert_same_as_fresh_load().await;
    server.assert_no_panic();
}

#[tokio::test]
async fn a_stalled_session_does_not_keep_large_published_events_in_memory() {
    const EVENTS: usize = 400;
    for all in [true, false] {
        let (server, [amy]) = server_and_users(["amy"]);
        let backend = Backend::new(&server);
        let mut stalled = Device::new(&amy).expecting(&["article", "last"]).with_small_buffer();
        stalled.connect().await;
        let to = if all { json!({"all": true}) } else { json!({"users": [amy.id]}) };
        let data = json!({"text": "x".repeat(60_000)});
        // To a single user, fewer events wait than are counted.
        let events = if all { EVENTS } else { EVENTS / 2 };
        for _ in 0..events / 50 {
            let some = (0..50).map(|_| backend.publish(to.clone(), "article", data.clone()));
            join_all(some).await.into_iter().for_each(|answer| drop(answer.expect(200)));
        }
        backend.publish(json!({"all": true}), "last", json!({})).await.expect(200);
        stalled.enlarge_buffer();
        let received = stalled.read_until(|envelope| envelope["type"] == "last").await;
        let of = |kind: &str| received.iter().filter(|one| one["type"] == kind).count();
        assert!(of("system") == 1 && of("article") < events, "{} of {events} came", of("article"));
        server.assert_no_panic();
    }
}
