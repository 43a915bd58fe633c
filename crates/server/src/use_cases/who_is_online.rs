//! Who is online: the live half knows who, the store knows their names.

use teahouse_core::Profile;
use teahouse_store::StoreError;

use crate::app::App;

/// Everybody who is online, in the order of their ids.
///
/// # Errors
/// The store failed.
pub async fn who_is_online(app: &App) -> Result<Vec<Profile>, StoreError> {
    // Where thousands are online this is the dearest question that can be asked. One at a time leaves the
    // store's other readers to everybody else; whoever asks meanwhile waits for its turn. Nobody closes it.
    let _turn = app.online_turn.acquire().await;
    app.store.profiles(&app.live.online_users()).await
}
