//! What becomes of messages: edits, deletions, reactions, answers, mentions; live and while one was away.

use serde_json::{Value, json};

use super::{house, private_room, public_room};
use crate::stage::Device;

/// Reads to the next change of this kind, and gives the message.
async fn change(device: &mut Device, kind: &str) -> Value {
    device.hears(|one| one["type"] == "message" && one["data"]["change"]["kind"] == kind).await["data"].take()
}

#[tokio::test]
async fn every_change_takes_the_next_version_and_reaches_every_device() {
    let (_server, [amy, bea]) = house(["amy", "bea"]);
    let (mut hers, mut his, mut tablet) = (amy.device().await, bea.device().await, amy.device().await);
    let room = public_room(&mut hers, "tea", &[&bea]).await;
    let said = hers.says(room, "helo").await;
    let id = said["id"].as_u64().unwrap();
    assert_eq!((&said["seq"], &said["version"]), (&json!(1), &json!(1)));
    assert!(said.get("duplicate").is_none(), "{said}");

    assert_eq!(hers.does("edit", json!({"message": id, "content": " hello "})).await, json!({"version": 2}));
    let react = |emoji: &str, on: bool| json!({"message": id, "emoji": emoji, "on": on});
    assert_eq!(his.does("react", react("👍", true)).await, json!({"version": 3}));
    assert_eq!(hers.does("react", react("👍", true)).await, json!({"version": 4}));
    assert_eq!(his.does("react", react("👨‍👩‍👧‍👦", true)).await, json!({"version": 5}));
    assert_eq!(hers.does("react", react("👍", false)).await, json!({"version": 6}));
    // What is so already takes no version, and nobody is told.
    assert_eq!(hers.does("react", react("👍", false)).await, json!({"version": 6}));
    assert_eq!(his.does("react", react("👍", true)).await, json!({"version": 6}));
    assert_eq!(hers.does("edit", json!({"message": id, "content": "hello"})).await, json!({"version": 6}));

    for device in [&mut hers, &mut his, &mut tablet] {
        device.until_version(room, 6).await;
        let held = &device.view.room(room).messages[&id];
        assert_eq!((&held["content"], &held["reactions"]), (&json!("hello"), &json!({"👍": 1, "👨‍👩‍👧‍👦": 1})));
        assert!(held["edited_at"].as_str() > held["send_time"].as_str(), "{held}");
    }
    assert_eq!(his.view.room(room).mine[&id].len(), 2);
    assert_eq!(hers.does("delete", json!({"message": id})).await, json!({"version": 7}));
    assert_eq!(hers.does("delete", json!({"message": id})).await, json!({"version": 7}));
    let next = his.says(room, "next").await;
    assert_eq!((&next["seq"], &next["version"]), (&json!(2), &json!(8)), "its place is kept");
    for device in [&mut hers, &mut his, &mut tablet] {
        device.until_version(room, 8).await;
        device.shows_the_same_as_a_fresh_load().await;
    }
}

#[tokio::test]
async fn a_live_change_names_its_kind_and_its_user() {
    let (_server, [amy, bea]) = house(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let id = hers.says(1, "hi").await["id"].clone();
    assert_eq!(change(&mut his, "new").await["change"], json!({"kind": "new"}));
    his.does("react", json!({"message": id, "emoji": "🍵", "on": true})).await;
    let expect = json!({"kind": "react", "user": bea.id, "emoji": "🍵", "on": true});
    assert_eq!(change(&mut hers, "react").await["change"], expect);
    his.does("react", json!({"message": id, "emoji": "🍵", "on": false})).await;
    assert_eq!(change(&mut hers, "react").await["change"]["on"], json!(false));
    hers.does("edit", json!({"message": id, "content": "hi!"})).await;
    assert_eq!(change(&mut his, "edit").await["change"], json!({"kind": "edit", "user": amy.id}));
    hers.does("delete", json!({"message": id})).await;
    let deleted = change(&mut his, "delete").await;
    assert_eq!((&deleted["change"]["user"], &deleted["deleted"]), (&json!(amy.id), &json!(true)));
    assert_eq!(deleted["content"], "");
}

#[tokio::test]
async fn forbidden_changes_change_nothing() {
    let (server, [amy, bea]) = house(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let id = hers.says(1, "hers").await["id"].clone();
    let gone = hers.says(1, "gone").await["id"].clone();
    hers.does("delete", json!({"message": gone})).await;
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
        his.is_refused(kind, data, code).await;
    }
    hers.is_refused("edit", json!({"message": id, "content": "  "}), "empty").await;
    hers.is_refused("edit", json!({"message": id, "content": "x".repeat(4001)}), "too_long").await;
    hers.is_refused("edit", json!({"message": gone, "content": "back"}), "not_found").await;
    // No more than fifty different ones on a message.
    for number in 0..50 {
        let emoji = char::from_u32(0x1F400 + number).unwrap().to_string();
        his.does("react", react(&emoji)).await;
    }
    his.is_refused("react", react("👍"), "conflict").await;
    hers.does("react", react("\u{1F400}")).await;
    hers.until_version(1, 54).await;
    hers.shows_the_same_as_a_fresh_load().await;

    // Who is muted may neither say, edit nor react, and may do all else.
    let own = his.says(1, "mine").await["id"].clone();
    server.command(&["user", "mute", "bea", "--for", "1h"]);
    his.is_refused("message", json!({"room": 1, "content": "x", "client_id": "m"}), "muted").await;
    his.is_refused("edit", json!({"message": own, "content": "x"}), "muted").await;
    his.is_refused("react", react("🍵"), "muted").await;
    his.does("read", json!({"room": 1, "seq": 1})).await;
    his.does("delete", json!({"message": own})).await;
    server.command(&["user", "mute", "bea", "--off"]);
    his.says(1, "again").await;
    his.shows_the_same_as_a_fresh_load().await;
}

#[tokio::test]
async fn a_reply_names_its_message_and_mentions_name_members() {
    let (_server, [amy, bea, cid]) = house(["amy", "bea", "cid"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    cid.get("/api/auth/me").await.expect(200);
    let room = private_room(&mut hers, "tea", &[&bea]).await;
    let question = hers.says(room, "milk, @BEA? or @cid? or @nobody?").await["id"].clone();
    his.until_version(room, 1).await;
    let held = his.view.message(question.as_u64().unwrap()).unwrap();
    assert_eq!(held["mentions"], json!([bea.id]), "cid is not in this room");

    let answer = json!({"room": room, "content": "never, @amy", "client_id": "a-1", "reply_to": question});
    let answer = his.does("message", answer).await["id"].as_u64().unwrap();
    hers.until_version(room, 2).await;
    let held = hers.view.message(answer).unwrap();
    assert_eq!((&held["reply_to"], &held["mentions"]), (&question, &json!([amy.id])));
    his.does("edit", json!({"message": answer, "content": "well, @bea may"})).await;
    hers.until_version(room, 3).await;
    assert_eq!(hers.view.message(answer).unwrap()["mentions"], json!([bea.id]));

    // Of another room, or of none.
    let elsewhere = hers.says(1, "somewhere else").await["id"].clone();
    for there in [&elsewhere, &json!(999_999)] {
        let data = json!({"room": room, "content": "?", "client_id": "a-2", "reply_to": there});
        his.is_refused("message", data, "not_found").await;
    }
    // What was answered goes; the answer stays.
    hers.does("delete", json!({"message": question})).await;
    his.until_version(room, 4).await;
    hers.shows_the_same_as_a_fresh_load().await;
    his.shows_the_same_as_a_fresh_load().await;
}

#[tokio::test]
async fn changes_made_during_an_absence_are_seen_on_return() {
    let (_server, [amy, bea]) = house(["amy", "bea"]);
    let (mut hers, mut his) = (amy.device().await, bea.device().await);
    let room = private_room(&mut hers, "tea", &[&bea]).await;
    let mut ids = Vec::new();
    for text in ["edited", "deleted", "reacted to", "left alone", "edited and deleted"] {
        ids.push(hers.says(room, text).await["id"].as_u64().unwrap());
    }
    his.until_version(room, 5).await;
    his.does("react", json!({"message": ids[2], "emoji": "👍", "on": true})).await;
    his.until_version(room, 6).await;
    his.drops();
    let mut elsewhere = bea.device().await;

    hers.does("edit", json!({"message": ids[0], "content": "edited!"})).await;
    hers.does("edit", json!({"message": ids[0], "content": "edited!!"})).await;
    hers.does("delete", json!({"message": ids[1]})).await;
    hers.does("react", json!({"message": ids[2], "emoji": "👍", "on": true})).await;
    elsewhere.does("react", json!({"message": ids[2], "emoji": "👍", "on": false})).await;
    elsewhere.does("react", json!({"message": ids[2], "emoji": "🍵", "on": true})).await;
    hers.does("edit", json!({"message": ids[4], "content": "not for long"})).await;
    hers.does("delete", json!({"message": ids[4]})).await;
    hers.says(room, "new").await;
    hers.until_version(room, 15).await;

    his.comes_back().await;
    let held = his.view.room(room);
    assert_eq!((held.version, held.brackets, held.resets), (15, 1, 0));
    assert_eq!(held.messages[&ids[0]]["content"], "edited!!");
    assert_eq!(held.messages[&ids[1]]["deleted"], true);
    assert_eq!(held.messages[&ids[2]]["reactions"], json!({"👍": 1, "🍵": 1}));
    assert_eq!(held.mine[&ids[2]], ["🍵".to_owned()].into());
    for device in [&mut hers, &mut his, &mut elsewhere] {
        device.loads_all_of(room).await;
        device.shows_the_same_as_a_fresh_load().await;
    }
}
