//! Databases of older versions: nothing in them is lost, and the new columns are computed from the old ones.

use teahouse_core::{RoomId, RoomKind, Seq, Version};

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

    let found = store.search_users("äm", UserId(0), 10).await.unwrap().0;
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
