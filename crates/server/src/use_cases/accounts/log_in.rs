//! Logs in with a password. Response and response time do not reveal whether a username exists. Wrong passwords slow
//! down the address that tries them and lock nobody out (P26 in docs/internals/regressions.md).

use std::net::IpAddr;
use std::sync::Arc;

use teahouse_core::User;
use teahouse_store::StoreError;

use super::log_out;
use crate::app::App;
use crate::limits::{AddressLimit, RetryAfter};
use crate::passwords::{PasswordError, Verdict};
pub(crate) use crate::session_tokens::Login;
use crate::session_tokens::begin_login;

/// Why the login failed.
#[derive(Debug, thiserror::Error)]
pub enum LogInError {
    /// Too many logins from this address, or too many wrong passwords from it for this account.
    #[error("too many logins from this address")]
    RateLimited(RetryAfter),
    /// The user does not exist, or the password is wrong.
    #[error("wrong username or password")]
    Wrong,
    /// The user is disabled. Only a client with the right password learns this.
    #[error("this user is disabled")]
    Disabled,
    /// The password could not be verified.
    #[error(transparent)]
    Hashing(#[from] PasswordError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Logs in by username or e-mail address.
///
/// # Errors
/// The login failed.
pub(crate) async fn log_in(app: &Arc<App>, name: &str, password: String, address: IpAddr) -> Result<Login, LogInError> {
    let name = name.trim();
    app.limits.take_for_address(AddressLimit::Login, address).map_err(LogInError::RateLimited)?;
    let wait = app.limits.password_attempt(name, address).map_err(LogInError::RateLimited)?;
    tokio::time::sleep(wait).await;
    let (user, verified) = check_password(app, name, password.clone()).await?;
    app.limits.refund_password_attempt(name, address);
    if user.disabled {
        return Err(LogInError::Disabled);
    }
    let own = Arc::clone(app);
    app.run_to_end(async move {
        let login = begin_login(&own, user).await?;
        if is_still_right(&own, &login.user, &verified, password).await? {
            return Ok(login);
        }
        log_out::end_login(&own, login.user.profile.id, login.id).await?;
        Err(LogInError::Wrong)
    })
    .await
}

/// Whether the verified password is still the user's after the login began. Hashing waits in a queue; a password change
/// in the meantime ended all logins, and this login would have survived it.
async fn is_still_right(app: &App, user: &User, verified: &str, password: String) -> Result<bool, LogInError> {
    let current = app.store.password_hash(user.profile.id).await?;
    if current.as_deref() == Some(verified) {
        return Ok(true);
    }
    Ok(app.passwords.verify(password, current).await? != Verdict::Wrong)
}

/// The user, and the hash that the password matched.
async fn check_password(app: &App, name: &str, password: String) -> Result<(User, String), LogInError> {
    let (user, hash) = match app.store.user_by_login(name).await? {
        Some((user, hash)) => (Some(user), hash),
        None => (None, None),
    };
    let verdict = app.passwords.verify(password.clone(), hash.clone()).await?;
    match (user, hash, verdict) {
        (Some(user), Some(hash), Verdict::Right) => Ok((user, hash)),
        (Some(user), Some(hash), Verdict::RightButRehash) => {
            let hash = renew_hash(app, &user, hash, password).await;
            Ok((user, hash))
        }
        _ => Err(LogInError::Wrong),
    }
}

/// Replaces a hash of an older kind while the password is known, and returns the hash that the store has now. A failure
/// does not fail the login.
async fn renew_hash(app: &App, user: &User, old: String, password: String) -> String {
    let error = match app.passwords.hash(password).await {
        Ok(hash) => match app.store.renew_password_hash(user.profile.id, &old, &hash).await {
            Ok(true) => return hash,
            // Another login renewed the hash first, or the password was changed; `is_still_right` decides.
            Ok(false) => return old,
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    tracing::warn!(user = user.profile.id.0, error, "password hash not renewed");
    old
}
