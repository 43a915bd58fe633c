//! Making a room. Whoever makes it owns it.

use teahouse_core::{RoomEntry, RoomKind, SessionId, UserId};
use teahouse_store::{NewRoom, RoomError};

pub use super::room_words::RoomWordsFault;
use super::room_words::{check_name, check_title};
use crate::app::App;

/// What somebody wants a room to be.
pub struct RoomWish {
    /// Who.
    pub owner: UserId,
    /// Public or private.
    pub kind: RoomKind,
    /// As it was typed; it must have one.
    pub name: Option<String>,
    /// As it was typed; it need not have one.
    pub title: Option<String>,
    /// The session that is answered with the entry.
    pub asker: Option<SessionId>,
}

/// Why no room was made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CreateRoomError {
    /// A direct room is opened with somebody, not made.
    #[error("a direct room is not made so")]
    Kind,
    /// Nothing was said about its name.
    #[error("a room needs a name")]
    NoName,
    /// It cannot be called so.
    #[error(transparent)]
    Words(#[from] RoomWordsFault),
    /// The store refused it.
    #[error(transparent)]
    Room(#[from] RoomError),
}

/// Makes it, and gives it as its owner sees it.
///
/// # Errors
/// No room was made.
pub async fn create_room(app: &App, wish: RoomWish) -> Result<RoomEntry, CreateRoomError> {
    let RoomWish { owner, kind, name, title, asker } = wish;
    if kind == RoomKind::Direct {
        return Err(CreateRoomError::Kind);
    }
    let name = check_name(&name.ok_or(CreateRoomError::NoName)?)?;
    let title = check_title(&title.unwrap_or_default())?;
    Ok(app.store.create_room(NewRoom { owner, kind, name, title, now: app.now(), asker }).await?)
}
