//! Lists the rooms of a user.

use teahouse_core::{RoomEntry, UserId};
use teahouse_store::StoreError;

use crate::app::App;

/// Every room of which the user is a member, as the user sees it.
///
/// # Errors
/// The store failed.
pub(crate) async fn list_rooms(app: &App, user: UserId) -> Result<Vec<RoomEntry>, StoreError> {
    app.store.rooms_of(user, app.now()).await
}
