//! Lists which members of a room are online, once. The hub serves sessions, which also subscribe to changes; it counts
//! instead of listing in the same rooms.

use teahouse_core::limits::PRESENCE_MEMBERS_MAX;
use teahouse_core::{LOBBY, RoomId, UserId};
use teahouse_store::RoomError;

use crate::app::App;

/// The members who are online.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RoomPresence {
    /// These, in the order of their ids.
    Listed(Vec<UserId>),
    /// Only how many: in the lobby, which has everybody, and in large rooms, where a list would be of no use.
    Counted(u64),
}

/// The members who are online now.
///
/// # Errors
/// The room does not exist, or the user is not a member.
pub(crate) async fn list_room_presence(app: &App, user: UserId, room: RoomId) -> Result<RoomPresence, RoomError> {
    let entry = app.store.room_entry(room, user, app.now()).await?;
    if room == LOBBY {
        return Ok(RoomPresence::Counted(app.live.online_count()));
    }
    let mut online = app.store.member_ids(room).await?;
    online.retain(|member| app.live.is_online(*member));
    Ok(if entry.members > PRESENCE_MEMBERS_MAX {
        RoomPresence::Counted(online.len() as u64)
    } else {
        online.sort_unstable();
        RoomPresence::Listed(online)
    })
}
