//! Room presence and typing events, for members who subscribed.

use serde_json::{Value, json};

use super::{invite, private_room, server_and_users, server_with};
use crate::fixture::User;

#[tokio::test]
async fn room_presence_reports_which_members_come_and_go() {
    let linger = ("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "1s");
    let (_server, users) = server_with(&[linger], ["amy", "bea", "cid", "dee"]);
    let [amy, bea, cid, dee] = &users;
    let mut hers = amy.device().await;
    let room = private_room(&mut hers, "tea", &[bea, cid]).await;
    let list = hers.request("presence", json!({"room": room, "on": true})).await;
    assert_eq!(list, json!({"online": [amy.id], "count": 1, "truncated": false}));
    let here = async |device: &mut crate::fixture::Device, expect: &[&User]| {
        let expect: std::collections::BTreeSet<u64> = expect.iter().map(|user| user.id).collect();
        device.wait_for_view("the online members", |view| view.room(room).watched.as_ref() == Some(&expect)).await;
    };

    // Users who are not members do not appear, in either dialect.
    let mut stranger = dee.device().await;
    let (mut phone, mut tablet) = (bea.device().await, bea.device().await);
    here(&mut hers, &[amy, bea]).await;
    let tab = cid.open_tab().await;
    here(&mut hers, &[amy, bea, cid]).await;
    stranger.expect_error("presence", json!({"room": room, "on": true}), "not_found").await;

    // One device of two leaves, or a device reconnects: no event. Then the last device is cut, and another one closes.
    phone.close(1000).await;
    tablet.reconnect().await;
    drop(tab);
    here(&mut hers, &[amy, bea]).await;
    tablet.close(1000).await;
    here(&mut hers, &[amy]).await;

    // Removed and invited members go and come too.
    let mut back = bea.device().await;
    here(&mut hers, &[amy, bea]).await;
    hers.request("remove", json!({"room": room, "user": bea.id})).await;
    here(&mut hers, &[amy]).await;
    invite(&mut hers, room, bea).await;
    here(&mut hers, &[amy, bea]).await;

    // After unsubscribing nothing comes.
    assert_eq!(hers.request("presence", json!({"room": room, "on": false})).await, json!({}));
    back.wait_for_view("the room", |view| view.rooms.contains_key(&room)).await;
    back.close(1000).await;
    let two = |one: &Value| one["type"] == "online_count" && one["data"]["count"] == 2;
    let received = hers.read_until(two).await;
    assert!(received.iter().all(|one| one["type"] != "presence"), "{received:?}");
    let list = hers.request("presence", json!({"room": room, "on": true})).await;
    assert_eq!(list["online"], json!([amy.id]));
}

#[tokio::test]
async fn lobby_presence_is_a_count_that_everybody_receives() {
    let (_server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let mut hers = amy.device().await;
    let list = hers.request("presence", json!({"room": 1, "on": true})).await;
    assert_eq!((&list["online"], &list["count"], &list["truncated"]), (&json!([]), &json!(1), &json!(true)));
    let mut his = bea.device().await;
    hers.wait_for_view("two", |view| view.online == 2).await;
    his.close(1000).await;
    hers.wait_for_view("one", |view| view.online == 1).await;
    let answer = amy.get("/api/v1/rooms/1/presence").await.expect(200).data();
    assert_eq!(answer["count"], 1);
}

#[tokio::test]
async fn typing_is_shown_until_the_message_comes_or_typing_stops() {
    let (_server, [amy, bea, cid]) = server_and_users(["amy", "bea", "cid"]);
    let (mut hers, mut his, mut third) = (amy.device().await, bea.device().await, cid.device().await);
    let room = private_room(&mut hers, "tea", &[&bea, &cid]).await;
    let typing = |on: bool| json!({"room": room, "on": on});
    his.wait_for_view("the room", |view| view.rooms.contains_key(&room)).await;

    assert_eq!(his.request("typing", typing(true)).await, json!({}));
    third.wait_for_view("the room", |view| view.rooms.contains_key(&room)).await;
    for device in [&mut hers, &mut third] {
        device.wait_for_view("him typing", |view| view.room(room).typing.contains(&bea.id)).await;
    }
    hers.request("typing", typing(true)).await;
    third.wait_for_view("both", |view| view.room(room).typing.len() == 2).await;
    // A message ends typing, and so does `on: false`.
    his.say(room, "there").await;
    third.wait_for_view("her alone", |view| view.room(room).typing == [amy.id]).await;
    hers.request("typing", typing(false)).await;
    third.wait_for_view("nobody", |view| view.room(room).typing.is_empty()).await;
    // Typing ends after a timeout.
    his.request("typing", typing(true)).await;
    third.wait_for_view("him again", |view| view.room(room).typing == [bea.id]).await;
    third.wait_for_view("nobody again", |view| view.room(room).typing.is_empty()).await;

    his.expect_error("typing", json!({"room": 1, "on": true}), "forbidden").await;
    let others = private_room(&mut hers, "hers", &[]).await;
    his.expect_error("typing", json!({"room": others, "on": true}), "not_found").await;
}

#[tokio::test]
async fn a_large_room_gets_no_typing_events() {
    let (server, [amy]) = server_and_users(["amy"]);
    let mut hers = amy.device().await;
    let crowd: Vec<User> =
        (0..50).map(|number| User::of_site(&server, 1000 + number, &format!("user{number}"))).collect();
    let room = private_room(&mut hers, "hall", &crowd.iter().collect::<Vec<_>>()).await;
    hers.expect_error("typing", json!({"room": room, "on": true}), "forbidden").await;
    hers.request("remove", json!({"room": room, "user": 1000})).await;
    hers.request("typing", json!({"room": room, "on": true})).await;
}
