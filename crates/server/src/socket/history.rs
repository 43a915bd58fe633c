//! Reads the store for sessions that catch up, in pages of bounded size.

use std::future::Future;
use std::sync::Arc;

use teahouse_core::{MessageId, RoomEntry, RoomId, Seq, UserId, Version};
use teahouse_hub::{BoxFuture, CatchUpFrom, ChangesPage, ClassicPage, HistoryReader};
use teahouse_store::{CatchUpPage, PageLimit, SeqPage, Store, StoreError};

use crate::app::Clock;
use crate::use_cases::messages::read_changes::{ChangesFrom, read_changes_page};

/// One page: about as many messages as fit into one write. A session that reads slowly keeps its page in memory
/// meanwhile, and 200 of the longest messages would be three megabytes.
const PAGE: PageLimit = PageLimit { entries: 200, bytes: 96 * 1024 };

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
            let SeqPage { deleted, messages, version, seq, complete, pair } =
                store.page_by_seq(room, after.0, after.1, PAGE).await?;
            Ok(ClassicPage { deleted, messages, reached: (version, seq), complete, pair })
        })
    }

    fn changes(&self, room: RoomId, from: CatchUpFrom) -> BoxFuture<Option<ChangesPage>> {
        let from = match from {
            CatchUpFrom::Since(version) => ChangesFrom::Since(version),
            CatchUpFrom::Held(version) => ChangesFrom::SinceOrReset(version),
            CatchUpFrom::Reset => ChangesFrom::Reset,
        };
        self.read("changes", async move |store| {
            let CatchUpPage { reset, messages, through, last_seq, complete } =
                read_changes_page(store.as_ref(), room, from, PAGE).await?;
            Ok(ChangesPage { reset, messages, reached: (through, last_seq), complete })
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
