//! Databases of older versions: nothing in them is lost, and the new columns are computed from the old ones.

use teahouse_core::{Change, RoomId, RoomKind, Seq, Version};

use super::*;

/// Three users: two of them have messages in a direct room, and one has a nickname that is not the username.
const OF_VERSION_1: &str = "
    INSERT INTO meta VALUES ('epoch', 'old epoch');
    INSERT INTO users (id, username, username_key, nickname, created_at) VALUES
        (1, 'Amy', 'amy', 'ÄMY', 5), (2, 'bob', 'bob', 'bob', 6), (3, 'eve', 'eve', 'Eve', 7);
    INSERT INTO members (room, user, read_seq) VALUES (1, 1, 1), (1, 2, 2), (1, 3, 0);
    INSERT INTO rooms (id, kind, user_low, user_high, created_at, version, last_seq) VALUES
        (5, 'direct', 1, 2, 8, 1, 1), (6, 'direct', 1, 3, 9, 0, 0);
    INSERT INTO members (room, user, opened) VALUES (5, 1, 0), (5, 2, 0), (6, 1, 1), (6, 3, 0);
    INSERT INTO messages (id, room, seq, version, first_version, sender, content, state, sent_at) VALUES
        (1, 1, 1, 1, 1, 2, 'hi', 0, 10), (2, 1, 2, 3, 2, 2, '', 1, 11), (3, 5, 1, 1, 1, 2, 'psst', 0, 12);
    UPDATE rooms SET version = 3, last_seq = 2 WHERE id = 1;
";

#[tokio::test]
async fn a_database_of_version_1_opens_with_everything_in_it() {
    let directory = tempfile::tempdir().unwrap();
    schema::make_as_of(&directory.path().join(DATABASE_FILE), 1).execute_batch(OF_VERSION_1).unwrap();
    let sink = GatedSink::default();
    let store = SqliteStore::open(options(&directory), Box::new(sink.clone())).unwrap();
    assert_eq!(store.epoch(), "old epoch");

    let (amy, eve, now) = (UserId(1), UserId(3), Timestamp(20));
    let rooms = store.rooms_of(list_query(amy, now)).await.unwrap().rooms;
    assert_eq!(rooms.iter().map(|entry| entry.id.0).collect::<Vec<_>>(), [1, 5, 6]);
    let [lobby, bobs, eves] = &rooms[..] else { panic!("{rooms:?}") };
    assert_eq!((lobby.members, lobby.version, lobby.last_seq, lobby.unread), (3, Version(3), Seq(2), 0));
    assert_eq!((bobs.members, bobs.unread, eves.members, eves.unread), (2, 1, 2, 0));
    assert_eq!(lobby.last_message.as_ref().unwrap().content, "hi");
    assert_eq!(store.rooms_of(list_query(eve, now)).await.unwrap().rooms.len(), 1, "it has no message yet");

    let found = store.search_users("äm", UserId(0), PageLimit::of_entries(10)).await.unwrap().0;
    assert_eq!(found.iter().map(|profile| profile.id).collect::<Vec<_>>(), [amy]);
    let new = |name: &str| NewRoom {
        owner: amy,
        kind: RoomKind::Public,
        name: name.to_owned(),
        title: String::new(),
        now,
        requester: None,
    };
    assert_eq!(store.create_room(new("Lobby")).await, Err(RoomError::NameTaken));
    assert_eq!(store.create_room(new("Tea")).await.unwrap().members, 1);

    // A direct room with a message is listed already; one without is listed with its first message.
    let opened = store.open_direct(amy, UserId(2), now, None).await.unwrap();
    assert_eq!((opened.id, opened.last_seq), (RoomId(5), Seq(1)));
    assert_eq!(sink.count(), 1, "only the new room was published");
    store.append(Append { destination: Destination::Direct(eve), ..text(amy, "hi") }).await.unwrap();
    assert_eq!(sink.count(), 3, "eve's entry, then the message");
    new_user(&store, "ida").await;
    assert_eq!(store.room_entry(LOBBY, amy, now).await.unwrap().members, 4);
    store.append(text(amy, "@bob")).await.unwrap();
    let leave = MembershipChange { room: LOBBY, actor: amy, what: Membership::Leave, now, requester: None };
    assert_eq!(store.change_membership(leave).await, Err(RoomError::Forbidden));
    store.close().await;
    assert_intact(&directory);
    let kept = "SELECT count(*) FROM rooms r WHERE members <> (SELECT count(*) FROM members m WHERE m.room = r.id)";
    assert_eq!(query_number(&directory, kept), 0);
}

#[tokio::test]
async fn a_database_of_version_3_has_counts_and_pieces_of_what_was_in_it() {
    let directory = tempfile::tempdir().unwrap();
    worst::fill(&directory.path().join(DATABASE_FILE), 120);
    let store = SqliteStore::open(options(&directory), Box::new(GatedSink::default())).unwrap();
    let found = async |query| {
        let (cards, next) = store.browse_rooms(UserId(9), query, RoomId(0), 50).await.unwrap();
        (cards.iter().map(|card| card.id.0).collect::<Vec<_>>(), next)
    };
    assert_eq!(found("CROWD").await, (vec![2], None));
    assert_eq!(found("茶 77").await, (vec![1_000_077], None));
    assert_eq!(found("tea").await, ((1_000_001..=1_000_050).collect(), Some(RoomId(1_000_050))));
    assert_eq!(found("monologue").await, (vec![], None), "a private room");
    let directs = async |user| {
        let page = store.directs(UserId(user), None, 2, Timestamp(0)).await.unwrap().0;
        page.iter().map(|entry| entry.id.0).collect::<Vec<_>>()
    };
    assert_eq!((directs(12).await, directs(8).await), (vec![3_000_120, 3_000_119], vec![100_120, 100_119]));
    assert_eq!(directs(13).await, [0; 0], "others opened these");
    let page = store
        .history(LOBBY, HistoryQuery { from: HistoryFrom::Newest, limit: PageLimit::of_entries(1) })
        .await
        .unwrap();
    let counts: Vec<u32> = page.messages[0].reactions.iter().map(|(_, count)| *count).collect();
    assert_eq!((counts.len(), counts.iter().sum::<u32>(), counts[0], counts[49]), (50, 120, 2, 2));
    let rooms = "SELECT count(*) FROM users u WHERE rooms <> (SELECT count(*) FROM members m \
        JOIN rooms r ON r.id = m.room WHERE m.user = u.id AND r.kind <> 'direct')";
    assert_eq!(query_number(&directory, rooms), 0);
    store.create_room(new_room(UserId(9), RoomKind::Private, "new")).await.unwrap();
    store.open_direct(UserId(9), UserId(10), Timestamp(0), None).await.unwrap();
    assert_eq!(query_number(&directory, rooms), 0);
    assert_eq!(query_number(&directory, "SELECT rooms FROM users WHERE id = 9"), 2);
}

#[tokio::test]
async fn a_picture_that_an_older_version_took_and_this_one_refuses_shows_as_none() {
    let directory = tempfile::tempdir().unwrap();
    let (store, sink, amy) = open_store(options(&directory)).await;
    store.append(text(amy, "hi")).await.unwrap();
    let with_text = format!("/{}", "🍵".repeat(1999));
    for (picture, shown) in [
        ("data:image/png;base64,AAAA", ""),
        ("javascript:alert(1)", ""),
        (" data:,x", ""),
        ("/a\u{1}.png", ""),
        (with_text.as_str(), ""),
        ("https://example.org/a.png", "https://example.org/a.png"),
        ("/uploads/小.png", "/uploads/小.png"),
    ] {
        open_file(&directory).execute("UPDATE users SET avatar = ?1", [picture]).unwrap();
        assert_eq!(store.profiles(&[amy]).await.unwrap()[0].avatar, shown, "{picture:?}");
        assert_eq!(store.user(amy).await.unwrap().unwrap().profile.avatar, shown, "{picture:?}");
        let page = store
            .history(LOBBY, HistoryQuery { from: HistoryFrom::Newest, limit: PageLimit::of_entries(1) })
            .await
            .unwrap();
        assert_eq!(page.messages[0].sender.avatar, shown, "{picture:?}");
        let nickname = Some(format!("Amy {}", picture.len()));
        let change = ProfileChange { nickname, ..ProfileChange::default() };
        store.update_profile(amy, change).await.unwrap();
        let published = sink.commits.lock().unwrap().last().unwrap().clone();
        assert!(matches!(published.change, Change::Profile(profile) if profile.avatar == shown), "{picture:?}");
        let kept: String = open_file(&directory).query_row("SELECT avatar FROM users", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, picture, "it is not rewritten");
    }
}
