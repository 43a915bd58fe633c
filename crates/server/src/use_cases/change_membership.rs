//! Coming into a room and leaving it, bringing others in and taking them out, giving roles. Whoever it is
//! about, and whoever else is there, hears of it by the commit.

use teahouse_core::{RoomEntry, RoomId, SessionId, UserId};
pub use teahouse_store::Membership;
use teahouse_store::{MembershipChange, RoomError};

use crate::app::App;

/// Does it, and gives the room as the actor sees it then (or saw it last, who leaves). `asker` is the
/// session that is answered with that entry and comes into the room by it.
///
/// # Errors
/// Nothing was changed.
pub async fn change_membership(
    app: &App,
    actor: UserId,
    room: RoomId,
    what: Membership,
    asker: Option<SessionId>,
) -> Result<RoomEntry, RoomError> {
    app.store.change_membership(MembershipChange { room, actor, what, now: app.now(), asker }).await
}
