//! Lists the direct rooms of a user, page by page.

use teahouse_core::limits::PAGE_ENTRIES;
use teahouse_core::{DirectsPosition, RoomEntry, UserId};
use teahouse_store::StoreError;

use crate::app::App;

/// The direct rooms after `after`, newest message first, and the position of the next page.
///
/// # Errors
/// The store failed.
pub(crate) async fn list_directs(
    app: &App,
    user: UserId,
    after: Option<DirectsPosition>,
) -> Result<(Vec<RoomEntry>, Option<DirectsPosition>), StoreError> {
    app.store.directs(user, after, PAGE_ENTRIES, app.now()).await
}
