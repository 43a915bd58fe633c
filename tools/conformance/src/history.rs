//! A room's history by seq.

use teahouse_core::{LOBBY, Message, RoomId, RoomKind, Seq, UserId};
use teahouse_store::{Destination, Membership, RoomError, RoomHistoryPage, RoomHistoryQuery, SeqFrom};

use crate::fixture::*;

async fn page(fixture: &Fixture, user: UserId, room: RoomId, from: SeqFrom, limit: u32) -> RoomHistoryPage {
    fixture.store.room_history(user, RoomHistoryQuery { room, from, limit }).await.unwrap()
}

fn seqs(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|message| message.seq.0).collect()
}

const NONE: std::ops::RangeInclusive<u64> = std::ops::RangeInclusive::new(1, 0);

pub(crate) async fn history_by_seq_starts_anywhere_and_goes_in_either_direction(fixture: Fixture) {
    let amy = fixture.new_user().await;
    for number in 1..=10 {
        fixture.send(amy, Destination::Room(LOBBY), &format!("{number}")).await;
    }
    let max = u64::MAX;
    for (from, limit, expect, before, after) in [
        (SeqFrom::Newest, 3, 8..=10, true, false),
        (SeqFrom::Newest, 10, 1..=10, false, false),
        (SeqFrom::Newest, 100, 1..=10, false, false),
        (SeqFrom::Before(Seq(8)), 3, 5..=7, true, true),
        (SeqFrom::Before(Seq(3)), 3, 1..=2, false, true),
        (SeqFrom::Before(Seq(1)), 3, NONE, false, true),
        (SeqFrom::Before(Seq(0)), 3, NONE, false, true),
        (SeqFrom::Before(Seq(11)), 3, 8..=10, true, false),
        (SeqFrom::Before(Seq(max)), 3, 8..=10, true, false),
        (SeqFrom::After(Seq(0)), 3, 1..=3, false, true),
        (SeqFrom::After(Seq(5)), 3, 6..=8, true, true),
        (SeqFrom::After(Seq(8)), 3, 9..=10, true, false),
        (SeqFrom::After(Seq(10)), 3, NONE, true, false),
        (SeqFrom::After(Seq(max)), 3, NONE, true, false),
        (SeqFrom::Around(Seq(5)), 4, 4..=7, true, true),
        (SeqFrom::Around(Seq(5)), 5, 3..=7, true, true),
        (SeqFrom::Around(Seq(5)), 1, 5..=5, true, true),
        (SeqFrom::Around(Seq(1)), 4, 1..=4, false, true),
        (SeqFrom::Around(Seq(0)), 4, 1..=4, false, true),
        (SeqFrom::Around(Seq(10)), 4, 7..=10, true, false),
        (SeqFrom::Around(Seq(max)), 4, 7..=10, true, false),
        (SeqFrom::Around(Seq(5)), 100, 1..=10, false, false),
        (SeqFrom::Newest, 0, NONE, true, false),
    ] {
        let found = page(&fixture, amy, LOBBY, from, limit).await;
        assert!(seqs(&found.messages).into_iter().eq(expect), "{from:?} {limit}: {:?}", seqs(&found.messages));
        assert_eq!((found.has_more_before, found.has_more_after), (before, after), "{from:?} {limit}");
    }
    let empty = fixture.room(amy, RoomKind::Public, "empty").await;
    for from in [SeqFrom::Newest, SeqFrom::Before(Seq(5)), SeqFrom::After(Seq(0)), SeqFrom::Around(Seq(3))] {
        let found = page(&fixture, amy, empty, from, 10).await;
        let all = (found.messages.len(), found.has_more_before, found.has_more_after);
        assert_eq!(all, (0, false, false), "{from:?}");
    }
}

pub(crate) async fn a_page_by_seq_has_deleted_messages_and_the_readers_own_reactions(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let mut sent = Vec::new();
    for number in 0..4 {
        sent.push(fixture.send(amy, Destination::Room(LOBBY), &format!("{number}")).await.id);
    }
    fixture.store.delete_message(None, sent[1], amy).await.unwrap();
    for (message, emoji) in [(sent[2], "🍵"), (sent[0], "👍"), (sent[2], "👍")] {
        fixture.react(message, bob, emoji).await.unwrap();
    }
    fixture.react(sent[3], amy, "👍").await.unwrap();
    let found = page(&fixture, bob, LOBBY, SeqFrom::Newest, 3).await;
    assert_eq!(contents(&found.messages), ["", "2", "3"]);
    assert!(found.messages[0].deleted);
    let both: Vec<_> = ["🍵", "👍"].iter().map(|emoji| (*emoji).to_owned()).collect();
    assert_eq!(found.messages[1].reactions, both.iter().map(|emoji| (emoji.clone(), 1)).collect::<Vec<_>>());
    assert_eq!(found.own_reactions, both.into_iter().map(|emoji| (sent[2], emoji)).collect::<Vec<_>>());
    let published: Vec<_> =
        fixture.sink.message_changes(LOBBY).into_iter().map(|published| published.message).collect();
    for message in found.messages {
        assert_eq!(
            published.iter().rfind(|published| published.id == message.id),
            Some(&message),
            "the last published state"
        );
    }
}

pub(crate) async fn everybody_reads_public_rooms_and_only_members_read_others(fixture: Fixture) {
    let (amy, bob, eve) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let public = fixture.room(amy, RoomKind::Public, "tea").await;
    let private = fixture.room_of(&[amy, bob], "cellar").await;
    let direct = fixture.direct(amy, bob).await;
    let read = async |user, room| {
        fixture.send(amy, Destination::Room(room), "hi").await;
        let query = RoomHistoryQuery { room, from: SeqFrom::Newest, limit: 1 };
        fixture.store.room_history(user, query).await.map(|page| page.messages.len())
    };
    for room in [public, private, direct] {
        assert_eq!(read(bob, room).await, Ok(1));
    }
    assert_eq!(read(eve, public).await, Ok(1));
    for room in [private, direct] {
        assert_eq!(read(eve, room).await, Err(RoomError::NotFound));
    }
    let nowhere = RoomHistoryQuery { room: RoomId(99), from: SeqFrom::Newest, limit: 1 };
    assert_eq!(fixture.store.room_history(amy, nowhere).await, Err(RoomError::NotFound));
    fixture.membership(private, bob, Membership::Leave).await.unwrap();
    assert_eq!(read(bob, private).await, Err(RoomError::NotFound), "no longer");
}
