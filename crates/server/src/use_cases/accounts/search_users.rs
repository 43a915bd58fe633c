//! Finds users by the beginning of their name, page by page.

use teahouse_core::limits::{PAGE_BYTES_MAX, PAGE_ENTRIES};
use teahouse_core::{Profile, UserId};
use teahouse_store::{PageLimit, StoreError};

use crate::app::App;
pub(crate) use crate::validation::search_query::InvalidQuery;
use crate::validation::search_query::check_query;

const PAGE: PageLimit = PageLimit { entries: PAGE_ENTRIES, bytes: PAGE_BYTES_MAX };

/// Why no page was read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SearchError {
    /// The query is too long.
    #[error(transparent)]
    Query(#[from] InvalidQuery),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The users after `after`, and whether more follow.
///
/// # Errors
/// No page was read.
pub(crate) async fn search_users(
    app: &App,
    prefix: Option<&str>,
    after: Option<UserId>,
) -> Result<(Vec<Profile>, bool), SearchError> {
    let prefix = check_query(prefix)?;
    Ok(app.store.search_users(prefix, after.unwrap_or_default(), PAGE).await?)
}
