//! Changes of messages: edits, deletions, reactions, replies, mentions; live and during an absence.

use serde_json::{Value, json};

use super::{private_room, public_room, server_and_users};
use crate::fixture::Device;

/// Reads to the next change of this kind. Of a reaction that is all; of any other change, the whole message.
async fn change(device: &mut Device, kind: &str) -> Value {
    let of_type = if kind == "react" { "change" } else { "message" };
    device.wait_for(|one| one["type"] == of_type && one["data"]["change"]["kind"] == kind).await["data"].take()
}

#[tokio::test]
async fn every_change_takes_the_next_version_and_reaches_every_device() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his, mut tablet) = (amy.device().await, bea.device().await, amy.device().await);
    let room = public_room(&mut hers, "tea", &[&bea]).await;
    let said = hers.say(room, "helo").await;
    let id = said["id"].as_u64().unwrap();
    assert_eq!((&said["seq"], &said["version"]), (&json!(1), &json!(1)));
    assert!(said.get("duplicate").is_none(), "{said}");

    assert_eq!(hers.request("edit", json!({"message": id, "content": " hello "})).await, json!({"version": 2}));
    let react = |emoji: &str, on: bool| json!({"message": id, "emoji": emoji, "on": on});
    assert_eq!(his.request("react", react("👍", true)).await, json!({"version": 3}));
    assert_eq!(hers.request("react", react("👍", true)).await, json!({"version": 4}));
    assert_eq!(his.request("react", react("👨‍👩‍👧‍👦", true)).await, json!({"version": 5}));
    assert_eq!(hers.request("react", react("👍", false)).await, json!({"version": 6}));
    // A change without effect takes no version and sends no event.
    assert_eq!(hers.request("react", react("👍", false)).await, json!({"version": 6}));
    assert_eq!(his.request("react", react("👍", true)).await, json!({"version": 6}));
    assert_eq!(hers.request("edit", json!({"message": id, "content": "hello"})).await, json!({"version": 6}));

    for device in [&mut hers, &mut his, &mut tablet] {
        device.wait_for_version(room, 6).await;
        let held = &device.view.room(room).messages[&id];
        assert_eq!((&held["content"], &held["reactions"]), (&json!("hello"), &json!({"👍": 1, "👨‍👩‍👧‍👦": 1})));
        assert!(held["edited_at"].as_str() > held["send_time"].as_str(), "{held}");
    }
    assert_eq!(his.view.room(room).mine[&id].len(), 2);
    assert_eq!(hers.request("delete", json!({"message": id})).await, json!({"version": 7}));
    assert_eq!(hers.request("delete", json!({"message": id})).await, json!({"version": 7}));
    let next = his.say(room, "next").await;
    assert_eq!((&next["seq"], &next["version"]), (&json!(2), &json!(8)), "its place is kept");
    for device in [&mut hers, &mut his, &mut tablet] {
        device.wait_for_version(room, 8).await;
        device.assert_same_as_fresh_load().await;
    }
}

#[tokio::test]
async fn a_live_change_names_its_kind_and_its_user() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let id = hers.say(1, "hi").await["id"].clone();
    assert_eq!(change(&mut his, "new").await["change"], json!({"kind": "new"}));
    his.request("react", json!({"message": id, "emoji": "🍵", "on": true})).await;
    let expect = json!({"kind": "react", "user": bea.id, "emoji": "🍵", "on": true});
    let reacted = change(&mut hers, "react").await;
    assert_eq!((&reacted["id"], &reacted["reactions"], &reacted["change"]), (&id, &json!({"🍵": 1}), &expect));
    his.request("react", json!({"message": id, "emoji": "🍵", "on": false})).await;
    assert_eq!(change(&mut hers, "react").await["change"]["on"], json!(false));
    hers.request("edit", json!({"message": id, "content": "hi!"})).await;
    assert_eq!(change(&mut his, "edit").await["change"], json!({"kind": "edit", "user": amy.id}));
    hers.request("delete", json!({"message": id})).await;
    let deleted = change(&mut his, "delete").await;
    assert_eq!((&deleted["change"]["user"], &deleted["deleted"]), (&json!(amy.id), &json!(true)));
    assert_eq!(deleted["content"], "");
}

#[tokio::test]
async fn forbidden_changes_change_nothing() {
    let (server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let id = hers.say(1, "hers").await["id"].clone();
    let gone = hers.say(1, "gone").await["id"].clone();
    hers.request("delete", json!({"message": gone})).await;
    let react = |emoji: &str| json!({"message": id, "emoji": emoji, "on": true});
    for (kind, data, code) in [
        ("edit", json!({"message": id, "content": "his"}), "forbidden"),
        ("delete", json!({"message": id}), "forbidden"),
        ("edit", json!({"message": 999_999, "content": "x"}), "not_found"),
        ("delete", json!({"message": 999_999}), "not_found"),
        ("react", json!({"message": 999_999, "emoji": "👍", "on": true}), "not_found"),
        ("react", json!({"message": gone, "emoji": "👍", "on": true}), "not_found"),
        ("react", react("+1"), "bad_request"),
        ("react", react(""), "bad_request"),
        ("react", react("👍 "), "bad_request"),
        ("react", react(&"👍".repeat(17)), "bad_request"),
    ] {
        his.expect_error(kind, data, code).await;
    }
    hers.expect_error("edit", json!({"message": id, "content": "  "}), "empty").await;
    hers.expect_error("edit", json!({"message": id, "content": "x".repeat(4001)}), "too_long").await;
    hers.expect_error("edit", json!({"message": gone, "content": "back"}), "not_found").await;
    // A message has at most fifty different reactions.
    for number in 0..50 {
        let emoji = char::from_u32(0x1F400 + number).unwrap().to_string();
        his.request("react", react(&emoji)).await;
    }
    his.expect_error("react", react("👍"), "conflict").await;
    hers.request("react", react("\u{1F400}")).await;
    hers.wait_for_version(1, 54).await;
    hers.assert_same_as_fresh_load().await;

    // A muted member may not send, edit or react, and may do everything else.
    let own = his.say(1, "mine").await["id"].clone();
    server.command(&["user", "mute", "bea", "--for", "1h"]);
    his.expect_error("message", json!({"room": 1, "content": "x", "client_id": "m"}), "muted").await;
    his.expect_error("edit", json!({"message": own, "content": "x"}), "muted").await;
    his.expect_error("react", react("🍵"), "muted").await;
    his.request("read", json!({"room": 1, "seq": 1})).await;
    his.request("delete", json!({"message": own})).await;
    server.command(&["user", "mute", "bea", "--off"]);
    his.say(1, "again").await;
    his.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn a_reply_names_its_message_and_mentions_name_members() {
    let (_server, [amy, bea, cid]) = server_and_users(["amy", "bea", "cid"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    cid.get("/api/auth/me").await.expect(200);
    let room = private_room(&mut hers, "tea", &[&bea]).await;
    let question = hers.say(room, "milk, @BEA? or @cid? or @nobody?").await["id"].clone();
    his.wait_for_version(room, 1).await;
    let held = his.view.message(question.as_u64().unwrap()).unwrap();
    assert_eq!(held["mentions"], json!([bea.id]), "cid is not in this room");

    let answer = json!({"room": room, "content": "never, @amy", "client_id": "a-1", "reply_to": question});
    let answer = his.request("message", answer).await["id"].as_u64().unwrap();
    hers.wait_for_version(room, 2).await;
    let held = hers.view.message(answer).unwrap();
    assert_eq!((&held["reply_to"], &held["mentions"]), (&question, &json!([amy.id])));
    his.request("edit", json!({"message": answer, "content": "well, @bea may"})).await;
    hers.wait_for_version(room, 3).await;
    assert_eq!(hers.view.message(answer).unwrap()["mentions"], json!([bea.id]));

    // A reply to a message of another room, or to none.
    let elsewhere = hers.say(1, "somewhere else").await["id"].clone();
    for there in [&elsewhere, &json!(999_999)] {
        let data = json!({"room": room, "content": "?", "client_id": "a-2", "reply_to": there});
        his.expect_error("message", data, "not_found").await;
    }
    // The original is deleted, and the reply stays.
    hers.request("delete", json!({"message": question})).await;
    his.wait_for_version(room, 4).await;
    hers.assert_same_as_fresh_load().await;
    his.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn changes_made_during_an_absence_are_seen_on_return() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = private_room(&mut hers, "tea", &[&bea]).await;
    let mut ids = Vec::new();
    for text in ["edited", "deleted", "reacted to", "left alone", "edited and deleted"] {
        ids.push(hers.say(room, text).await["id"].as_u64().unwrap());
    }
    his.wait_for_version(room, 5).await;
    his.request("react", json!({"message": ids[2], "emoji": "👍", "on": true})).await;
    his.wait_for_version(room, 6).await;
    his.cut();
    let mut elsewhere = bea.device().await;

    hers.request("edit", json!({"message": ids[0], "content": "edited!"})).await;
    hers.request("edit", json!({"message": ids[0], "content": "edited!!"})).await;
    hers.request("delete", json!({"message": ids[1]})).await;
    hers.request("react", json!({"message": ids[2], "emoji": "👍", "on": true})).await;
    elsewhere.request("react", json!({"message": ids[2], "emoji": "👍", "on": false})).await;
    elsewhere.request("react", json!({"message": ids[2], "emoji": "🍵", "on": true})).await;
    hers.request("edit", json!({"message": ids[4], "content": "not for long"})).await;
    hers.request("delete", json!({"message": ids[4]})).await;
    hers.say(room, "new").await;
    hers.wait_for_version(room, 15).await;

    his.reconnect().await;
    let held = his.view.room(room);
    assert_eq!((held.version, held.brackets, held.resets), (15, 1, 0));
    assert_eq!(held.messages[&ids[0]]["content"], "edited!!");
    assert_eq!(held.messages[&ids[1]]["deleted"], true);
    assert_eq!(held.messages[&ids[2]]["reactions"], json!({"👍": 1, "🍵": 1}));
    assert_eq!(held.mine[&ids[2]], ["🍵".to_owned()].into());
    for device in [&mut hers, &mut his, &mut elsewhere] {
        device.load_all(room).await;
        device.assert_same_as_fresh_load().await;
    }
}
