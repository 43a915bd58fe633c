//! Logs in with a password. Response and response time do not reveal whether a username exists. Wrong passwords slow
//! down the strangers who try them; they lock nobody out, and do not slow a browser or an address that logged in to the
//! account before (P26 in docs/internals/regressions.md).

use std::net::IpAddr;
use std::sync::Arc;

use teahouse_core::{User, UserId};
use teahouse_store::StoreError;

use super::log_out;
use super::password_attempt::wait_for_attempt;
use crate::app::App;
use crate::ip_prefix::IpPrefix;
use crate::known_clients::{KNOWN_FOR, KnownBrowser};
use crate::limits::{Account, AddressLimit, Guesser, RetryAfter, UserLimit};
use crate::passwords::{PasswordError, Requester, Verdict};
pub(crate) use crate::session_tokens::Login;
use crate::session_tokens::{begin_login, remember_address};

/// A login, as it was typed.
pub(crate) struct LogIn<'a> {
    /// A username or an e-mail address.
    pub name: &'a str,
    /// The password.
    pub password: String,
    /// The client's address.
    pub address: IpAddr,
    /// The accounts that the browser is known to.
    pub browser: &'a KnownBrowser,
}

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
pub(crate) async fn log_in(app: &Arc<App>, request: LogIn<'_>) -> Result<Login, LogInError> {
    let LogIn { name, password, address, browser } = request;
    let (name, requester) = (name.trim(), Requester::Prefix(IpPrefix::of(address)));
    let (account, guesser) = identify(app, name, address, browser).await?;
    wait_for_attempt(app, &account, guesser, address).await.map_err(LogInError::RateLimited)?;
    let (user, verified) = check_password(app, requester, name, password.clone()).await?;
    app.limits.refund_password_attempt(&account, guesser);
    if user.disabled {
        return Err(LogInError::Disabled);
    }
    let own = Arc::clone(app);
    app.run_to_end(async move {
        let login = begin_login(&own, user).await?;
        if is_still_right(&own, requester, &login.user, &verified, password).await? {
            remember_address(&own, login.user.profile.id, address).await;
            return Ok(login);
        }
        log_out::end_login(&own, login.user.profile.id, login.id).await?;
        Err(LogInError::Wrong)
    })
    .await
}

/// The account that the name belongs to, and who tries to log in to it. Every client but a known browser counts against
/// its address, which may be full of strangers' attempts. What a known browser tries counts for its newest user, before
/// anything is read. An unknown account costs the same reads as a known one.
async fn identify(
    app: &App,
    name: &str,
    address: IpAddr,
    browser: &KnownBrowser,
) -> Result<(Account, Guesser), LogInError> {
    let count_address = || app.take_address_token(AddressLimit::Login, address).map_err(LogInError::RateLimited);
    match browser.newest_user() {
        Some(user) => app.take_rate_token(UserLimit::Envelope, user).map_err(LogInError::RateLimited)?,
        None => count_address()?,
    }
    let user = app.store.user_by_login(name).await?.map(|(user, _)| user.profile.id);
    let prefix = IpPrefix::of(address);
    let seen =
        app.store.login_prefix_seen(user.unwrap_or(UserId(0)), app.tokens.known_clients.prefix_key(prefix)).await?;
    let account = user.map_or_else(|| Account::unknown(name), Account::Known);
    if let Some(id) = user.and_then(|user| browser.id_for(user)) {
        return Ok((account, Guesser::Browser(id)));
    }
    if browser.newest_user().is_some() {
        count_address()?;
    }
    let is_known = seen.is_some_and(|seen| seen.plus(KNOWN_FOR) > app.now());
    Ok((account, if is_known { Guesser::Address(prefix) } else { Guesser::Stranger }))
}

/// Whether the verified password is still the user's after the login began. Hashing waits in a queue; a password change
/// in the meantime ended all logins, and this login would have survived it.
async fn is_still_right(
    app: &App,
    requester: Requester,
    user: &User,
    verified: &str,
    password: String,
) -> Result<bool, LogInError> {
    let current = app.store.password_hash(user.profile.id).await?;
    if current.as_deref() == Some(verified) {
        return Ok(true);
    }
    Ok(app.passwords.verify(requester, password, current).await? != Verdict::Wrong)
}

/// The user, and the hash that the password matched.
async fn check_password(
    app: &App,
    requester: Requester,
    name: &str,
    password: String,
) -> Result<(User, String), LogInError> {
    let (user, hash) = match app.store.user_by_login(name).await? {
        Some((user, hash)) => (Some(user), hash),
        None => (None, None),
    };
    let verdict = app.passwords.verify(requester, password.clone(), hash.clone()).await?;
    match (user, hash, verdict) {
        (Some(user), Some(hash), Verdict::Right) => Ok((user, hash)),
        (Some(user), Some(hash), Verdict::RightButRehash) => {
            let hash = renew_hash(app, requester, &user, hash, password).await;
            Ok((user, hash))
        }
        _ => Err(LogInError::Wrong),
    }
}

/// Replaces a hash of an older kind while the password is known, and returns the hash that the store has now. A failure
/// does not fail the login.
async fn renew_hash(app: &App, requester: Requester, user: &User, old: String, password: String) -> String {
    let error = match app.passwords.hash(requester, password).await {
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
