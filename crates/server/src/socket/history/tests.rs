//! How a session that is behind is served: by pages, or begun anew.

use teahouse_core::{LOBBY, Message, MessageId, MessageKind, Profile, RoomId, Seq, Timestamp, UserId, Version};
use teahouse_hub::{CatchUpFrom, ChangesPage, HistoryReader};
use teahouse_store::{Append, Destination, Reaction};

use super::{PAGE_CONTENT_BYTES, StoreHistory, truncate_page};
use crate::http::tests::stage::{Stage, stage};

/// A lobby in which so many messages were said.
async fn lobby_with(messages: u64) -> (Stage, StoreHistory, UserId) {
    let stage = stage();
    let amy = UserId(stage.join("amy").await.id);
    let mut saying = tokio::task::JoinSet::new();
    for n in 0..messages {
        let append = Append {
            destination: Destination::Room(LOBBY),
            sender: amy,
            client_id: None,
            content: format!("{n}"),
            kind: MessageKind::Text,
            reply_to: None,
            address: None,
            now: stage.app.now(),
        };
        let store = stage.app.store.clone();
        saying.spawn(async move { store.append(append).await.unwrap() });
    }
    saying.join_all().await;
    let history = StoreHistory::new(stage.app.store.clone(), std::sync::Arc::new(|| Timestamp(0)));
    (stage, history, amy)
}

/// What a page is: whether it begins anew, how many messages, up to where, whether it is the last.
fn shape(page: &ChangesPage) -> (bool, usize, u64, bool) {
    assert_eq!(page.reached.1, Seq(501), "where a session stands is the snapshot's own");
    (page.reset, page.messages.len(), page.reached.0.0, page.complete)
}

#[tokio::test]
async fn five_hundred_changes_come_one_by_one_and_more_begin_anew() {
    let (stage, history, _) = lobby_with(501).await;
    let page = async |from| shape(&history.changes(LOBBY, from).await.unwrap());
    assert_eq!(page(CatchUpFrom::Held(Version(0))).await, (true, 50, 501, true), "501 are too many");
    assert_eq!(page(CatchUpFrom::Held(Version(1))).await, (false, 200, 201, false), "500 are not");
    assert_eq!(page(CatchUpFrom::Since(Version(201))).await, (false, 200, 401, false));
    assert_eq!(page(CatchUpFrom::Since(Version(401))).await, (false, 100, 501, true));
    assert_eq!(page(CatchUpFrom::Held(Version(501))).await, (false, 0, 501, true));
    assert_eq!(page(CatchUpFrom::Held(Version(9999))).await, (true, 50, 501, true), "nobody holds the future");
    assert_eq!(page(CatchUpFrom::Since(Version(0))).await, (false, 200, 200, false), "once begun it is never reset");
    assert_eq!(page(CatchUpFrom::Reset).await, (true, 50, 501, true));
    stage.app.store.close().await;
    assert_eq!(history.changes(LOBBY, CatchUpFrom::Reset).await, None, "the hub asks again");
}

#[tokio::test]
async fn own_reactions_and_members_are_read_as_they_are() {
    let (stage, history, amy) = lobby_with(2).await;
    let bob = UserId(stage.join("bob").await.id);
    let ids: Vec<_> = stage.told.messages().iter().map(|(message, _)| message.id).collect();
    let emoji = "👍".to_owned();
    let reaction = Reaction { message: ids[1], actor: bob, emoji: emoji.clone(), on: true, now: stage.app.now() };
    stage.app.store.react(reaction).await.unwrap();
    assert_eq!(history.own_reactions(bob, ids.clone()).await, Some(vec![(ids[1], emoji)]));
    assert_eq!(history.own_reactions(amy, ids).await, Some(vec![]));
    assert_eq!(history.members(LOBBY).await, Some(vec![amy, bob]));
}

#[test]
fn a_page_holds_what_a_slow_reader_may_cost_and_never_less_than_one_message() {
    let message = |bytes: usize| Message {
        id: MessageId(1),
        room: RoomId(1),
        seq: Seq(1),
        version: Version(1),
        sender: Profile::default(),
        client_id: None,
        content: "a".repeat(bytes),
        kind: MessageKind::Text,
        reply_to: None,
        mentions: vec![],
        reactions: vec![],
        edited_at: None,
        deleted: false,
        sent_at: Timestamp(0),
    };
    let check = |sizes: &[usize], kept: usize| {
        let mut messages: Vec<Message> = sizes.iter().map(|bytes| message(*bytes)).collect();
        assert_eq!((truncate_page(&mut messages), messages.len()), (kept < sizes.len(), kept), "{sizes:?}");
    };
    check(&[], 0);
    check(&[PAGE_CONTENT_BYTES + 1], 1);
    check(&[PAGE_CONTENT_BYTES + 1, 1], 1);
    check(&[PAGE_CONTENT_BYTES / 2, PAGE_CONTENT_BYTES / 2], 2);
    check(&[PAGE_CONTENT_BYTES / 2, PAGE_CONTENT_BYTES / 2, 1], 2);
}
