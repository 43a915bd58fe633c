//! Calling a room something else.

use teahouse_core::{RoomEntry, RoomId, UserId};
use teahouse_store::RoomError;

pub use super::room_words::RoomWordsFault;
use super::room_words::{check_name, check_title};
use crate::app::App;

/// Why it is called what it was.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UpdateRoomError {
    /// It cannot be called so.
    #[error(transparent)]
    Words(#[from] RoomWordsFault),
    /// The store refused it.
    #[error(transparent)]
    Room(#[from] RoomError),
}

/// Changes what is `Some`, and gives the room as the actor sees it then.
///
/// # Errors
/// Nothing was changed.
pub async fn update_room(
    app: &App,
    actor: UserId,
    room: RoomId,
    name: Option<&str>,
    title: Option<&str>,
) -> Result<RoomEntry, UpdateRoomError> {
    let (name, title) = (name.map(check_name).transpose()?, title.map(check_title).transpose()?);
    Ok(app.store.update_room(room, actor, name, title, app.now()).await?)
}
