//! Messages: order, idempotency, refusals, pages by id, and closing the store.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use teahouse_core::{LOBBY, MessageId, MessageKind, RoomId, RoomKind, Seq, UserId, Version};
use teahouse_store::{Append, AppendError, Destination, HistoryFrom, HistoryPage, HistoryQuery, PageLimit, StoreError};

use crate::fixture::*;

const IN_LOBBY: Destination = Destination::Room(LOBBY);

async fn history(fixture: &Fixture, room: RoomId, from: HistoryFrom, limit: u32) -> HistoryPage {
    fixture.store.history(room, HistoryQuery { from, limit: PageLimit::of_entries(limit) }).await.unwrap()
}

pub(crate) async fn a_message_is_stored_as_sent_and_published_as_stored(fixture: Fixture) {
    let amy = fixture.new_user().await;
    let first = fixture.send(amy, IN_LOBBY, "first").await;
    let mut append = keyed(amy, IN_LOBBY, "second", "c1");
    append.reply_to = Some(first.id);
    append.now = at(5);
    let second = fixture.store.append(append).await.unwrap();

    assert_eq!((second.seq.0, second.version.0, second.sent_at, second.duplicate), (2, 2, at(5), false));
    let page = history(&fixture, LOBBY, HistoryFrom::Newest, 10).await;
    assert_eq!(page.messages, fixture.sink.new_messages(LOBBY), "history is what was published");
    let stored = &page.messages[1];
    assert_eq!((stored.id, stored.seq, stored.version), (second.id, second.seq, second.version));
    assert_eq!((stored.client_id.as_deref(), stored.reply_to), (Some("c1"), Some(first.id)));
    assert_eq!((stored.sender.id, stored.sender.username.as_str()), (amy, "person0"));
    let head = fixture.store.room_head(LOBBY).await.unwrap().unwrap();
    assert_eq!((head.version, head.last_seq), (second.version, second.seq));
    assert_eq!(fixture.store.room_head(RoomId(99)).await.unwrap(), None);
}

pub(crate) async fn h11_the_senders_address_is_never_published(fixture: Fixture) {
    let amy = fixture.new_user().await;
    let mut append = text(amy, IN_LOBBY, "hi");
    append.address = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77)));
    fixture.store.append(append).await.unwrap();
    let page = history(&fixture, LOBBY, HistoryFrom::Newest, 10).await;
    let everything = format!("{:?} {page:?}", fixture.sink.commits());
    assert!(!everything.contains("192.0.2.77"));
}

pub(crate) async fn h12_fifty_senders_at_once_are_published_in_history_order_without_a_hole(fixture: Fixture) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (sender, store) = (fixture.new_user().await, Arc::clone(&fixture.store));
        tasks.spawn(async move {
            for number in 0..20 {
                store.append(text(sender, IN_LOBBY, &format!("{number}"))).await.unwrap();
            }
        });
    }
    tasks.join_all().await;

    let published = fixture.sink.new_messages(LOBBY);
    let count: Vec<u64> = (1..=1000).collect();
    assert_eq!(published.iter().map(|m| m.seq.0).collect::<Vec<_>>(), count);
    assert_eq!(published.iter().map(|m| m.version.0).collect::<Vec<_>>(), count);
    assert!(published.is_sorted_by(|a, b| a.id < b.id), "ids grow in the order of commit");
    let mut stored = Vec::new();
    loop {
        let after = HistoryFrom::After(stored.last().map_or(MessageId(0), |m: &teahouse_core::Message| m.id));
        let page = history(&fixture, LOBBY, after, 100).await;
        stored.extend(page.messages);
        if !page.has_more {
            break;
        }
    }
    assert_eq!(stored, published);
}

pub(crate) async fn times_never_decrease_when_the_clock_jumps_back(fixture: Fixture) {
    let amy = fixture.new_user().await;
    let mut times = Vec::new();
    for now in [at(1000), at(3_600_000), at(2000), at(3_600_001)] {
        let mut append = text(amy, IN_LOBBY, "tick");
        append.now = now;
        times.push(fixture.store.append(append).await.unwrap().sent_at);
    }
    assert_eq!(times, [at(1000), at(3_600_000), at(3_600_000), at(3_600_001)]);
}

pub(crate) async fn p12_the_same_client_id_gives_the_first_answer_for_ever(mut fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let append = keyed(amy, IN_LOBBY, "once", "c1");
    assert_eq!(fixture.store.appended(&append).await.unwrap(), None);
    let first = fixture.store.append(append.clone()).await.unwrap();
    let again = teahouse_store::Appended { duplicate: true, ..first };

    assert_eq!(fixture.store.append(append.clone()).await.unwrap(), again);
    assert_eq!(fixture.store.appended(&append).await.unwrap(), Some(again));
    // The same client_id of another user is another one.
    assert!(!fixture.store.append(keyed(bob, IN_LOBBY, "once", "c1")).await.unwrap().duplicate);

    fixture.store.delete_message(Some(LOBBY), first.id, amy).await.unwrap();
    assert_eq!(fixture.store.append(append.clone()).await.unwrap(), again, "after it was deleted");
    fixture.store.set_muted("person0", Some(at(1_000_000)), at(0)).await.unwrap();
    assert_eq!(fixture.store.append(append.clone()).await.unwrap(), again, "while muted");
    fixture.store.set_disabled("person0", true).await.unwrap();
    assert_eq!(fixture.store.append(append.clone()).await.unwrap(), again, "while disabled");
    fixture.reopen().await;
    assert_eq!(fixture.store.append(append.clone()).await.unwrap(), again, "after a restart");
    assert_eq!(fixture.store.appended(&append).await.unwrap(), Some(again));
    assert_eq!(fixture.store.room_head(LOBBY).await.unwrap().unwrap().last_seq.0, 2, "two were stored");
    assert!(fixture.sink.commits().is_empty(), "a repeated append is not published");
}

pub(crate) async fn p12_the_same_client_id_at_once_is_stored_once_and_skips_no_version(fixture: Fixture) {
    let amy = fixture.new_user().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..60 {
        let store = Arc::clone(&fixture.store);
        tasks.spawn(async move {
            let append = keyed(amy, IN_LOBBY, "same", &format!("c{}", number % 3));
            store.append(append).await.unwrap()
        });
    }
    let answers = tasks.join_all().await;
    assert_eq!(answers.iter().filter(|answer| !answer.duplicate).count(), 3);
    fixture.send(amy, IN_LOBBY, "next").await;
    let seqs: Vec<_> = fixture.sink.new_messages(LOBBY).iter().map(|m| (m.seq.0, m.version.0)).collect();
    assert_eq!(seqs, [(1, 1), (2, 2), (3, 3), (4, 4)]);
}

pub(crate) async fn p12_the_same_client_id_for_another_message_is_a_conflict(fixture: Fixture) {
    let (amy, bob, eve) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let other = fixture.send(bob, IN_LOBBY, "a question").await;
    fixture.store.append(keyed(amy, IN_LOBBY, "hi", "c1")).await.unwrap();
    fixture.store.append(keyed(amy, Destination::Direct(bob), "hi", "c2")).await.unwrap();

    let mut answering = keyed(amy, IN_LOBBY, "hi", "c1");
    answering.reply_to = Some(other.id);
    for append in [
        keyed(amy, IN_LOBBY, "ho", "c1"),
        keyed(amy, Destination::Direct(bob), "hi", "c1"),
        keyed(amy, Destination::Direct(eve), "hi", "c1"),
        keyed(amy, Destination::Direct(eve), "hi", "c2"),
        answering,
    ] {
        assert_eq!(fixture.store.append(append.clone()).await, Err(AppendError::Conflict), "{append:?}");
        assert_eq!(fixture.store.appended(&append).await, Err(AppendError::Conflict), "{append:?}");
    }
    assert!(fixture.store.conversations(eve).await.unwrap().is_empty(), "a refused message creates no room");
    let room = fixture.direct(amy, bob).await;
    assert!(
        fixture.store.append(keyed(amy, Destination::Room(room), "hi", "c2")).await.unwrap().duplicate,
        "by room or by user"
    );
}

pub(crate) async fn a_refused_message_has_a_reason_and_changes_nothing(fixture: Fixture) {
    let (amy, bob, eve) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let direct = fixture.direct(amy, bob).await;
    let elsewhere = fixture.send(amy, Destination::Room(direct), "between us").await;
    let mut answering = text(amy, IN_LOBBY, "re");
    answering.reply_to = Some(elsewhere.id);
    let mut answering_nothing = text(amy, Destination::Direct(eve), "re");
    answering_nothing.reply_to = Some(MessageId(4711));
    fixture.store.set_muted("person2", Some(at(10)), at(0)).await.unwrap();

    for (append, expect) in [
        (text(amy, Destination::Direct(amy), "me"), AppendError::Oneself),
        (text(amy, Destination::Room(RoomId(99)), "hi"), AppendError::NotFound),
        (text(amy, Destination::Direct(UserId(99)), "hi"), AppendError::NotFound),
        (text(UserId(99), IN_LOBBY, "hi"), AppendError::Forbidden),
        (text(eve, IN_LOBBY, "hi"), AppendError::Muted(Duration::from_millis(10))),
        (answering, AppendError::NotFound),
        (answering_nothing, AppendError::NotFound),
    ] {
        assert_eq!(fixture.store.append(append.clone()).await, Err(expect), "{append:?}");
    }
    fixture.store.set_muted("person2", None, at(0)).await.unwrap();
    // To a user who was never in it, a direct room does not exist.
    assert_eq!(fixture.store.append(text(eve, Destination::Room(direct), "hi")).await, Err(AppendError::NotFound));
    fixture.store.set_disabled("PERSON2", true).await.unwrap();
    assert_eq!(fixture.store.append(text(eve, IN_LOBBY, "hi")).await, Err(AppendError::Forbidden));
    fixture.store.set_disabled("person2", false).await.unwrap();
    fixture.store.set_muted("person2", Some(at(10)), at(5)).await.unwrap();
    let mut later = text(eve, IN_LOBBY, "hi");
    later.now = at(10);
    assert_eq!(fixture.store.append(later).await.unwrap().seq.0, 1, "a mute ends by itself");
    assert_eq!((fixture.sink.new_messages(LOBBY).len(), fixture.sink.new_messages(direct).len()), (1, 1));
}

pub(crate) async fn a_system_message_needs_no_membership_and_no_direct_room_takes_it(fixture: Fixture) {
    let (amy, bob, site) = (fixture.new_user().await, fixture.new_user().await, fixture.new_user().await);
    let notice = |destination| Append { kind: MessageKind::System, ..text(site, destination, "closed on Monday") };
    let room = fixture.room(amy, RoomKind::Private, "kitchen").await;
    let direct = fixture.direct(amy, bob).await;
    for room in [LOBBY, room] {
        fixture.store.append(notice(Destination::Room(room))).await.unwrap();
        let published = fixture.sink.new_messages(room);
        assert_eq!(
            published.last().map(|message| (message.kind, message.sender.id)),
            Some((MessageKind::System, site))
        );
    }
    assert_eq!(fixture.store.member_ids(room).await.unwrap(), [amy], "the site is no member");
    for destination in [Destination::Room(direct), Destination::Direct(amy)] {
        assert_eq!(fixture.store.append(notice(destination)).await, Err(AppendError::Forbidden), "{destination:?}");
    }
    assert_eq!(fixture.store.append(notice(Destination::Room(RoomId(99)))).await, Err(AppendError::NotFound));
    let sent = text(site, Destination::Room(room), "I am no notice");
    assert_eq!(fixture.store.append(sent).await, Err(AppendError::NotFound));
}

pub(crate) async fn p6_p7_history_pages_by_message_miss_and_repeat_nothing(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let mut sent = Vec::new();
    for number in 0..25 {
        // Ids of another room lie between; all in one millisecond.
        sent.push(fixture.send(amy, IN_LOBBY, &format!("{number}")).await.id);
        fixture.send(amy, Destination::Direct(bob), "elsewhere").await;
    }
    let newest = history(&fixture, LOBBY, HistoryFrom::Newest, 10).await;
    assert_eq!((ids(&newest.messages).as_slice(), newest.has_more), (&sent[15..], true));

    let mut back = Vec::new();
    let mut from = HistoryFrom::Newest;
    loop {
        let page = history(&fixture, LOBBY, from, 7).await;
        from = HistoryFrom::Before(page.messages[0].id);
        back.splice(0..0, ids(&page.messages));
        if !page.has_more {
            break;
        }
    }
    assert_eq!(back, sent);

    let whole = |from| history(&fixture, LOBBY, from, 25);
    assert!(!whole(HistoryFrom::Newest).await.has_more, "a page of exactly all messages has no more");
    // The id of another room's message, or of none, is a valid position.
    let between = MessageId(sent[9].0 + 1);
    assert_eq!(ids(&whole(HistoryFrom::Before(between)).await.messages), sent[..10]);
    assert_eq!(ids(&whole(HistoryFrom::After(between)).await.messages), sent[10..]);
    assert_eq!(ids(&whole(HistoryFrom::Before(sent[0])).await.messages), []);
    assert_eq!(ids(&whole(HistoryFrom::After(sent[24])).await.messages), []);
    assert_eq!(ids(&whole(HistoryFrom::After(MessageId(0))).await.messages), sent);
    assert_eq!(ids(&whole(HistoryFrom::Before(MessageId(u64::MAX))).await.messages), sent);
    assert_eq!(ids(&whole(HistoryFrom::After(MessageId(u64::MAX))).await.messages), []);
    assert_eq!(history(&fixture, RoomId(99), HistoryFrom::Before(sent[3]), 10).await.messages, []);
    let none = history(&fixture, LOBBY, HistoryFrom::Newest, 0).await;
    assert_eq!((none.messages.len(), none.has_more), (0, true));
}

pub(crate) async fn p6_p7_a_deleted_message_is_left_out_but_is_a_valid_position(fixture: Fixture) {
    let amy = fixture.new_user().await;
    let mut sent = Vec::new();
    for number in 0..5 {
        sent.push(fixture.send(amy, IN_LOBBY, &format!("{number}")).await.id);
    }
    for gone in [sent[0], sent[2]] {
        fixture.store.delete_message(Some(LOBBY), gone, amy).await.unwrap();
    }
    let page = history(&fixture, LOBBY, HistoryFrom::Newest, 3).await;
    assert_eq!((contents(&page.messages), page.has_more), (vec!["1", "3", "4"], false));
    let page = history(&fixture, LOBBY, HistoryFrom::Before(sent[2]), 3).await;
    assert_eq!(contents(&page.messages), ["1"]);
    let page = history(&fixture, LOBBY, HistoryFrom::After(sent[2]), 1).await;
    assert_eq!((contents(&page.messages), page.has_more), (vec!["3"], true));
}

pub(crate) async fn h9_pages_by_seq_show_each_message_once_and_report_earlier_deletions(fixture: Fixture) {
    let amy = fixture.new_user().await;
    let mut sent = Vec::new();
    for number in 0..10 {
        sent.push(fixture.send(amy, IN_LOBBY, &format!("{number}")).await.id);
    }
    fixture.store.delete_message(Some(LOBBY), sent[1], amy).await.unwrap();
    fixture.store.delete_message(Some(LOBBY), sent[6], amy).await.unwrap();

    // A reader that saw the first four messages at version 4.
    let page = fixture.store.page_by_seq(LOBBY, Version(4), Seq(4), PageLimit::of_entries(3)).await.unwrap();
    assert_eq!((page.deleted, contents(&page.messages)), (vec![sent[1]], vec!["4", "5", "7"]));
    assert_eq!((page.version, page.seq, page.pair), (Version(12), Seq(8), None));
    fixture.store.delete_message(Some(LOBBY), sent[4], amy).await.unwrap();
    let page = fixture.store.page_by_seq(LOBBY, Version(12), Seq(8), PageLimit::of_entries(3)).await.unwrap();
    assert_eq!((page.deleted, contents(&page.messages)), (vec![sent[4]], vec!["8", "9"]));
    assert_eq!((page.version, page.seq), (Version(13), Seq(10)));
    let page = fixture.store.page_by_seq(LOBBY, Version(13), Seq(10), PageLimit::of_entries(3)).await.unwrap();
    assert_eq!((page.deleted.len(), page.messages.len(), page.seq), (0, 0, Seq(10)));
    let page = fixture.store.page_by_seq(RoomId(99), Version(0), Seq(0), PageLimit::of_entries(3)).await.unwrap();
    assert_eq!((page.messages.len(), page.version, page.seq), (0, Version(0), Seq(0)));
}

pub(crate) async fn any_text_is_plain_text(fixture: Fixture) {
    let amy = fixture.new_user().await;
    let texts = [
        "'; DROP TABLE messages; --",
        "100% _ \\ \"",
        "你好 👨‍👩‍👧 \u{202e}evil",
        "a\u{0}b",
        "\u{ffff}",
        "{\"a\":1}\n\r\t",
    ];
    for text in texts {
        let first = fixture.store.append(keyed(amy, IN_LOBBY, text, text)).await.unwrap();
        let again = fixture.store.append(keyed(amy, IN_LOBBY, text, text)).await.unwrap();
        assert_eq!((first.id, again.duplicate), (again.id, true), "{text:?}");
    }
    assert_eq!(contents(&history(&fixture, LOBBY, HistoryFrom::Newest, 10).await.messages), texts);
    let long = "界".repeat(4000);
    fixture.send(amy, IN_LOBBY, &long).await;
    assert_eq!(history(&fixture, LOBBY, HistoryFrom::Newest, 1).await.messages[0].content, long);
}

pub(crate) async fn an_append_whose_future_is_dropped_is_committed_and_published(fixture: Fixture) {
    let amy = fixture.new_user().await;
    {
        let mut append = pin!(fixture.store.append(text(amy, IN_LOBBY, "goodbye")));
        let first_poll = append.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        // The writer may have been faster; either way the future is dropped here.
        drop(first_poll);
    }
    // Writes run in the order in which they were queued.
    fixture.store.check().await.unwrap();
    assert_eq!(contents(&fixture.sink.new_messages(LOBBY)), ["goodbye"]);
    assert_eq!(contents(&history(&fixture, LOBBY, HistoryFrom::Newest, 5).await.messages), ["goodbye"]);
}

pub(crate) async fn a_new_nickname_shows_on_earlier_messages(fixture: Fixture) {
    let amy = fixture.new_user().await;
    fixture.send(amy, IN_LOBBY, "hi").await;
    let change = teahouse_store::ProfileChange { nickname: Some("Amy".into()), ..Default::default() };
    fixture.store.update_profile(amy, change).await.unwrap().unwrap();
    fixture.send(amy, IN_LOBBY, "ho").await;
    let page = history(&fixture, LOBBY, HistoryFrom::Newest, 2).await;
    assert!(page.messages.iter().all(|m| m.sender.nickname == "Amy"));
    assert_eq!(fixture.sink.new_messages(LOBBY)[1].sender.nickname, "Amy");
}

pub(crate) async fn a_closed_store_refuses_and_reopens_with_everything_in_it(mut fixture: Fixture) {
    let amy = fixture.new_user().await;
    let sent = fixture.send(amy, IN_LOBBY, "hi").await;
    let epoch = fixture.store.epoch().to_owned();
    assert!(epoch.len() >= 8);
    fixture.store.check().await.unwrap();

    fixture.store.close().await;
    fixture.store.close().await;
    let closed = AppendError::Store(StoreError::Closed);
    assert_eq!(fixture.store.append(text(amy, IN_LOBBY, "late")).await, Err(closed));
    assert_eq!(fixture.store.user(amy).await, Err(StoreError::Closed));
    assert_eq!(fixture.store.check().await, Err(StoreError::Closed));

    fixture.reopen().await;
    assert_eq!(fixture.store.epoch(), epoch, "the same history");
    assert_eq!(ids(&history(&fixture, LOBBY, HistoryFrom::Newest, 5).await.messages), [sent.id]);
    let next = fixture.send(amy, IN_LOBBY, "again").await;
    assert_eq!((next.seq.0, next.version.0), (2, 2));
    assert!(next.id > sent.id);
}
