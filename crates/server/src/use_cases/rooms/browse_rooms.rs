//! Finds public rooms to join, page by page.

use teahouse_core::limits::PAGE_ENTRIES;
use teahouse_core::{RoomCard, RoomId, UserId};
use teahouse_store::StoreError;

use crate::app::App;
pub(crate) use crate::validation::search_query::InvalidQuery;
use crate::validation::search_query::check_query;

/// Why no page was read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BrowseError {
    /// The query is too long.
    #[error(transparent)]
    Query(#[from] InvalidQuery),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The rooms after `after`, and the room after which the next page begins, if there may be one.
///
/// # Errors
/// No page was read.
pub(crate) async fn browse_rooms(
    app: &App,
    user: UserId,
    query: Option<&str>,
    after: Option<RoomId>,
) -> Result<(Vec<RoomCard>, Option<RoomId>), BrowseError> {
    let query = check_query(query)?;
    Ok(app.store.browse_rooms(user, query, after.unwrap_or_default(), PAGE_ENTRIES).await?)
}
