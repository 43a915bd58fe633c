//! Strangers: their invites and direct rooms wait for an answer, and nobody approaches many of them in a day.

use std::time::Duration;

use teahouse_core::limits::{INVITES_PER_USER_MAX, ROOMS_PER_USER_MAX, STRANGERS_PER_DAY};
use teahouse_core::{Change, LOBBY, RoomId, RoomKind, Seq, UserId, UserRole};
use teahouse_store::{Append, AppendError, Destination, Membership, OpenDirectError, RoomError};

use crate::fixture::*;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Whether an invite to a new private room waits.
async fn invite_waits(fixture: &Fixture, actor: UserId, user: UserId) -> bool {
    let room = fixture.room(actor, RoomKind::Private, &format!("{}", fastrand::u64(..))).await;
    fixture.change_membership(room, actor, Membership::Invite(user)).await.unwrap().pending
}

async fn invited_to(fixture: &Fixture, user: UserId) -> Vec<RoomId> {
    fixture.list_of(user, 200, &[]).await.invites.iter().map(|invite| invite.room.id).collect()
}

pub(crate) async fn a_strangers_invite_waits_until_it_is_accepted(fixture: Fixture) {
    let (amy, eve) = (fixture.new_user().await, fixture.new_user().await);
    let room = fixture.room(eve, RoomKind::Private, "cellar").await;
    fixture.sink.clear();
    let invite = async || fixture.change_membership(room, eve, Membership::Invite(amy)).await.unwrap();
    let answer = invite().await;
    assert!(answer.pending && answer.entry.members == 1);
    assert_eq!(invite().await, answer, "the same again");
    let commits = fixture.sink.commits();
    let [Change::Invited { user, invite: published }] =
        &commits.iter().map(|commit| &commit.change).collect::<Vec<_>>()[..]
    else {
        panic!("{commits:?}")
    };
    let list = fixture.list_of(amy, 200, &[]).await;
    assert_eq!((*user, list.invites.as_slice()), (amy, [(**published).clone()].as_slice()));
    assert_eq!((list.rooms.len(), published.room.id, published.inviter.id), (1, room, eve));
    assert_eq!(fixture.store.room_entry(room, amy, at(0)).await, Err(RoomError::NotFound));

    // It counts as long as its inviter is in the room.
    fixture.membership(room, eve, Membership::Leave).await.unwrap();
    assert_eq!(fixture.store.accept(room, amy, at(0), None).await, Err(RoomError::NotFound));
    assert!(invited_to(&fixture, amy).await.is_empty());
    let other = fixture.room(eve, RoomKind::Public, "tea").await;
    assert!(fixture.change_membership(other, eve, Membership::Invite(amy)).await.unwrap().pending);
    fixture.sink.clear();
    let entry = fixture.store.accept(other, amy, at(0), Some(REQUESTER)).await.unwrap();
    assert_eq!(fixture.sink.entries(), [(amy, entry.clone(), Some(REQUESTER))]);
    assert_eq!(fixture.store.accept(other, amy, at(0), None).await, Ok(entry), "again");
    assert!(invited_to(&fixture, amy).await.is_empty());
    fixture.membership(other, amy, Membership::Leave).await.unwrap();
    assert_eq!(fixture.store.accept(other, amy, at(0), None).await, Err(RoomError::NotFound), "it is spent");
    for nowhere in [RoomId(99), LOBBY] {
        assert_eq!(fixture.store.decline(nowhere, amy).await, Err(RoomError::NotFound));
    }
}

pub(crate) async fn a_declined_invite_does_not_come_again_but_from_a_friend(fixture: Fixture) {
    let (amy, eve, bob) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let room = fixture.room_of(&[eve, bob], "cellar").await;
    fixture.room_of(&[bob, amy], "attic").await;
    let first = fixture.change_membership(room, eve, Membership::Invite(amy)).await.unwrap();
    fixture.sink.clear();
    for _ in 0..2 {
        assert_eq!(fixture.store.decline(room, amy).await, Ok(()));
    }
    assert_eq!(fixture.change_membership(room, eve, Membership::Invite(amy)).await, Ok(first));
    let changes: Vec<_> = fixture.sink.commits().into_iter().map(|commit| commit.change).collect();
    assert_eq!(changes, [Change::Declined { user: amy }]);
    assert!(invited_to(&fixture, amy).await.is_empty());
    assert_eq!(fixture.store.accept(room, amy, at(0), None).await, Err(RoomError::NotFound));
    let friends = fixture.change_membership(room, bob, Membership::Invite(amy)).await.unwrap();
    assert_eq!((friends.pending, friends.entry.members), (false, 3));
}

pub(crate) async fn a_user_who_shares_a_private_room_or_was_written_to_is_no_stranger(fixture: Fixture) {
    let (amy, eve, bob) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    assert!(invite_waits(&fixture, eve, amy).await, "the lobby is shared by all");
    let public = fixture.room(eve, RoomKind::Public, "tea").await;
    fixture.membership(public, amy, Membership::Join).await.unwrap();
    fixture.direct(amy, eve).await;
    fixture.send(eve, Destination::Direct(amy), "hi").await;
    assert!(invite_waits(&fixture, eve, amy).await, "neither a public room nor being written to is enough");
    assert!(!invite_waits(&fixture, amy, eve).await, "eve has written to amy");
    // That invite was to a private room, which both are in now.
    assert!(!invite_waits(&fixture, eve, amy).await);
    fixture.send(bob, Destination::Direct(amy), "hi").await;
    fixture.send(amy, Destination::Direct(bob), "hi").await;
    assert!(!invite_waits(&fixture, bob, amy).await, "written to");
    let ida = fixture.new_user().await;
    fixture.store.set_role("person3", UserRole::Moderator).await.unwrap();
    assert!(!invite_waits(&fixture, ida, amy).await, "a moderator of the server");
}

pub(crate) async fn a_strangers_direct_room_is_a_request_until_it_is_answered(fixture: Fixture) {
    let (amy, eve, bob) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let room = fixture.send(eve, Destination::Direct(amy), "hi").await.room;
    let is_request = async |room, user| fixture.entry(room, user).await.request;
    assert!(is_request(room, amy).await && !is_request(room, eve).await);
    assert!(fixture.sink.entries().iter().all(|(user, entry, _)| entry.request == (*user == amy)));
    fixture.sink.clear();
    fixture.send(amy, Destination::Room(room), "hello").await;
    assert!(!is_request(room, amy).await);
    let entries = fixture.sink.entries();
    let [(user, entry, None)] = &entries[..] else { panic!("{entries:?}") };
    assert!(*user == amy && !entry.request && entry.version.0 == 1, "the answer comes before the message");
    fixture.send(amy, Destination::Room(room), "hello").await;
    assert_eq!(fixture.sink.entries().len(), 1, "only once");

    let other = fixture.send(eve, Destination::Direct(bob), "hi").await.room;
    let accepted = fixture.store.accept(other, bob, at(0), None).await.unwrap();
    assert!(!accepted.request && !invite_waits(&fixture, eve, bob).await, "accepting counts as writing");
    // To open a room is no answer, but who opened it first is not asked.
    let (ida, max) = (fixture.new_user().await, fixture.new_user().await);
    let opened = fixture.direct(ida, max).await;
    fixture.send(max, Destination::Direct(ida), "hi").await;
    assert!(!is_request(opened, ida).await);
    let site = Append { from_site: true, ..text(max, Destination::Direct(bob), "news") };
    let from_site = fixture.store.append(site).await.unwrap().room;
    assert!(!is_request(from_site, bob).await);
}

pub(crate) async fn a_declined_request_is_hidden_from_its_addressee_alone(fixture: Fixture) {
    let (amy, eve) = (fixture.new_user().await, fixture.new_user().await);
    let room = fixture.send(eve, Destination::Direct(amy), "hi").await.room;
    fixture.sink.clear();
    for _ in 0..2 {
        assert_eq!(fixture.store.decline(room, amy).await, Ok(()));
    }
    assert_eq!(fixture.store.decline(room, eve).await, Err(RoomError::NotFound), "it is no request to her");
    assert_eq!(
        fixture.sink.commits().into_iter().map(|commit| commit.change).collect::<Vec<_>>(),
        [Change::Declined { user: amy }]
    );
    let lists = async |user| {
        let list = fixture.list_of(user, 200, &[room]).await;
        let (paged, _) = fixture.store.directs(user, None, 50, at(0)).await.unwrap();
        let read = fixture.store.room_entries(room, &[user], at(0)).await.unwrap();
        assert_eq!((list.more_directs, paged.len(), read.len()), (None, list.rooms.len() - 1, list.rooms.len() - 1));
        !paged.is_empty()
    };
    fixture.send(eve, Destination::Room(room), "hi again").await;
    assert!(!lists(amy).await && lists(eve).await);
    assert_eq!(fixture.store.conversations(amy).await.unwrap().len(), 1, "classic lists it as before");
    assert!(fixture.store.open_direct(amy, eve, at(0), None).await.unwrap().request);
    assert!(lists(amy).await);
    fixture.store.decline(room, amy).await.unwrap();
    fixture.send(amy, Destination::Room(room), "well").await;
    assert!(lists(amy).await && !fixture.entry(room, amy).await.request);
}

pub(crate) async fn an_invite_counts_while_its_inviter_is_in_the_room_whatever_its_answer(fixture: Fixture) {
    let (amy, ida) = (fixture.new_user().await, fixture.new_user().await);
    let (eve, bob) = (fixture.new_user().await, fixture.new_user().await);
    let room = fixture.room_of(&[eve, bob], "cellar").await;
    for user in [amy, ida] {
        assert!(fixture.change_membership(room, eve, Membership::Invite(user)).await.unwrap().pending);
    }
    fixture.store.decline(room, amy).await.unwrap();
    fixture.membership(room, eve, Membership::Leave).await.unwrap();
    for _ in 0..STRANGERS_PER_DAY {
        let stranger = fixture.new_user().await;
        fixture.direct(bob, stranger).await;
    }
    let refused = Err(RoomError::TooManyStrangers(Duration::from_millis(DAY_MS.unsigned_abs())));
    for user in [amy, ida] {
        assert_eq!(fixture.change_membership(room, bob, Membership::Invite(user)).await, refused, "invites {user}");
    }
}

pub(crate) async fn the_author_of_a_declined_request_sees_no_read_mark_move(fixture: Fixture) {
    let (amy, eve) = (fixture.new_user().await, fixture.new_user().await);
    let room = fixture.send(eve, Destination::Direct(amy), "hi").await.room;
    fixture.store.mark_read(room, amy, None).await.unwrap();
    fixture.store.decline(room, amy).await.unwrap();
    fixture.send(eve, Destination::Direct(amy), "hi again").await;
    let seen = fixture.entry(room, eve).await;
    assert_eq!(seen.peer.as_ref().unwrap().1, Seq(1));
    fixture.sink.clear();
    fixture.store.mark_read(room, amy, None).await.unwrap();
    assert!(fixture.sink.commits().is_empty());
    assert_eq!(fixture.entry(room, eve).await, seen);
    assert_eq!(fixture.store.direct_room(room, eve).await.unwrap().peer_read_seq, Seq(1));
    // What cannot be marked as read does not stay unread in the classic dialect.
    assert_eq!(fixture.store.conversations(amy).await.unwrap()[0].unread, 0);
    assert_eq!(fixture.store.unread_total(amy).await.unwrap(), 0);
    fixture.store.accept(room, amy, at(0), None).await.unwrap();
    fixture.store.mark_read(room, amy, None).await.unwrap();
    assert_eq!(fixture.entry(room, eve).await.peer.unwrap().1, Seq(2));
}

pub(crate) async fn requests_come_after_conversations_and_are_counted_apart(fixture: Fixture) {
    let amy = fixture.new_user().await;
    let mut rooms = Vec::new();
    for number in 0..4 {
        let peer = fixture.new_user().await;
        if number < 2 {
            fixture.send(amy, Destination::Direct(peer), "hello").await;
        }
        let append = Append { now: at(number), ..text(peer, Destination::Direct(amy), "hi") };
        rooms.push(fixture.store.append(append).await.unwrap().room);
    }
    let newest_first = [rooms[1], rooms[0], rooms[3], rooms[2]];
    let list = fixture.list_of(amy, 1, &[]).await;
    let more = list.more_directs.unwrap();
    assert_eq!((list.rooms[1].id, more.rooms, more.unread, more.requests), (rooms[1], 3, 1, 2));
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = fixture.store.directs(amy, after, 1, at(0)).await.unwrap();
        paged.extend(page.iter().map(|entry| entry.id));
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, newest_first);
}

pub(crate) async fn new_strangers_are_bounded_in_a_day_also_after_a_restart(mut fixture: Fixture) {
    let (eve, amy) = (fixture.new_user().await, fixture.new_user().await);
    let room = fixture.room(eve, RoomKind::Private, "cellar").await;
    for number in 1..STRANGERS_PER_DAY {
        let user = fixture.new_user().await;
        match number % 3 {
            0 => drop(fixture.send(eve, Destination::Direct(user), "hi").await),
            1 => drop(fixture.direct(eve, user).await),
            _ => drop(fixture.change_membership(room, eve, Membership::Invite(user)).await.unwrap()),
        }
    }
    fixture.direct(eve, amy).await;
    fixture.send(eve, Destination::Direct(amy), "the same stranger").await;
    let one_more = fixture.new_user().await;
    fixture.reopen().await;
    let wait = Duration::from_millis(DAY_MS.unsigned_abs());
    let invited = fixture.change_membership(room, eve, Membership::Invite(one_more)).await;
    assert_eq!(invited, Err(RoomError::TooManyStrangers(wait)));
    let half_a_day = at(DAY_MS / 2);
    let opened = fixture.store.open_direct(eve, one_more, half_a_day, None).await;
    assert_eq!(opened, Err(OpenDirectError::TooManyStrangers(wait / 2)));
    let sent = fixture.store.append(text(eve, Destination::Direct(one_more), "hi")).await;
    assert_eq!(sent, Err(AppendError::TooManyStrangers(wait)));
    // It is no stranger who was written to.
    fixture.send(one_more, Destination::Direct(eve), "hi").await;
    fixture.send(eve, Destination::Direct(one_more), "hi").await;
    let another = fixture.new_user().await;
    assert!(fixture.store.open_direct(eve, another, at(DAY_MS), None).await.is_ok(), "the next day");
}

pub(crate) async fn the_bound_of_rooms_counts_at_accept_and_old_invites_give_way(fixture: Fixture) {
    let amy = fixture.new_user().await;
    let mut rooms = Vec::new();
    for number in 0..=INVITES_PER_USER_MAX {
        // Each of them may approach only a few.
        let eve = fixture.new_user().await;
        let room = fixture.room(eve, RoomKind::Public, &format!("evil {number}")).await;
        let now = at(number.into());
        let change =
            teahouse_store::MembershipChange { room, actor: eve, what: Membership::Invite(amy), now, requester: None };
        assert!(fixture.store.change_membership(change).await.unwrap().pending);
        rooms.push(room);
    }
    let newest_first: Vec<RoomId> = rooms[1..].iter().rev().copied().collect();
    assert_eq!(invited_to(&fixture, amy).await, newest_first);
    for number in 1..ROOMS_PER_USER_MAX {
        fixture.room(amy, RoomKind::Public, &format!("{number}")).await;
    }
    assert_eq!(fixture.store.accept(rooms[7], amy, at(0), None).await, Err(RoomError::TooMany));
    let own = fixture.rooms_of(amy).await[1].id;
    fixture.membership(own, amy, Membership::Leave).await.unwrap();
    assert!(fixture.store.accept(rooms[7], amy, at(0), None).await.is_ok());
    assert_eq!(invited_to(&fixture, amy).await.len(), INVITES_PER_USER_MAX as usize - 1);
}
