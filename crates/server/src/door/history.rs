//! The store, as sessions that are behind read it.

use std::future::Future;
use std::sync::Arc;

use teahouse_core::limits::{CATCH_UP_CHANGES_MAX, RESET_MESSAGES};
use teahouse_core::{Message, MessageId, RoomEntry, RoomId, Seq, UserId, Version};
use teahouse_hub::{BoxFuture, CatchUpFrom, ChangesPage, ClassicPage, HistoryReader};
use teahouse_store::{CatchUpBounds, Store, StoreError};

use crate::app::Clock;

/// Messages in one page; about as many as one write takes.
const PAGE_MESSAGES: u32 = 200;
/// Bytes of content in one page, about: a session that reads slowly keeps its page in memory meanwhile, and
/// 200 of the longest messages would be three megabytes.
const PAGE_CONTENT_BYTES: usize = 64 * 1024;

/// Cuts a page where its content becomes too large. Says whether anything was cut; one message always stays.
fn cut(messages: &mut Vec<Message>) -> bool {
    let mut bytes = 0;
    let mut fits = |message: &Message| {
        bytes += message.content.len();
        bytes <= PAGE_CONTENT_BYTES
    };
    let kept = messages.iter().take_while(|message| fits(message)).count().max(1).min(messages.len());
    let is_cut = kept < messages.len();
    messages.truncate(kept);
    is_cut
}

/// The store, as sessions that are behind read it.
pub struct StoredHistory {
    store: Arc<dyn Store>,
    clock: Clock,
}

impl StoredHistory {
    /// The history in this store. The clock says whether somebody is muted now.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// What the store says, or `None` when it cannot say anything now: the hub asks again.
    fn read<T, F>(&self, what: &'static str, ask: impl FnOnce(Arc<dyn Store>) -> F) -> BoxFuture<Option<T>>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let asked = ask(Arc::clone(&self.store));
        Box::pin(async move {
            match asked.await {
                Ok(found) => Some(found),
                // A store that is closing or busy is no news of this reader.
                Err(StoreError::Overloaded(_) | StoreError::Closed) => None,
                Err(error @ StoreError::Internal(_)) => {
                    tracing::error!(what, %error, "a session that is behind could not be served");
                    None
                }
            }
        })
    }
}

impl HistoryReader for StoredHistory {
    fn classic_page(&self, room: RoomId, after: (Version, Seq)) -> BoxFuture<Option<ClassicPage>> {
        self.read("a classic page", async move |store| {
            let page = store.page_by_seq(room, after.0, after.1, PAGE_MESSAGES).await?;
            let (mut messages, mut seq, mut complete) = (page.messages, page.seq, page.complete);
            if cut(&mut messages) {
                (seq, complete) = (messages.last().map_or(seq, |last| last.seq), false);
            }
            let (deleted, pair) = (page.deleted, page.pair);
            Ok(ClassicPage { deleted, messages, reached: (page.version, seq), complete, pair })
        })
    }

    fn changes(&self, room: RoomId, from: CatchUpFrom) -> BoxFuture<Option<ChangesPage>> {
        let (since, changes_max) = match from {
            CatchUpFrom::Since(version) => (Some(version), None),
            CatchUpFrom::Held(version) => (Some(version), Some(CATCH_UP_CHANGES_MAX)),
            CatchUpFrom::Reset => (None, None),
        };
        let bounds = CatchUpBounds { limit: PAGE_MESSAGES, changes_max, reset_messages: RESET_MESSAGES };
        self.read("changes", async move |store| {
            let page = store.catch_up(room, since, bounds).await?;
            let (mut messages, mut through, mut complete) = (page.messages, page.through, page.complete);
            // What a room is begun anew with are few messages, and the newest ones only all together.
            if !page.reset && cut(&mut messages) {
                (through, complete) = (messages.last().map_or(through, |last| last.version), false);
            }
            Ok(ChangesPage { reset: page.reset, messages, reached: (through, page.last_seq), complete })
        })
    }

    fn own_reactions(&self, user: UserId, messages: Vec<MessageId>) -> BoxFuture<Option<Vec<(MessageId, String)>>> {
        self.read("own reactions", async move |store| store.own_reactions(user, &messages).await)
    }

    fn entries(&self, room: RoomId, users: Vec<UserId>) -> BoxFuture<Option<Vec<(UserId, RoomEntry)>>> {
        let now = (self.clock)();
        self.read("a room's entries", async move |store| store.room_entries(room, &users, now).await)
    }

    fn members(&self, room: RoomId) -> BoxFuture<Option<Vec<UserId>>> {
        self.read("members", async move |store| store.member_ids(room).await)
    }
}

#[cfg(test)]
mod tests;
