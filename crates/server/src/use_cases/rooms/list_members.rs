//! Lists the members of a room, page by page.

use teahouse_core::limits::{PAGE_BYTES_MAX, PAGE_ENTRIES};
use teahouse_core::{Profile, Role, RoomId, UserId};
use teahouse_store::{PageLimit, RoomError};

use crate::app::App;

const PAGE: PageLimit = PageLimit { entries: PAGE_ENTRIES, bytes: PAGE_BYTES_MAX };

/// The members after `after`, and whether more follow.
///
/// # Errors
/// The room does not exist, or the user may not see it.
pub(crate) async fn list_members(
    app: &App,
    user: UserId,
    room: RoomId,
    after: Option<UserId>,
) -> Result<(Vec<(Profile, Role)>, bool), RoomError> {
    app.store.members(room, user, after.unwrap_or_default(), PAGE).await
}
