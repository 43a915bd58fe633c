//! Pages for sessions that catch up, and resets.

use teahouse_core::{LOBBY, MessageKind, Seq, Timestamp, UserId, Version};
use teahouse_hub::{CatchUpFrom, ChangesPage, HistoryReader};
use teahouse_store::{Append, Destination, Reaction};

use super::StoreHistory;
use crate::http::tests::fixture::{Fixture, fixture};

/// A lobby with this many messages.
async fn lobby_with(messages: u64) -> (Fixture, StoreHistory, UserId) {
    let fixture = fixture();
    let amy = UserId(fixture.join("amy").await.id);
    let mut sending = tokio::task::JoinSet::new();
    for n in 0..messages {
        let append = Append {
            destination: Destination::Room(LOBBY),
            sender: amy,
            client_id: None,
            content: format!("{n}"),
            kind: MessageKind::Text,
            reply_to: None,
            from_site: false,
            address: None,
            now: fixture.app.now(),
        };
        let store = fixture.app.store.clone();
        sending.spawn(async move { store.append(append).await.unwrap() });
    }
    sending.join_all().await;
    let history = StoreHistory::new(fixture.app.store.clone(), std::sync::Arc::new(|| Timestamp(0)));
    (fixture, history, amy)
}

/// Whether the page is a reset, how many messages it has, up to which version, and whether it is the last.
fn shape(page: &ChangesPage) -> (bool, usize, u64, bool) {
    assert_eq!(page.reached.1, Seq(501), "the position is that of the snapshot");
    (page.reset, page.messages.len(), page.reached.0.0, page.complete)
}

#[tokio::test]
async fn five_hundred_changes_come_one_by_one_and_more_are_a_reset() {
    let (fixture, history, _) = lobby_with(501).await;
    let page = async |from| shape(&history.changes(LOBBY, from).await.unwrap());
    assert_eq!(page(CatchUpFrom::Held(Version(0))).await, (true, 50, 501, true), "501 exceed the bound");
    assert_eq!(page(CatchUpFrom::Held(Version(1))).await, (false, 200, 201, false), "500 do not");
    assert_eq!(page(CatchUpFrom::Since(Version(201))).await, (false, 200, 401, false));
    assert_eq!(page(CatchUpFrom::Since(Version(401))).await, (false, 100, 501, true));
    assert_eq!(page(CatchUpFrom::Held(Version(501))).await, (false, 0, 501, true));
    assert_eq!(page(CatchUpFrom::Held(Version(9999))).await, (true, 50, 501, true), "the version is in the future");
    assert_eq!(
        page(CatchUpFrom::Since(Version(0))).await,
        (false, 200, 200, false),
        "a started catch-up is never reset"
    );
    assert_eq!(page(CatchUpFrom::Reset).await, (true, 50, 501, true));
    fixture.app.store.close().await;
    assert_eq!(history.changes(LOBBY, CatchUpFrom::Reset).await, None, "the hub retries");
}

#[tokio::test]
async fn own_reactions_and_members_are_read_as_they_are() {
    let (fixture, history, amy) = lobby_with(2).await;
    let bob = UserId(fixture.join("bob").await.id);
    let ids: Vec<_> = fixture.commits.messages().iter().map(|(message, _)| message.id).collect();
    let emoji = "👍".to_owned();
    let reaction = Reaction { message: ids[1], actor: bob, emoji: emoji.clone(), on: true, now: fixture.app.now() };
    fixture.app.store.react(reaction).await.unwrap();
    assert_eq!(history.own_reactions(bob, ids.clone()).await, Some(vec![(ids[1], emoji)]));
    assert_eq!(history.own_reactions(amy, ids).await, Some(vec![]));
    assert_eq!(history.members(LOBBY).await, Some(vec![amy, bob]));
}
