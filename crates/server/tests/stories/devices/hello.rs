//! `hello` and `welcome`, the lobby in both dialects, frames with several envelopes.

use serde_json::{Value, json};

use super::{ids, private_room, server_and_users, server_with};
use crate::fixture::{Device, of_type};

#[tokio::test]
async fn welcome_has_everything_that_a_client_starts_with() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let mut phone = amy.device().await;
    let room = private_room(&mut phone, "tea", &[&bea]).await;
    phone.say(room, "first").await;
    let said = phone.say(room, "second").await;
    let direct = phone.request("open", json!({"user": bea.id})).await["id"].as_u64().unwrap();
    phone.say(direct, "just for you").await;

    let mut hers = Device::new(&bea);
    hers.open().await;
    let welcome = hers.say_hello().await;
    assert_eq!((&welcome["user"]["id"], &welcome["user"]["username"]), (&json!(bea.id), &json!("bea")));
    assert_eq!((&welcome["user"]["role"], &welcome["online"]), (&json!("user"), &json!({"count": 2})));
    assert!(welcome["session"].as_u64().unwrap() > 0 && !welcome["epoch"].as_str().unwrap().is_empty());
    assert_eq!(welcome["heartbeat_ms"], 25_000);
    let expires = welcome["token_expires_in_ms"].as_u64().unwrap();
    assert!((86_000_000..=86_400_000).contains(&expires), "a day: {expires}");
    let limits = &welcome["limits"];
    assert_eq!((&limits["content_chars_max"], &limits["frame_bytes_max"]), (&json!(4000), &json!(65_536)));

    assert_eq!(ids(&welcome["rooms"]), [1, room, direct]);
    let [lobby, tea, talk] = &welcome["rooms"].as_array().unwrap()[..] else { unreachable!() };
    assert_eq!((&lobby["kind"], &lobby["role"]), (&json!("public"), &json!("member")));
    let numbers = ["version", "last_seq", "read_seq", "unread", "members"].map(|field| tea[field].as_u64().unwrap());
    assert_eq!(numbers, [2, 2, 0, 2, 2]);
    assert_eq!((&tea["kind"], &tea["name"], &tea["muted"]), (&json!("private"), &json!("tea"), &json!(false)));
    assert_eq!((&tea["last_message"]["id"], &tea["last_message"]["content"]), (&said["id"], &json!("second")));
    assert_eq!(tea["reads"], json!({amy.id.to_string(): 0}), "saying something is not reading: {tea}");
    assert_eq!((&talk["kind"], &talk["unread"]), (&json!("direct"), &json!(1)));
    let peer = &talk["peer"];
    assert_eq!((&peer["id"], &peer["username"], &peer["online"]), (&json!(amy.id), &json!("amy"), &json!(true)));

    // A room that the device did not hold is live from here on. Its history comes only on request.
    phone.say(room, "third").await;
    let received = hers.next_of("message").await;
    assert_eq!((&received["content"], &received["version"]), (&json!("third"), &json!(3)));
    hers.assert_same_as_fresh_load().await;
    phone.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn the_lobby_is_one_room_in_both_dialects() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let mut phone = amy.device().await;
    let mut tab = bea.open_tab().await;

    let said = phone.say(1, "from the phone").await;
    let received = tab.next_of("message").await;
    assert_eq!((&received["id"], &received["content"]), (&said["id"], &json!("from the phone")));
    assert_eq!(received["send_time"], said["send_time"]);
    tab.say("from the tab").await;
    let received = phone.wait_for(|one| one["data"]["content"] == "from the tab").await;
    let own = tab.next_of("message").await;
    assert_eq!((&received["data"]["id"], &received["data"]["seq"]), (&own["id"], &json!(2)));
    assert_eq!((&received["data"]["sender"]["id"], &received["data"]["version"]), (&json!(bea.id), &json!(2)));

    // A classic client cannot change a message that it shows, so it receives deletions but no edits and no reactions.
    phone.request("edit", json!({"message": said["id"], "content": "from the telephone"})).await;
    phone.request("react", json!({"message": own["id"], "emoji": "👍", "on": true})).await;
    phone.request("delete", json!({"message": said["id"]})).await;
    let gone = tab.read_until(|one| one["type"] == "message_deleted").await;
    assert_eq!(of_type(&gone, "message"), Vec::<Value>::new());
    let received = tab.read_to_marker(&bea).await;
    assert!(received.iter().all(|one| one["type"] == "online_count"), "{received:?}");

    // v1 devices receive a deletion by a classic client.
    bea.delete(&format!("/api/chat/messages/{}", own["id"])).await.expect(200);
    phone
        .wait_for_view("the deletion", |view| view.room(1).messages[&own["id"].as_u64().unwrap()]["deleted"] == true)
        .await;
    phone.load_all(1).await;
    phone.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn p10_a_private_message_reaches_every_device_of_both_users() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut phone, mut laptop) = (amy.device().await, amy.device().await);
    let (mut hers, mut her_tablet) = (bea.device().await, bea.device().await);
    let mut her_tab = bea.open_tab().await;
    let mut his_tab = amy.open_tab().await;

    // Sent over a classic route, received as a direct room, whose entry comes first.
    let (id, room) = amy.send_private(&bea, "psst").await;
    for device in [&mut phone, &mut laptop, &mut hers, &mut her_tablet] {
        device.wait_for_version(room, 1).await;
        let held = &device.view.room(room).messages[&id];
        assert_eq!((&held["content"], &held["sender"]["id"]), (&json!("psst"), &json!(amy.id)));
        let peer = if device.view.me == amy.id { bea.id } else { amy.id };
        assert_eq!(device.view.room(room).entry["peer"]["id"], json!(peer));
    }
    let event = her_tab.next_of("private_message").await;
    assert_eq!((&event["message_id"], &event["message"]["conversation_id"]), (&json!(id), &json!(room)));

    // Answered over v1: a classic tab of the receiver gets it, a classic tab of the sender does not.
    let said = hers.say(room, "yes?").await;
    let event = his_tab.next_of("private_message").await;
    assert_eq!((&event["message_id"], &event["message"]["content"]), (&said["id"], &json!("yes?")));
    assert_eq!(of_type(&her_tab.read_to_marker(&bea).await, "private_message"), Vec::<Value>::new());

    // A read mark holds in every dialect.
    laptop.request("read", json!({"room": room, "seq": 2})).await;
    assert_eq!(her_tab.next_of("message_read").await, json!({"conversation_id": room, "reader_id": amy.id}));
    for device in [&mut phone, &mut laptop, &mut hers, &mut her_tablet] {
        device
            .wait_for_view("the mark", |view| {
                let held = view.room(room);
                if view.me == amy.id { held.read_seq == 2 } else { held.reads.get(&amy.id) == Some(&2) }
            })
            .await;
    }
    bea.post(&format!("/api/conversations/{room}/mark-read"), json!({})).await.expect(200);
    his_tab.next_of("message_read").await;
    her_tablet.wait_for_view("her own mark", |view| view.room(room).read_seq == 2).await;
    for device in [&mut phone, &mut laptop, &mut hers, &mut her_tablet] {
        device.assert_same_as_fresh_load().await;
    }
}

#[tokio::test]
async fn a_classic_tab_and_a_v1_device_of_one_user_coexist() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let (mut tab, mut phone) = (amy.open_tab().await, amy.device().await);
    let mut hers = bea.device().await;
    let room = private_room(&mut hers, "tea", &[&amy]).await;
    phone.wait_for_view("the room", |view| view.rooms.contains_key(&room)).await;
    hers.say(room, "for members").await;
    hers.say(1, "for all").await;
    let received = tab.read_until(|one| one["data"]["content"] == "for all").await;
    // The classic dialect has only the lobby and conversations, and no envelope types of v1.
    assert!(received.iter().all(|one| one["type"] == "online_count"), "{received:?}");
    phone.wait_for_version(room, 1).await;
    phone.wait_for_version(1, 1).await;
}

#[tokio::test]
async fn a_frame_may_carry_several_envelopes_each_with_its_own_answer() {
    let (server, [amy]) = server_with(&[], ["amy"]);
    let mut phone = amy.device().await;
    let say = |text: &str, key: &str| json!({"room": 1, "content": text, "client_id": key});
    let prepared = [
        phone.prepare("message", say("one", "k-1")),
        phone.prepare("message", say("two", "k-2")),
        phone.prepare("message", say("", "k-3")),
        phone.prepare("history", json!({"room": 1, "limit": 10})),
        phone.prepare("message", say("three", "k-4")),
        phone.prepare("heartbeat", json!({})),
    ];
    phone.expect_answer_to("broken", "nothing");
    let mut lines: Vec<&str> = prepared.iter().map(|(_, text)| text.as_str()).collect();
    lines.insert(3, r#"{"type":"message","id":"broken","data":{"room":1}}"#);
    phone.send_text(lines.join("\n")).await;
    let mut seqs = Vec::new();
    for (index, (id, _)) in prepared.iter().enumerate() {
        let answer = phone.answer(id).await;
        match index {
            0 | 1 | 4 => seqs.push(answer.unwrap()["seq"].as_u64().unwrap()),
            2 => assert_eq!(answer.unwrap_err()["code"], "empty"),
            _ => drop(answer.unwrap()),
        }
    }
    assert_eq!(seqs, [1, 2, 3], "said in this order");
    assert_eq!(phone.answer("broken").await.unwrap_err()["code"], "bad_request");
    // A line break in a content is escaped and kept.
    let said = phone.say(1, "line one\nline two").await;
    phone.wait_for_version(1, 4).await;
    assert_eq!(phone.view.message(said["id"].as_u64().unwrap()).unwrap()["content"], "line one\nline two");
    server.assert_no_panic();
}
