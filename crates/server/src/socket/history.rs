//! Reads the store for sessions that catch up, in pages of bounded size.

use std::future::Future;
use std::sync::Arc;

use teahouse_core::{Message, MessageId, RoomEntry, RoomId, Seq, UserId, Version};
use teahouse_hub::{BoxFuture, CatchUpFrom, ChangesPage, ClassicPage, HistoryReader};
use teahouse_store::{Store, StoreError};

use crate::app::Clock;
use crate::use_cases::messages::read_changes::{ChangesFrom, read_changes_page};

/// Messages in one page; about as many as fit into one write.
const PAGE_MESSAGES: u32 = 200;
/// Bytes of content in one page, approximately. A session that reads slowly keeps its page in memory meanwhile, and 200
/// of the longest messages would be three megabytes.
const PAGE_CONTENT_BYTES: usize = 64 * 1024;

/// Truncates a page whose content is too large, but never below one message. Returns whether it did.
fn truncate_page(messages: &mut Vec<Message>) -> bool {
    let mut bytes = 0;
    let mut fits = |message: &Message| {
        bytes += message.content.len();
        bytes <= PAGE_CONTENT_BYTES
    };
    let kept = messages.iter().take_while(|message| fits(message)).count().max(1).min(messages.len());
    let is_truncated = kept < messages.len();
    messages.truncate(kept);
    is_truncated
}

/// Serves the hub's reads from a store.
pub(crate) struct StoreHistory {
    store: Arc<dyn Store>,
    clock: Clock,
}

impl StoreHistory {
    /// Reads this store. The clock decides who is muted.
    #[must_use]
    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// The result of a read, or `None` when the store cannot serve it now; the hub retries.
    fn read<T, F>(&self, what: &'static str, read: impl FnOnce(Arc<dyn Store>) -> F) -> BoxFuture<Option<T>>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let reading = read(Arc::clone(&self.store));
        Box::pin(async move {
            match reading.await {
                Ok(found) => Some(found),
                // Other places report a store that is overloaded or closing.
                Err(StoreError::Overloaded(_) | StoreError::Closed) => None,
                Err(error @ StoreError::Internal(_)) => {
                    tracing::error!(what, %error, "catch-up read failed");
                    None
                }
            }
        })
    }
}

impl HistoryReader for StoreHistory {
    fn classic_page(&self, room: RoomId, after: (Version, Seq)) -> BoxFuture<Option<ClassicPage>> {
        self.read("classic page", async move |store| {
            let page = store.page_by_seq(room, after.0, after.1, PAGE_MESSAGES).await?;
            let (mut messages, mut seq, mut complete) = (page.messages, page.seq, page.complete);
            if truncate_page(&mut messages) {
                (seq, complete) = (messages.last().map_or(seq, |last| last.seq), false);
            }
            let (deleted, pair) = (page.deleted, page.pair);
            Ok(ClassicPage { deleted, messages, reached: (page.version, seq), complete, pair })
        })
    }

    fn changes(&self, room: RoomId, from: CatchUpFrom) -> BoxFuture<Option<ChangesPage>> {
        let from = match from {
            CatchUpFrom::Since(version) => ChangesFrom::Since(version),
            CatchUpFrom::Held(version) => ChangesFrom::SinceOrReset(version),
            CatchUpFrom::Reset => ChangesFrom::Reset,
        };
        self.read("changes", async move |store| {
            let page = read_changes_page(store.as_ref(), room, from, PAGE_MESSAGES).await?;
            let (mut messages, mut through, mut complete) = (page.messages, page.through, page.complete);
            // A reset has few messages, and is only valid as a whole.
            if !page.reset && truncate_page(&mut messages) {
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
        self.read("room entries", async move |store| store.room_entries(room, &users, now).await)
    }

    fn members(&self, room: RoomId) -> BoxFuture<Option<Vec<UserId>>> {
        self.read("members", async move |store| store.member_ids(room).await)
    }
}

#[cfg(test)]
mod tests;
