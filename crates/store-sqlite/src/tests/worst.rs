//! The most expensive input that is allowed, for every kind of job of the writer and for every read of a page. Its cost
//! must not depend on how much is stored: nobody can make the one writer work long. Costs are steps of SQLite's virtual
//! machine and statements, which are the same on every machine.

use std::cell::Cell;
use std::path::Path;

use rusqlite::trace::{TraceEvent, TraceEventCodes};
use teahouse_core::limits::{DIRECTS_LISTED, PAGE_ENTRIES, SITE_USERS_MAX};
use teahouse_core::{Change, DirectsPosition, MessageId, Role, RoomId, Seq, TokenKey, UserRole, Version};

use super::*;

/// The most steps of one job. 200,000: about 5 ms. Only the users of a site, a thousand at once and all or none of
/// them, may take more: see [`SITE_STEPS_MAX`].
const STEPS_MAX: u64 = 200_000;
/// The most steps of a request of a site's backend for [`SITE_USERS_MAX`] users.
const SITE_STEPS_MAX: u64 = 1_500 * SITE_USERS_MAX as u64;
/// The most steps of [`LISTS`]: some ten milliseconds of a reader, of which a user has few at a time.
const LISTS_STEPS_MAX: u64 = 1_000_000;
const LISTS: [&str; 2] = ["welcome, 490 rooms with unread messages", "welcome, 490 rooms with deleted messages"];
/// The most statements of one job, but for those of a site.
const STATEMENTS_MAX: u64 = 80;

/// What one transaction took.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Cost {
    steps: u64,
    statements: u64,
}

thread_local! {
    /// The transaction that runs on this thread, and the most expensive one since the count began.
    static RUNNING: Cell<Cost> = const { Cell::new(Cost { steps: 0, statements: 0 }) };
    static MOST: Cell<Cost> = const { Cell::new(Cost { steps: 0, statements: 0 }) };
    /// Whether the store that this thread opens is counted.
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

fn add(steps: u64, statements: u64) {
    let running = RUNNING.get();
    let running = Cost { steps: running.steps + steps, statements: running.statements + statements };
    RUNNING.set(running);
    let most = MOST.get();
    MOST.set(Cost { steps: most.steps.max(running.steps), statements: most.statements.max(running.statements) });
}

/// Counts on this connection from now on.
fn count(conn: &mut Connection) {
    let on_step = || {
        add(1, 0);
        false
    };
    let on_statement = |event: TraceEvent<'_>| {
        if let TraceEvent::Stmt(statement, _) = event {
            if statement.sql().starts_with("BEGIN") {
                RUNNING.set(Cost::default());
            }
            add(0, 1);
        }
    };
    conn.progress_handler(1, Some(on_step)).unwrap();
    conn.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(on_statement)).unwrap();
}

/// Counts on the connection of the store that this thread opens, if it asked for it.
pub(crate) fn count_if_asked(conn: &mut Connection) {
    if COUNTED.get() {
        count(conn);
    }
}

/// The most expensive transaction of the writer during `call`, which succeeds.
async fn written<T, E: std::fmt::Debug>(store: &SqliteStore, call: impl Future<Output = Result<T, E>>) -> Cost {
    store.change(|_| Ok(MOST.take())).await.unwrap();
    call.await.unwrap();
    store.change(|_| Ok(MOST.get())).await.unwrap()
}

/// The most expensive snapshot of the only reader during `call`, which succeeds.
async fn read<T, E: std::fmt::Debug>(store: &SqliteStore, call: impl Future<Output = Result<T, E>>) -> Cost {
    store.read(|_| Ok(MOST.take())).await.unwrap();
    call.await.unwrap();
    store.read(|_| Ok(MOST.get())).await.unwrap()
}

/// Rooms of [`WORLD`].
const CROWD: RoomId = RoomId(2);
const EMPTIED: RoomId = RoomId(3);
const MONOLOGUE: RoomId = RoomId(4);
/// Users of [`WORLD`]: their parts are in its comments.
const OWNER: UserId = UserId(1);
const RESIDENT: UserId = UserId(2);
const LISTENER: UserId = UserId(5);
const SPEAKER: UserId = UserId(7);
const FRIEND: UserId = UserId(8);
const GUEST: UserId = UserId(9);
const HOLDER: UserId = UserId(10);
const POPULAR: UserId = UserId(12);
const ASKED: UserId = UserId(13);
const INVITED: UserId = UserId(14);
const HOST: UserId = UserId(15);
const STRANGER: UserId = UserId(16);
/// The id before those of the direct rooms of `POPULAR`.
const DIRECT: u64 = 3_000_000;

/// A database in which everything that a stranger can make grow is as large as `:n`.
const WORLD: &str = "
    CREATE TEMP TABLE k AS WITH RECURSIVE k (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < :n) SELECT i FROM k;
    CREATE TEMP TABLE u (id INTEGER PRIMARY KEY, name TEXT, disabled INTEGER);
    -- The users of the test, then many who are disabled, then some.
    INSERT INTO u SELECT i, 'u' || i, 0 FROM k WHERE i <= 1500;
    INSERT INTO u SELECT 2000 + i, 'u' || (2000 + i), 1 FROM k;
    INSERT INTO u SELECT 900000 + i, 'u' || (900000 + i), 0 FROM k WHERE i <= 200;
    -- The names that a user with the name 'taken' and the id 77777 would get.
    INSERT INTO u SELECT 2000000 + i, 'taken-77777-' || i, 0 FROM k;
    INSERT INTO u VALUES (1900001, 'taken', 0), (1900002, 'taken-77777', 0);
    INSERT INTO users (id, username, username_key, nickname, nickname_key, disabled, created_at)
        SELECT id, name, name, name, name, disabled, 0 FROM u;
    INSERT INTO members (room, user) SELECT 1, id FROM u;
    -- A crowd, whose only owner is 1.
    INSERT INTO rooms (id, kind, name, name_key) VALUES (2, 'public', 'crowd', 'crowd');
    INSERT INTO members (room, user, role) SELECT 2, id, iif(id = 1, 'owner', 'member') FROM u WHERE id NOT IN (9, 11);
    -- A room in which 5 has read nothing, and everything is deleted.
    INSERT INTO rooms (id, kind, name, name_key, version, last_seq)
        VALUES (3, 'private', 'emptied', 'emptied', 2 * :n, :n);
    INSERT INTO members (room, user, role) VALUES (3, 5, 'owner'), (3, 6, 'member');
    INSERT INTO messages (room, seq, version, first_version, sender, content, state, sent_at)
        SELECT 3, i, :n + i, i, 6, '', 1, 0 FROM k;
    -- A room in which 7 has read nothing, and all is by 7.
    INSERT INTO rooms (id, kind, name, name_key, version, last_seq)
        VALUES (4, 'private', 'monologue', 'monologue', :n, :n);
    INSERT INTO members (room, user, role) VALUES (4, 7, 'owner'), (4, 6, 'member');
    INSERT INTO messages (room, seq, version, first_version, sender, content, sent_at)
        SELECT 4, i, i, i, 7, 'hi', 0 FROM k;
    -- A message to which all reacted.
    INSERT INTO messages (id, room, seq, version, first_version, sender, content, sent_at)
        VALUES (4000000, 1, 1, 1, 1, 1, 'hi', 0);
    UPDATE rooms SET version = 1, last_seq = 1 WHERE id = 1;
    INSERT INTO reactions (message, emoji, user) SELECT 4000000, char(128512 + i % 50), 2000 + i FROM k;
    -- Direct rooms, all with 8.
    INSERT INTO rooms (id, kind, user_low, user_high) SELECT 100000 + i, 'direct', 8, 2000 + i FROM k;
    INSERT INTO members (room, user, opened) SELECT 100000 + i, 8, 1 FROM k;
    INSERT INTO members (room, user) SELECT 100000 + i, 2000 + i FROM k;
    -- Public rooms, of which 2 is in all that a user can be in.
    INSERT INTO rooms (id, kind, name, name_key, title, title_key)
        SELECT 1000000 + i, 'public', '茶 ' || i, '茶 ' || i, 'tea', 'tea' FROM k;
    INSERT INTO members (room, user) SELECT 1000000 + i, 2 FROM k WHERE i <= 490;
    -- Direct rooms of 12, all with a message; and those of 13, whom others opened one with.
    INSERT INTO rooms (id, kind, user_low, user_high, version, last_seq, last_time)
        SELECT 3000000 + i, 'direct', 12, 2000 + i, 1, 1, i FROM k;
    INSERT INTO members (room, user, opened) SELECT 3000000 + i, 12, 1 FROM k;
    INSERT INTO members (room, user, opened) SELECT 3000000 + i, 2000 + i, 1 FROM k;
    INSERT INTO messages (room, seq, version, first_version, sender, content, sent_at)
        SELECT 3000000 + i, 1, 1, 1, 2000 + i, 'hi', i FROM k;
    INSERT INTO rooms (id, kind, user_low, user_high) SELECT 3100000 + i, 'direct', 13, 2000 + i FROM k;
    INSERT INTO members (room, user) SELECT 3100000 + i, 13 FROM k;
    INSERT INTO members (room, user, opened) SELECT 3100000 + i, 2000 + i, 1 FROM k;
    -- A private room of 15, who is in many more.
    INSERT INTO rooms (id, kind, name, name_key) SELECT 3200000 + i, 'private', 'p' || i, 'p' || i FROM k WHERE i <= 490;
    INSERT INTO members (room, user, role) SELECT 3200000 + i, 15, 'owner' FROM k WHERE i <= 490;
    -- Tokens that expired.
    INSERT INTO refresh_tokens (key, user, login, expires_at)
        SELECT CAST(printf('%016d', i) AS BLOB), 2000 + i, CAST(printf('%016d', i) AS BLOB), 1 FROM k;
    INSERT INTO revoked_tokens (user, key, expires_at) SELECT 2000 + i, CAST(printf('%016d', i) AS BLOB), 1 FROM k;
";

/// What is added to [`WORLD`] after its migration: what no older version had.
const STRANGERS: &str = "
    CREATE TEMP TABLE k AS WITH RECURSIVE k (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < :n) SELECT i FROM k;
    -- Of the rooms of 12 the newest are declined, and every other one, but for the oldest, is a request.
    UPDATE members SET answer = 'declined' WHERE user = 12 AND room > 3000000 + :n / 3 * 2 AND room < 3100000;
    UPDATE members SET answer = 'pending'
        WHERE user = 12 AND room > 3001000 AND room <= 3000000 + :n / 3 * 2 AND room % 2 = 1;
    -- As many invites as can wait for one user, and of one room.
    INSERT INTO invites (user, room, inviter, declined, invited_at) SELECT 14, 1000000 + i, 2, 0, i FROM k WHERE i <= 100;
    INSERT INTO invites (user, room, inviter, invited_at) SELECT 2000 + i, 3200001, 15, i FROM k WHERE i <= 500;
    -- Rooms of 2 with more unread messages, and of 15 with more deleted ones, than a long list looks at.
    INSERT INTO messages (room, seq, version, first_version, sender, content, state, sent_at)
        SELECT 1000000 + k.i, j.i, j.i, j.i, 1, 'hi', 0, 0 FROM k CROSS JOIN k j WHERE k.i <= 490 AND j.i <= 250;
    INSERT INTO messages (room, seq, version, first_version, sender, content, state, sent_at)
        SELECT 3200000 + k.i, j.i, 250 + j.i, j.i, 1, '', 1, 0 FROM k CROSS JOIN k j WHERE k.i <= 490 AND j.i <= 250;
    UPDATE rooms SET version = 500, last_seq = 250 WHERE id > 1000000 AND id <= 1000490 OR id > 3200000 AND id <= 3200490;
    -- Logins from as many places as are remembered, and from others long ago.
    INSERT INTO approaches (user, since, count) SELECT 2000 + i, 0, 19 FROM k;
    INSERT INTO approaches (user, since, count) VALUES (15, 0, 15), (16, 0, 15);
    INSERT INTO login_prefixes (user, prefix, seen_at) SELECT 10, CAST(printf('%016d', i) AS BLOB), 1000000000000 + i FROM k WHERE i <= 16;
    INSERT INTO login_prefixes (user, prefix, seen_at) SELECT 2000 + i, CAST(printf('%016d', i) AS BLOB), 1 FROM k;
";

/// Fills a database of version 3 with [`WORLD`], so that opening it migrates that as well.
pub(super) fn fill(path: &Path, n: usize) {
    let conn = schema::make_as_of(path, 3);
    conn.execute_batch(&format!("BEGIN; {} COMMIT;", WORLD.replace(":n", &n.to_string()))).unwrap();
}

/// Migrates a filled database and adds [`STRANGERS`].
fn add_strangers(path: &Path, n: usize) {
    let (conn, _) = schema::open_writer(path, std::time::Duration::from_secs(1)).unwrap();
    conn.execute_batch(&format!("BEGIN; {} COMMIT;", STRANGERS.replace(":n", &n.to_string()))).unwrap();
}

fn key(number: u64) -> TokenKey {
    let mut key = [0xFF; 16];
    key[..8].copy_from_slice(&number.to_be_bytes());
    TokenKey(key)
}

fn refresh_token(number: u64) -> RefreshToken {
    RefreshToken { key: key(number), user: HOLDER, login: key(number), expires_at: Timestamp(i64::MAX) }
}

fn site_user(subject: Subject, username: &str) -> SiteUser {
    SiteUser { subject, username: username.to_owned(), email: None, now: Timestamp(0) }
}

fn profile(text: &str) -> ProfileChange {
    ProfileChange { nickname: Some(text.to_owned()), avatar: Some(text.to_owned()), bio: Some(text.to_owned()) }
}

type Costs = Vec<(&'static str, Cost)>;

async fn cost_of_messages(store: &SqliteStore) -> Costs {
    let one_long_name = format!("@{}", "茶".repeat(4000));
    let many_names = "@茶茶茶".repeat(1000);
    let append = |content: &str| store.append(text(GUEST, content));
    append("hi").await.unwrap();
    let mut costs = vec![
        ("append", written(store, append("hi")).await),
        ("append, one name of 4,000 characters", written(store, append(&one_long_name)).await),
        ("append, 1,000 names", written(store, append(&many_names)).await),
        ("append, all characters at signs", written(store, append(&"@".repeat(4000))).await),
    ];
    let direct = Append { destination: Destination::Direct(FRIEND), ..text(GUEST, "hi") };
    costs.push(("append, first direct message", written(store, store.append(direct)).await));
    let own = append("hi").await.unwrap().id;
    for (what, content) in [("edit, one long name", &one_long_name), ("edit, 1,000 names", &many_names)] {
        let edit = Edit { message: own, actor: GUEST, content: content.clone(), now: Timestamp(0) };
        costs.push((what, written(store, store.edit_message(edit)).await));
    }
    let popular = MessageId(4_000_000);
    for (what, on) in [("react", true), ("react no more", false)] {
        let emoji = char::from_u32(128_512).unwrap().to_string();
        let reaction = Reaction { message: popular, actor: GUEST, emoji, on, now: Timestamp(0) };
        costs.push((what, written(store, store.react(reaction)).await));
    }
    let page = HistoryQuery { from: HistoryFrom::Newest, limit: PageLimit::of_entries(100) };
    costs.push(("lobby, many reactions", read(store, store.history(LOBBY, page)).await));
    costs.push(("own reactions", read(store, store.own_reactions(UserId(2001), &[popular])).await));
    costs.push(("delete", written(store, store.delete_message(None, popular, OWNER)).await));
    costs
}

async fn cost_of_rooms(store: &SqliteStore) -> Costs {
    let change = |room, actor, what| {
        store.change_membership(MembershipChange { room, actor, what, now: Timestamp(0), requester: None })
    };
    let title: String = ('一'..).take(200).collect();
    let create = NewRoom { title: title.clone(), ..new_room(FRIEND, RoomKind::Public, &title[..150]) };
    let private = store.create_room(new_room(GUEST, RoomKind::Private, "guests")).await.unwrap().id;
    let update = |title: String| store.update_room(CROWD, OWNER, None, Some(title), Timestamp(0));
    let other_title: String = ('丁'..).take(200).collect();
    let mark = |room, user, seq| store.mark_read(room, user, seq);
    update(title).await.unwrap();
    vec![
        ("create", written(store, store.create_room(create)).await),
        ("update", written(store, update(other_title)).await),
        ("invite", written(store, change(private, GUEST, Membership::Invite(FRIEND))).await),
        ("join", written(store, change(CROWD, GUEST, Membership::Join)).await),
        ("role", written(store, change(CROWD, OWNER, Membership::Role(GUEST, Role::Owner))).await),
        (
            "role of one of two owners",
            written(store, change(CROWD, GUEST, Membership::Role(GUEST, Role::Member))).await,
        ),
        ("remove", written(store, change(CROWD, OWNER, Membership::Remove(GUEST))).await),
        ("leave, as the last owner", written(store, change(CROWD, OWNER, Membership::Leave)).await),
        ("mark own messages", written(store, mark(MONOLOGUE, SPEAKER, Some(Seq(1)))).await),
        ("mark all own messages", written(store, mark(MONOLOGUE, SPEAKER, None)).await),
        ("mark deleted messages", written(store, mark(EMPTIED, LISTENER, Some(Seq(1)))).await),
        ("open", written(store, store.open_direct(FRIEND, UserId(11), Timestamp(0), None)).await),
    ]
}

async fn cost_of_strangers(store: &SqliteStore) -> Costs {
    let now = Timestamp(0);
    let room = RoomId(3_200_001);
    let request = |number: u64| RoomId(DIRECT + 1001 + 2 * number);
    let what = Membership::Invite(INVITED);
    let invite = MembershipChange { room, actor: HOST, what, now: Timestamp(1_000_000), requester: None };
    let direct = |sender, peer| Append { destination: Destination::Direct(peer), now, ..text(sender, "hi") };
    let newest = Timestamp(1_000_000_000);
    vec![
        ("invite a stranger", written(store, store.change_membership(invite)).await),
        ("accept an invite", written(store, store.accept(room, INVITED, now, None)).await),
        ("decline an invite", written(store, store.decline(RoomId(1_000_050), INVITED)).await),
        ("accept a request", written(store, store.accept(request(0), POPULAR, now, None)).await),
        ("decline a request", written(store, store.decline(request(1), POPULAR)).await),
        ("open, to a stranger", written(store, store.open_direct(STRANGER, UserId(11), now, None)).await),
        ("append, to a stranger", written(store, store.append(direct(STRANGER, HOLDER))).await),
        ("append, the answer", written(store, store.append(direct(HOLDER, STRANGER))).await),
        ("append, in one of many direct rooms", written(store, store.append(direct(POPULAR, UserId(2001)))).await),
        ("append, to one who asks", written(store, store.append(direct(POPULAR, UserId(3005)))).await),
        ("login prefix", written(store, store.remember_login_prefix(HOLDER, key(1), newest)).await),
    ]
}

async fn cost_of_accounts(store: &SqliteStore) -> Costs {
    let new = NewUser {
        username: "ida".to_owned(),
        email: Some("ida@example.org".to_owned()),
        password_hash: "a".to_owned(),
        now: Timestamp(0),
        ids_start: 1,
    };
    let ida = store.create_user(new.clone()).await.unwrap().profile.id;
    let other = NewUser { username: "eva".to_owned(), email: None, ..new };
    // More logins than the server keeps.
    for number in 0..300 {
        store.add_refresh_token(refresh_token(number)).await.unwrap();
    }
    let rotate = store.rotate_refresh_token(key(299), key(1000), Timestamp(i64::MAX), Timestamp(0));
    let password = store.change_password(HOLDER, "b", Timestamp(0), None);
    // After every token of the test's world expired.
    let later = Timestamp(100 * 24 * 60 * 60 * 1000);
    vec![
        ("register", written(store, store.create_user(other)).await),
        ("profile, in 490 rooms", written(store, store.update_profile(RESIDENT, profile("x"))).await),
        ("renew hash", written(store, store.renew_password_hash(ida, "a", "b")).await),
        ("refresh token", written(store, store.add_refresh_token(refresh_token(2000))).await),
        ("rotate", written(store, rotate).await),
        ("password", written(store, password).await),
        ("revoke", written(store, store.revoke(HOLDER, key(1), Timestamp(0))).await),
        ("role of the server", written(store, store.set_role("u9", UserRole::Admin)).await),
        ("mute, in many direct rooms", written(store, store.set_muted("u8", Some(later), Timestamp(0))).await),
        ("disable", written(store, store.set_disabled("u10", true)).await),
        ("forget expired", written(store, store.forget_expired(later)).await),
        ("check", written(store, store.check()).await),
    ]
}

async fn cost_of_site(store: &SqliteStore) -> Costs {
    let named = site_user(Subject::Id(UserId(77_777)), "taken");
    let record = |(number, text): (u64, &str)| SiteUserRecord {
        user: site_user(Subject::Name(format!("s{number}")), &format!("{text}{number}")),
        profile: profile(text),
    };
    let records = |text| (0..SITE_USERS_MAX as u64).map(|number| record((number, text))).collect::<Vec<_>>();
    vec![
        ("site user, name taken", written(store, store.ensure_site_user(named)).await),
        ("site users, new", written(store, store.put_site_users(records("a"))).await),
        ("site users, renamed", written(store, store.put_site_users(records("b"))).await),
        ("add key", written(store, store.add_api_key("site", key(1), Timestamp(0))).await),
        ("revoke key", written(store, store.revoke_api_key("site")).await),
    ]
}

fn rooms_of(user: UserId) -> RoomListQuery {
    RoomListQuery { user, directs_max: DIRECTS_LISTED, named: Vec::new(), now: Timestamp(0) }
}

async fn cost_of_room_lists(store: &SqliteStore) -> Costs {
    let page = |user, after: Option<(bool, i64)>| {
        let after =
            after.map(|(request, time)| DirectsPosition { request, time: Timestamp(time), room: RoomId(u64::MAX) });
        store.directs(user, after, PAGE_ENTRIES, Timestamp(0))
    };
    let middle = DirectsPosition { request: false, time: Timestamp(0), room: RoomId(100_500) };
    let of_one_time = store.directs(FRIEND, Some(middle), PAGE_ENTRIES, Timestamp(0));
    let named = RoomListQuery { named: (1..=200).map(|number| RoomId(DIRECT + number)).collect(), ..rooms_of(POPULAR) };
    vec![
        ("welcome, with invites", read(store, store.welcome(rooms_of(INVITED))).await),
        ("welcome, many direct rooms", read(store, store.welcome(rooms_of(POPULAR))).await),
        ("welcome, many direct rooms, named ones", read(store, store.welcome(named)).await),
        ("welcome, many direct rooms without a message", read(store, store.welcome(rooms_of(FRIEND))).await),
        ("welcome, many direct rooms that others opened", read(store, store.welcome(rooms_of(ASKED))).await),
        ("directs", read(store, page(POPULAR, None)).await),
        ("directs, from the middle", read(store, page(POPULAR, Some((false, 500)))).await),
        ("directs, the last ones and requests", read(store, page(POPULAR, Some((false, 20)))).await),
        ("directs, requests from the middle", read(store, page(POPULAR, Some((true, 1500)))).await),
        ("directs, without a message", read(store, page(FRIEND, None)).await),
        ("directs, of one time, from the middle", read(store, of_one_time).await),
        ("directs, none", read(store, page(ASKED, None)).await),
        ("login prefix seen", read(store, store.login_prefix_seen(HOLDER, key(1))).await),
    ]
}

async fn cost_of_reads(store: &SqliteStore) -> Costs {
    let browse = |query| store.browse_rooms(RESIDENT, query, RoomId(0), 50);
    let users = |query, after| store.search_users(query, UserId(after), PageLimit::of_entries(50));
    let page = HistoryQuery { from: HistoryFrom::Newest, limit: PageLimit::of_entries(100) };
    let around =
        RoomHistoryQuery { room: MONOLOGUE, from: SeqFrom::Around(Seq(1500)), limit: PageLimit::of_entries(100) };
    let bounds = CatchUpBounds { limit: PageLimit::of_entries(500), changes_max: Some(500), reset_messages: 50 };
    vec![
        ("browse all", read(store, browse("")).await),
        ("browse for one character", read(store, browse("茶")).await),
        ("browse for what all have", read(store, browse("tea")).await),
        ("browse for what many nearly have", read(store, browse("tee")).await),
        ("browse for nothing", read(store, browse(&"茶茶茶"[..6])).await),
        ("browse for a long text", read(store, browse(&"茶 ".repeat(25))).await),
        ("users", read(store, users("", 1500)).await),
        ("users by a letter", read(store, users("u", 0)).await),
        ("users by wildcards", read(store, users("%", 0)).await),
        ("users by a long text", read(store, users(&"u".repeat(50), 0)).await),
        ("members", read(store, store.members(CROWD, RESIDENT, UserId(0), PageLimit::of_entries(50))).await),
        ("all members", read(store, store.member_ids(CROWD)).await),
        ("conversations", read(store, store.conversations(FRIEND)).await),
        ("unread in all conversations", read(store, store.unread_total(FRIEND)).await),
        (
            "page by seq, deleted messages",
            read(store, store.page_by_seq(EMPTIED, Version(1), Seq(0), PageLimit::of_entries(100))).await,
        ),
        (
            "page by seq, deletions",
            read(store, store.page_by_seq(EMPTIED, Version(1), Seq(9000), PageLimit::of_entries(100))).await,
        ),
        (LISTS[0], read(store, store.welcome(rooms_of(RESIDENT))).await),
        (LISTS[1], read(store, store.welcome(rooms_of(HOST))).await),
        ("welcome, own messages", read(store, store.welcome(rooms_of(SPEAKER))).await),
        ("welcome, deleted messages", read(store, store.welcome(rooms_of(LISTENER))).await),
        ("history without deleted messages", read(store, store.history(EMPTIED, page)).await),
        ("history around", read(store, store.room_history(SPEAKER, around)).await),
        ("catch up", read(store, store.catch_up(EMPTIED, Some(Version(0)), bounds)).await),
        ("login", read(store, store.user_by_login("u5")).await),
        ("profiles", read(store, store.profiles(&[OWNER, GUEST])).await),
    ]
}

#[tokio::test]
async fn no_job_costs_more_however_much_a_stranger_stored() {
    let mut costs: Vec<Costs> = Vec::new();
    for n in [3_000, 30_000] {
        let directory = tempfile::tempdir().unwrap();
        fill(&directory.path().join(DATABASE_FILE), n);
        add_strangers(&directory.path().join(DATABASE_FILE), n);
        let options = SqliteOptions { readers: 1, ..options(&directory) };
        COUNTED.set(true);
        let sink = GatedSink::default();
        let store = SqliteStore::open(options, Box::new(sink.clone())).unwrap();
        assert!(store.readers.queue.try_push(Box::new(count)).is_ok());
        let mut of_size = cost_of_reads(&store).await;
        of_size.extend(cost_of_room_lists(&store).await);
        of_size.extend(cost_of_strangers(&store).await);
        of_size.extend(cost_of_messages(&store).await);
        of_size.extend(cost_of_rooms(&store).await);
        of_size.extend(cost_of_accounts(&store).await);
        of_size.extend(cost_of_site(&store).await);
        costs.push(of_size);
        // Work that is split into several jobs is complete.
        assert_eq!(query_number(&directory, "SELECT count(*) FROM reactions WHERE message = 4000000"), 0);
        assert_eq!(query_number(&directory, "SELECT count(*) FROM revoked_tokens WHERE expires_at = 1"), 0);
        assert_eq!(query_number(&directory, "SELECT count(*) FROM login_prefixes WHERE seen_at = 1"), 0);
        let is_friends = |commit: &&Commit| matches!(commit.change, Change::Entry { user: FRIEND, .. });
        assert!(sink.commits.lock().unwrap().iter().filter(is_friends).count() > n, "all of a muted user's entries");
    }
    let mut faults = Vec::new();
    for (&(what, small), &(_, large)) in costs[0].iter().zip(&costs[1]) {
        let (steps_max, statements_max) = match what {
            "site users, new" | "site users, renamed" => (SITE_STEPS_MAX, u64::MAX),
            what if LISTS.contains(&what) => (LISTS_STEPS_MAX, STATEMENTS_MAX),
            _ => (STEPS_MAX, STATEMENTS_MAX),
        };
        assert!(small.statements >= 2, "{what} was counted: {small:?}");
        let is_flat = large.steps < small.steps * 3 / 2 + 200;
        let is_bounded = large.steps <= steps_max && large.statements <= statements_max;
        if !is_flat || !is_bounded {
            faults.push(format!("{what}: {small:?}, then {large:?}"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
