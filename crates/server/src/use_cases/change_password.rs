//! Changing one's own password. Every other token of the user is void from then on, and live sockets
//! feel it; the login that asked for it stays.

use std::net::IpAddr;
use std::sync::Arc;

use teahouse_core::token::Revoked;
use teahouse_core::{Revocation, Timestamp};
use teahouse_store::StoreError;

use super::authenticate::Authenticated;
pub use super::credentials::PasswordFault;
use super::credentials::check_password;
use crate::app::App;
use crate::limits::RetryAfter;
use crate::passwords::{PasswordError, Verdict};

/// What somebody typed who wants another password.
pub struct PasswordChange {
    /// The one that holds now.
    pub current: String,
    /// The one to hold from now on.
    pub new: String,
    /// Where the request comes from.
    pub address: IpAddr,
}

/// Why the password is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ChangePasswordError {
    /// The new one is too weak or too long.
    #[error(transparent)]
    New(#[from] PasswordFault),
    /// The current one is another.
    #[error("wrong current password")]
    Current,
    /// Too many wrong ones.
    #[error("too many wrong passwords")]
    TooFast(RetryAfter),
    /// Passwords could not be hashed now.
    #[error(transparent)]
    Hashing(#[from] PasswordError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Sets a new password for somebody who knows the current one: a stolen token is not enough.
///
/// # Errors
/// The password is as it was.
pub async fn change_password(
    app: &Arc<App>,
    caller: Authenticated,
    change: PasswordChange,
) -> Result<(), ChangePasswordError> {
    check_password(&change.new)?;
    let (id, name) = (caller.user.profile.id, caller.user.profile.username);
    // The same turns as for logging in: this is as good a place to guess passwords.
    let wait = app.limits.password_attempt(&name, change.address).map_err(ChangePasswordError::TooFast)?;
    tokio::time::sleep(wait).await;
    let hash = app.store.password_hash(id).await?;
    if app.passwords.verify(change.current, hash).await? == Verdict::Wrong {
        return Err(ChangePasswordError::Current);
    }
    app.limits.refund_password_attempt(&name, change.address);
    let hash = app.passwords.hash(change.new).await?;
    let (own, except) = (Arc::clone(app), Some(caller.mark.login.unwrap_or(caller.mark.token)));
    app.run_to_end(async move {
        // Tokens may be issued a second ahead, right after another change: those are void as well.
        let second = own.now().seconds().max(own.store.issue_not_before(id).await?);
        own.store.change_password(id, &hash, Timestamp(second.saturating_mul(1000)), except).await?;
        let what = Revocation::IssuedUpTo { second, except };
        own.live.revoke(Revoked { user: id, what }).await;
        Ok(())
    })
    .await
}
