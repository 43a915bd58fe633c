//! Who is in a room, page by page.

use teahouse_core::limits::PAGE_ENTRIES;
use teahouse_core::{Profile, Role, RoomId, UserId};
use teahouse_store::RoomError;

use crate::app::App;

/// The next members after one, and whether there are more behind them.
///
/// # Errors
/// There is no such room, or it is not the asking one's to see.
pub async fn list_members(
    app: &App,
    user: UserId,
    room: RoomId,
    after: Option<UserId>,
) -> Result<(Vec<(Profile, Role)>, bool), RoomError> {
    app.store.members(room, user, after.unwrap_or_default(), PAGE_ENTRIES).await
}
