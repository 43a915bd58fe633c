//! Rules about `@username` in what is said.

use teahouse_core::limits::MENTIONS_MAX;
use teahouse_core::{LOBBY, UserId};
use teahouse_store::{Destination, Membership};

use crate::fixture::*;

const LOBBY_PLACE: Destination = Destination::Room(LOBBY);

async fn named(fixture: &Fixture, names: &[&str]) -> Vec<UserId> {
    let mut ids = Vec::new();
    for name in names {
        ids.push(fixture.store.create_user(registration(name)).await.unwrap().profile.id);
    }
    ids
}

pub(crate) async fn members_are_mentioned_by_their_names_whatever_the_case(fixture: Fixture) {
    let people = named(&fixture, &["amy", "Bob", "amy.", "a_b-c.d", "小明", "amy-x"]).await;
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
        let said = fixture.send(amy, LOBBY_PLACE, content).await;
        let told = fixture.sink.new_messages(LOBBY).pop().unwrap();
        assert_eq!(told.mentions, expect, "{content:?}");
        assert_eq!(fixture.stored(LOBBY, said.id).await, told, "what is told is what is stored");
    }
}

pub(crate) async fn only_members_of_the_room_are_mentioned_there(fixture: Fixture) {
    let people = named(&fixture, &["amy", "bob", "eve"]).await;
    let [amy, bob, eve] = people[..] else { panic!() };
    let room = fixture.room_of(&[amy, bob], "cellar").await;
    let mentions = async |place| {
        let said = fixture.send(amy, place, "@bob @eve @amy").await;
        fixture.stored(said.room, said.id).await.mentions
    };
    assert_eq!(mentions(LOBBY_PLACE).await, [amy, bob, eve]);
    assert_eq!(mentions(Destination::Room(room)).await, [amy, bob]);
    assert_eq!(mentions(Destination::Direct(eve)).await, [amy, eve]);
    fixture.membership(room, amy, Membership::Remove(bob)).await.unwrap();
    fixture.membership(room, amy, Membership::Invite(eve)).await.unwrap();
    assert_eq!(mentions(Destination::Room(room)).await, [amy, eve], "who is in it now");
}

pub(crate) async fn an_edit_mentions_whom_the_new_words_name(fixture: Fixture) {
    let people = named(&fixture, &["amy", "bob", "eve"]).await;
    let [amy, bob, eve] = people[..] else { panic!() };
    let said = fixture.send(amy, LOBBY_PLACE, "@bob").await.id;
    for (content, expect) in [("@eve, not @bob", vec![bob, eve]), ("nobody", vec![]), ("@eve", vec![eve])] {
        fixture.edit(said, amy, content).await.unwrap();
        assert_eq!(fixture.sink.message_changes(LOBBY).pop().unwrap().message.mentions, expect);
        assert_eq!(fixture.stored(LOBBY, said).await.mentions, expect);
    }
}

pub(crate) async fn a_flood_of_names_stays_plain_text(fixture: Fixture) {
    let mut people = Vec::new();
    for _ in 0..MENTIONS_MAX + 5 {
        people.push(fixture.new_user().await);
    }
    let all: String = (0..people.len()).map(|number| format!("@person{number} ")).collect();
    let said = fixture.send(people[0], LOBBY_PLACE, &all).await.id;
    assert_eq!(fixture.stored(LOBBY, said).await.mentions, people[..MENTIONS_MAX]);
    let strangers: String = (0..1000).map(|number| format!("@{number} ")).collect();
    let said = fixture.send(people[0], LOBBY_PLACE, &format!("@person3 {strangers} @person4")).await.id;
    assert_eq!(fixture.stored(LOBBY, said).await.mentions, [people[3]]);
}
