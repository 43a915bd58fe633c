//! Looking for people by how their name begins, page by page.

use teahouse_core::limits::PAGE_ENTRIES;
use teahouse_core::{Profile, UserId};
use teahouse_store::StoreError;

pub use super::queries::QueryFault;
use super::queries::check_query;
use crate::app::App;

/// Why nobody is shown.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SearchError {
    /// The query is too long.
    #[error(transparent)]
    Query(#[from] QueryFault),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The next people after one, and whether there are more behind them.
///
/// # Errors
/// Nobody is shown.
pub async fn search_users(
    app: &App,
    prefix: Option<&str>,
    after: Option<UserId>,
) -> Result<(Vec<Profile>, bool), SearchError> {
    let prefix = check_query(prefix)?;
    Ok(app.store.search_users(prefix, after.unwrap_or_default(), PAGE_ENTRIES).await?)
}
