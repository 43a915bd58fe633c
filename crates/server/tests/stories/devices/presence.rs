//! Who is here, and who is typing: for those who share a room and asked.

use serde_json::{Value, json};

use super::{house, house_with, private_room};
use crate::stage::Person;

#[tokio::test]
async fn room_presence_reports_which_members_come_and_go() {
    let linger = ("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "1s");
    let (_server, people) = house_with(&[linger], ["amy", "bea", "cid", "dee"]);
    let [amy, bea, cid, dee] = &people;
    let mut hers = amy.device().await;
    let room = private_room(&mut hers, "tea", &[bea, cid]).await;
    let list = hers.does("presence", json!({"room": room, "on": true})).await;
    assert_eq!(list, json!({"online": [amy.id], "count": 1, "truncated": false}));
    let here = async |device: &mut crate::stage::Device, expect: &[&Person]| {
        let expect: std::collections::BTreeSet<u64> = expect.iter().map(|person| person.id).collect();
        device.until_view("who is here", |view| view.room(room).watched.as_ref() == Some(&expect)).await;
    };

    // Strangers to the room are nobody's business there, whatever dialect they speak.
    let mut stranger = dee.device().await;
    let (mut phone, mut tablet) = (bea.device().await, bea.device().await);
    here(&mut hers, &[amy, bea]).await;
    let tab = cid.opens_tab().await;
    here(&mut hers, &[amy, bea, cid]).await;
    stranger.is_refused("presence", json!({"room": room, "on": true}), "not_found").await;

    // One device of two goes: no edge. A refresh: none either. Then the last one, without a word, and one with.
    phone.closes(1000).await;
    tablet.comes_back().await;
    drop(tab);
    here(&mut hers, &[amy, bea]).await;
    tablet.closes(1000).await;
    here(&mut hers, &[amy]).await;

    // Who is taken out or brought in goes and comes as well.
    let mut back = bea.device().await;
    here(&mut hers, &[amy, bea]).await;
    hers.does("remove", json!({"room": room, "user": bea.id})).await;
    here(&mut hers, &[amy]).await;
    hers.does("invite", json!({"room": room, "user": bea.id})).await;
    here(&mut hers, &[amy, bea]).await;

    // Whoever no longer wants to know is told nothing.
    assert_eq!(hers.does("presence", json!({"room": room, "on": false})).await, json!({}));
    back.until_view("the room", |view| view.rooms.contains_key(&room)).await;
    back.closes(1000).await;
    let two = |one: &Value| one["type"] == "online_count" && one["data"]["count"] == 2;
    let heard = hers.until(two).await;
    assert!(heard.iter().all(|one| one["type"] != "presence"), "{heard:?}");
    let list = hers.does("presence", json!({"room": room, "on": true})).await;
    assert_eq!(list["online"], json!([amy.id]));
}

#[tokio::test]
async fn lobby_presence_is_a_count_that_everybody_receives() {
    let (_server, [amy, bea]) = house(["amy", "bea"]);
    let mut hers = amy.device().await;
    let list = hers.does("presence", json!({"room": 1, "on": true})).await;
    assert_eq!((&list["online"], &list["count"], &list["truncated"]), (&json!([]), &json!(1), &json!(true)));
    let mut his = bea.device().await;
    hers.until_view("two", |view| view.online == 2).await;
    his.closes(1000).await;
    hers.until_view("one", |view| view.online == 1).await;
    let answer = amy.get("/api/v1/rooms/1/presence").await.expect(200).data();
    assert_eq!(answer["count"], 1);
}

#[tokio::test]
async fn typing_is_shown_until_the_message_comes_or_typing_stops() {
    let (_server, [amy, bea, cid]) = house(["amy", "bea", "cid"]);
    let (mut hers, mut his, mut third) = (amy.device().await, bea.device().await, cid.device().await);
    let room = private_room(&mut hers, "tea", &[&bea, &cid]).await;
    let typing = |on: bool| json!({"room": room, "on": on});
    his.until_view("the room", |view| view.rooms.contains_key(&room)).await;

    assert_eq!(his.does("typing", typing(true)).await, json!({}));
    third.until_view("the room", |view| view.rooms.contains_key(&room)).await;
    for device in [&mut hers, &mut third] {
        device.until_view("him typing", |view| view.room(room).typing.contains(&bea.id)).await;
    }
    hers.does("typing", typing(true)).await;
    third.until_view("both", |view| view.room(room).typing.len() == 2).await;
    // Who says it is no longer typing it, and who takes it back is not either.
    his.says(room, "there").await;
    third.until_view("her alone", |view| view.room(room).typing == [amy.id].into()).await;
    hers.does("typing", typing(false)).await;
    third.until_view("nobody", |view| view.room(room).typing.is_empty()).await;
    // Who falls silent is forgotten.
    his.does("typing", typing(true)).await;
    third.until_view("him again", |view| view.room(room).typing == [bea.id].into()).await;
    third.until_view("nobody again", |view| view.room(room).typing.is_empty()).await;

    his.is_refused("typing", json!({"room": 1, "on": true}), "forbidden").await;
    let others = private_room(&mut hers, "hers", &[]).await;
    his.is_refused("typing", json!({"room": others, "on": true}), "not_found").await;
}

#[tokio::test]
async fn a_large_room_gets_no_typing_events() {
    let (server, [amy]) = house(["amy"]);
    let mut hers = amy.device().await;
    let crowd: Vec<Person> =
        (0..50).map(|number| Person::of_site(&server, 1000 + number, &format!("user{number}"))).collect();
    let room = private_room(&mut hers, "hall", &crowd.iter().collect::<Vec<_>>()).await;
    hers.is_refused("typing", json!({"room": room, "on": true}), "forbidden").await;
    hers.does("remove", json!({"room": room, "user": 1000})).await;
    hers.does("typing", json!({"room": room, "on": true})).await;
}
