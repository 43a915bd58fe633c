//! Looking for public rooms that one could join, page by page.

use teahouse_core::limits::PAGE_ENTRIES;
use teahouse_core::{RoomCard, RoomId, UserId};
use teahouse_store::StoreError;

pub use super::queries::QueryFault;
use super::queries::check_query;
use crate::app::App;

/// Why no rooms are shown.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BrowseError {
    /// The query is too long.
    #[error(transparent)]
    Query(#[from] QueryFault),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The next rooms after one, and whether there are more behind them.
///
/// # Errors
/// Nothing is shown.
pub async fn browse_rooms(
    app: &App,
    user: UserId,
    query: Option<&str>,
    after: Option<RoomId>,
) -> Result<(Vec<RoomCard>, bool), BrowseError> {
    let query = check_query(query)?;
    Ok(app.store.browse_rooms(user, query, after.unwrap_or_default(), PAGE_ENTRIES).await?)
}
