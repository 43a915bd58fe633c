//! Rules about who is in a room, and as what.

use std::sync::Arc;

use teahouse_core::{Audience, Change, LOBBY, Role, RoomId, RoomKind, Seq, UserId, UserRole, Version};
use teahouse_store::{AppendError, Membership, Place, RoomError};

use crate::house::*;

async fn ids_in(house: &House, room: RoomId) -> Vec<UserId> {
    house.store.member_ids(room).await.unwrap()
}

async fn roles(house: &House, room: RoomId, actor: UserId) -> Vec<(UserId, Role)> {
    let (members, more) = house.store.members(room, actor, UserId(0), 50).await.unwrap();
    assert!(!more);
    members.into_iter().map(|(profile, role)| (profile.id, role)).collect()
}

pub async fn joining_a_public_room_begins_at_its_head(house: House) {
    let (amy, bob) = (house.person().await, house.person().await);
    let room = house.room(amy, RoomKind::Public, "tea").await;
    house.say(amy, Place::Room(room), "before").await;
    house.heard.forget();
    let entry = house.membership(room, bob, Membership::Join).await.unwrap();
    assert_eq!((entry.version, entry.last_seq, entry.read_seq, entry.unread), (Version(1), Seq(1), Seq(1), 0));
    assert_eq!((entry.members, entry.role), (2, Role::Member));
    assert_eq!(entry.last_message.as_ref().unwrap().content, "before");
    assert_eq!(house.heard.entries(), [(bob, entry.clone(), Some(ASKER))]);
    assert_eq!(house.membership(room, bob, Membership::Join).await.unwrap(), entry);
    assert_eq!(house.heard.all().len(), 1, "who is in already changes nothing");
    let said = house.say(bob, Place::Room(room), "hello").await;
    assert_eq!(said.version, Version(2), "coming in takes no version");
    assert_eq!(house.entry(room, amy).await.unread, 1);
}

pub async fn private_and_direct_rooms_look_like_none_to_others(house: House) {
    let (amy, bob, eve) = (house.person().await, house.person().await, house.person().await);
    let boss = house.person().await;
    house.store.set_role("person3", UserRole::Admin).await.unwrap();
    let private = house.room_of(&[amy, bob], "cellar").await;
    let direct = house.direct(amy, bob).await;
    house.heard.forget();
    for room in [private, direct, RoomId(99)] {
        for actor in [eve, boss, UserId(99)] {
            for what in [
                Membership::Join,
                Membership::Leave,
                Membership::Invite(eve),
                Membership::Remove(bob),
                Membership::Role(bob, Role::Owner),
            ] {
                let refused = house.membership(room, actor, what).await;
                assert_eq!(refused, Err(RoomError::NotFound), "{room} {actor} {what:?}");
            }
            let members = house.store.members(room, actor, UserId(0), 50).await;
            assert_eq!(members, Err(RoomError::NotFound), "{room} {actor}");
        }
    }
    assert_eq!(ids_in(&house, private).await, [amy, bob]);
    assert_eq!(house.heard.all().len(), 0);
}

pub async fn one_leaves_and_hears_nothing_and_says_nothing_from_there_on(house: House) {
    let (amy, bob) = (house.person().await, house.person().await);
    let room = house.room(amy, RoomKind::Public, "tea").await;
    house.membership(room, bob, Membership::Join).await.unwrap();
    house.say(bob, Place::Room(room), "hello").await;
    let before = house.entry(room, bob).await;
    house.heard.forget();
    assert_eq!(house.membership(room, bob, Membership::Leave).await.unwrap(), before, "as they saw it last");
    let told: Vec<_> = house.heard.all().into_iter().map(|c| (c.room, c.audience, c.change)).collect();
    assert_eq!(told, [(room, Audience::Room, Change::Left { user: bob, members: 1 })]);
    let refused = house.store.append(text(bob, Place::Room(room), "one more")).await;
    assert_eq!(refused, Err(AppendError::Forbidden), "at once");
    assert_eq!(house.membership(room, bob, Membership::Leave).await, Err(RoomError::NotFound));
    assert_eq!(house.store.mark_read(room, bob, None).await.unwrap().read_seq, Seq(0));
    assert_eq!(house.rooms_of(bob).await.len(), 1);
    assert_eq!(house.entry(room, amy).await.members, 1);

    house.say(amy, Place::Room(room), "so quiet").await;
    let again = house.membership(room, bob, Membership::Join).await.unwrap();
    assert_eq!((again.read_seq, again.unread), (Seq(2), 0), "coming back is coming anew");
    house.say(bob, Place::Room(room), "back").await;
}

pub async fn nobody_leaves_the_lobby_or_a_direct_room(house: House) {
    let (amy, bob, boss) = (house.person().await, house.person().await, house.person().await);
    house.store.set_role("person2", UserRole::Admin).await.unwrap();
    let direct = house.say(amy, Place::Direct(bob), "hi").await.room;
    house.heard.forget();
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
        assert_eq!(house.membership(room, actor, what).await, Err(RoomError::Forbidden), "{room} {what:?}");
    }
    assert_eq!(ids_in(&house, LOBBY).await, [amy, bob, boss]);
    assert_eq!(house.heard.all().len(), 0);
    // The lobby has no owner from the beginning, and can be without one again.
    house.membership(LOBBY, boss, Membership::Role(amy, Role::Owner)).await.unwrap();
    house.membership(LOBBY, amy, Membership::Role(amy, Role::Member)).await.unwrap();
}

pub async fn members_bring_others_in(house: House) {
    let (amy, bob, eve) = (house.person().await, house.person().await, house.person().await);
    let room = house.room(amy, RoomKind::Private, "cellar").await;
    house.say(amy, Place::Room(room), "before").await;
    house.heard.forget();
    let seen = house.membership(room, amy, Membership::Invite(bob)).await.unwrap();
    assert_eq!((seen.members, seen.role), (2, Role::Owner), "the answer is the room as the actor sees it");
    let entry = house.entry(room, bob).await;
    assert_eq!((entry.read_seq, entry.role, entry.reads.clone()), (Seq(1), Role::Member, vec![(amy, Seq(0))]));
    assert_eq!(house.heard.entries(), [(bob, entry, None)], "bob's session did not ask");
    house.membership(room, amy, Membership::Invite(bob)).await.unwrap();
    house.membership(room, bob, Membership::Join).await.unwrap();
    assert_eq!(house.heard.all().len(), 1, "who is in already changes nothing");

    house.store.set_disabled("person2", true).await.unwrap();
    for nobody in [eve, UserId(99)] {
        assert_eq!(house.membership(room, bob, Membership::Invite(nobody)).await, Err(RoomError::NotFound));
    }
    house.store.set_disabled("person2", false).await.unwrap();
    house.membership(room, bob, Membership::Invite(eve)).await.unwrap();
    let public = house.room(amy, RoomKind::Public, "tea").await;
    assert_eq!(house.membership(public, bob, Membership::Invite(eve)).await, Err(RoomError::Forbidden), "not in it");
    house.membership(public, amy, Membership::Invite(eve)).await.unwrap();
    house.store.set_disabled("person0", true).await.unwrap();
    assert_eq!(house.membership(public, amy, Membership::Invite(bob)).await, Err(RoomError::Forbidden), "disabled");
}

pub async fn a_removed_member_is_out_at_once_whatever_the_writer_remembers(house: House) {
    let (amy, bob) = (house.person().await, house.person().await);
    let room = house.room_of(&[amy, bob], "cellar").await;
    // Handed over without waiting, so that they may well be in one group: said, out, said, in, said.
    let say = |content: &str| {
        let (store, append) = (Arc::clone(&house.store), text(bob, Place::Room(room), content));
        async move { store.append(append).await.map(drop) }
    };
    let (one, out, two, back, three) = tokio::join!(
        say("1"),
        house.membership(room, amy, Membership::Remove(bob)),
        say("2"),
        house.membership(room, amy, Membership::Invite(bob)),
        say("3"),
    );
    assert_eq!((one, two, three), (Ok(()), Err(AppendError::Forbidden), Ok(())));
    assert!(out.is_ok() && back.is_ok());
    assert_eq!(contents(&house.heard.posted(room)), ["1", "3"]);
}

pub async fn moderators_remove_and_nobody_an_equal(house: House) {
    let (amy, bob, eve, ida) = (house.person().await, house.person().await, house.person().await, house.person().await);
    let boss = house.person().await;
    let room = house.room_of(&[amy, bob, eve, ida], "cellar").await;
    house.membership(room, amy, Membership::Role(bob, Role::Moderator)).await.unwrap();
    house.membership(room, amy, Membership::Role(eve, Role::Moderator)).await.unwrap();
    for (actor, target, expect) in [
        (ida, bob, RoomError::Forbidden),
        (bob, eve, RoomError::Forbidden),
        (bob, amy, RoomError::Forbidden),
        (amy, amy, RoomError::Forbidden),
        (bob, boss, RoomError::NotFound),
        (bob, UserId(99), RoomError::NotFound),
    ] {
        assert_eq!(house.membership(room, actor, Membership::Remove(target)).await, Err(expect), "{actor} {target}");
    }
    house.heard.forget();
    let seen = house.membership(room, bob, Membership::Remove(ida)).await.unwrap();
    assert_eq!((seen.members, seen.role), (3, Role::Moderator));
    assert_eq!(house.heard.all()[0].change, Change::Left { user: ida, members: 3 });
    house.membership(room, amy, Membership::Remove(eve)).await.unwrap();

    // An administrator of the server, once in the room, stands above all.
    house.store.set_role("person4", UserRole::Admin).await.unwrap();
    house.membership(room, bob, Membership::Invite(boss)).await.unwrap();
    house.membership(room, boss, Membership::Remove(amy)).await.unwrap();
    assert_eq!(roles(&house, room, boss).await, [(bob, Role::Owner), (boss, Role::Member)], "the moderator inherits");
    assert_eq!(house.membership(room, boss, Membership::Remove(boss)).await, Err(RoomError::Forbidden));
}

pub async fn owners_give_roles_and_the_last_one_stays_one(house: House) {
    let (amy, bob, eve) = (house.person().await, house.person().await, house.person().await);
    let room = house.room_of(&[amy, bob], "cellar").await;
    for (actor, user, expect) in [
        (bob, bob, RoomError::Forbidden),
        (bob, amy, RoomError::Forbidden),
        (amy, eve, RoomError::NotFound),
        (amy, amy, RoomError::Forbidden),
    ] {
        let refused = house.membership(room, actor, Membership::Role(user, Role::Moderator)).await;
        assert_eq!(refused, Err(expect), "{actor} {user}");
    }
    house.heard.forget();
    let seen = house.membership(room, amy, Membership::Role(bob, Role::Owner)).await.unwrap();
    assert_eq!((seen.role, seen.id), (Role::Owner, room));
    let entry = house.entry(room, bob).await;
    assert_eq!(entry.role, Role::Owner);
    assert_eq!(house.heard.entries(), [(bob, entry, None)]);
    house.membership(room, amy, Membership::Role(bob, Role::Owner)).await.unwrap();
    assert_eq!(house.heard.all().len(), 1, "what is so already changes nothing");
    let down = house.membership(room, amy, Membership::Role(amy, Role::Member)).await.unwrap();
    assert_eq!(down.role, Role::Member);
    assert_eq!(house.heard.entries()[1], (amy, down, Some(ASKER)));
    assert_eq!(house.membership(room, bob, Membership::Role(bob, Role::Member)).await, Err(RoomError::Forbidden));
}

pub async fn a_room_whose_last_owner_leaves_has_another_one(house: House) {
    let mut people = Vec::new();
    for _ in 0..4 {
        people.push(house.person().await);
    }
    let [amy, bob, eve, ida] = people[..] else { panic!() };
    let room = house.room_of(&people, "cellar").await;
    house.membership(room, amy, Membership::Role(eve, Role::Moderator)).await.unwrap();
    house.heard.forget();
    let leaves = async |user| house.membership(room, user, Membership::Leave).await.unwrap();
    leaves(amy).await;
    let told: Vec<_> = house.heard.all().into_iter().map(|commit| commit.change).collect();
    let [Change::Left { user, members: 3 }, Change::Entry { user: heir, entry, requester: None }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((*user, *heir, entry.role), (amy, eve, Role::Owner), "the highest of the others");
    assert_eq!(roles(&house, room, bob).await, [(bob, Role::Member), (eve, Role::Owner), (ida, Role::Member)]);
    house.membership(room, eve, Membership::Role(ida, Role::Owner)).await.unwrap();
    leaves(eve).await;
    assert_eq!(roles(&house, room, bob).await, [(bob, Role::Member), (ida, Role::Owner)], "one is there");
    leaves(ida).await;
    assert_eq!(roles(&house, room, bob).await, [(bob, Role::Owner)], "the only one left");
    house.membership(room, bob, Membership::Invite(ida)).await.unwrap();
    house.membership(room, bob, Membership::Invite(amy)).await.unwrap();
    leaves(bob).await;
    assert_eq!(roles(&house, room, amy).await, [(amy, Role::Owner), (ida, Role::Member)], "the lowest of equals");
}

pub async fn whoever_comes_into_an_empty_room_owns_it(house: House) {
    let (amy, bob) = (house.person().await, house.person().await);
    let room = house.room(amy, RoomKind::Public, "tea").await;
    house.membership(room, amy, Membership::Leave).await.unwrap();
    assert_eq!(ids_in(&house, room).await, []);
    assert_eq!(house.store.browse_rooms(bob, "tea", RoomId(0), 5).await.unwrap().0[0].members, 0);
    assert_eq!(house.membership(room, bob, Membership::Join).await.unwrap().role, Role::Owner);
    assert_eq!(house.membership(room, amy, Membership::Join).await.unwrap().role, Role::Member);
}

pub async fn members_are_listed_page_by_page(house: House) {
    let mut people = Vec::new();
    for _ in 0..5 {
        people.push(house.person().await);
    }
    let room = house.room_of(&people, "cellar").await;
    let outside = house.person().await;
    let page = async |room, actor, after, limit| {
        let (members, more) = house.store.members(room, actor, after, limit).await.unwrap();
        (members.into_iter().map(|(profile, _)| profile.id).collect::<Vec<_>>(), more)
    };
    assert_eq!(page(room, people[3], UserId(0), 3).await, (people[..3].to_vec(), true));
    assert_eq!(page(room, people[3], people[2], 3).await, (people[3..].to_vec(), false));
    assert_eq!(page(room, people[3], people[2], 2).await, (people[3..].to_vec(), false));
    assert_eq!(page(LOBBY, outside, people[3], 5).await, (vec![people[4], outside], false));
    let public = house.room(people[0], RoomKind::Public, "tea").await;
    assert_eq!(page(public, outside, UserId(0), 5).await, (vec![people[0]], false), "anybody may look");
    assert_eq!(ids_in(&house, LOBBY).await.len(), 6);
    assert_eq!(ids_in(&house, RoomId(99)).await, []);
    assert_eq!(house.entry(LOBBY, outside).await.members, 6);
}
