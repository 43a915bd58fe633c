//! Lists everybody who is online.

use teahouse_core::Profile;
use teahouse_store::StoreError;

use crate::app::App;

/// All users who are online, in the order of their ids.
///
/// # Errors
/// The store failed.
pub(crate) async fn list_online_users(app: &App) -> Result<Vec<Profile>, StoreError> {
    // With thousands online this is the most expensive query. Running one at a time leaves the store's other readers to
    // everybody else. The semaphore is never closed.
    let _permit = app.online_users_permit.acquire().await;
    app.store.profiles(&app.live.online_users()).await
}
