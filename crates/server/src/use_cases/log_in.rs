//! Logging in with a password. The answer, and the time it takes, is the same whether there is such a
//! user or not; wrong passwords slow down whoever tries them and lock nobody out (ANCESTOR.md P26).

use std::net::IpAddr;
use std::sync::Arc;

use teahouse_core::User;
use teahouse_store::StoreError;

pub use super::login::Login;
use super::{log_out, login};
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
    app.limits.take_for_address(AddressLimit::Login, address).map_err(LogInError::TooFast)?;
    let wait = app.limits.password_attempt(name, address).map_err(LogInError::TooFast)?;
    tokio::time::sleep(wait).await;
    let (user, verified) = check_password(app, name, password.clone()).await?;
    app.limits.refund_password_attempt(name, address);
    if user.disabled {
        return Err(LogInError::Disabled);
    }
    let own = Arc::clone(app);
    app.run_to_end(async move {
        let login = login::begin(&own, user).await?;
        if is_still_right(&own, &login.user, &verified, password).await? {
            return Ok(login);
        }
        log_out::end_login(&own, login.user.profile.id, login.id).await?;
        Err(LogInError::Wrong)
    })
    .await
}

/// Whether the password that was verified is the user's now that the login has begun. Hashing waits for
/// its turn; a password that was changed meanwhile ended all logins, and this one would have outlived that.
async fn is_still_right(app: &App, user: &User, verified: &str, password: String) -> Result<bool, LogInError> {
    let now = app.store.password_hash(user.profile.id).await?;
    if now.as_deref() == Some(verified) {
        return Ok(true);
    }
    Ok(app.passwords.verify(password, now).await? != Verdict::Wrong)
}

/// The user, and the hash that the password was found to agree with.
async fn check_password(app: &App, name: &str, password: String) -> Result<(User, String), LogInError> {
    let (user, hash) = match app.store.user_by_login(name).await? {
        Some((user, hash)) => (Some(user), hash),
        None => (None, None),
    };
    let verdict = app.passwords.verify(password.clone(), hash.clone()).await?;
    match (user, hash, verdict) {
        (Some(user), Some(hash), Verdict::Right) => Ok((user, hash)),
        (Some(user), Some(hash), Verdict::RightButRehash) => {
            let hash = renew(app, &user, hash, password).await;
            Ok((user, hash))
        }
        _ => Err(LogInError::Wrong),
    }
}

/// An older kind of hash is exchanged for ours while the password is at hand. That it cannot be just now
/// is no reason to keep anybody out. Gives the hash that is kept.
async fn renew(app: &App, user: &User, old: String, password: String) -> String {
    let failed = match app.passwords.hash(password).await {
        Ok(hash) => match app.store.renew_password_hash(user.profile.id, &old, &hash).await {
            Ok(true) => return hash,
            // Another login renewed it first, or the password was changed; whoever goes on looks again.
            Ok(false) => return old,
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    tracing::warn!(user = user.profile.id.0, error = failed, "an old password hash was not renewed");
    old
}
