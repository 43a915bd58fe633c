//! Rules about `@username` in what is said.

use teahouse_core::limits::MENTIONS_MAX;
use teahouse_core::{LOBBY, UserId};
use teahouse_store::{Membership, Place};

use crate::house::*;

const LOBBY_PLACE: Place = Place::Room(LOBBY);

async fn named(house: &House, names: &[&str]) -> Vec<UserId> {
    let mut ids = Vec::new();
    for name in names {
        ids.push(house.store.create_user(registration(name)).await.unwrap().profile.id);
    }
    ids
}

pub async fn members_are_mentioned_by_their_names_whatever_the_case(house: House) {
    let people = named(&house, &["amy", "Bob", "amy.", "a_b-c.d", "小明", "amy-x"]).await;
    let [amy, bob, amy_dot, odd, ming, _] = people[..] else { panic!() };
    for (content, expect) in [
        ("nobody here", vec![]),
        ("@nobody here", vec![]),
        ("hi @amy", vec![amy]),
        ("@BOB and @aMy, @bob again", vec![amy, bob]),
        ("(@a_b-c.d)", vec![odd]),
        ("@Bob.", vec![bob]),
        ("@bob...", vec![bob]),
        ("@bob-.", vec![bob]),
        ("@amy.", vec![amy_dot]),
        ("@amy..", vec![amy_dot]),
        ("@amybob", vec![]),
        ("write to amy@bob.example", vec![]),
        ("@@bob", vec![bob]),
        ("@小明 你好", vec![ming]),
        ("@ amy @", vec![]),
        ("@. @- @", vec![]),
    ] {
        let said = house.say(amy, LOBBY_PLACE, content).await;
        let told = house.heard.posted(LOBBY).pop().unwrap();
        assert_eq!(told.mentions, expect, "{content:?}");
        assert_eq!(house.stored(LOBBY, said.id).await, told, "what is told is what is stored");
    }
}

pub async fn only_members_of_the_room_are_mentioned_there(house: House) {
    let people = named(&house, &["amy", "bob", "eve"]).await;
    let [amy, bob, eve] = people[..] else { panic!() };
    let room = house.room_of(&[amy, bob], "cellar").await;
    let mentions = async |place| {
        let said = house.say(amy, place, "@bob @eve @amy").await;
        house.stored(said.room, said.id).await.mentions
    };
    assert_eq!(mentions(LOBBY_PLACE).await, [amy, bob, eve]);
    assert_eq!(mentions(Place::Room(room)).await, [amy, bob]);
    assert_eq!(mentions(Place::Direct(eve)).await, [amy, eve]);
    house.membership(room, amy, Membership::Remove(bob)).await.unwrap();
    house.membership(room, amy, Membership::Invite(eve)).await.unwrap();
    assert_eq!(mentions(Place::Room(room)).await, [amy, eve], "who is in it now");
}

pub async fn an_edit_mentions_whom_the_new_words_name(house: House) {
    let people = named(&house, &["amy", "bob", "eve"]).await;
    let [amy, bob, eve] = people[..] else { panic!() };
    let said = house.say(amy, LOBBY_PLACE, "@bob").await.id;
    for (content, expect) in [("@eve, not @bob", vec![bob, eve]), ("nobody", vec![]), ("@eve", vec![eve])] {
        house.edit(said, amy, content).await.unwrap();
        assert_eq!(house.heard.messages(LOBBY).pop().unwrap().message.mentions, expect);
        assert_eq!(house.stored(LOBBY, said).await.mentions, expect);
    }
}

pub async fn a_flood_of_names_stays_plain_text(house: House) {
    let mut people = Vec::new();
    for _ in 0..MENTIONS_MAX + 5 {
        people.push(house.person().await);
    }
    let all: String = (0..people.len()).map(|number| format!("@person{number} ")).collect();
    let said = house.say(people[0], LOBBY_PLACE, &all).await.id;
    assert_eq!(house.stored(LOBBY, said).await.mentions, people[..MENTIONS_MAX]);
    let strangers: String = (0..1000).map(|number| format!("@{number} ")).collect();
    let said = house.say(people[0], LOBBY_PLACE, &format!("@person3 {strangers} @person4")).await.id;
    assert_eq!(house.stored(LOBBY, said).await.mentions, [people[3]]);
}
