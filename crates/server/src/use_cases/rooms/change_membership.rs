//! Joins and leaves rooms, invites and removes others, gives roles. All members learn of it from the commit.

use teahouse_core::{RoomId, SessionId, UserId};
pub(crate) use teahouse_store::Membership;
use teahouse_store::{MembershipChange, MembershipChanged, RoomError};

use crate::app::App;

/// Applies the change and returns the room as the actor sees it afterwards, or saw it last before leaving. `requester`
/// is the session that receives this entry as its response and enters the room with it.
///
/// # Errors
/// Nothing was changed.
pub(crate) async fn change_membership(
    app: &App,
    actor: UserId,
    room: RoomId,
    what: Membership,
    requester: Option<SessionId>,
) -> Result<MembershipChanged, RoomError> {
    let change = MembershipChange { room, actor, what, now: app.now(), requester };
    let changed = app.store.change_membership(change).await;
    if let Err(RoomError::TooManyStrangers(_)) = changed {
        app.record_too_many_strangers();
    }
    changed
}
