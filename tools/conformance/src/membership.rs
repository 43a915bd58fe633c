//! Membership and roles.

use std::sync::Arc;

use teahouse_core::{Audience, Change, LOBBY, Role, RoomId, RoomKind, Seq, UserId, UserRole, Version};
use teahouse_store::{AppendError, Destination, Membership, PageLimit, RoomError};

use crate::fixture::*;

async fn ids_in(fixture: &Fixture, room: RoomId) -> Vec<UserId> {
    fixture.store.member_ids(room).await.unwrap()
}

async fn roles(fixture: &Fixture, room: RoomId, actor: UserId) -> Vec<(UserId, Role)> {
    let (members, more) = fixture.store.members(room, actor, UserId(0), PageLimit::of_entries(50)).await.unwrap();
    assert!(!more);
    members.into_iter().map(|(profile, role)| (profile.id, role)).collect()
}

pub(crate) async fn joining_a_public_room_starts_at_its_head(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let room = fixture.room(amy, RoomKind::Public, "tea").await;
    fixture.send(amy, Destination::Room(room), "before").await;
    fixture.sink.clear();
    let entry = fixture.membership(room, bob, Membership::Join).await.unwrap();
    assert_eq!((entry.version, entry.last_seq, entry.read_seq, entry.unread), (Version(1), Seq(1), Seq(1), 0));
    assert_eq!((entry.members, entry.role), (2, Role::Member));
    assert_eq!(entry.last_message.as_ref().unwrap().content, "before");
    assert_eq!(fixture.sink.entries(), [(bob, entry.clone(), Some(REQUESTER))]);
    assert_eq!(fixture.membership(room, bob, Membership::Join).await.unwrap(), entry);
    assert_eq!(fixture.sink.commits().len(), 1, "a member who joins again changes nothing");
    let sent = fixture.send(bob, Destination::Room(room), "hello").await;
    assert_eq!(sent.version, Version(2), "joining takes no version");
    assert_eq!(fixture.entry(room, amy).await.unread, 1);
}

pub(crate) async fn private_and_direct_rooms_do_not_exist_for_others(fixture: Fixture) {
    let (amy, bob, eve) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let boss = fixture.new_user().await;
    fixture.store.set_role("person3", UserRole::Admin).await.unwrap();
    let private = fixture.room_of(&[amy, bob], "cellar").await;
    let direct = fixture.direct(amy, bob).await;
    fixture.sink.clear();
    for room in [private, direct, RoomId(99)] {
        for actor in [eve, boss, UserId(99)] {
            for what in [
                Membership::Join,
                Membership::Leave,
                Membership::Invite(eve),
                Membership::Remove(bob),
                Membership::Role(bob, Role::Owner),
            ] {
                let refused = fixture.membership(room, actor, what).await;
                assert_eq!(refused, Err(RoomError::NotFound), "{room} {actor} {what:?}");
            }
            let members = fixture.store.members(room, actor, UserId(0), PageLimit::of_entries(50)).await;
            assert_eq!(members, Err(RoomError::NotFound), "{room} {actor}");
        }
    }
    assert_eq!(ids_in(&fixture, private).await, [amy, bob]);
    assert_eq!(fixture.sink.commits().len(), 0);
}

pub(crate) async fn a_user_who_left_gets_nothing_and_cannot_write(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let room = fixture.room(amy, RoomKind::Public, "tea").await;
    fixture.membership(room, bob, Membership::Join).await.unwrap();
    fixture.send(bob, Destination::Room(room), "hello").await;
    let before = fixture.entry(room, bob).await;
    fixture.sink.clear();
    assert_eq!(fixture.membership(room, bob, Membership::Leave).await.unwrap(), before, "as they saw it last");
    let published: Vec<_> = fixture.sink.commits().into_iter().map(|c| (c.room, c.audience, c.change)).collect();
    assert_eq!(published, [(room, Audience::Room, Change::Left { user: bob, members: 1 })]);
    let refused = fixture.store.append(text(bob, Destination::Room(room), "one more")).await;
    assert_eq!(refused, Err(AppendError::Forbidden), "at once");
    assert_eq!(fixture.membership(room, bob, Membership::Leave).await, Err(RoomError::NotFound));
    assert_eq!(fixture.store.mark_read(room, bob, None).await.unwrap().read_seq, Seq(0));
    assert_eq!(fixture.rooms_of(bob).await.len(), 1);
    assert_eq!(fixture.entry(room, amy).await.members, 1);

    fixture.send(amy, Destination::Room(room), "so quiet").await;
    let again = fixture.membership(room, bob, Membership::Join).await.unwrap();
    assert_eq!((again.read_seq, again.unread), (Seq(2), 0), "a new membership starts at the head");
    fixture.send(bob, Destination::Room(room), "back").await;
}

pub(crate) async fn nobody_leaves_the_lobby_or_a_direct_room(fixture: Fixture) {
    let (amy, bob, boss) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    fixture.store.set_role("person2", UserRole::Admin).await.unwrap();
    let direct = fixture.send(amy, Destination::Direct(bob), "hi").await.room;
    fixture.sink.clear();
    for (room, actor, what) in [
        (LOBBY, amy, Membership::Leave),
        (LOBBY, boss, Membership::Remove(amy)),
        (LOBBY, boss, Membership::Leave),
        (direct, amy, Membership::Leave),
        (direct, amy, Membership::Remove(bob)),
        (direct, amy, Membership::Invite(boss)),
        (direct, amy, Membership::Role(bob, Role::Moderator)),
        (LOBBY, amy, Membership::Role(bob, Role::Moderator)),
    ] {
        assert_eq!(fixture.membership(room, actor, what).await, Err(RoomError::Forbidden), "{room} {what:?}");
    }
    assert_eq!(ids_in(&fixture, LOBBY).await, [amy, bob, boss]);
    assert_eq!(fixture.sink.commits().len(), 0);
    // The lobby has no owner at first, and can lose its last one.
    fixture.membership(LOBBY, boss, Membership::Role(amy, Role::Owner)).await.unwrap();
    fixture.membership(LOBBY, amy, Membership::Role(amy, Role::Member)).await.unwrap();
}

pub(crate) async fn members_invite_others(fixture: Fixture) {
    let (amy, bob, eve) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let room = fixture.room(amy, RoomKind::Private, "cellar").await;
    fixture.send(amy, Destination::Room(room), "before").await;
    fixture.sink.clear();
    let seen = fixture.membership(room, amy, Membership::Invite(bob)).await.unwrap();
    assert_eq!((seen.members, seen.role), (2, Role::Owner), "the answer is the room as the actor sees it");
    let entry = fixture.entry(room, bob).await;
    assert_eq!((entry.read_seq, entry.role, entry.reads.clone()), (Seq(1), Role::Member, vec![(amy, Seq(0))]));
    assert_eq!(fixture.sink.entries(), [(bob, entry, None)], "bob's session did not ask");
    fixture.membership(room, amy, Membership::Invite(bob)).await.unwrap();
    fixture.membership(room, bob, Membership::Join).await.unwrap();
    assert_eq!(fixture.sink.commits().len(), 2, "the invite and the entry; joining again changes nothing");

    fixture.store.set_disabled("person2", true).await.unwrap();
    for nobody in [eve, UserId(99)] {
        assert_eq!(fixture.membership(room, bob, Membership::Invite(nobody)).await, Err(RoomError::NotFound));
    }
    fixture.store.set_disabled("person2", false).await.unwrap();
    fixture.membership(room, bob, Membership::Invite(eve)).await.unwrap();
    let public = fixture.room(amy, RoomKind::Public, "tea").await;
    assert_eq!(fixture.membership(public, bob, Membership::Invite(eve)).await, Err(RoomError::Forbidden), "not in it");
    fixture.membership(public, amy, Membership::Invite(eve)).await.unwrap();
    fixture.store.set_disabled("person0", true).await.unwrap();
    assert_eq!(fixture.membership(public, amy, Membership::Invite(bob)).await, Err(RoomError::Forbidden), "disabled");
}

pub(crate) async fn a_removed_member_cannot_write_at_once_despite_the_cache(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    // They know each other, so that invites do not wait.
    fixture.room_of(&[amy, bob], "attic").await;
    let room = fixture.room_of(&[amy, bob], "cellar").await;
    // Queued without waiting, so that they can be in one group: sent, removed, sent, invited, sent.
    let say = |content: &str| {
        let (store, append) = (Arc::clone(&fixture.store), text(bob, Destination::Room(room), content));
        async move { store.append(append).await.map(drop) }
    };
    let (one, out, two, back, three) = tokio::join!(
        say("1"),
        fixture.membership(room, amy, Membership::Remove(bob)),
        say("2"),
        fixture.membership(room, amy, Membership::Invite(bob)),
        say("3"),
    );
    assert_eq!((one, two, three), (Ok(()), Err(AppendError::Forbidden), Ok(())));
    assert!(out.is_ok() && back.is_ok());
    assert_eq!(contents(&fixture.sink.new_messages(room)), ["1", "3"]);
}

pub(crate) async fn moderators_remove_members_but_not_their_equals(fixture: Fixture) {
    let (amy, bob, eve, ida) =
        (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let boss = fixture.new_user().await;
    let room = fixture.room_of(&[amy, bob, eve, ida], "cellar").await;
    fixture.membership(room, amy, Membership::Role(bob, Role::Moderator)).await.unwrap();
    fixture.membership(room, amy, Membership::Role(eve, Role::Moderator)).await.unwrap();
    for (actor, target, expect) in [
        (ida, bob, RoomError::Forbidden),
        (bob, eve, RoomError::Forbidden),
        (bob, amy, RoomError::Forbidden),
        (amy, amy, RoomError::Forbidden),
        (bob, boss, RoomError::NotFound),
        (bob, UserId(99), RoomError::NotFound),
    ] {
        assert_eq!(fixture.membership(room, actor, Membership::Remove(target)).await, Err(expect), "{actor} {target}");
    }
    fixture.sink.clear();
    let seen = fixture.membership(room, bob, Membership::Remove(ida)).await.unwrap();
    assert_eq!((seen.members, seen.role), (3, Role::Moderator));
    assert_eq!(fixture.sink.commits()[0].change, Change::Left { user: ida, members: 3 });
    fixture.membership(room, amy, Membership::Remove(eve)).await.unwrap();

    // An administrator of the server who is in the room is above all.
    fixture.store.set_role("person4", UserRole::Admin).await.unwrap();
    fixture.membership(room, bob, Membership::Invite(boss)).await.unwrap();
    fixture.membership(room, boss, Membership::Remove(amy)).await.unwrap();
    assert_eq!(roles(&fixture, room, boss).await, [(bob, Role::Owner), (boss, Role::Member)], "the moderator inherits");
    assert_eq!(fixture.membership(room, boss, Membership::Remove(boss)).await, Err(RoomError::Forbidden));
}

pub(crate) async fn owners_give_roles_and_the_last_owner_stays_owner(fixture: Fixture) {
    let (amy, bob, eve) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let room = fixture.room_of(&[amy, bob], "cellar").await;
    for (actor, user, expect) in [
        (bob, bob, RoomError::Forbidden),
        (bob, amy, RoomError::Forbidden),
        (amy, eve, RoomError::NotFound),
        (amy, amy, RoomError::Forbidden),
    ] {
        let refused = fixture.membership(room, actor, Membership::Role(user, Role::Moderator)).await;
        assert_eq!(refused, Err(expect), "{actor} {user}");
    }
    fixture.sink.clear();
    let seen = fixture.membership(room, amy, Membership::Role(bob, Role::Owner)).await.unwrap();
    assert_eq!((seen.role, seen.id), (Role::Owner, room));
    let entry = fixture.entry(room, bob).await;
    assert_eq!(entry.role, Role::Owner);
    assert_eq!(fixture.sink.entries(), [(bob, entry, None)]);
    fixture.membership(room, amy, Membership::Role(bob, Role::Owner)).await.unwrap();
    assert_eq!(fixture.sink.commits().len(), 1, "a role in effect changes nothing");
    let down = fixture.membership(room, amy, Membership::Role(amy, Role::Member)).await.unwrap();
    assert_eq!(down.role, Role::Member);
    assert_eq!(fixture.sink.entries()[1], (amy, down, Some(REQUESTER)));
    assert_eq!(fixture.membership(room, bob, Membership::Role(bob, Role::Member)).await, Err(RoomError::Forbidden));
}

pub(crate) async fn a_room_whose_last_owner_leaves_gets_another_owner(fixture: Fixture) {
    let mut users = Vec::new();
    for _ in 0..4 {
        users.push(fixture.new_user().await);
    }
    let [amy, bob, eve, ida] = users[..] else { panic!() };
    let room = fixture.room_of(&users, "cellar").await;
    fixture.membership(room, amy, Membership::Role(eve, Role::Moderator)).await.unwrap();
    fixture.sink.clear();
    let leaves = async |user| fixture.membership(room, user, Membership::Leave).await.unwrap();
    leaves(amy).await;
    let published: Vec<_> = fixture.sink.commits().into_iter().map(|commit| commit.change).collect();
    let [Change::Left { user, members: 3 }, Change::Entry { user: successor, entry, requester: None }] = &published[..]
    else {
        panic!("{published:?}")
    };
    assert_eq!((*user, *successor, entry.role), (amy, eve, Role::Owner), "the highest role of the others");
    assert_eq!(roles(&fixture, room, bob).await, [(bob, Role::Member), (eve, Role::Owner), (ida, Role::Member)]);
    fixture.membership(room, eve, Membership::Role(ida, Role::Owner)).await.unwrap();
    leaves(eve).await;
    assert_eq!(roles(&fixture, room, bob).await, [(bob, Role::Member), (ida, Role::Owner)], "there is another owner");
    leaves(ida).await;
    assert_eq!(roles(&fixture, room, bob).await, [(bob, Role::Owner)], "the only one left");
    fixture.membership(room, bob, Membership::Invite(ida)).await.unwrap();
    fixture.membership(room, bob, Membership::Invite(amy)).await.unwrap();
    leaves(bob).await;
    assert_eq!(roles(&fixture, room, amy).await, [(amy, Role::Owner), (ida, Role::Member)], "the lowest of equals");
}

pub(crate) async fn the_first_member_of_an_empty_room_owns_it(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let room = fixture.room(amy, RoomKind::Public, "tea").await;
    fixture.membership(room, amy, Membership::Leave).await.unwrap();
    assert_eq!(ids_in(&fixture, room).await, []);
    assert_eq!(fixture.store.browse_rooms(bob, "tea", RoomId(0), 5).await.unwrap().0[0].members, 0);
    assert_eq!(fixture.membership(room, bob, Membership::Join).await.unwrap().role, Role::Owner);
    assert_eq!(fixture.membership(room, amy, Membership::Join).await.unwrap().role, Role::Member);
}

pub(crate) async fn members_are_listed_page_by_page(fixture: Fixture) {
    let mut users = Vec::new();
    for _ in 0..5 {
        users.push(fixture.new_user().await);
    }
    let room = fixture.room_of(&users, "cellar").await;
    let outside = fixture.new_user().await;
    let page = async |room, actor, after, limit| {
        let (members, more) = fixture.store.members(room, actor, after, PageLimit::of_entries(limit)).await.unwrap();
        (members.into_iter().map(|(profile, _)| profile.id).collect::<Vec<_>>(), more)
    };
    assert_eq!(page(room, users[3], UserId(0), 3).await, (users[..3].to_vec(), true));
    assert_eq!(page(room, users[3], users[2], 3).await, (users[3..].to_vec(), false));
    assert_eq!(page(room, users[3], users[2], 2).await, (users[3..].to_vec(), false));
    assert_eq!(page(LOBBY, outside, users[3], 5).await, (vec![users[4], outside], false));
    let public = fixture.room(users[0], RoomKind::Public, "tea").await;
    assert_eq!(
        page(public, outside, UserId(0), 5).await,
        (vec![users[0]], false),
        "everybody sees the members of a public room"
    );
    assert_eq!(ids_in(&fixture, LOBBY).await.len(), 6);
    assert_eq!(ids_in(&fixture, RoomId(99)).await, []);
    assert_eq!(fixture.entry(LOBBY, outside).await.members, 6);
}
