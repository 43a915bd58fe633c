//! Ends a user's live sessions, with a reason. The user may reconnect; disabling the account prevents that.

use teahouse_core::text::inert;
use teahouse_core::{CloseCode, UserId};
use teahouse_store::StoreError;

use crate::app::App;

pub(crate) use teahouse_core::limits::DISCONNECT_REASON_BYTES_MAX as REASON_BYTES_MAX;

/// Why no session was ended.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DisconnectError {
    /// The reason is too long for a close frame.
    #[error("the reason has more than {REASON_BYTES_MAX} bytes")]
    Reason,
    /// The user does not exist.
    #[error("no such user")]
    NoSuchUser,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Ends every live session of the user. Without a reason the close frame has the one of [`CloseCode::Banned`].
///
/// # Errors
/// No session was ended.
pub(crate) async fn disconnect_user(app: &App, user: UserId, reason: Option<&str>) -> Result<(), DisconnectError> {
    let reason = match inert(reason.unwrap_or_default()) {
        empty if empty.is_empty() => CloseCode::Banned.reason().to_owned(),
        reason if reason.len() > REASON_BYTES_MAX => return Err(DisconnectError::Reason),
        reason => reason,
    };
    if app.store.user(user).await?.is_none() {
        return Err(DisconnectError::NoSuchUser);
    }
    app.live.disconnect(user, reason).await;
    Ok(())
}
