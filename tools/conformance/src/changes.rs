//! Edits, deletions and reactions: who is allowed to, and that each takes one version.

use std::time::Duration;

use teahouse_core::limits::REACTIONS_PER_MESSAGE_MAX;
use teahouse_core::{Audience, LOBBY, MessageChange, MessageId, RoomId, RoomKind, UserRole, Version};
use teahouse_store::{ChangeError, Destination, Membership};

use crate::fixture::*;

const IN_LOBBY: Destination = Destination::Room(LOBBY);

pub(crate) async fn an_edit_is_published_and_takes_the_next_version(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let sent = fixture.store.append(keyed(amy, IN_LOBBY, "teh tea", "c1")).await.unwrap();
    fixture.send(bob, IN_LOBBY, "what?").await;
    fixture.react(sent.id, bob, "👍").await.unwrap();

    assert_eq!(fixture.edit(sent.id, amy, "the tea").await, Ok(Version(4)));
    assert_eq!(fixture.edit(sent.id, amy, "the tea").await, Ok(Version(4)), "the same again changes nothing");
    let published = fixture.sink.message_changes(LOBBY);
    assert_eq!(published.len(), 4);
    let edited = &published[3];
    assert_eq!((edited.what.clone(), edited.last_seq), (MessageChange::Edit { by: amy }, 2));
    let message = &edited.message;
    assert_eq!((message.id, message.seq, message.version), (sent.id, sent.seq, Version(4)));
    assert_eq!((message.content.as_str(), message.edited_at, message.sent_at), ("the tea", Some(at(5)), sent.sent_at));
    assert_eq!(message.reactions, [("👍".to_owned(), 1)]);
    assert_eq!(fixture.stored(LOBBY, sent.id).await, *message, "what is published is what is stored");

    // The client_id still belongs to the first content.
    let again = fixture.store.append(keyed(amy, IN_LOBBY, "teh tea", "c1")).await.unwrap();
    assert_eq!((again.duplicate, again.version), (true, sent.version));
}

pub(crate) async fn an_edit_is_not_dated_before_the_message(fixture: Fixture) {
    let amy = fixture.new_user().await;
    let mut append = text(amy, IN_LOBBY, "from tomorrow");
    append.now = at(86_400_000);
    let sent = fixture.store.append(append).await.unwrap();
    fixture.edit(sent.id, amy, "from a clock that went back").await.unwrap();
    assert_eq!(fixture.stored(LOBBY, sent.id).await.edited_at, Some(sent.sent_at));
}

pub(crate) async fn only_the_author_edits_and_only_while_they_can_write_there(fixture: Fixture) {
    let (amy, bob, boss) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let eve = fixture.new_user().await;
    fixture.store.set_role("person2", UserRole::Admin).await.unwrap();
    let sent = fixture.send(amy, IN_LOBBY, "mine").await.id;
    let gone = fixture.send(amy, IN_LOBBY, "gone").await.id;
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
        (sent, bob, ChangeError::Forbidden),
        (sent, boss, ChangeError::Forbidden),
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
    assert_eq!(fixture.edit(sent, amy, "another").await, Err(ChangeError::Muted(Duration::from_millis(1))));
    fixture.store.set_muted("person0", Some(at(5)), at(5)).await.unwrap();
    assert!(fixture.edit(sent, amy, "another").await.is_ok(), "a mute ends by itself");
    fixture.store.set_disabled("person0", true).await.unwrap();
    assert_eq!(fixture.edit(sent, amy, "one more").await, Err(ChangeError::Forbidden));
    let published = fixture.sink.entries();
    let muted: Vec<bool> = published.iter().map(|(_, entry, _)| entry.muted).collect();
    assert_eq!(muted, [true, true, false, false], "in both rooms, each time");
    assert_eq!(fixture.sink.commits().len(), published.len() + 1, "a refusal is not published");
}

pub(crate) async fn p15_a_deletion_is_published_and_takes_the_next_version(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let sent = fixture.send(amy, IN_LOBBY, "oops, @person1").await;
    fixture.send(bob, IN_LOBBY, "what?").await;
    fixture.react(sent.id, bob, "🙈").await.unwrap();

    let delete = async |room, message, actor| fixture.store.delete_message(room, message, actor).await;
    assert_eq!(delete(Some(LOBBY), sent.id, bob).await, Err(ChangeError::Forbidden));
    assert_eq!(delete(Some(LOBBY), MessageId(99), amy).await, Err(ChangeError::NotFound));
    assert_eq!(delete(Some(RoomId(99)), sent.id, amy).await, Err(ChangeError::NotFound));
    assert_eq!(fixture.sink.commits().len(), 3, "a refusal is not published");

    assert_eq!(delete(Some(LOBBY), sent.id, amy).await, Ok(Version(4)));
    assert_eq!(delete(None, sent.id, amy).await, Ok(Version(4)));
    assert_eq!(delete(None, sent.id, bob).await, Err(ChangeError::Forbidden), "deleted or not");
    let published = fixture.sink.message_changes(LOBBY);
    assert_eq!(published.len(), 4, "deleting again changes nothing");
    assert_eq!((published[3].what.clone(), published[3].last_seq), (MessageChange::Delete { by: amy }, 2));
    let gone = &published[3].message;
    assert_eq!((gone.id, gone.seq, gone.version), (sent.id, sent.seq, Version(4)));
    assert_eq!((gone.content.as_str(), gone.deleted), ("", true));
    assert!(gone.mentions.is_empty() && gone.reactions.is_empty(), "the deletion removes them");
    assert_eq!(fixture.stored(LOBBY, sent.id).await, *gone, "what is published is what is stored");
    assert_eq!(fixture.store.own_reactions(bob, &[sent.id]).await.unwrap(), []);
}

pub(crate) async fn p15_a_moderator_deletes_in_rooms_but_not_in_direct_rooms_of_others(fixture: Fixture) {
    let (amy, bob, boss) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let public = fixture.send(amy, IN_LOBBY, "spam").await;
    let direct = fixture.send(amy, Destination::Direct(bob), "dear Bob").await;
    let cellar = fixture.room_of(&[bob, amy], "cellar").await;
    let private = fixture.send(amy, Destination::Room(cellar), "dear all").await;
    fixture.store.set_role("person2", UserRole::Moderator).await.unwrap().unwrap();
    fixture.sink.clear();

    let delete = async |message, actor| fixture.store.delete_message(None, message, actor).await.map(drop);
    assert_eq!(delete(public.id, boss).await, Ok(()));
    assert_eq!(delete(direct.id, boss).await, Err(ChangeError::NotFound), "not visible to them");
    assert_eq!(delete(direct.id, bob).await, Err(ChangeError::Forbidden));
    assert_eq!(delete(direct.id, amy).await, Ok(()));
    let published = fixture.sink.commits();
    assert!(matches!(&published[1].audience, Audience::Direct(pair) if pair[0].id == amy && pair[1].id == bob));

    assert_eq!(delete(private.id, boss).await, Err(ChangeError::NotFound));
    fixture.membership(cellar, bob, Membership::Invite(boss)).await.unwrap();
    assert_eq!(delete(private.id, boss).await, Ok(()), "a moderator of the server, once in the room");
    let again = fixture.send(bob, Destination::Room(cellar), "mine").await;
    assert_eq!(delete(again.id, amy).await, Err(ChangeError::Forbidden));
    let role = Membership::Role(amy, teahouse_core::Role::Moderator);
    fixture.membership(cellar, bob, role).await.unwrap();
    assert_eq!(delete(again.id, amy).await, Ok(()), "a moderator of the room deletes even the owner's");
}

pub(crate) async fn authors_delete_while_muted_but_not_after_they_left_a_private_room(fixture: Fixture) {
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

pub(crate) async fn a_reaction_is_published_with_all_counts_and_takes_the_next_version(fixture: Fixture) {
    let (amy, bob, eve) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let sent = fixture.send(amy, IN_LOBBY, "tea?").await.id;
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
            if on { fixture.react(sent, actor, emoji).await } else { fixture.unreact(sent, actor, emoji).await }
        };
        assert_eq!(act().await, Ok(version));
        assert_eq!(act().await, Ok(version), "a reaction in effect changes nothing");
        let published = fixture.sink.message_changes(LOBBY);
        let last = published.last().unwrap();
        assert_eq!((published.len(), last.last_seq), (number + 2, 1));
        assert_eq!(last.what, MessageChange::React { by: actor, emoji: emoji.to_owned(), on });
        assert_eq!(fixture.stored(LOBBY, sent).await, last.message, "what is published is what is stored");
    }
    let counts = fixture.stored(LOBBY, sent).await.reactions;
    assert_eq!(counts, [("❤️".to_owned(), 1), ("👍".to_owned(), 1)], "in the order of code points");
    assert_eq!(fixture.unreact(sent, bob, "🍵").await, Ok(Version(7)), "a reaction that was never added");

    let own = async |user| fixture.store.own_reactions(user, &[MessageId(4711), sent]).await.unwrap();
    assert_eq!(own(eve).await, [(sent, "👍".to_owned())]);
    assert_eq!(own(bob).await, []);
    assert_eq!(fixture.store.own_reactions(eve, &[]).await.unwrap(), []);
}

pub(crate) async fn only_members_who_can_write_react_and_only_to_existing_messages(fixture: Fixture) {
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
    let published = fixture.sink.entries();
    assert!(published.iter().all(|(user, ..)| *user == bob), "the mute, and nothing else");
    assert_eq!(fixture.sink.commits().len(), published.len(), "a refusal is not published");
    assert!(fixture.react(in_private, bob, "👍").await.is_ok() && fixture.react(direct, bob, "👍").await.is_ok());
}

pub(crate) async fn the_number_of_different_reactions_is_bounded_but_not_their_counts(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let sent = fixture.send(amy, IN_LOBBY, "tea?").await.id;
    for number in 0..REACTIONS_PER_MESSAGE_MAX {
        fixture.react(sent, amy, &format!("{number:02}")).await.unwrap();
    }
    assert_eq!(fixture.react(sent, bob, "one more").await, Err(ChangeError::TooMany));
    assert!(fixture.react(sent, bob, "07").await.is_ok());
    fixture.unreact(sent, amy, "08").await.unwrap();
    assert!(fixture.react(sent, bob, "one more").await.is_ok());
    assert_eq!(fixture.stored(LOBBY, sent).await.reactions.len(), REACTIONS_PER_MESSAGE_MAX as usize);
}
