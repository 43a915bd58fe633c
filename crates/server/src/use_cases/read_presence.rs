//! Who of some users is online, for a site's own pages.

use teahouse_core::UserId;

use crate::app::App;

/// Users who are asked for at once.
pub const USERS_MAX: usize = 1000;

/// Those who are online, in the order of their ids.
#[must_use]
pub fn read_presence(app: &App, mut users: Vec<UserId>) -> Vec<UserId> {
    users.sort_unstable();
    users.dedup();
    users.retain(|user| app.live.is_online(*user));
    users
}
