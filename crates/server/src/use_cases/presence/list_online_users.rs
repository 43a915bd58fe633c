//! Reads the profiles of the users who are online, page by page.

use teahouse_core::{Profile, UserId};
use teahouse_store::StoreError;

use crate::app::App;

/// The profiles of some of the users who are online, in the order of their ids.
///
/// # Errors
/// The store failed.
pub(crate) async fn read_online_users(app: &App, users: &[UserId]) -> Result<Vec<Profile>, StoreError> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    // With thousands online these are many queries. One at a time leaves the store's other readers to other requests.
    // The semaphore is never closed.
    let _permit = app.online_users_permit.acquire().await;
    app.store.profiles(users).await
}
