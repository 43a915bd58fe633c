//! Lists the rooms of a user.

use teahouse_core::limits::DIRECTS_LISTED;
use teahouse_core::{RoomList, UserId};
use teahouse_store::{RoomListQuery, StoreError};

use crate::app::App;

/// The rooms of which the user is a member, as the user sees them; of the direct ones those with the newest messages.
///
/// # Errors
/// The store failed.
pub(crate) async fn list_rooms(app: &App, user: UserId) -> Result<RoomList, StoreError> {
    let query = RoomListQuery { user, directs_max: DIRECTS_LISTED, named: Vec::new(), now: app.now() };
    app.store.rooms_of(query).await
}
