//! Opening the direct room of two users: the same from either side. The other one sees it with its first message.

use teahouse_core::{RoomId, UserId};
use teahouse_store::OpenDirectError;

use crate::app::App;

/// The room, made when there is none.
///
/// # Errors
/// With oneself, or with nobody.
pub async fn open_conversation(app: &App, user: UserId, peer: UserId) -> Result<RoomId, OpenDirectError> {
    app.store.open_direct(user, peer, app.now()).await
}
