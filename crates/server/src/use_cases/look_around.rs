//! Who of a room is online: by id where that can be listed, by number where it cannot.

use teahouse_core::limits::PRESENCE_MEMBERS_MAX;
use teahouse_core::{LOBBY, RoomId, UserId};
use teahouse_store::RoomError;

use crate::app::App;

/// Who is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Present {
    /// These, in the order of their ids.
    Listed(Vec<UserId>),
    /// So many: everybody is in the lobby, and a large room's list is of no use to anybody.
    Counted(u64),
}

/// Who of the members is online now.
///
/// # Errors
/// There is no such room, or the asking one is not in it.
pub async fn look_around(app: &App, user: UserId, room: RoomId) -> Result<Present, RoomError> {
    let entry = app.store.room_entry(room, user, app.now()).await?;
    if room == LOBBY {
        return Ok(Present::Counted(app.live.online_count()));
    }
    let mut online = app.store.member_ids(room).await?;
    online.retain(|member| app.live.is_online(*member));
    Ok(if entry.members > PRESENCE_MEMBERS_MAX {
        Present::Counted(online.len() as u64)
    } else {
        online.sort_unstable();
        Present::Listed(online)
    })
}
