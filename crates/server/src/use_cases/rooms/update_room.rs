//! Renames a room or changes its title. It counts as a send, since all members receive it.

use teahouse_core::{RoomEntry, RoomId, UserId};
use teahouse_store::RoomError;

use crate::app::App;
use crate::limits::RetryAfter;
pub(crate) use crate::validation::room_name::InvalidRoomName;
use crate::validation::room_name::{check_name, check_title};

/// Why the room was not changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UpdateRoomError {
    /// The name or the title is invalid.
    #[error(transparent)]
    Name(#[from] InvalidRoomName),
    /// The actor exceeded the rate of sending.
    #[error("rate limited")]
    RateLimited(RetryAfter),
    /// The store refused the change.
    #[error(transparent)]
    Room(#[from] RoomError),
}

/// Changes what is `Some` and returns the room as the actor sees it afterwards.
///
/// # Errors
/// Nothing was changed.
pub(crate) async fn update_room(
    app: &App,
    actor: UserId,
    room: RoomId,
    name: Option<&str>,
    title: Option<&str>,
) -> Result<RoomEntry, UpdateRoomError> {
    let (name, title) = (name.map(check_name).transpose(), title.map(check_title).transpose());
    app.take_send_token(actor, name.is_ok() && title.is_ok()).map_err(UpdateRoomError::RateLimited)?;
    let (name, title) = (name?, title?);
    Ok(app.store.update_room(room, actor, name, title, app.now()).await?)
}
