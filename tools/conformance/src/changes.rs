//! Rules about messages that are edited, deleted and reacted to: who may, and that each takes one version.

use std::time::Duration;

use teahouse_core::limits::REACTIONS_PER_MESSAGE_MAX;
use teahouse_core::{Audience, LOBBY, MessageChange, MessageId, RoomId, RoomKind, UserRole, Version};
use teahouse_store::{ChangeError, Destination, Membership};

use crate::fixture::*;

const LOBBY_PLACE: Destination = Destination::Room(LOBBY);

pub(crate) async fn an_edit_is_told_and_takes_the_next_version(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let said = fixture.store.append(keyed(amy, LOBBY_PLACE, "teh tea", "c1")).await.unwrap();
    fixture.send(bob, LOBBY_PLACE, "what?").await;
    fixture.react(said.id, bob, "👍").await.unwrap();

    assert_eq!(fixture.edit(said.id, amy, "the tea").await, Ok(Version(4)));
    assert_eq!(fixture.edit(said.id, amy, "the tea").await, Ok(Version(4)), "the same again changes nothing");
    let told = fixture.sink.message_changes(LOBBY);
    assert_eq!(told.len(), 4);
    let edited = &told[3];
    assert_eq!((edited.what.clone(), edited.last_seq), (MessageChange::Edit { by: amy }, 2));
    let message = &edited.message;
    assert_eq!((message.id, message.seq, message.version), (said.id, said.seq, Version(4)));
    assert_eq!((message.content.as_str(), message.edited_at, message.sent_at), ("the tea", Some(at(5)), said.sent_at));
    assert_eq!(message.reactions, [("👍".to_owned(), 1)]);
    assert_eq!(fixture.stored(LOBBY, said.id).await, *message, "what is told is what is stored");

    // What was first said under the client_id still is what it was used for.
    let again = fixture.store.append(keyed(amy, LOBBY_PLACE, "teh tea", "c1")).await.unwrap();
    assert_eq!((again.duplicate, again.version), (true, said.version));
}

pub(crate) async fn an_edit_is_not_dated_before_the_message(fixture: Fixture) {
    let amy = fixture.new_user().await;
    let mut append = text(amy, LOBBY_PLACE, "from tomorrow");
    append.now = at(86_400_000);
    let said = fixture.store.append(append).await.unwrap();
    fixture.edit(said.id, amy, "from a clock that went back").await.unwrap();
    assert_eq!(fixture.stored(LOBBY, said.id).await.edited_at, Some(said.sent_at));
}

pub(crate) async fn only_the_author_edits_and_only_while_they_may_write_there(fixture: Fixture) {
    let (amy, bob, boss) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let eve = fixture.new_user().await;
    fixture.store.set_role("person2", UserRole::Admin).await.unwrap();
    let said = fixture.send(amy, LOBBY_PLACE, "mine").await.id;
    let gone = fixture.send(amy, LOBBY_PLACE, "gone").await.id;
    fixture.store.delete_message(None, gone, amy).await.unwrap();
    let public = fixture.room(bob, RoomKind::Public, "tea").await;
    fixture.membership(public, amy, Membership::Join).await.unwrap();
    let left = fixture.send(amy, Destination::Room(public), "i was here").await.id;
    fixture.membership(public, amy, Membership::Leave).await.unwrap();
    let private = fixture.room_of(&[bob, amy], "cellar").await;
    let removed = fixture.send(amy, Destination::Room(private), "i was here too").await.id;
    fixture.membership(private, bob, Membership::Remove(amy)).await.unwrap();
    let direct = fixture.send(amy, Destination::Direct(bob), "between us").await.id;
    fixture.sink.clear();

    for (message, actor, expect) in [
        (MessageId(4711), amy, ChangeError::NotFound),
        (said, bob, ChangeError::Forbidden),
        (said, boss, ChangeError::Forbidden),
        (gone, amy, ChangeError::NotFound),
        (gone, bob, ChangeError::Forbidden),
        (left, amy, ChangeError::Forbidden),
        (removed, amy, ChangeError::NotFound),
        (direct, bob, ChangeError::Forbidden),
        (direct, eve, ChangeError::NotFound),
        (direct, boss, ChangeError::NotFound),
    ] {
        assert_eq!(fixture.edit(message, actor, "another").await, Err(expect), "{message} by {actor}");
    }
    fixture.store.set_muted("person0", Some(at(6)), at(5)).await.unwrap();
    assert_eq!(fixture.edit(said, amy, "another").await, Err(ChangeError::Muted(Duration::from_millis(1))));
    fixture.store.set_muted("person0", Some(at(5)), at(5)).await.unwrap();
    assert!(fixture.edit(said, amy, "another").await.is_ok(), "a mute ends by itself");
    fixture.store.set_disabled("person0", true).await.unwrap();
    assert_eq!(fixture.edit(said, amy, "one more").await, Err(ChangeError::Forbidden));
    let told = fixture.sink.entries();
    let muted: Vec<bool> = told.iter().map(|(_, entry, _)| entry.muted).collect();
    assert_eq!(muted, [true, true, false, false], "in both rooms, each time");
    assert_eq!(fixture.sink.commits().len(), told.len() + 1, "a refusal is no news");
}

pub(crate) async fn p15_deleting_is_told_and_takes_the_next_version(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let said = fixture.send(amy, LOBBY_PLACE, "oops, @person1").await;
    fixture.send(bob, LOBBY_PLACE, "what?").await;
    fixture.react(said.id, bob, "🙈").await.unwrap();

    let delete = async |room, message, actor| fixture.store.delete_message(room, message, actor).await;
    assert_eq!(delete(Some(LOBBY), said.id, bob).await, Err(ChangeError::Forbidden));
    assert_eq!(delete(Some(LOBBY), MessageId(99), amy).await, Err(ChangeError::NotFound));
    assert_eq!(delete(Some(RoomId(99)), said.id, amy).await, Err(ChangeError::NotFound));
    assert_eq!(fixture.sink.commits().len(), 3, "a refusal is no news");

    assert_eq!(delete(Some(LOBBY), said.id, amy).await, Ok(Version(4)));
    assert_eq!(delete(None, said.id, amy).await, Ok(Version(4)));
    assert_eq!(delete(None, said.id, bob).await, Err(ChangeError::Forbidden), "gone or not");
    let told = fixture.sink.message_changes(LOBBY);
    assert_eq!(told.len(), 4, "deleting again changes nothing");
    assert_eq!((told[3].what.clone(), told[3].last_seq), (MessageChange::Delete { by: amy }, 2));
    let gone = &told[3].message;
    assert_eq!((gone.id, gone.seq, gone.version), (said.id, said.seq, Version(4)));
    assert_eq!((gone.content.as_str(), gone.deleted), ("", true));
    assert!(gone.mentions.is_empty() && gone.reactions.is_empty(), "they go with it");
    assert_eq!(fixture.stored(LOBBY, said.id).await, *gone, "what is told is what is stored");
    assert_eq!(fixture.store.own_reactions(bob, &[said.id]).await.unwrap(), []);
}

pub(crate) async fn p15_a_moderator_deletes_in_rooms_but_not_between_two_people(fixture: Fixture) {
    let (amy, bob, boss) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let public = fixture.send(amy, LOBBY_PLACE, "spam").await;
    let direct = fixture.send(amy, Destination::Direct(bob), "dear Bob").await;
    let cellar = fixture.room_of(&[bob, amy], "cellar").await;
    let private = fixture.send(amy, Destination::Room(cellar), "dear all").await;
    fixture.store.set_role("person2", UserRole::Moderator).await.unwrap().unwrap();
    fixture.sink.clear();

    let delete = async |message, actor| fixture.store.delete_message(None, message, actor).await.map(drop);
    assert_eq!(delete(public.id, boss).await, Ok(()));
    assert_eq!(delete(direct.id, boss).await, Err(ChangeError::NotFound), "not theirs to see");
    assert_eq!(delete(direct.id, bob).await, Err(ChangeError::Forbidden));
    assert_eq!(delete(direct.id, amy).await, Ok(()));
    let told = fixture.sink.commits();
    assert!(matches!(&told[1].audience, Audience::Direct(pair) if pair[0].id == amy && pair[1].id == bob));

    assert_eq!(delete(private.id, boss).await, Err(ChangeError::NotFound));
    fixture.membership(cellar, bob, Membership::Invite(boss)).await.unwrap();
    assert_eq!(delete(private.id, boss).await, Ok(()), "a server's moderator, once in the room");
    let again = fixture.send(bob, Destination::Room(cellar), "mine").await;
    assert_eq!(delete(again.id, amy).await, Err(ChangeError::Forbidden));
    let role = Membership::Role(amy, teahouse_core::Role::Moderator);
    fixture.membership(cellar, bob, role).await.unwrap();
    assert_eq!(delete(again.id, amy).await, Ok(()), "a moderator of the room, the owner's too");
}

pub(crate) async fn ones_own_words_can_be_deleted_while_muted_but_not_after_leaving_a_private_room(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let cellar = fixture.room_of(&[bob, amy], "cellar").await;
    let open = fixture.room(bob, RoomKind::Public, "tea").await;
    fixture.membership(open, amy, Membership::Join).await.unwrap();
    let (inside, outside) = (
        fixture.send(amy, Destination::Room(cellar), "1").await.id,
        fixture.send(amy, Destination::Room(open), "2").await.id,
    );
    fixture.membership(cellar, amy, Membership::Leave).await.unwrap();
    fixture.membership(open, amy, Membership::Leave).await.unwrap();
    fixture.store.set_muted("person0", Some(at(1000)), at(0)).await.unwrap();
    assert_eq!(fixture.store.delete_message(None, inside, amy).await, Err(ChangeError::NotFound));
    assert!(fixture.store.delete_message(None, outside, amy).await.is_ok());
    fixture.store.set_disabled("person1", true).await.unwrap();
    assert_eq!(fixture.store.delete_message(None, inside, bob).await, Err(ChangeError::Forbidden), "disabled");
}

pub(crate) async fn a_reaction_is_told_with_the_counts_of_all_and_takes_the_next_version(fixture: Fixture) {
    let (amy, bob, eve) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let said = fixture.send(amy, LOBBY_PLACE, "tea?").await.id;
    for (number, (actor, emoji, on)) in [
        (bob, "👍", true),
        (eve, "👍", true),
        (eve, "☕", true),
        (amy, "❤️", true),
        (bob, "👍", false),
        (eve, "☕", false),
    ]
    .into_iter()
    .enumerate()
    {
        let version = Version(number as u64 + 2);
        let act = async || {
            if on { fixture.react(said, actor, emoji).await } else { fixture.unreact(said, actor, emoji).await }
        };
        assert_eq!(act().await, Ok(version));
        assert_eq!(act().await, Ok(version), "what is so already changes nothing");
        let told = fixture.sink.message_changes(LOBBY);
        let last = told.last().unwrap();
        assert_eq!((told.len(), last.last_seq), (number + 2, 1));
        assert_eq!(last.what, MessageChange::React { by: actor, emoji: emoji.to_owned(), on });
        assert_eq!(fixture.stored(LOBBY, said).await, last.message, "what is told is what is stored");
    }
    let counts = fixture.stored(LOBBY, said).await.reactions;
    assert_eq!(counts, [("❤️".to_owned(), 1), ("👍".to_owned(), 1)], "in the order of code points");
    assert_eq!(fixture.unreact(said, bob, "🍵").await, Ok(Version(7)), "what was never there");

    let own = async |user| fixture.store.own_reactions(user, &[MessageId(4711), said]).await.unwrap();
    assert_eq!(own(eve).await, [(said, "👍".to_owned())]);
    assert_eq!(own(bob).await, []);
    assert_eq!(fixture.store.own_reactions(eve, &[]).await.unwrap(), []);
}

pub(crate) async fn only_members_who_may_write_react_and_only_to_what_is_there(fixture: Fixture) {
    let (amy, bob, eve) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let open = fixture.room(amy, RoomKind::Public, "tea").await;
    let in_public = fixture.send(amy, Destination::Room(open), "1").await.id;
    let cellar = fixture.room_of(&[amy, bob], "cellar").await;
    let in_private = fixture.send(amy, Destination::Room(cellar), "2").await.id;
    let direct = fixture.send(amy, Destination::Direct(bob), "3").await.id;
    let gone = fixture.send(amy, Destination::Room(cellar), "4").await.id;
    fixture.store.delete_message(None, gone, amy).await.unwrap();
    fixture.sink.clear();
    for (message, actor, expect) in [
        (MessageId(4711), amy, ChangeError::NotFound),
        (in_public, bob, ChangeError::Forbidden),
        (in_private, eve, ChangeError::NotFound),
        (direct, eve, ChangeError::NotFound),
        (gone, bob, ChangeError::NotFound),
    ] {
        assert_eq!(fixture.react(message, actor, "👍").await, Err(expect.clone()), "{message} by {actor}");
        assert_eq!(fixture.unreact(message, actor, "👍").await, Err(expect), "{message} by {actor}");
    }
    fixture.store.set_muted("person1", Some(at(6)), at(5)).await.unwrap();
    assert_eq!(fixture.react(in_private, bob, "👍").await, Err(ChangeError::Muted(Duration::from_millis(1))));
    fixture.store.set_muted("person1", None, at(5)).await.unwrap();
    fixture.store.set_disabled("person1", true).await.unwrap();
    assert_eq!(fixture.react(in_private, bob, "👍").await, Err(ChangeError::Forbidden));
    fixture.store.set_disabled("person1", false).await.unwrap();
    let told = fixture.sink.entries();
    assert!(told.iter().all(|(user, ..)| *user == bob), "of being muted, and of nothing else");
    assert_eq!(fixture.sink.commits().len(), told.len(), "a refusal is no news");
    assert!(fixture.react(in_private, bob, "👍").await.is_ok() && fixture.react(direct, bob, "👍").await.is_ok());
}

pub(crate) async fn a_message_has_so_many_different_reactions_and_each_as_often_as_there_are_people(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let said = fixture.send(amy, LOBBY_PLACE, "tea?").await.id;
    for number in 0..REACTIONS_PER_MESSAGE_MAX {
        fixture.react(said, amy, &format!("{number:02}")).await.unwrap();
    }
    assert_eq!(fixture.react(said, bob, "one more").await, Err(ChangeError::TooMany));
    assert!(fixture.react(said, bob, "07").await.is_ok());
    fixture.unreact(said, amy, "08").await.unwrap();
    assert!(fixture.react(said, bob, "one more").await.is_ok());
    assert_eq!(fixture.stored(LOBBY, said).await.reactions.len(), REACTIONS_PER_MESSAGE_MAX as usize);
}
