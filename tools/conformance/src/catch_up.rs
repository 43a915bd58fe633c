//! Catching up: the changes since a version, or the newest messages when those are too many.

use std::collections::BTreeMap;
use std::sync::Arc;

use teahouse_core::{LOBBY, Message, MessageId, RoomId, Seq, UserId, Version};
use teahouse_store::{CatchUpBounds, CatchUpPage, Destination, PageLimit, Reaction, RoomHistoryQuery, SeqFrom};

use crate::fixture::*;

const IN_LOBBY: Destination = Destination::Room(LOBBY);

fn bounds(limit: u32, changes_max: Option<u32>) -> CatchUpBounds {
    CatchUpBounds { limit: PageLimit::of_entries(limit), changes_max, reset_messages: 5 }
}

async fn catch_up(fixture: &Fixture, since: Option<u64>, bounds: CatchUpBounds) -> CatchUpPage {
    let page = fixture.store.catch_up(LOBBY, since.map(Version), bounds).await.unwrap();
    assert!(page.messages.is_sorted_by(|a, b| a.version < b.version), "in version order");
    page
}

pub(crate) async fn p14_a_catch_up_is_complete_and_paged_however_long_it_is(fixture: Fixture) {
    let amy = fixture.new_user().await;
    for number in 0..30 {
        fixture.send(amy, IN_LOBBY, &format!("{number}")).await;
    }
    let gone = fixture.sink.new_messages(LOBBY)[4].id;
    fixture.store.delete_message(None, gone, amy).await.unwrap();

    let (mut since, mut seen) = (Version(0), Vec::new());
    loop {
        let page = catch_up(&fixture, Some(since.0), bounds(7, None)).await;
        assert_eq!((page.reset, page.last_seq, page.complete), (false, Seq(30), page.through == Version(31)));
        assert!(page.messages.iter().all(|m| m.version > since && m.version <= page.through));
        seen.extend(page.messages);
        since = page.through;
        if page.complete {
            break;
        }
    }
    assert!(seen.is_sorted_by(|a, b| a.version < b.version));
    assert_eq!(seen.len(), 30, "each once, in its current state");
    let last = &seen[29];
    assert_eq!((last.id, last.version, last.deleted, last.content.as_str()), (gone, Version(31), true, ""));

    let nothing = catch_up(&fixture, Some(31), bounds(7, Some(0))).await;
    assert_eq!((nothing.messages.len(), nothing.through, nothing.complete), (0, Version(31), true));
    let exactly = catch_up(&fixture, Some(24), bounds(7, None)).await;
    assert_eq!((exactly.messages.len(), exactly.complete), (7, true), "a full page can be the last one");
}

pub(crate) async fn too_many_changes_or_a_version_from_the_future_reset_the_room(fixture: Fixture) {
    let amy = fixture.new_user().await;
    for number in 0..12 {
        fixture.send(amy, IN_LOBBY, &format!("{number}")).await;
    }
    let published = fixture.sink.new_messages(LOBBY);
    fixture.store.delete_message(None, published[8].id, amy).await.unwrap();
    fixture.store.delete_message(None, published[0].id, amy).await.unwrap();
    assert!(!catch_up(&fixture, Some(4), bounds(3, Some(9))).await.reset, "as many changes as are allowed");
    for (since, changes_max) in [(Some(3), Some(9)), (None, None), (None, Some(500)), (Some(15), None)] {
        let page = catch_up(&fixture, since, bounds(3, changes_max)).await;
        assert_eq!((page.reset, page.complete, page.through, page.last_seq), (true, true, Version(14), Seq(12)));
        let ids: Vec<_> = [7, 9, 10, 11, 8].iter().map(|n: &usize| published[*n].id).collect();
        assert_eq!(page.messages.iter().map(|m| m.id).collect::<Vec<_>>(), ids, "{since:?}: the newest by seq");
        assert!(page.messages[4].deleted && page.messages[4].content.is_empty());
    }
    let nowhere = fixture.store.catch_up(RoomId(99), Some(Version(0)), ALL).await.unwrap();
    assert_eq!((nowhere.messages.len(), nowhere.through, nowhere.complete), (0, Version(0), true));
}

pub(crate) async fn a_page_and_the_rooms_version_are_one_snapshot_while_others_write(fixture: Fixture) {
    let amy = fixture.new_user().await;
    let writer = {
        let store = Arc::clone(&fixture.store);
        tokio::spawn(async move {
            for number in 0..400 {
                let sent = store.append(text(amy, IN_LOBBY, &format!("{number}"))).await.unwrap();
                if number % 3 == 0 {
                    store.delete_message(Some(LOBBY), sent.id, amy).await.unwrap();
                }
            }
        })
    };
    let mut moments = 0;
    while !writer.is_finished() {
        let page = fixture.store.catch_up(LOBBY, Some(Version(0)), ALL).await.unwrap();
        let last = page.messages.last().map_or(Version(0), |m| m.version);
        assert!(page.complete && last == page.through);
        let mut seqs: Vec<_> = page.messages.iter().map(|m| m.seq.0).collect();
        seqs.sort_unstable();
        assert!(seqs.iter().copied().eq(1..=page.last_seq.0), "no message is missing in a snapshot");
        moments += 1;
    }
    writer.await.unwrap();
    assert!(moments > 0);
}

/// A client that knows only what its catch-ups brought.
#[derive(Default)]
struct Client {
    held: BTreeMap<Seq, Message>,
    // The start of the loaded window. A change before it only moves the version.
    low: Seq,
    version: Option<Version>,
}

impl Client {
    async fn catch_up(&mut self, fixture: &Fixture, room: RoomId, bounds: CatchUpBounds) -> bool {
        let mut changes_max = bounds.changes_max;
        let mut was_reset = false;
        loop {
            let page =
                fixture.store.catch_up(room, self.version, CatchUpBounds { changes_max, ..bounds }).await.unwrap();
            if page.reset {
                self.held.clear();
                self.low = page.messages.iter().map(|m| m.seq).min().unwrap_or(page.last_seq.next());
                was_reset = true;
            }
            for message in page.messages.into_iter().filter(|m| m.seq >= self.low) {
                self.held.insert(message.seq, message);
            }
            self.version = Some(page.through);
            // Only the first page can be a reset.
            changes_max = None;
            if page.complete {
                return was_reset;
            }
        }
    }
}

/// The stored messages of the room from this seq on.
async fn stored_from(fixture: &Fixture, user: UserId, room: RoomId, from: Seq) -> BTreeMap<Seq, Message> {
    let query = RoomHistoryQuery { room, from: SeqFrom::After(Seq(from.0 - 1)), limit: PageLimit::of_entries(10_000) };
    let page = fixture.store.room_history(user, query).await.unwrap();
    page.messages.into_iter().map(|message| (message.seq, message)).collect()
}

pub(crate) async fn pages_and_resets_converge_on_the_stored_room_whatever_changes(fixture: Fixture) {
    let mut rng = seeded_rng("pages_and_resets_converge_on_the_stored_room_whatever_changes");
    let users = [fixture.new_user().await, fixture.new_user().await];
    let mut sent: Vec<MessageId> = Vec::new();
    let mut clients: Vec<Client> = (0..4).map(|_| Client::default()).collect();
    let (mut resets, mut continued) = (0, 0);
    for _ in 0..400 {
        for _ in 0..rng.usize(..12) {
            let actor = users[rng.usize(..2)];
            if sent.is_empty() || rng.usize(..3) == 0 {
                sent.push(fixture.send(actor, IN_LOBBY, &word(&mut rng)).await.id);
                continue;
            }
            // Mostly near the end, sometimes anywhere.
            let near = sent.len() - 1 - rng.usize(..sent.len().min(8));
            let message = sent[if rng.usize(..4) == 0 { rng.usize(..sent.len()) } else { near }];
            // A change that is refused (of another's or a deleted message) changes nothing, which is fine.
            match rng.usize(..5) {
                0 => drop(fixture.store.delete_message(None, message, actor).await),
                1 | 2 => drop(fixture.edit(message, actor, &word(&mut rng)).await),
                _ => {
                    let (emoji, on) = (["👍", "🍵", "é"][rng.usize(..3)].to_owned(), rng.usize(..3) > 0);
                    let _ = fixture.store.react(Reaction { message, actor, emoji, on, now: at(0) }).await;
                }
            }
        }
        let client = &mut clients[rng.usize(..4)];
        let limit = PageLimit { entries: 1 + rng.usize(..6) as u32, bytes: [1, 800, 2000, usize::MAX][rng.usize(..4)] };
        let bounds = CatchUpBounds { limit, changes_max: Some(20), reset_messages: 10 };
        match client.catch_up(&fixture, LOBBY, bounds).await {
            true => resets += 1,
            false => continued += 1,
        }
        let head = fixture.store.room_head(LOBBY).await.unwrap().unwrap();
        assert_eq!(client.version, Some(head.version));
        assert_eq!(client.held, stored_from(&fixture, users[0], LOBBY, client.low).await);
    }
    assert!(resets > 10 && continued > 10, "both happened: {resets}, {continued}");
}
