//! Changes a user's own password. Every other login of the user ends.

use std::net::IpAddr;
use std::sync::Arc;

use teahouse_store::StoreError;

use super::authenticate::Authenticated;
use super::password_attempt::wait_for_attempt;
use crate::app::App;
use crate::limits::{Account, Guesser, RetryAfter};
use crate::passwords::{PasswordError, Requester, Verdict};
use crate::session_tokens::replace_password;
pub(crate) use crate::validation::credentials::InvalidPassword;
use crate::validation::credentials::check_password;

/// A request for another password, as it was typed.
pub(crate) struct PasswordChange {
    /// The current password.
    pub current: String,
    /// The new password.
    pub new: String,
    /// The client's address.
    pub address: IpAddr,
}

/// Why the password was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangePasswordError {
    /// The new password is invalid.
    #[error(transparent)]
    New(#[from] InvalidPassword),
    /// The current password is wrong.
    #[error("wrong current password")]
    Current,
    /// Too many wrong passwords.
    #[error("too many wrong passwords")]
    RateLimited(RetryAfter),
    /// The passwords could not be hashed.
    #[error(transparent)]
    Hashing(#[from] PasswordError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Sets a new password for a user who knows the current one: a stolen token is not enough.
///
/// # Errors
/// The password was not changed.
pub(crate) async fn change_password(
    app: &Arc<App>,
    caller: Authenticated,
    change: PasswordChange,
) -> Result<(), ChangePasswordError> {
    check_password(&change.new)?;
    let id = caller.user.profile.id;
    let (account, requester) = (Account::Known(id), Requester::User(id));
    // Guessing the current password is limited as guessing it at login is.
    let waited = wait_for_attempt(app, &account, Guesser::SignedIn, change.address).await;
    waited.map_err(ChangePasswordError::RateLimited)?;
    let hash = app.store.password_hash(id).await?;
    if app.passwords.verify(requester, change.current, hash).await? == Verdict::Wrong {
        return Err(ChangePasswordError::Current);
    }
    app.limits.refund_password_attempt(&account, Guesser::SignedIn);
    let hash = app.passwords.hash(requester, change.new).await?;
    let (own, except) = (Arc::clone(app), Some(caller.mark.login.unwrap_or(caller.mark.token)));
    app.run_to_end(async move {
        let halves = (own.store.as_ref(), Some(own.live.as_ref()));
        Ok(replace_password(halves, id, &hash, own.now(), except).await?)
    })
    .await
}
