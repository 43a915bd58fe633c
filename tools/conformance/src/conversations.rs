//! Direct rooms and read marks.

use std::sync::Arc;

use teahouse_core::{Audience, LOBBY, MoreDirects, RoomId, RoomKind, Seq, UserId, Version};
use teahouse_store::{Append, Conversation, Destination, DirectRoomError, OpenDirectError, PageLimit, ReadMark};

use crate::fixture::*;

async fn only_conversation(fixture: &Fixture, user: UserId) -> Conversation {
    let mut all = fixture.store.conversations(user).await.unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn at_mark(read_seq: u64, unread: u32, moved: bool) -> ReadMark {
    ReadMark { read_seq: Seq(read_seq), unread, moved }
}

pub(crate) async fn p5_two_first_messages_at_once_make_one_conversation_with_both(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let (one, two) = tokio::join!(
        fixture.store.append(text(amy, Destination::Direct(bob), "hi Bob")),
        fixture.store.append(text(bob, Destination::Direct(amy), "hi Amy")),
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.room, two.room);
    assert_ne!(one.seq, two.seq);
    for (user, peer) in [(amy, bob), (bob, amy)] {
        let conversation = only_conversation(&fixture, user).await;
        assert_eq!((conversation.room, conversation.peer.id, conversation.unread), (one.room, peer, 1));
        assert_eq!(fixture.direct(user, peer).await, one.room);
    }
    let audiences: Vec<_> = fixture.sink.commits().into_iter().map(|commit| commit.audience).collect();
    assert_eq!(audiences.len(), 5, "two entries and two messages, and the entry of the one who answers a request");
    assert!(audiences.iter().all(|a| matches!(a, Audience::Direct(pair) if pair[0].id == amy && pair[1].id == bob)));
    assert_eq!(audiences[0].peer_of(amy).unwrap().id, bob);
}

pub(crate) async fn p5_two_users_who_open_at_once_get_the_same_room(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = Arc::clone(&fixture.store);
        let (user, peer) = if number % 2 == 0 { (amy, bob) } else { (bob, amy) };
        tasks.spawn(async move { store.open_direct(user, peer, at(0), None).await.unwrap().id });
    }
    let mut rooms = tasks.join_all().await;
    rooms.dedup();
    assert_eq!(rooms.len(), 1);
}

pub(crate) async fn an_opened_room_is_listed_for_the_opener_until_it_has_a_message(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let room = fixture.store.open_direct(amy, bob, at(7), None).await.unwrap().id;
    let listed = only_conversation(&fixture, amy).await;
    assert_eq!((listed.room, listed.last_message, listed.created_at), (room, None, at(7)));
    assert!(fixture.store.conversations(bob).await.unwrap().is_empty());
    fixture.send(amy, Destination::Direct(bob), "hi").await;
    assert_eq!(only_conversation(&fixture, bob).await.last_message, Some(("hi".to_owned(), at(0))));
}

pub(crate) async fn a_room_with_oneself_or_an_unknown_user_is_refused(fixture: Fixture) {
    let amy = fixture.new_user().await;
    assert_eq!(fixture.store.open_direct(amy, amy, at(0), None).await, Err(OpenDirectError::Oneself));
    assert_eq!(fixture.store.open_direct(amy, UserId(99), at(0), None).await, Err(OpenDirectError::NotFound));
    assert_eq!(fixture.store.open_direct(UserId(99), amy, at(0), None).await, Err(OpenDirectError::NotFound));
}

pub(crate) async fn only_its_two_members_see_a_direct_room(fixture: Fixture) {
    let (amy, bob, eve) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let room = fixture.send(amy, Destination::Direct(bob), "hi").await.room;
    fixture.store.mark_read(room, bob, None).await.unwrap();

    let seen = fixture.store.direct_room(room, amy).await.unwrap();
    assert_eq!((seen.own.id, seen.peer.id, seen.read_seq, seen.peer_read_seq), (amy, bob, Seq(0), Seq(1)));
    assert_eq!(fixture.store.direct_room(room, eve).await, Err(DirectRoomError::Forbidden));
    assert_eq!(fixture.store.direct_room(RoomId(99), amy).await, Err(DirectRoomError::NotFound));
    assert_eq!(fixture.store.direct_room(LOBBY, amy).await, Err(DirectRoomError::NotFound));
    let pair =
        fixture.store.page_by_seq(room, Version(0), Seq(0), PageLimit::of_entries(5)).await.unwrap().pair.unwrap();
    assert_eq!((pair[0].id, pair[1].id), (amy, bob));
}

pub(crate) async fn conversations_come_newest_first(fixture: Fixture) {
    let amy = fixture.new_user().await;
    let mut rooms = Vec::new();
    for _ in 0..3 {
        let peer = fixture.new_user().await;
        rooms.push(fixture.send(peer, Destination::Direct(amy), "hi").await.room);
    }
    let listed = |list: Vec<Conversation>| list.into_iter().map(|c| c.room).collect::<Vec<_>>();
    // All in one millisecond: the order of commits decides.
    assert_eq!(listed(fixture.store.conversations(amy).await.unwrap()), [rooms[2], rooms[1], rooms[0]]);
    fixture.send(amy, Destination::Room(rooms[0]), "ho").await;
    assert_eq!(listed(fixture.store.conversations(amy).await.unwrap()), [rooms[0], rooms[2], rooms[1]]);
}

pub(crate) async fn p3_p4_unread_is_derived_from_the_read_mark_and_the_preview_from_the_messages(fixture: Fixture) {
    let (amy, bob, eve) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let mut sent = Vec::new();
    for text in ["one", "two", "three"] {
        sent.push(fixture.send(amy, Destination::Direct(bob), text).await);
    }
    let room = sent[0].room;
    fixture.send(bob, Destination::Direct(amy), "own words are not unread").await;
    fixture.send(eve, Destination::Direct(bob), "hello").await;
    assert_eq!(fixture.store.unread_total(bob).await.unwrap(), 4);

    fixture.store.delete_message(Some(room), sent[1].id, amy).await.unwrap();
    assert_eq!(fixture.store.unread_total(bob).await.unwrap(), 3, "deleted ones are not counted");
    assert_eq!(fixture.store.mark_read(room, bob, Some(Seq(1))).await.unwrap(), at_mark(1, 1, true));
    assert_eq!(fixture.store.unread_total(bob).await.unwrap(), 2);

    let answer = fixture.send(bob, Destination::Direct(amy), "last").await;
    fixture.store.delete_message(Some(room), answer.id, bob).await.unwrap();
    let preview = fixture.store.conversations(bob).await.unwrap().into_iter().find(|c| c.room == room).unwrap();
    assert_eq!((preview.last_message.unwrap().0.as_str(), preview.unread), ("own words are not unread", 1));
    assert_eq!(fixture.store.unread_total(UserId(99)).await.unwrap(), 0);
}

pub(crate) async fn p11_a_read_mark_never_goes_back_and_never_beyond_the_head(mut fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let mut room = RoomId(0);
    for text in ["one", "two", "three"] {
        room = fixture.send(amy, Destination::Direct(bob), text).await.room;
    }
    let store = &fixture.store;
    assert_eq!(store.mark_read(room, bob, Some(Seq(2))).await.unwrap(), at_mark(2, 1, true));
    assert_eq!(store.mark_read(room, bob, Some(Seq(2))).await.unwrap(), at_mark(2, 1, false), "twice");
    assert_eq!(store.mark_read(room, bob, Some(Seq(1))).await.unwrap(), at_mark(2, 1, false), "late");
    assert_eq!(store.mark_read(room, bob, Some(Seq(u64::MAX))).await.unwrap(), at_mark(3, 0, true), "too far");
    assert_eq!(fixture.sink.read_marks(), [(room, bob, 2, true), (room, bob, 3, true)]);
    fixture.send(amy, Destination::Room(room), "four").await;
    fixture.reopen().await;
    assert_eq!(
        fixture.store.mark_read(room, bob, Some(Seq(1))).await.unwrap(),
        at_mark(3, 1, false),
        "after a restart"
    );
    assert_eq!(fixture.store.mark_read(room, bob, None).await.unwrap(), at_mark(4, 0, true));
}

pub(crate) async fn p11_reading_own_messages_moves_the_mark_over_no_others(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let room = fixture.send(amy, Destination::Direct(bob), "hi").await.room;
    assert_eq!(fixture.store.mark_read(room, amy, None).await.unwrap(), at_mark(1, 0, true));
    assert_eq!(fixture.sink.read_marks(), [(room, amy, 1, false)]);
    assert_eq!(fixture.store.mark_read(room, UserId(99), None).await.unwrap(), at_mark(0, 0, false));
    assert_eq!(fixture.store.mark_read(RoomId(99), amy, None).await.unwrap(), at_mark(0, 0, false));
}

pub(crate) async fn p11_of_marks_from_three_devices_at_once_the_highest_wins(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let mut room = RoomId(0);
    for number in 0..30 {
        room = fixture.send(amy, Destination::Direct(bob), &format!("{number}")).await.room;
    }
    let mut tasks = tokio::task::JoinSet::new();
    for device in 0..3_u64 {
        let store = Arc::clone(&fixture.store);
        tasks.spawn(async move {
            for step in 0..30 {
                let seq = if device == 1 { 30 - step } else { (step * 7 + device * 3) % 29 + 1 };
                let mark = store.mark_read(room, bob, Some(Seq(seq))).await.unwrap();
                assert!(mark.read_seq >= Seq(seq));
            }
        });
    }
    tasks.join_all().await;
    let published: Vec<_> = fixture.sink.read_marks().into_iter().map(|(_, _, seq, _)| seq).collect();
    assert!(published.is_sorted_by(|a, b| a < b), "published marks only grow: {published:?}");
    assert_eq!(published.last(), Some(&30));
    assert_eq!(fixture.store.direct_room(room, bob).await.unwrap().read_seq, Seq(30));
}

pub(crate) async fn unread_is_capped_at_999_for_each_room(fixture: Fixture) {
    let (amy, bob, eve) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..1001 {
        let store = Arc::clone(&fixture.store);
        tasks.spawn(async move {
            store.append(text(amy, Destination::Direct(bob), &format!("{number}"))).await.unwrap().room
        });
    }
    let room = tasks.join_all().await[0];
    fixture.send(eve, Destination::Direct(bob), "one more").await;
    assert_eq!(fixture.store.unread_total(bob).await.unwrap(), 1000);
    assert_eq!(fixture.store.mark_read(room, bob, Some(Seq(1))).await.unwrap(), at_mark(1, 999, true));
    assert_eq!(fixture.store.mark_read(room, bob, Some(Seq(3))).await.unwrap(), at_mark(3, 998, true));
}

pub(crate) async fn new_users_are_in_the_lobby_with_its_head_as_read_mark(fixture: Fixture) {
    let amy = fixture.new_user().await;
    fixture.send(amy, Destination::Room(LOBBY), "before").await;
    let bob = fixture.new_user().await;
    fixture.send(amy, Destination::Room(LOBBY), "after").await;
    assert_eq!(fixture.store.mark_read(LOBBY, bob, Some(Seq(0))).await.unwrap(), at_mark(1, 1, false));
    assert!(fixture.store.conversations(bob).await.unwrap().is_empty(), "the lobby is no conversation");
    assert_eq!(fixture.store.unread_total(bob).await.unwrap(), 0);
}

pub(crate) async fn p2_a_long_private_message_is_stored_whole_with_its_preview(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let long = "长".repeat(1000);
    fixture.send(amy, Destination::Direct(bob), &long).await;
    let conversation = only_conversation(&fixture, bob).await;
    assert_eq!((conversation.last_message, conversation.unread), (Some((long, at(0))), 1));
    assert_eq!(fixture.sink.new_messages(conversation.room).len(), 1);
}

pub(crate) async fn the_newest_direct_rooms_are_listed_and_the_others_counted_and_paged(fixture: Fixture) {
    let amy = fixture.new_user().await;
    let cellar = fixture.room(amy, RoomKind::Private, "cellar").await;
    let mut rooms = Vec::new();
    for number in 0..5 {
        let peer = fixture.new_user().await;
        let append = Append { now: at(number), ..text(amy, Destination::Direct(peer), "hello") };
        let room = fixture.store.append(append).await.unwrap().room;
        fixture.store.append(Append { now: at(number), ..text(peer, Destination::Room(room), "hi") }).await.unwrap();
        rooms.push(room);
    }
    // The second becomes the newest; the third is read.
    fixture.store.append(Append { now: at(9), ..text(amy, Destination::Room(rooms[1]), "news") }).await.unwrap();
    fixture.store.mark_read(rooms[2], amy, None).await.unwrap();
    let newest_first = [rooms[1], rooms[4], rooms[3], rooms[2], rooms[0]];
    let sorted = |mut rooms: Vec<RoomId>| {
        rooms.sort_unstable();
        rooms
    };
    for (directs_max, named, shown, unread) in [
        (0, vec![], 0, 4),
        (2, vec![], 2, 2),
        (2, vec![rooms[1], rooms[2]], 2, 2),
        (4, vec![], 4, 1),
        (4, vec![cellar], 4, 1),
    ] {
        let list = fixture.list_of(amy, directs_max, &named).await;
        let mut expected = [&[LOBBY, cellar][..], &newest_first[..shown]].concat();
        expected.extend(named.iter().filter(|room| newest_first[shown..].contains(room)));
        assert_eq!(list.rooms.iter().map(|entry| entry.id).collect::<Vec<_>>(), sorted(expected.clone()));
        let others = 7 - expected.len() as u32;
        assert_eq!(
            list.more_directs,
            Some(MoreDirects { rooms: others, unread, requests: 0 }),
            "{directs_max} {named:?}"
        );
    }
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = fixture.store.directs(amy, after, 2, at(0)).await.unwrap();
        for entry in &page {
            assert_eq!(*entry, fixture.entry(entry.id, amy).await);
        }
        paged.extend(page.iter().map(|entry| entry.id));
        after = next;
        if after.is_none() {
            break;
        }
        assert_eq!(page.len(), 2);
    }
    assert_eq!(paged, newest_first);
    let nobody = fixture.store.directs(UserId(99), None, 2, at(0)).await.unwrap();
    assert_eq!(nobody, (Vec::new(), None));
}
