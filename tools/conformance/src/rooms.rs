//! Rooms: creating, changing and finding them, and how each member sees them.

use std::sync::Arc;

use teahouse_core::limits::{READS_MEMBERS_MAX, ROOMS_PER_USER_MAX};
use teahouse_core::{
    Audience, Change, LOBBY, Message, Role, RoomId, RoomKind, Seq, Timestamp, UserId, UserRole, Version,
};
use teahouse_store::{Destination, Membership, NewRoom, RoomError, RoomListQuery};

use crate::fixture::*;

pub(crate) async fn a_new_room_has_its_owner_in_it_and_is_published_to_the_owner(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    for (number, kind) in [RoomKind::Public, RoomKind::Private].into_iter().enumerate() {
        let new = NewRoom { title: "Tea & more".to_owned(), ..new_room(amy, kind, &format!("Tea{number}")) };
        let made = fixture.store.create_room(new).await.unwrap();
        assert_eq!(
            (made.kind, made.name.clone(), made.title.as_str()),
            (kind, Some(format!("Tea{number}")), "Tea & more")
        );
        assert_eq!((made.members, made.role, made.version, made.last_seq), (1, Role::Owner, Version(0), Seq(0)));
        assert_eq!((made.read_seq, made.unread, made.muted, made.peer.clone()), (Seq(0), 0, false, None));
        assert_eq!(fixture.sink.entries()[number], (amy, made.clone(), Some(REQUESTER)));
        assert_eq!(fixture.entry(made.id, amy).await, made);
        let seen_by_others = fixture.store.room_entry(made.id, bob, at(0)).await;
        let refused = if kind == RoomKind::Public { RoomError::Forbidden } else { RoomError::NotFound };
        assert_eq!(seen_by_others, Err(refused));
    }
    assert_eq!(fixture.sink.commits().len(), 2);
    assert_eq!(fixture.store.room_entry(RoomId(99), amy, at(0)).await, Err(RoomError::NotFound));
    let direct = fixture.store.create_room(new_room(amy, RoomKind::Direct, "x")).await;
    assert_eq!(direct, Err(RoomError::Forbidden), "direct rooms are opened, not created");
    assert_eq!(fixture.store.create_room(new_room(UserId(99), RoomKind::Public, "x")).await, Err(RoomError::NotFound));
    fixture.store.set_disabled("person1", true).await.unwrap();
    assert_eq!(fixture.store.create_room(new_room(bob, RoomKind::Public, "x")).await, Err(RoomError::Forbidden));
}

pub(crate) async fn names_of_rooms_are_unique_regardless_of_case(fixture: Fixture) {
    let amy = fixture.new_user().await;
    fixture.room(amy, RoomKind::Public, "Äpfel").await;
    for name in ["Äpfel", "äPFEL", "lobby", "LOBBY"] {
        let taken = fixture.store.create_room(new_room(amy, RoomKind::Private, name)).await;
        assert_eq!(taken, Err(RoomError::NameTaken), "{name}");
    }
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = Arc::clone(&fixture.store);
        let name = if number % 2 == 0 { "birnen" } else { "BIRNEN" };
        tasks.spawn(async move { store.create_room(new_room(amy, RoomKind::Public, name)).await });
    }
    let made = tasks.join_all().await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
}

pub(crate) async fn owners_change_a_rooms_name_and_title(fixture: Fixture) {
    let (amy, bob, eve) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let boss = fixture.new_user().await;
    fixture.store.set_role("person3", UserRole::Admin).await.unwrap();
    let room = fixture.room(amy, RoomKind::Public, "tea").await;
    fixture.room(amy, RoomKind::Public, "coffee").await;
    fixture.membership(room, bob, Membership::Join).await.unwrap();
    fixture.sink.clear();
    let update = async |room, actor, name: Option<&str>, title: Option<&str>| {
        fixture.store.update_room(room, actor, name.map(str::to_owned), title.map(str::to_owned), at(0)).await
    };
    let changed = update(room, amy, Some("Tea"), None).await.unwrap();
    assert_eq!((changed.name.as_deref(), changed.title.as_str(), changed.version), (Some("Tea"), "", Version(0)));
    let changed = update(room, amy, None, Some("All about tea")).await.unwrap();
    assert_eq!(changed, fixture.entry(room, amy).await);
    assert_eq!((changed.name.as_deref(), changed.title.as_str()), (Some("Tea"), "All about tea"));
    assert_eq!(update(room, amy, Some("Tea"), Some("All about tea")).await.unwrap(), changed, "changes nothing");
    let published: Vec<_> = fixture.sink.commits().into_iter().map(|c| (c.room, c.audience, c.change)).collect();
    let change = |title: &str| Change::Room { name: Some("Tea".to_owned()), title: title.to_owned() };
    assert_eq!(published, [(room, Audience::Room, change("")), (room, Audience::Room, change("All about tea"))]);

    assert_eq!(update(room, amy, Some("COFFEE"), None).await, Err(RoomError::NameTaken));
    let direct = fixture.direct(amy, bob).await;
    let private = fixture.room(amy, RoomKind::Private, "cellar").await;
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
    assert_eq!(fixture.entry(LOBBY, eve).await.title, "Welcome");
    // The old name is free again.
    assert!(update(room, amy, Some("green tea"), None).await.is_ok());
    fixture.room(eve, RoomKind::Public, "tea").await;
}

pub(crate) async fn a_welcome_shows_every_room_as_its_member_sees_it(fixture: Fixture) {
    let (amy, bob, eve) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let cellar = fixture.room_of(&[amy, bob], "cellar").await;
    let other = fixture.room(eve, RoomKind::Public, "other").await;
    let direct = fixture.send(amy, Destination::Direct(bob), "one").await.room;
    let last = fixture.send(amy, Destination::Direct(bob), "two @person1").await;
    let gone = fixture.send(amy, Destination::Direct(bob), "three").await;
    fixture.react(last.id, bob, "👍").await.unwrap();
    fixture.store.delete_message(None, gone.id, amy).await.unwrap();
    fixture.store.mark_read(direct, bob, Some(Seq(1))).await.unwrap();
    for number in 0..3 {
        fixture.send(bob, Destination::Room(cellar), &format!("{number}")).await;
    }
    fixture.store.mark_read(cellar, bob, Some(Seq(2))).await.unwrap();

    let rooms = fixture.rooms_of(amy).await;
    assert_eq!(rooms.iter().map(|entry| entry.id).collect::<Vec<_>>(), [LOBBY, cellar, direct], "{other} is not hers");
    for entry in &rooms {
        assert_eq!(*entry, fixture.entry(entry.id, amy).await, "alone as in the list");
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
    let newest = Message { reactions: Vec::new(), ..fixture.stored(direct, last.id).await };
    assert_eq!(between.last_message, Some(newest), "the newest that is not deleted, without its reactions");

    let between = fixture.entry(direct, bob).await;
    assert_eq!((between.unread, between.read_seq), (1, Seq(1)), "deleted and own messages are not unread");
    assert_eq!(between.peer.map(|(peer, read)| (peer.id, read)), Some((amy, Seq(0))));
    assert!(fixture.rooms_of(UserId(99)).await.is_empty());
}

pub(crate) async fn the_entries_of_several_members_show_the_room_as_each_of_them_sees_it(fixture: Fixture) {
    let (amy, bob, eve) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let cellar = fixture.room_of(&[amy, bob], "cellar").await;
    let direct = fixture.send(amy, Destination::Direct(bob), "hi").await.room;
    fixture.send(amy, Destination::Room(cellar), "one").await;
    fixture.send(bob, Destination::Room(cellar), "two").await;
    fixture.send(bob, Destination::Room(LOBBY), "all").await;
    fixture.store.mark_read(cellar, amy, Some(Seq(1))).await.unwrap();
    fixture.store.set_muted("person1", Some(at(5)), at(0)).await.unwrap();
    for (room, seen_by) in [(cellar, vec![amy, bob]), (direct, vec![amy, bob]), (LOBBY, vec![amy, bob, eve])] {
        let mut expect = Vec::new();
        for user in seen_by {
            expect.push((user, fixture.entry(room, user).await));
        }
        let asked = [eve, UserId(99), bob, amy, bob];
        assert_eq!(fixture.store.room_entries(room, &asked, at(0)).await.unwrap(), expect);
    }
    assert_eq!(fixture.store.room_entries(RoomId(99), &[amy], at(0)).await.unwrap(), []);
    assert_eq!(fixture.store.room_entries(LOBBY, &[], at(0)).await.unwrap(), []);
}

pub(crate) async fn a_direct_room_is_listed_with_its_first_message_or_for_the_opener(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let opened = fixture.store.open_direct(amy, bob, at(0), Some(REQUESTER)).await.unwrap();
    assert_eq!(fixture.sink.entries(), [(amy, opened.clone(), Some(REQUESTER))]);
    assert_eq!(opened, fixture.rooms_of(amy).await[1]);
    assert_eq!((opened.members, opened.version, opened.peer.clone().unwrap().0.id), (2, Version(0), bob));
    assert_eq!(fixture.store.open_direct(amy, bob, at(0), Some(REQUESTER)).await.unwrap(), opened);
    assert_eq!(fixture.sink.commits().len(), 1, "listed already");
    assert_eq!(fixture.rooms_of(bob).await.len(), 1, "the other one sees it with its first message");

    fixture.send(amy, Destination::Direct(bob), "hi").await;
    let published = fixture.sink.commits();
    assert!(published.iter().all(|commit| matches!(&commit.audience, Audience::Direct(pair) if pair[0].id == amy)));
    let changes: Vec<_> = published.into_iter().skip(1).map(|commit| commit.change).collect();
    let [Change::Entry { user, entry, requester: None }, Change::Message { message, .. }] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!((*user, entry.id, entry.version, entry.last_seq), (bob, opened.id, Version(0), Seq(0)));
    assert_eq!((entry.unread, entry.last_message.clone(), entry.members), (0, None, 2));
    assert_eq!(entry.peer.as_ref().unwrap().0.id, amy);
    assert_eq!(message.version, Version(1));
    let seen = fixture.entry(opened.id, bob).await;
    assert_eq!((seen.unread, seen.last_message.as_ref()), (1, Some(message)));

    fixture.sink.clear();
    assert_eq!(fixture.store.open_direct(bob, amy, at(0), Some(REQUESTER)).await.unwrap(), seen);
    fixture.send(bob, Destination::Direct(amy), "ho").await;
    assert_eq!(fixture.sink.commits().len(), 2, "the answered request, and the message");
}

pub(crate) async fn a_first_direct_message_lists_the_room_for_both_before_the_message(fixture: Fixture) {
    let (amy, bob, eve) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let room = fixture.send(bob, Destination::Direct(amy), "hi").await.room;
    let kinds: Vec<_> = fixture.sink.commits().into_iter().map(|commit| commit.change).collect();
    let [Change::Entry { user: one, .. }, Change::Entry { user: two, .. }, Change::Message { .. }] = &kinds[..] else {
        panic!("{kinds:?}")
    };
    assert_eq!((*one, *two), (amy, bob));
    fixture.sink.clear();
    // A first message that is refused lists nothing: the room exists, the message does not.
    fixture.store.append(keyed(eve, Destination::Room(LOBBY), "hi", "c1")).await.unwrap();
    let quiet = fixture.direct(eve, amy).await;
    fixture.sink.clear();
    fixture.store.append(keyed(eve, Destination::Direct(amy), "ho", "c1")).await.unwrap_err();
    assert_eq!(fixture.sink.commits().len(), 0);
    assert_eq!(fixture.rooms_of(amy).await.iter().map(|entry| entry.id).collect::<Vec<_>>(), [LOBBY, room]);
    fixture.send(eve, Destination::Room(quiet), "ho").await;
    assert_eq!(fixture.sink.entries().iter().map(|(user, ..)| *user).collect::<Vec<_>>(), [amy]);
}

pub(crate) async fn an_entry_shows_a_mute_while_it_is_in_force(fixture: Fixture) {
    let amy = fixture.new_user().await;
    let room = fixture.room(amy, RoomKind::Public, "tea").await;
    fixture.store.set_muted("person0", Some(at(10)), at(0)).await.unwrap();
    for (now, expect) in [(at(0), true), (at(9), true), (at(10), false)] {
        let query = RoomListQuery { user: amy, directs_max: 200, named: Vec::new(), now };
        let all = fixture.store.rooms_of(query).await.unwrap().rooms;
        assert_eq!(all.iter().map(|entry| entry.muted).collect::<Vec<_>>(), [expect; 2], "{now:?}");
        assert_eq!(fixture.store.room_entry(room, amy, now).await.unwrap().muted, expect);
    }
    fixture.store.set_muted("person0", None, at(0)).await.unwrap();
    assert!(!fixture.entry(room, amy).await.muted);
}

pub(crate) async fn read_marks_of_others_show_in_small_private_rooms_only(fixture: Fixture) {
    let mut users = Vec::new();
    for _ in 0..READS_MEMBERS_MAX {
        users.push(fixture.new_user().await);
    }
    let (amy, bob) = (users[0], users[1]);
    let room = fixture.room_of(&users, "cellar").await;
    let public = fixture.room(amy, RoomKind::Public, "tea").await;
    fixture.membership(public, bob, Membership::Join).await.unwrap();
    fixture.send(amy, Destination::Room(room), "hi").await;
    fixture.send(amy, Destination::Room(public), "hi").await;
    let direct = fixture.send(amy, Destination::Direct(bob), "hi").await.room;
    let published = async |room| {
        fixture.sink.clear();
        fixture.store.mark_read(room, bob, None).await.unwrap();
        match fixture.sink.commits().pop().map(|commit| commit.change) {
            Some(Change::Read { reader, visible_to_room, covers_others: true, .. }) if reader == bob => visible_to_room,
            other => panic!("{other:?}"),
        }
    };
    assert!(
        published(room).await
            && published(direct).await
            && !published(public).await
            && !publishes_reads_in_lobby(&fixture, amy, bob).await
    );
    let reads = fixture.entry(room, amy).await.reads;
    let others: Vec<_> = users[1..].iter().map(|user| (*user, Seq(u64::from(*user == bob)))).collect();
    assert_eq!(reads, others);
    assert_eq!(fixture.entry(public, amy).await.reads, []);

    let one_more = fixture.new_user().await;
    fixture.membership(room, amy, Membership::Invite(one_more)).await.unwrap();
    fixture.send(amy, Destination::Room(room), "ho").await;
    assert!(!published(room).await);
    assert_eq!(fixture.entry(room, amy).await.reads, []);
}

async fn publishes_reads_in_lobby(fixture: &Fixture, speaker: UserId, reader: UserId) -> bool {
    fixture.send(speaker, Destination::Room(LOBBY), "hi").await;
    fixture.sink.clear();
    fixture.store.mark_read(LOBBY, reader, None).await.unwrap();
    matches!(fixture.sink.commits()[0].change, Change::Read { visible_to_room: true, .. })
}

pub(crate) async fn unread_is_capped_in_entries_too(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..1001 {
        let store = Arc::clone(&fixture.store);
        tasks.spawn(
            async move { store.append(text(amy, Destination::Room(LOBBY), &format!("{number}"))).await.unwrap() },
        );
    }
    tasks.join_all().await;
    assert_eq!((fixture.entry(LOBBY, bob).await.unread, fixture.entry(LOBBY, amy).await.unread), (999, 0));
    fixture.store.mark_read(LOBBY, bob, Some(Seq(1000))).await.unwrap();
    assert_eq!(fixture.entry(LOBBY, bob).await.unread, 1);
}

pub(crate) async fn users_browse_public_rooms_that_they_are_not_in(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let mut rooms = Vec::new();
    for (name, title) in [("tea", "Green"), ("TEE", "ÄPFEL 100%"), ("coffee_x", "a\\b"), ("coffee-y", "tea, too")] {
        let new = NewRoom { title: title.to_owned(), ..new_room(amy, RoomKind::Public, name) };
        rooms.push(fixture.store.create_room(new).await.unwrap().id);
    }
    fixture.room(amy, RoomKind::Private, "tea cellar").await;
    let own = fixture.room(bob, RoomKind::Public, "bob's tea").await;
    let browse = async |query: &str, after, limit| {
        let (cards, next) = fixture.store.browse_rooms(bob, query, after, limit).await.unwrap();
        (cards.iter().map(|card| card.id).collect::<Vec<_>>(), next)
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
        assert_eq!(browse(query, RoomId(0), 50).await, (expect.to_vec(), None), "{query:?}");
    }
    assert_eq!(browse("", RoomId(0), 3).await, (rooms[..3].to_vec(), Some(rooms[2])));
    assert_eq!(browse("", rooms[2], 3).await, (rooms[3..].to_vec(), None));
    assert_eq!(browse("", RoomId(u64::MAX), 3).await, (vec![], None));
    let (cards, _) = fixture.store.browse_rooms(amy, "", RoomId(0), 50).await.unwrap();
    let [card] = &cards[..] else { panic!("{cards:?}") };
    assert_eq!((card.id, card.name.as_str(), card.title.as_str(), card.members), (own, "bob's tea", "", 1));
}

pub(crate) async fn a_room_is_found_by_any_part_of_its_present_name_and_title(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let new = NewRoom { title: "Grüner \"Tee\"".to_owned(), ..new_room(amy, RoomKind::Public, "茶馆 A1") };
    let room = fixture.store.create_room(new).await.unwrap().id;
    let private = fixture.room(amy, RoomKind::Private, "茶馆 B").await;
    let found = async |query: &str| {
        let (cards, next) = fixture.store.browse_rooms(bob, query, RoomId(0), 50).await.unwrap();
        assert_eq!(next, None, "{query:?}");
        cards.iter().map(|card| card.id).collect::<Vec<_>>()
    };
    let check = async |queries: &[&str], expect: &[RoomId]| {
        for query in queries {
            assert_eq!(found(query).await, expect, "{query:?}");
        }
    };
    check(&["茶", "馆", "茶馆", "馆 a", "茶馆 a1", "1", "GRÜ", "ü", "\"tee\"", "\"", " "], &[room]).await;
    check(&["茶茶", "馆茶", "1g", "a1gr", "tea", "%", "_", "\\", "茶馆 a1茶馆"], &[]).await;
    let update = async |room, name: &str, title: &str| {
        let (name, title) = (Some(name.to_owned()), Some(title.to_owned()));
        fixture.store.update_room(room, amy, name, title, Timestamp(0)).await.unwrap();
    };
    update(room, "咖啡馆", "A1").await;
    update(private, "咖啡", "").await;
    check(&["馆", "咖啡", "a1", "咖"], &[room]).await;
    check(&["茶", "ü", "tee", "馆 "], &[]).await;
}

pub(crate) async fn the_rooms_of_a_user_are_bounded_and_direct_rooms_do_not_count(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    fixture.direct(amy, bob).await;
    // The lobby counts.
    for number in 1..ROOMS_PER_USER_MAX {
        fixture.room(amy, RoomKind::Public, &format!("{number}")).await;
    }
    assert_eq!(fixture.store.create_room(new_room(amy, RoomKind::Public, "x")).await, Err(RoomError::TooMany));
    let bobs = fixture.room(bob, RoomKind::Public, "bob's").await;
    assert_eq!(fixture.membership(bobs, amy, Membership::Join).await, Err(RoomError::TooMany));
    assert_eq!(fixture.membership(bobs, bob, Membership::Invite(amy)).await, Err(RoomError::TooMany));
    let eve = fixture.new_user().await;
    fixture.direct(amy, eve).await;
    let one = fixture.rooms_of(amy).await[2].id;
    fixture.membership(one, amy, Membership::Leave).await.unwrap();
    assert!(fixture.membership(bobs, amy, Membership::Join).await.is_ok());
}
