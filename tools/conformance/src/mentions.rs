//! Mentions: `@username` in messages.

use teahouse_core::limits::MENTIONS_MAX;
use teahouse_core::{LOBBY, UserId};
use teahouse_store::{Destination, Membership};

use crate::fixture::*;

const IN_LOBBY: Destination = Destination::Room(LOBBY);

async fn named(fixture: &Fixture, names: &[&str]) -> Vec<UserId> {
    let mut ids = Vec::new();
    for name in names {
        ids.push(fixture.store.create_user(registration(name)).await.unwrap().profile.id);
    }
    ids
}

pub(crate) async fn members_are_mentioned_by_name_regardless_of_case(fixture: Fixture) {
    let users = named(&fixture, &["amy", "Bob", "amy.", "a_b-c.d", "小明", "amy-x"]).await;
    let [amy, bob, amy_dot, odd, ming, _] = users[..] else { panic!() };
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
        let sent = fixture.send(amy, IN_LOBBY, content).await;
        let published = fixture.sink.new_messages(LOBBY).pop().unwrap();
        assert_eq!(published.mentions, expect, "{content:?}");
        assert_eq!(fixture.stored(LOBBY, sent.id).await, published, "what is published is what is stored");
    }
}

pub(crate) async fn only_members_of_the_room_are_mentioned_there(fixture: Fixture) {
    let users = named(&fixture, &["amy", "bob", "eve"]).await;
    let [amy, bob, eve] = users[..] else { panic!() };
    let room = fixture.room_of(&[amy, bob], "cellar").await;
    let mentions = async |destination| {
        let sent = fixture.send(amy, destination, "@bob @eve @amy").await;
        fixture.stored(sent.room, sent.id).await.mentions
    };
    assert_eq!(mentions(IN_LOBBY).await, [amy, bob, eve]);
    assert_eq!(mentions(Destination::Room(room)).await, [amy, bob]);
    assert_eq!(mentions(Destination::Direct(eve)).await, [amy, eve]);
    fixture.membership(room, amy, Membership::Remove(bob)).await.unwrap();
    fixture.membership(room, amy, Membership::Invite(eve)).await.unwrap();
    assert_eq!(mentions(Destination::Room(room)).await, [amy, eve], "the members of now");
}

pub(crate) async fn an_edit_has_the_mentions_of_the_new_content(fixture: Fixture) {
    let users = named(&fixture, &["amy", "bob", "eve"]).await;
    let [amy, bob, eve] = users[..] else { panic!() };
    let sent = fixture.send(amy, IN_LOBBY, "@bob").await.id;
    for (content, expect) in [("@eve, not @bob", vec![bob, eve]), ("nobody", vec![]), ("@eve", vec![eve])] {
        fixture.edit(sent, amy, content).await.unwrap();
        assert_eq!(fixture.sink.message_changes(LOBBY).pop().unwrap().message.mentions, expect);
        assert_eq!(fixture.stored(LOBBY, sent).await.mentions, expect);
    }
}

pub(crate) async fn a_flood_of_names_stays_plain_text(fixture: Fixture) {
    let mut users = Vec::new();
    for _ in 0..MENTIONS_MAX + 5 {
        users.push(fixture.new_user().await);
    }
    let all: String = (0..users.len()).map(|number| format!("@person{number} ")).collect();
    let sent = fixture.send(users[0], IN_LOBBY, &all).await.id;
    assert_eq!(fixture.stored(LOBBY, sent).await.mentions, users[..MENTIONS_MAX]);
    let strangers: String = (0..1000).map(|number| format!("@{number} ")).collect();
    let sent = fixture.send(users[0], IN_LOBBY, &format!("@person3 {strangers} @person4")).await.id;
    assert_eq!(fixture.stored(LOBBY, sent).await.mentions, [users[3]]);
}
