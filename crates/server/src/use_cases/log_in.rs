//! Logging in with a password. The answer, and the time it takes, is the same whether there is such a
//! user or not; wrong passwords slow down whoever tries them and lock nobody out (ANCESTOR.md P26).

use std::net::IpAddr;
use std::sync::Arc;

use teahouse_core::User;
use teahouse_store::StoreError;

use super::login;
pub use super::login::Login;
use crate::app::App;
use crate::limits::{AddressLimit, RetryAfter};
use crate::passwords::{PasswordError, Verdict};

/// Why nobody is logged in.
#[derive(Debug, thiserror::Error)]
pub enum LogInError {
    /// Too many logins from this address, or too many wrong passwords for this account from it.
    #[error("too many logins from this address")]
    TooFast(RetryAfter),
    /// No such user, or not their password.
    #[error("wrong username or password")]
    Wrong,
    /// The user is disabled. Said only to who knows the password.
    #[error("this user is disabled")]
    Disabled,
    /// The password could not be looked at now.
    #[error(transparent)]
    Hashing(#[from] PasswordError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Logs in by username or e-mail address.
///
/// # Errors
/// Nobody is logged in.
pub async fn log_in(app: &Arc<App>, name: &str, password: String, address: IpAddr) -> Result<Login, LogInError> {
    let name = name.trim();
    app.limits.address(AddressLimit::Login, address).map_err(LogInError::TooFast)?;
    let wait = app.limits.account(name, address).map_err(LogInError::TooFast)?;
    tokio::time::sleep(wait).await;
    let user = check_password(app, name, password).await?;
    app.limits.account_right(name, address);
    if user.disabled {
        return Err(LogInError::Disabled);
    }
    let own = Arc::clone(app);
    Ok(app.run_to_end(async move { login::begin(&own, user).await }).await?)
}

async fn check_password(app: &App, name: &str, password: String) -> Result<User, LogInError> {
    let (user, hash) = match app.store.user_by_login(name).await? {
        Some((user, hash)) => (Some(user), hash),
        None => (None, None),
    };
    let verdict = app.passwords.verify(password.clone(), hash.clone()).await?;
    match (user, verdict) {
        (Some(user), Verdict::Right) => Ok(user),
        (Some(user), Verdict::RightButRenew) => {
            renew(app, &user, &hash.unwrap_or_default(), password).await;
            Ok(user)
        }
        _ => Err(LogInError::Wrong),
    }
}

/// An older kind of hash is exchanged for ours while the password is at hand. That it cannot be just now
/// is no reason to keep anybody out.
async fn renew(app: &App, user: &User, old: &str, password: String) {
    let renewed = match app.passwords.hash(password).await {
        Ok(hash) => app.store.renew_password_hash(user.profile.id, old, &hash).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = renewed {
        tracing::warn!(user = user.profile.id.0, error, "an old password hash was not renewed");
    }
}
