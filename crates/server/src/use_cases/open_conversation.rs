//! Opening the direct room of two users: the same from either side. The other one sees it with its first message.

use teahouse_core::{RoomEntry, SessionId, UserId};
use teahouse_store::OpenDirectError;

use crate::app::App;

/// The room as `user` sees it, made when there is none. `asker` is the session that is answered with it.
///
/// # Errors
/// With oneself, or with nobody.
pub async fn open_conversation(
    app: &App,
    user: UserId,
    peer: UserId,
    asker: Option<SessionId>,
) -> Result<RoomEntry, OpenDirectError> {
    app.store.open_direct(user, peer, app.now(), asker).await
}
