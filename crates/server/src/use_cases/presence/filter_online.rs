//! Finds out which of some users are online, for the pages of a site.

use teahouse_core::UserId;

use crate::app::App;

pub(crate) use teahouse_core::limits::PRESENCE_USERS_MAX as USERS_MAX;

/// Those of `users` who are online, in the order of their ids.
#[must_use]
pub(crate) fn filter_online(app: &App, mut users: Vec<UserId>) -> Vec<UserId> {
    users.sort_unstable();
    users.dedup();
    users.retain(|user| app.live.is_online(*user));
    users
}
