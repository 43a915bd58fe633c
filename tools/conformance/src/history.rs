//! A room's history by seq.

use teahouse_core::{LOBBY, Message, RoomId, RoomKind, Seq, UserId, Version};
use teahouse_store::{
    Destination, HistoryFrom, HistoryQuery, Membership, PageLimit, ProfileChange, RoomError, RoomHistoryPage,
    RoomHistoryQuery, SeqFrom,
};

use crate::fixture::*;

async fn page(fixture: &Fixture, user: UserId, room: RoomId, from: SeqFrom, limit: u32) -> RoomHistoryPage {
    fixture
        .store
        .room_history(user, RoomHistoryQuery { room, from, limit: PageLimit::of_entries(limit) })
        .await
        .unwrap()
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
        let query = RoomHistoryQuery { room, from: SeqFrom::Newest, limit: PageLimit::of_entries(1) };
        fixture.store.room_history(user, query).await.map(|page| page.messages.len())
    };
    for room in [public, private, direct] {
        assert_eq!(read(bob, room).await, Ok(1));
    }
    assert_eq!(read(eve, public).await, Ok(1));
    for room in [private, direct] {
        assert_eq!(read(eve, room).await, Err(RoomError::NotFound));
    }
    let nowhere = RoomHistoryQuery { room: RoomId(99), from: SeqFrom::Newest, limit: PageLimit::of_entries(1) };
    assert_eq!(fixture.store.room_history(amy, nowhere).await, Err(RoomError::NotFound));
    fixture.membership(private, bob, Membership::Leave).await.unwrap();
    assert_eq!(read(bob, private).await, Err(RoomError::NotFound), "no longer");
}

/// Room for three messages of [`text_of_1000`], or for two where one has reactions.
const THREE: usize = 4200;

fn text_of_1000(number: usize) -> String {
    format!("{number:01000}")
}

pub(crate) async fn a_page_ends_where_its_bytes_end_and_has_at_least_one_message(fixture: Fixture) {
    let amy = fixture.new_user().await;
    for number in 1..=9 {
        fixture.send(amy, Destination::Room(LOBBY), &text_of_1000(number)).await;
    }
    for (from, bytes, expect, before, after) in [
        (SeqFrom::Newest, THREE, 7..=9, true, false),
        (SeqFrom::Before(Seq(7)), THREE, 4..=6, true, true),
        (SeqFrom::Before(Seq(4)), THREE, 1..=3, false, true),
        (SeqFrom::After(Seq(0)), THREE, 1..=3, false, true),
        (SeqFrom::After(Seq(6)), THREE, 7..=9, true, false),
        (SeqFrom::Around(Seq(5)), THREE, 5..=7, true, true),
        (SeqFrom::Around(Seq(5)), 2 * THREE, 3..=8, true, true),
        (SeqFrom::Around(Seq(9)), THREE, 7..=9, true, false),
        (SeqFrom::Newest, 1, 9..=9, true, false),
        (SeqFrom::After(Seq(3)), 1, 4..=4, true, true),
    ] {
        let limit = PageLimit { entries: 100, bytes };
        let found = fixture.store.room_history(amy, RoomHistoryQuery { room: LOBBY, from, limit }).await.unwrap();
        assert!(seqs(&found.messages).into_iter().eq(expect), "{from:?} {bytes}: {:?}", seqs(&found.messages));
        assert_eq!((found.has_more_before, found.has_more_after), (before, after), "{from:?} {bytes}");
    }
    let sent = fixture.sink.new_messages(LOBBY);
    let limit = PageLimit { entries: 100, bytes: THREE };
    for (from, expect, has_more) in [
        (HistoryFrom::Newest, 7..=9, true),
        (HistoryFrom::Before(sent[3].id), 1..=3, false),
        (HistoryFrom::After(sent[0].id), 2..=4, true),
    ] {
        let found = fixture.store.history(LOBBY, HistoryQuery { from, limit }).await.unwrap();
        assert!(seqs(&found.messages).into_iter().eq(expect), "{from:?}: {:?}", seqs(&found.messages));
        assert_eq!(found.has_more, has_more, "{from:?}");
    }
    let (mut after, mut pages) = (Seq(0), Vec::new());
    loop {
        let page = fixture.store.page_by_seq(LOBBY, Version(9), after, limit).await.unwrap();
        pages.push((page.messages.len(), page.seq.0, page.complete));
        after = page.seq;
        if page.complete {
            break;
        }
    }
    assert_eq!(pages, [(3, 3, false), (3, 6, false), (3, 9, true)]);
    for emoji in 0..50_u32 {
        let emoji = char::from_u32(0x1F600 + emoji).unwrap().to_string();
        fixture.react(sent[8].id, amy, &emoji).await.unwrap();
    }
    let query = RoomHistoryQuery { room: LOBBY, from: SeqFrom::Newest, limit };
    let reacted = fixture.store.room_history(amy, query).await.unwrap();
    assert_eq!((seqs(&reacted.messages), reacted.own_reactions.len()), (vec![8, 9], 50), "reactions count too");
}

pub(crate) async fn lists_of_users_end_where_their_bytes_end(fixture: Fixture) {
    let avatar = Some("a".repeat(1000));
    let mut users = Vec::new();
    for _ in 0..5 {
        let user = fixture.new_user().await;
        let change = ProfileChange { avatar: avatar.clone(), ..ProfileChange::default() };
        fixture.store.update_profile(user, change).await.unwrap();
        users.push(user);
    }
    let limit = PageLimit { entries: 100, bytes: 2500 };
    let (members, more) = fixture.store.members(LOBBY, users[0], UserId(0), limit).await.unwrap();
    assert_eq!((members.iter().map(|(profile, _)| profile.id).collect::<Vec<_>>(), more), (users[..2].to_vec(), true));
    for prefix in ["", "person"] {
        let (found, more) = fixture.store.search_users(prefix, users[2], limit).await.unwrap();
        assert_eq!((found.iter().map(|profile| profile.id).collect::<Vec<_>>(), more), (users[3..].to_vec(), false));
    }
}
