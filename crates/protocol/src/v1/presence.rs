//! The response to `presence`, from what is known of a room.

use teahouse_core::UserId;

use super::PresenceNow;

impl PresenceNow {
    /// These users are online; the ids are in order.
    #[must_use]
    pub fn listed(users: &[UserId]) -> Self {
        Self { online: users.iter().map(|user| user.0).collect(), count: users.len() as u64, truncated: false }
    }

    /// So many users are online; the room is too large to list them.
    #[must_use]
    pub fn counted(count: u64) -> Self {
        Self { online: Vec::new(), count, truncated: true }
    }
}
