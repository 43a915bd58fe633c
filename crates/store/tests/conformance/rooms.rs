//! Rules about rooms: made, changed, looked for, and how each member sees them.

use std::sync::Arc;

use teahouse_core::limits::{READS_MEMBERS_MAX, ROOMS_PER_USER_MAX};
use teahouse_core::{Audience, Change, LOBBY, Role, RoomId, RoomKind, Seq, UserId, UserRole, Version};
use teahouse_store::{Membership, NewRoom, Place, RoomError};

use crate::house::*;

pub async fn a_new_room_has_its_owner_in_it_and_is_told_to_the_owner(house: House) {
    let (amy, bob) = (house.person().await, house.person().await);
    for (number, kind) in [RoomKind::Public, RoomKind::Private].into_iter().enumerate() {
        let new = NewRoom { title: "Tea & more".to_owned(), ..new_room(amy, kind, &format!("Tea{number}")) };
        let made = house.store.create_room(new).await.unwrap();
        assert_eq!(
            (made.kind, made.name.clone(), made.title.as_str()),
            (kind, Some(format!("Tea{number}")), "Tea & more")
        );
        assert_eq!((made.members, made.role, made.version, made.last_seq), (1, Role::Owner, Version(0), Seq(0)));
        assert_eq!((made.read_seq, made.unread, made.muted, made.peer.clone()), (Seq(0), 0, false, None));
        assert_eq!(house.heard.entries()[number], (amy, made.clone(), Some(ASKER)));
        assert_eq!(house.entry(made.id, amy).await, made);
        let seen_by_others = house.store.room_entry(made.id, bob, at(0)).await;
        let refused = if kind == RoomKind::Public { RoomError::Forbidden } else { RoomError::NotFound };
        assert_eq!(seen_by_others, Err(refused));
    }
    assert_eq!(house.heard.all().len(), 2);
    assert_eq!(house.store.room_entry(RoomId(99), amy, at(0)).await, Err(RoomError::NotFound));
    let direct = house.store.create_room(new_room(amy, RoomKind::Direct, "x")).await;
    assert_eq!(direct, Err(RoomError::Forbidden), "direct rooms are opened");
    assert_eq!(house.store.create_room(new_room(UserId(99), RoomKind::Public, "x")).await, Err(RoomError::NotFound));
    house.store.set_disabled("person1", true).await.unwrap();
    assert_eq!(house.store.create_room(new_room(bob, RoomKind::Public, "x")).await, Err(RoomError::Forbidden));
}

pub async fn names_of_rooms_are_unique_whatever_their_case(house: House) {
    let amy = house.person().await;
    house.room(amy, RoomKind::Public, "Äpfel").await;
    for name in ["Äpfel", "äPFEL", "lobby", "LOBBY"] {
        let taken = house.store.create_room(new_room(amy, RoomKind::Private, name)).await;
        assert_eq!(taken, Err(RoomError::NameTaken), "{name}");
    }
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = Arc::clone(&house.store);
        let name = if number % 2 == 0 { "birnen" } else { "BIRNEN" };
        tasks.spawn(async move { store.create_room(new_room(amy, RoomKind::Public, name)).await });
    }
    let made = tasks.join_all().await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
}

pub async fn a_rooms_name_and_title_are_changed_by_whom_they_belong_to(house: House) {
    let (amy, bob, eve) = (house.person().await, house.person().await, house.person().await);
    let boss = house.person().await;
    house.store.set_role("person3", UserRole::Admin).await.unwrap();
    let room = house.room(amy, RoomKind::Public, "tea").await;
    house.room(amy, RoomKind::Public, "coffee").await;
    house.membership(room, bob, Membership::Join).await.unwrap();
    house.heard.forget();
    let update = async |room, actor, name: Option<&str>, title: Option<&str>| {
        house.store.update_room(room, actor, name.map(str::to_owned), title.map(str::to_owned), at(0)).await
    };
    let changed = update(room, amy, Some("Tea"), None).await.unwrap();
    assert_eq!((changed.name.as_deref(), changed.title.as_str(), changed.version), (Some("Tea"), "", Version(0)));
    let changed = update(room, amy, None, Some("All about tea")).await.unwrap();
    assert_eq!(changed, house.entry(room, amy).await);
    assert_eq!((changed.name.as_deref(), changed.title.as_str()), (Some("Tea"), "All about tea"));
    assert_eq!(update(room, amy, Some("Tea"), Some("All about tea")).await.unwrap(), changed, "changes nothing");
    let told: Vec<_> = house.heard.all().into_iter().map(|c| (c.room, c.audience, c.change)).collect();
    let change = |title: &str| Change::Room { name: Some("Tea".to_owned()), title: title.to_owned() };
    assert_eq!(told, [(room, Audience::Room, change("")), (room, Audience::Room, change("All about tea"))]);

    assert_eq!(update(room, amy, Some("COFFEE"), None).await, Err(RoomError::NameTaken));
    let direct = house.direct(amy, bob).await;
    let private = house.room(amy, RoomKind::Private, "cellar").await;
    for (room, actor, expect) in [
        (room, bob, RoomError::Forbidden),
        (room, eve, RoomError::Forbidden),
        (room, boss, RoomError::Forbidden),
        (LOBBY, amy, RoomError::Forbidden),
        (direct, amy, RoomError::Forbidden),
        (direct, eve, RoomError::NotFound),
        (private, boss, RoomError::NotFound),
        (RoomId(99), boss, RoomError::NotFound),
    ] {
        assert_eq!(update(room, actor, None, Some("mine")).await, Err(expect), "{room} by {actor}");
    }
    assert_eq!(update(LOBBY, boss, None, Some("Welcome")).await.unwrap().title, "Welcome");
    assert_eq!(house.entry(LOBBY, eve).await.title, "Welcome");
    // The old name is free again.
    assert!(update(room, amy, Some("green tea"), None).await.is_ok());
    house.room(eve, RoomKind::Public, "tea").await;
}

pub async fn a_welcome_shows_every_room_as_its_member_sees_it(house: House) {
    let (amy, bob, eve) = (house.person().await, house.person().await, house.person().await);
    let cellar = house.room_of(&[amy, bob], "cellar").await;
    let other = house.room(eve, RoomKind::Public, "other").await;
    let direct = house.say(amy, Place::Direct(bob), "one").await.room;
    let last = house.say(amy, Place::Direct(bob), "two @person1").await;
    let gone = house.say(amy, Place::Direct(bob), "three").await;
    house.react(last.id, bob, "👍").await.unwrap();
    house.store.delete_message(None, gone.id, amy).await.unwrap();
    house.store.mark_read(direct, bob, Some(Seq(1))).await.unwrap();
    for number in 0..3 {
        house.say(bob, Place::Room(cellar), &format!("{number}")).await;
    }
    house.store.mark_read(cellar, bob, Some(Seq(2))).await.unwrap();

    let rooms = house.rooms_of(amy).await;
    assert_eq!(rooms.iter().map(|entry| entry.id).collect::<Vec<_>>(), [LOBBY, cellar, direct], "{other} is not hers");
    for entry in &rooms {
        assert_eq!(*entry, house.entry(entry.id, amy).await, "alone as among others");
    }
    let [lobby, private, between] = &rooms[..] else { panic!() };
    assert_eq!((lobby.kind, lobby.name.as_deref(), lobby.members), (RoomKind::Public, Some("lobby"), 3));
    assert_eq!((lobby.role, lobby.last_message.clone(), lobby.unread), (Role::Member, None, 0));
    assert_eq!((private.kind, private.members, private.role), (RoomKind::Private, 2, Role::Owner));
    assert_eq!((private.version, private.last_seq, private.unread), (Version(3), Seq(3), 3));
    assert_eq!(private.reads, [(bob, Seq(2))]);
    assert_eq!(private.last_message.as_ref().unwrap().content, "2");
    assert_eq!((between.kind, between.name.clone(), between.members), (RoomKind::Direct, None, 2));
    assert_eq!((between.version, between.last_seq, between.unread), (Version(5), Seq(3), 0));
    let (peer, read) = between.peer.clone().unwrap();
    assert_eq!((peer.id, peer.username.as_str(), read), (bob, "person1", Seq(1)));
    assert_eq!(between.reads, []);
    assert_eq!(between.last_message, Some(house.stored(direct, last.id).await), "the newest that is not deleted");

    let between = house.entry(direct, bob).await;
    assert_eq!((between.unread, between.read_seq), (1, Seq(1)), "deleted ones and own ones are not unread");
    assert_eq!(between.peer.map(|(peer, read)| (peer.id, read)), Some((amy, Seq(0))));
    assert!(house.rooms_of(UserId(99)).await.is_empty());
}

pub async fn one_room_is_seen_by_several_as_each_of_them_sees_it(house: House) {
    let (amy, bob, eve) = (house.person().await, house.person().await, house.person().await);
    let cellar = house.room_of(&[amy, bob], "cellar").await;
    let direct = house.say(amy, Place::Direct(bob), "hi").await.room;
    house.say(amy, Place::Room(cellar), "one").await;
    house.say(bob, Place::Room(cellar), "two").await;
    house.say(bob, Place::Room(LOBBY), "all").await;
    house.store.mark_read(cellar, amy, Some(Seq(1))).await.unwrap();
    house.store.set_muted("person1", Some(at(5)), at(0)).await.unwrap();
    for (room, seen_by) in [(cellar, vec![amy, bob]), (direct, vec![amy, bob]), (LOBBY, vec![amy, bob, eve])] {
        let mut expect = Vec::new();
        for user in seen_by {
            expect.push((user, house.entry(room, user).await));
        }
        let asked = [eve, UserId(99), bob, amy, bob];
        assert_eq!(house.store.room_entries(room, &asked, at(0)).await.unwrap(), expect);
    }
    assert_eq!(house.store.room_entries(RoomId(99), &[amy], at(0)).await.unwrap(), []);
    assert_eq!(house.store.room_entries(LOBBY, &[], at(0)).await.unwrap(), []);
}

pub async fn a_direct_room_is_listed_with_its_first_message_or_for_who_opened_it(house: House) {
    let (amy, bob) = (house.person().await, house.person().await);
    let opened = house.store.open_direct(amy, bob, at(0), Some(ASKER)).await.unwrap();
    assert_eq!(house.heard.entries(), [(amy, opened.clone(), Some(ASKER))]);
    assert_eq!(opened, house.rooms_of(amy).await[1]);
    assert_eq!((opened.members, opened.version, opened.peer.clone().unwrap().0.id), (2, Version(0), bob));
    assert_eq!(house.store.open_direct(amy, bob, at(0), Some(ASKER)).await.unwrap(), opened);
    assert_eq!(house.heard.all().len(), 1, "listed already");
    assert_eq!(house.rooms_of(bob).await.len(), 1, "the other one sees it with its first message");

    house.say(amy, Place::Direct(bob), "hi").await;
    let told = house.heard.all();
    assert!(told.iter().all(|commit| matches!(&commit.audience, Audience::Direct(pair) if pair[0].id == amy)));
    let changes: Vec<_> = told.into_iter().skip(1).map(|commit| commit.change).collect();
    let [Change::Entry { user, entry, requester: None }, Change::Message { message, .. }] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!((*user, entry.id, entry.version, entry.last_seq), (bob, opened.id, Version(0), Seq(0)));
    assert_eq!((entry.unread, entry.last_message.clone(), entry.members), (0, None, 2));
    assert_eq!(entry.peer.as_ref().unwrap().0.id, amy);
    assert_eq!(message.version, Version(1));
    let seen = house.entry(opened.id, bob).await;
    assert_eq!((seen.unread, seen.last_message.as_ref()), (1, Some(message)));

    house.heard.forget();
    assert_eq!(house.store.open_direct(bob, amy, at(0), Some(ASKER)).await.unwrap(), seen);
    house.say(bob, Place::Direct(amy), "ho").await;
    assert_eq!(house.heard.all().len(), 1, "only the message");
}

pub async fn who_writes_first_has_the_room_too_and_hears_of_it_before_the_message(house: House) {
    let (amy, bob, eve) = (house.person().await, house.person().await, house.person().await);
    let room = house.say(bob, Place::Direct(amy), "hi").await.room;
    let kinds: Vec<_> = house.heard.all().into_iter().map(|commit| commit.change).collect();
    let [Change::Entry { user: one, .. }, Change::Entry { user: two, .. }, Change::Message { .. }] = &kinds[..] else {
        panic!("{kinds:?}")
    };
    assert_eq!((*one, *two), (amy, bob));
    house.heard.forget();
    // A first message that is refused lists nothing: the room is there, the words are not.
    house.store.append(keyed(eve, Place::Room(LOBBY), "hi", "c1")).await.unwrap();
    let quiet = house.direct(eve, amy).await;
    house.heard.forget();
    house.store.append(keyed(eve, Place::Direct(amy), "ho", "c1")).await.unwrap_err();
    assert_eq!(house.heard.all().len(), 0);
    assert_eq!(house.rooms_of(amy).await.iter().map(|entry| entry.id).collect::<Vec<_>>(), [LOBBY, room]);
    house.say(eve, Place::Room(quiet), "ho").await;
    assert_eq!(house.heard.entries().iter().map(|(user, ..)| *user).collect::<Vec<_>>(), [amy]);
}

pub async fn a_mute_shows_in_an_entry_as_long_as_it_is_in_force(house: House) {
    let amy = house.person().await;
    let room = house.room(amy, RoomKind::Public, "tea").await;
    house.store.set_muted("person0", Some(at(10)), at(0)).await.unwrap();
    for (now, expect) in [(at(0), true), (at(9), true), (at(10), false)] {
        let all = house.store.rooms_of(amy, now).await.unwrap();
        assert_eq!(all.iter().map(|entry| entry.muted).collect::<Vec<_>>(), [expect; 2], "{now:?}");
        assert_eq!(house.store.room_entry(room, amy, now).await.unwrap().muted, expect);
    }
    house.store.set_muted("person0", None, at(0)).await.unwrap();
    assert!(!house.entry(room, amy).await.muted);
}

pub async fn read_marks_of_others_show_in_small_private_rooms_only(house: House) {
    let mut people = Vec::new();
    for _ in 0..READS_MEMBERS_MAX {
        people.push(house.person().await);
    }
    let (amy, bob) = (people[0], people[1]);
    let room = house.room_of(&people, "cellar").await;
    let public = house.room(amy, RoomKind::Public, "tea").await;
    house.membership(public, bob, Membership::Join).await.unwrap();
    house.say(amy, Place::Room(room), "hi").await;
    house.say(amy, Place::Room(public), "hi").await;
    let direct = house.say(amy, Place::Direct(bob), "hi").await.room;
    let told = async |room| {
        house.heard.forget();
        house.store.mark_read(room, bob, None).await.unwrap();
        match house.heard.all().pop().map(|commit| commit.change) {
            Some(Change::Read { reader, visible_to_room, covers_others: true, .. }) if reader == bob => visible_to_room,
            other => panic!("{other:?}"),
        }
    };
    assert!(told(room).await && told(direct).await && !told(public).await && !told_lobby(&house, amy, bob).await);
    let reads = house.entry(room, amy).await.reads;
    let others: Vec<_> = people[1..].iter().map(|user| (*user, Seq(u64::from(*user == bob)))).collect();
    assert_eq!(reads, others);
    assert_eq!(house.entry(public, amy).await.reads, []);

    let one_more = house.person().await;
    house.membership(room, amy, Membership::Invite(one_more)).await.unwrap();
    house.say(amy, Place::Room(room), "ho").await;
    assert!(!told(room).await);
    assert_eq!(house.entry(room, amy).await.reads, []);
}

async fn told_lobby(house: &House, speaker: UserId, reader: UserId) -> bool {
    house.say(speaker, Place::Room(LOBBY), "hi").await;
    house.heard.forget();
    house.store.mark_read(LOBBY, reader, None).await.unwrap();
    matches!(house.heard.all()[0].change, Change::Read { visible_to_room: true, .. })
}

pub async fn unread_is_capped_in_entries_too(house: House) {
    let (amy, bob) = (house.person().await, house.person().await);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..1001 {
        let store = Arc::clone(&house.store);
        tasks.spawn(async move { store.append(text(amy, Place::Room(LOBBY), &format!("{number}"))).await.unwrap() });
    }
    tasks.join_all().await;
    assert_eq!((house.entry(LOBBY, bob).await.unread, house.entry(LOBBY, amy).await.unread), (999, 0));
    house.store.mark_read(LOBBY, bob, Some(Seq(1000))).await.unwrap();
    assert_eq!(house.entry(LOBBY, bob).await.unread, 1);
}

pub async fn one_browses_public_rooms_that_one_is_not_in(house: House) {
    let (amy, bob) = (house.person().await, house.person().await);
    let mut rooms = Vec::new();
    for (name, title) in [("tea", "Green"), ("TEE", "ÄPFEL 100%"), ("coffee_x", "a\\b"), ("coffee-y", "tea, too")] {
        let new = NewRoom { title: title.to_owned(), ..new_room(amy, RoomKind::Public, name) };
        rooms.push(house.store.create_room(new).await.unwrap().id);
    }
    house.room(amy, RoomKind::Private, "tea cellar").await;
    let own = house.room(bob, RoomKind::Public, "bob's tea").await;
    let browse = async |query: &str, after, limit| {
        let (cards, more) = house.store.browse_rooms(bob, query, after, limit).await.unwrap();
        (cards.iter().map(|card| card.id).collect::<Vec<_>>(), more)
    };
    for (query, expect) in [
        ("", &rooms[..]),
        ("TEA", &[rooms[0], rooms[3]]),
        ("te", &[rooms[0], rooms[1], rooms[3]]),
        ("äpf", &[rooms[1]]),
        ("%", &[rooms[1]]),
        ("_", &[rooms[2]]),
        ("\\", &[rooms[2]]),
        ("'", &[]),
        ("lobby", &[]),
    ] {
        assert_eq!(browse(query, RoomId(0), 50).await, (expect.to_vec(), false), "{query:?}");
    }
    assert_eq!(browse("", RoomId(0), 3).await, (rooms[..3].to_vec(), true));
    assert_eq!(browse("", rooms[2], 3).await, (rooms[3..].to_vec(), false));
    assert_eq!(browse("", RoomId(u64::MAX), 3).await, (vec![], false));
    let (cards, _) = house.store.browse_rooms(amy, "", RoomId(0), 50).await.unwrap();
    let [card] = &cards[..] else { panic!("{cards:?}") };
    assert_eq!((card.id, card.name.as_str(), card.title.as_str(), card.members), (own, "bob's tea", "", 1));
}

pub async fn one_is_in_so_many_rooms_and_direct_ones_do_not_count(house: House) {
    let (amy, bob) = (house.person().await, house.person().await);
    house.direct(amy, bob).await;
    // The lobby is one of them.
    for number in 1..ROOMS_PER_USER_MAX {
        house.room(amy, RoomKind::Public, &format!("{number}")).await;
    }
    assert_eq!(house.store.create_room(new_room(amy, RoomKind::Public, "x")).await, Err(RoomError::TooMany));
    let bobs = house.room(bob, RoomKind::Public, "bob's").await;
    assert_eq!(house.membership(bobs, amy, Membership::Join).await, Err(RoomError::TooMany));
    assert_eq!(house.membership(bobs, bob, Membership::Invite(amy)).await, Err(RoomError::TooMany));
    let eve = house.person().await;
    house.direct(amy, eve).await;
    let one = house.rooms_of(amy).await[2].id;
    house.membership(one, amy, Membership::Leave).await.unwrap();
    assert!(house.membership(bobs, amy, Membership::Join).await.is_ok());
}
