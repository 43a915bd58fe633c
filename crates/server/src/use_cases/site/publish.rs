//! Publishes an event of a site to connected users, in both dialects alike. It is delivered once and not stored, and its
//! content appears in no log.

use serde_json::value::RawValue;
use teahouse_core::limits::FRAME_BYTES_MAX;
use teahouse_core::{LOBBY, RoomId, UserId};
use teahouse_hub::{Publication, PublishTo};
use teahouse_protocol::server_api::{DataFault, TypeFault, check_published_type, publishable};
use teahouse_protocol::v1::published;
use teahouse_store::StoreError;

use crate::app::App;

pub(crate) use teahouse_core::limits::PUBLISH_USERS_MAX as USERS_MAX;

/// To whom an event goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// Everybody who is connected.
    All,
    /// These users; unknown ones are ignored.
    Users(Vec<UserId>),
    /// The members of a room.
    Room(RoomId),
}

/// Why nothing was published.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PublishError {
    /// The type is invalid.
    #[error("invalid event type {0}: {1:?}")]
    Type(String, TypeFault),
    /// The data is invalid.
    #[error("invalid event data: {0:?}")]
    Data(DataFault),
    /// The envelope is larger than a frame may be.
    #[error("the envelope is larger than {FRAME_BYTES_MAX} bytes")]
    TooLarge,
    /// The event names too many users.
    #[error("more than {USERS_MAX} users")]
    TooManyUsers,
    /// The room does not exist.
    #[error("no such room")]
    NoSuchRoom,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Publishes an event of this type.
///
/// # Errors
/// Nothing was published.
pub(crate) async fn publish(app: &App, to: Target, kind: &str, data: Option<&RawValue>) -> Result<(), PublishError> {
    check_published_type(kind).map_err(|fault| PublishError::Type(kind.to_owned(), fault))?;
    let envelope = published(kind, &publishable(data).map_err(PublishError::Data)?);
    if envelope.len() > FRAME_BYTES_MAX {
        return Err(PublishError::TooLarge);
    }
    let to = match to {
        Target::Users(users) if users.len() > USERS_MAX => return Err(PublishError::TooManyUsers),
        Target::Users(mut users) => {
            // A user who is named twice gets the event once.
            users.sort_unstable();
            users.dedup();
            PublishTo::Users(users)
        }
        // Every user is a member of the lobby.
        Target::All | Target::Room(LOBBY) => PublishTo::All,
        Target::Room(room) => {
            if app.store.room_head(room).await?.is_none() {
                return Err(PublishError::NoSuchRoom);
            }
            // Classic sessions follow no rooms, so the event goes to each member rather than to the room.
            let mut members = app.store.member_ids(room).await?;
            members.retain(|user| app.live.is_online(*user));
            PublishTo::Users(members)
        }
    };
    app.live.publish(Publication { to, envelope }).await;
    Ok(())
}
