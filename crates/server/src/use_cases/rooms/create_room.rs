//! Creates a room; its creator owns it.

use teahouse_core::{RoomEntry, RoomKind, SessionId, UserId};
use teahouse_store::{NewRoom, RoomError};

use crate::app::App;
pub(crate) use crate::validation::room_name::InvalidRoomName;
use crate::validation::room_name::{check_name, check_title};

/// A request for a room, as it was typed.
pub(crate) struct RoomDraft {
    /// The creator.
    pub owner: UserId,
    /// Public or private.
    pub kind: RoomKind,
    /// The unique name; required.
    pub name: Option<String>,
    /// The heading; optional.
    pub title: Option<String>,
    /// The session that receives the room's entry as its response.
    pub requester: Option<SessionId>,
}

/// Why no room was created.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CreateRoomError {
    /// Direct rooms are opened with a user, not created.
    #[error("a direct room cannot be created")]
    Kind,
    /// The name is missing.
    #[error("a room needs a name")]
    NoName,
    /// The name or the title is invalid.
    #[error(transparent)]
    Name(#[from] InvalidRoomName),
    /// The store refused the room.
    #[error(transparent)]
    Room(#[from] RoomError),
}

/// Creates the room and returns it as its owner sees it.
///
/// # Errors
/// No room was created.
pub(crate) async fn create_room(app: &App, draft: RoomDraft) -> Result<RoomEntry, CreateRoomError> {
    let RoomDraft { owner, kind, name, title, requester } = draft;
    if kind == RoomKind::Direct {
        return Err(CreateRoomError::Kind);
    }
    let name = check_name(&name.ok_or(CreateRoomError::NoName)?)?;
    let title = check_title(&title.unwrap_or_default())?;
    Ok(app.store.create_room(NewRoom { owner, kind, name, title, now: app.now(), requester }).await?)
}
