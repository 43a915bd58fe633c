//! Opens the direct room of two users. The peer sees it with its first message.

use teahouse_core::{RoomEntry, SessionId, UserId};
use teahouse_store::OpenDirectError;

use crate::app::App;

/// The direct room as `user` sees it, created if necessary. `requester` is the session that receives it as its response.
///
/// # Errors
/// The peer is the user, or does not exist.
pub(crate) async fn open_direct_room(
    app: &App,
    user: UserId,
    peer: UserId,
    requester: Option<SessionId>,
) -> Result<RoomEntry, OpenDirectError> {
    let opened = app.store.open_direct(user, peer, app.now(), requester).await;
    if let Err(OpenDirectError::TooManyStrangers(_)) = opened {
        app.record_too_many_strangers();
    }
    opened
}
