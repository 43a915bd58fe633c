//! Rules about messages that are edited, deleted and reacted to: who may, and that each takes one version.

use std::time::Duration;

use teahouse_core::limits::REACTIONS_PER_MESSAGE_MAX;
use teahouse_core::{Audience, LOBBY, MessageChange, MessageId, RoomId, RoomKind, UserRole, Version};
use teahouse_store::{ChangeError, Membership, Place};

use crate::house::*;

const LOBBY_PLACE: Place = Place::Room(LOBBY);

pub async fn an_edit_is_told_and_takes_the_next_version(house: House) {
    let (amy, bob) = (house.person().await, house.person().await);
    let said = house.store.append(keyed(amy, LOBBY_PLACE, "teh tea", "c1")).await.unwrap();
    house.say(bob, LOBBY_PLACE, "what?").await;
    house.react(said.id, bob, "👍").await.unwrap();

    assert_eq!(house.edit(said.id, amy, "the tea").await, Ok(Version(4)));
    assert_eq!(house.edit(said.id, amy, "the tea").await, Ok(Version(4)), "the same again changes nothing");
    let told = house.heard.messages(LOBBY);
    assert_eq!(told.len(), 4);
    let edited = &told[3];
    assert_eq!((edited.what.clone(), edited.last_seq), (MessageChange::Edit { by: amy }, 2));
    let message = &edited.message;
    assert_eq!((message.id, message.seq, message.version), (said.id, said.seq, Version(4)));
    assert_eq!((message.content.as_str(), message.edited_at, message.sent_at), ("the tea", Some(at(5)), said.sent_at));
    assert_eq!(message.reactions, [("👍".to_owned(), 1)]);
    assert_eq!(house.stored(LOBBY, said.id).await, *message, "what is told is what is stored");

    // What was first said under the client_id still is what it was used for.
    let again = house.store.append(keyed(amy, LOBBY_PLACE, "teh tea", "c1")).await.unwrap();
    assert_eq!((again.duplicate, again.version), (true, said.version));
}

pub async fn an_edit_is_not_dated_before_the_message(house: House) {
    let amy = house.person().await;
    let mut append = text(amy, LOBBY_PLACE, "from tomorrow");
    append.now = at(86_400_000);
    let said = house.store.append(append).await.unwrap();
    house.edit(said.id, amy, "from a clock that went back").await.unwrap();
    assert_eq!(house.stored(LOBBY, said.id).await.edited_at, Some(said.sent_at));
}

pub async fn only_the_author_edits_and_only_while_they_may_write_there(house: House) {
    let (amy, bob, boss) = (house.person().await, house.person().await, house.person().await);
    let eve = house.person().await;
    house.store.set_role("person2", UserRole::Admin).await.unwrap();
    let said = house.say(amy, LOBBY_PLACE, "mine").await.id;
    let gone = house.say(amy, LOBBY_PLACE, "gone").await.id;
    house.store.delete_message(None, gone, amy).await.unwrap();
    let public = house.room(bob, RoomKind::Public, "tea").await;
    house.membership(public, amy, Membership::Join).await.unwrap();
    let left = house.say(amy, Place::Room(public), "i was here").await.id;
    house.membership(public, amy, Membership::Leave).await.unwrap();
    let private = house.room_of(&[bob, amy], "cellar").await;
    let removed = house.say(amy, Place::Room(private), "i was here too").await.id;
    house.membership(private, bob, Membership::Remove(amy)).await.unwrap();
    let direct = house.say(amy, Place::Direct(bob), "between us").await.id;
    house.heard.forget();

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
        assert_eq!(house.edit(message, actor, "another").await, Err(expect), "{message} by {actor}");
    }
    house.store.set_muted("person0", Some(at(6)), at(5)).await.unwrap();
    assert_eq!(house.edit(said, amy, "another").await, Err(ChangeError::Muted(Duration::from_millis(1))));
    house.store.set_muted("person0", Some(at(5)), at(5)).await.unwrap();
    assert!(house.edit(said, amy, "another").await.is_ok(), "a mute ends by itself");
    house.store.set_disabled("person0", true).await.unwrap();
    assert_eq!(house.edit(said, amy, "one more").await, Err(ChangeError::Forbidden));
    let told = house.heard.entries();
    let muted: Vec<bool> = told.iter().map(|(_, entry, _)| entry.muted).collect();
    assert_eq!(muted, [true, true, false, false], "in both rooms, each time");
    assert_eq!(house.heard.all().len(), told.len() + 1, "a refusal is no news");
}

pub async fn p15_deleting_is_told_and_takes_the_next_version(house: House) {
    let (amy, bob) = (house.person().await, house.person().await);
    let said = house.say(amy, LOBBY_PLACE, "oops, @person1").await;
    house.say(bob, LOBBY_PLACE, "what?").await;
    house.react(said.id, bob, "🙈").await.unwrap();

    let delete = async |room, message, actor| house.store.delete_message(room, message, actor).await;
    assert_eq!(delete(Some(LOBBY), said.id, bob).await, Err(ChangeError::Forbidden));
    assert_eq!(delete(Some(LOBBY), MessageId(99), amy).await, Err(ChangeError::NotFound));
    assert_eq!(delete(Some(RoomId(99)), said.id, amy).await, Err(ChangeError::NotFound));
    assert_eq!(house.heard.all().len(), 3, "a refusal is no news");

    assert_eq!(delete(Some(LOBBY), said.id, amy).await, Ok(Version(4)));
    assert_eq!(delete(None, said.id, amy).await, Ok(Version(4)));
    assert_eq!(delete(None, said.id, bob).await, Err(ChangeError::Forbidden), "gone or not");
    let told = house.heard.messages(LOBBY);
    assert_eq!(told.len(), 4, "deleting again changes nothing");
    assert_eq!((told[3].what.clone(), told[3].last_seq), (MessageChange::Delete { by: amy }, 2));
    let gone = &told[3].message;
    assert_eq!((gone.id, gone.seq, gone.version), (said.id, said.seq, Version(4)));
    assert_eq!((gone.content.as_str(), gone.deleted), ("", true));
    assert!(gone.mentions.is_empty() && gone.reactions.is_empty(), "they go with it");
    assert_eq!(house.stored(LOBBY, said.id).await, *gone, "what is told is what is stored");
    assert_eq!(house.store.own_reactions(bob, &[said.id]).await.unwrap(), []);
}

pub async fn p15_a_moderator_deletes_in_rooms_but_not_between_two_people(house: House) {
    let (amy, bob, boss) = (house.person().await, house.person().await, house.person().await);
    let public = house.say(amy, LOBBY_PLACE, "spam").await;
    let direct = house.say(amy, Place::Direct(bob), "dear Bob").await;
    let cellar = house.room_of(&[bob, amy], "cellar").await;
    let private = house.say(amy, Place::Room(cellar), "dear all").await;
    house.store.set_role("person2", UserRole::Moderator).await.unwrap().unwrap();
    house.heard.forget();

    let delete = async |message, actor| house.store.delete_message(None, message, actor).await.map(drop);
    assert_eq!(delete(public.id, boss).await, Ok(()));
    assert_eq!(delete(direct.id, boss).await, Err(ChangeError::NotFound), "not theirs to see");
    assert_eq!(delete(direct.id, bob).await, Err(ChangeError::Forbidden));
    assert_eq!(delete(direct.id, amy).await, Ok(()));
    let told = house.heard.all();
    assert!(matches!(&told[1].audience, Audience::Direct(pair) if pair[0].id == amy && pair[1].id == bob));

    assert_eq!(delete(private.id, boss).await, Err(ChangeError::NotFound));
    house.membership(cellar, bob, Membership::Invite(boss)).await.unwrap();
    assert_eq!(delete(private.id, boss).await, Ok(()), "a server's moderator, once in the room");
    let again = house.say(bob, Place::Room(cellar), "mine").await;
    assert_eq!(delete(again.id, amy).await, Err(ChangeError::Forbidden));
    let role = Membership::Role(amy, teahouse_core::Role::Moderator);
    house.membership(cellar, bob, role).await.unwrap();
    assert_eq!(delete(again.id, amy).await, Ok(()), "a moderator of the room, the owner's too");
}

pub async fn ones_own_words_can_be_deleted_while_muted_but_not_after_leaving_a_private_room(house: House) {
    let (amy, bob) = (house.person().await, house.person().await);
    let cellar = house.room_of(&[bob, amy], "cellar").await;
    let open = house.room(bob, RoomKind::Public, "tea").await;
    house.membership(open, amy, Membership::Join).await.unwrap();
    let (inside, outside) =
        (house.say(amy, Place::Room(cellar), "1").await.id, house.say(amy, Place::Room(open), "2").await.id);
    house.membership(cellar, amy, Membership::Leave).await.unwrap();
    house.membership(open, amy, Membership::Leave).await.unwrap();
    house.store.set_muted("person0", Some(at(1000)), at(0)).await.unwrap();
    assert_eq!(house.store.delete_message(None, inside, amy).await, Err(ChangeError::NotFound));
    assert!(house.store.delete_message(None, outside, amy).await.is_ok());
    house.store.set_disabled("person1", true).await.unwrap();
    assert_eq!(house.store.delete_message(None, inside, bob).await, Err(ChangeError::Forbidden), "disabled");
}

pub async fn a_reaction_is_told_with_the_counts_of_all_and_takes_the_next_version(house: House) {
    let (amy, bob, eve) = (house.person().await, house.person().await, house.person().await);
    let said = house.say(amy, LOBBY_PLACE, "tea?").await.id;
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
        let act =
            async || if on { house.react(said, actor, emoji).await } else { house.unreact(said, actor, emoji).await };
        assert_eq!(act().await, Ok(version));
        assert_eq!(act().await, Ok(version), "what is so already changes nothing");
        let told = house.heard.messages(LOBBY);
        let last = told.last().unwrap();
        assert_eq!((told.len(), last.last_seq), (number + 2, 1));
        assert_eq!(last.what, MessageChange::React { by: actor, emoji: emoji.to_owned(), on });
        assert_eq!(house.stored(LOBBY, said).await, last.message, "what is told is what is stored");
    }
    let counts = house.stored(LOBBY, said).await.reactions;
    assert_eq!(counts, [("❤️".to_owned(), 1), ("👍".to_owned(), 1)], "in the order of code points");
    assert_eq!(house.unreact(said, bob, "🍵").await, Ok(Version(7)), "what was never there");

    let own = async |user| house.store.own_reactions(user, &[MessageId(4711), said]).await.unwrap();
    assert_eq!(own(eve).await, [(said, "👍".to_owned())]);
    assert_eq!(own(bob).await, []);
    assert_eq!(house.store.own_reactions(eve, &[]).await.unwrap(), []);
}

pub async fn only_members_who_may_write_react_and_only_to_what_is_there(house: House) {
    let (amy, bob, eve) = (house.person().await, house.person().await, house.person().await);
    let open = house.room(amy, RoomKind::Public, "tea").await;
    let in_public = house.say(amy, Place::Room(open), "1").await.id;
    let cellar = house.room_of(&[amy, bob], "cellar").await;
    let in_private = house.say(amy, Place::Room(cellar), "2").await.id;
    let direct = house.say(amy, Place::Direct(bob), "3").await.id;
    let gone = house.say(amy, Place::Room(cellar), "4").await.id;
    house.store.delete_message(None, gone, amy).await.unwrap();
    house.heard.forget();
    for (message, actor, expect) in [
        (MessageId(4711), amy, ChangeError::NotFound),
        (in_public, bob, ChangeError::Forbidden),
        (in_private, eve, ChangeError::NotFound),
        (direct, eve, ChangeError::NotFound),
        (gone, bob, ChangeError::NotFound),
    ] {
        assert_eq!(house.react(message, actor, "👍").await, Err(expect.clone()), "{message} by {actor}");
        assert_eq!(house.unreact(message, actor, "👍").await, Err(expect), "{message} by {actor}");
    }
    house.store.set_muted("person1", Some(at(6)), at(5)).await.unwrap();
    assert_eq!(house.react(in_private, bob, "👍").await, Err(ChangeError::Muted(Duration::from_millis(1))));
    house.store.set_muted("person1", None, at(5)).await.unwrap();
    house.store.set_disabled("person1", true).await.unwrap();
    assert_eq!(house.react(in_private, bob, "👍").await, Err(ChangeError::Forbidden));
    house.store.set_disabled("person1", false).await.unwrap();
    let told = house.heard.entries();
    assert!(told.iter().all(|(user, ..)| *user == bob), "of being muted, and of nothing else");
    assert_eq!(house.heard.all().len(), told.len(), "a refusal is no news");
    assert!(house.react(in_private, bob, "👍").await.is_ok() && house.react(direct, bob, "👍").await.is_ok());
}

pub async fn a_message_has_so_many_different_reactions_and_each_as_often_as_there_are_people(house: House) {
    let (amy, bob) = (house.person().await, house.person().await);
    let said = house.say(amy, LOBBY_PLACE, "tea?").await.id;
    for number in 0..REACTIONS_PER_MESSAGE_MAX {
        house.react(said, amy, &format!("{number:02}")).await.unwrap();
    }
    assert_eq!(house.react(said, bob, "one more").await, Err(ChangeError::TooMany));
    assert!(house.react(said, bob, "07").await.is_ok());
    house.unreact(said, amy, "08").await.unwrap();
    assert!(house.react(said, bob, "one more").await.is_ok());
    assert_eq!(house.stored(LOBBY, said).await.reactions.len(), REACTIONS_PER_MESSAGE_MAX as usize);
}
