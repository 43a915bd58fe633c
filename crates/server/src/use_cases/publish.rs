//! What a site's backend publishes: delivered once, to who is connected, in both dialects alike, and not
//! stored. What it says is the site's business and stands in no log.

use serde_json::value::RawValue;
use teahouse_core::limits::FRAME_BYTES_MAX;
use teahouse_core::{LOBBY, RoomId, UserId};
use teahouse_hub::{Publication, PublishTo};
use teahouse_protocol::server_api::{DataFault, TypeFault, check_published_type, publishable};
use teahouse_protocol::v1::published;
use teahouse_store::StoreError;

use crate::app::App;

/// Users who are named one by one; whoever means more of them means a room, or everybody.
pub const USERS_MAX: usize = 10_000;

/// To whom a backend publishes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// Everybody who is connected.
    All,
    /// These users.
    Users(Vec<UserId>),
    /// The members of a room.
    Room(RoomId),
}

/// Why nothing was published.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PublishError {
    /// The type cannot be one.
    #[error("the type cannot be published: {0:?}")]
    Type(TypeFault),
    /// The data cannot be an envelope's.
    #[error("the data cannot be published: {0:?}")]
    Data(DataFault),
    /// The envelope is larger than a frame may be.
    #[error("the envelope is larger than {FRAME_BYTES_MAX} bytes")]
    TooLarge,
    /// More users are named than one envelope goes to.
    #[error("more than {USERS_MAX} users")]
    TooManyUsers,
    /// There is no such room.
    #[error("no such room")]
    NoSuchRoom,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Publishes an envelope of this type. Users who are named need not exist: nobody is told of them.
///
/// # Errors
/// Nobody was told anything.
pub async fn publish(app: &App, to: Target, kind: &str, data: Option<&RawValue>) -> Result<(), PublishError> {
    check_published_type(kind).map_err(PublishError::Type)?;
    let envelope = published(kind, &publishable(data).map_err(PublishError::Data)?);
    if envelope.len() > FRAME_BYTES_MAX {
        return Err(PublishError::TooLarge);
    }
    let to = match to {
        Target::Users(users) if users.len() > USERS_MAX => return Err(PublishError::TooManyUsers),
        Target::Users(mut users) => {
            // Named twice is told once.
            users.sort_unstable();
            users.dedup();
            PublishTo::Users(users)
        }
        // Everybody is in the lobby.
        Target::All | Target::Room(LOBBY) => PublishTo::All,
        Target::Room(room) => {
            if app.store.room_head(room).await?.is_none() {
                return Err(PublishError::NoSuchRoom);
            }
            // Members are told whatever they speak; classic sessions read no rooms, so that it goes by user.
            let mut members = app.store.member_ids(room).await?;
            members.retain(|user| app.live.is_online(*user));
            PublishTo::Users(members)
        }
    };
    app.live.publish(Publication { to, envelope }).await;
    Ok(())
}
