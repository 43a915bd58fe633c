//! Invites of strangers and the texts in entries: what one user can bring to another without being asked stays small.

use teahouse_core::limits::*;
use teahouse_core::{Change, RoomEntry, RoomId, TokenKey};

use super::*;

fn rooms_of(user: UserId) -> RoomListQuery {
    RoomListQuery { user, directs_max: DIRECTS_LISTED, named: Vec::new(), now: Timestamp(0) }
}

/// A new private room of `host`, with an invite of `guest`.
async fn invite(store: &SqliteStore, host: UserId, guest: UserId, number: u32) -> RoomId {
    let room = store.create_room(new_room(host, RoomKind::Private, &format!("r{number}"))).await.unwrap().id;
    let (what, now) = (Membership::Invite(guest), Timestamp(number.into()));
    let change = MembershipChange { room, actor: host, what, now, requester: None };
    assert!(store.change_membership(change).await.unwrap().pending);
    room
}

async fn invites(store: &SqliteStore, user: UserId) -> Vec<RoomId> {
    let list = store.welcome(rooms_of(user)).await.unwrap().unwrap().1;
    list.invites.iter().map(|invite| invite.room.id).collect()
}

#[tokio::test]
async fn declined_invites_do_not_push_out_those_that_wait() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _sink, amy) = open_store(SqliteOptions { strangers_per_day: 1000, ..options(&directory) }).await;
    let host = new_user(&store, "host").await;
    for number in 0..=INVITES_PER_USER_MAX {
        let room = invite(&store, host, amy, number).await;
        assert_eq!(invites(&store, amy).await, [room], "invite {number}");
        store.decline(room, amy).await.unwrap();
    }
}

#[tokio::test]
async fn the_last_message_of_an_entry_is_no_longer_than_a_preview_shows() {
    let directory = tempfile::tempdir().unwrap();
    let (store, sink, amy) = open_store(options(&directory)).await;
    let bob = new_user(&store, "bob").await;
    let tea = store.create_room(new_room(amy, RoomKind::Public, "tea")).await.unwrap().id;
    let long = format!("@amy {}", "茶".repeat(CONTENT_CHARS_MAX - 5));
    store.append(Append { destination: Destination::Room(tea), ..text(amy, &long) }).await.unwrap();
    let join = MembershipChange { room: tea, actor: bob, what: Membership::Join, now: Timestamp(0), requester: None };
    let joined = store.change_membership(join).await.unwrap().entry;
    let published = match &sink.commits.lock().unwrap().last().unwrap().change {
        Change::Entry { entry, .. } => (**entry).clone(),
        other => panic!("{other:?}"),
    };
    let listed = store.welcome(rooms_of(bob)).await.unwrap().unwrap().1.rooms.pop().unwrap();
    let one_more: String = long.chars().take(PREVIEW_CHARS_MAX + 1).collect();
    let check = |entry: &RoomEntry| {
        let last = entry.last_message.as_ref().unwrap();
        assert_eq!((&last.content, last.mentions.as_slice()), (&one_more, &[amy][..]));
    };
    [joined, published, listed].iter().for_each(check);
}

#[tokio::test]
async fn each_bound_that_is_reached_is_reported_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = SqliteOptions { strangers_per_day: 1000, ..options(&directory) };
    let reported = Arc::new(Mutex::new(Vec::new()));
    let report = Arc::clone(&reported);
    options.metrics.common.on_bound = BoundHook::new(move |bound, figure| report.lock().unwrap().push((bound, figure)));
    let (store, _sink, amy) = open_store(options).await;
    let host = new_user(&store, "host").await;
    let take_reported = || std::mem::take(&mut *reported.lock().unwrap());
    let key = |number: u32| TokenKey(u128::from(number).to_be_bytes());

    for number in 0..INVITES_PER_USER_MAX {
        invite(&store, host, amy, number).await;
    }
    for number in 0..LOGINS_PER_USER_MAX {
        let login = RefreshToken { key: key(number), user: amy, login: key(number), expires_at: Timestamp(1) };
        store.add_refresh_token(login).await.unwrap();
    }
    for number in 0..LOGIN_PREFIXES_PER_USER_MAX {
        store.remember_login_prefix(amy, key(number), Timestamp(0)).await.unwrap();
    }
    store.append(text(amy, &"@amy ".repeat(500))).await.unwrap();
    assert_eq!(take_reported(), [], "at the bounds, none is exceeded");

    invite(&store, host, amy, INVITES_PER_USER_MAX).await;
    let login = RefreshToken { key: key(1000), user: amy, login: key(1000), expires_at: Timestamp(1) };
    store.add_refresh_token(login).await.unwrap();
    store.remember_login_prefix(amy, key(1000), Timestamp(0)).await.unwrap();
    let names: String = (0..200).map(|number| format!("@u{number} ")).collect();
    store.append(text(amy, &names)).await.unwrap();
    let expected = [
        ("INVITES_PER_USER_MAX", 100),
        ("LOGINS_PER_USER_MAX", 100),
        ("LOGIN_PREFIXES_PER_USER_MAX", 16),
        ("NAMES_LOOKED_UP_MAX", 100),
    ];
    assert_eq!(take_reported(), expected);
}

#[tokio::test]
async fn the_oldest_invites_to_a_room_give_way_and_that_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = SqliteOptions { strangers_per_day: 1000, ..options(&directory) };
    let reported = Arc::new(Mutex::new(Vec::new()));
    let report = Arc::clone(&reported);
    options.metrics.common.on_bound = BoundHook::new(move |bound, figure| report.lock().unwrap().push((bound, figure)));
    let (store, _sink, host) = open_store(options).await;
    let room = store.create_room(new_room(host, RoomKind::Private, "tea")).await.unwrap().id;
    for number in 0..=INVITES_PER_ROOM_MAX {
        assert_eq!(*reported.lock().unwrap(), [], "invite {number}");
        let what = Membership::Invite(new_user(&store, &format!("u{number}")).await);
        let invite = MembershipChange { room, actor: host, what, now: Timestamp(number.into()), requester: None };
        store.change_membership(invite).await.unwrap();
    }
    assert_eq!(*reported.lock().unwrap(), [("INVITES_PER_ROOM_MAX", 500)]);
    assert_eq!(query_number(&directory, "SELECT count(*) FROM invites"), 500);
}
