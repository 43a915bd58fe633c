//! Continuing a login with its refresh token, which is exchanged for the next one.

use std::net::IpAddr;
use std::sync::Arc;

use teahouse_store::StoreError;

use super::login;
pub use super::login::{Login, RefreshSecret};
use crate::app::App;
use crate::limits::{AddressLimit, RetryAfter};
use crate::tokens::LoginId;

/// Why a login was not continued.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The refresh token is unknown, used, expired, or its user is disabled.
    #[error("this login cannot be continued")]
    Void,
    /// Too many of those from this address.
    #[error("too many bad tokens from this address")]
    TooFast(RetryAfter),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Exchanges a refresh token for the next one and a token of the same login.
///
/// # Errors
/// The login is not continued; the refresh token is as good as it was.
pub async fn refresh_login(app: &Arc<App>, old: RefreshSecret, address: IpAddr) -> Result<Login, RefreshError> {
    let own = Arc::clone(app);
    let continued = app.run_to_end(async move { exchange(&own, &old).await }).await?;
    match continued {
        Some(login) => Ok(login),
        None => {
            app.limits.address(AddressLimit::BadToken, address).map_err(RefreshError::TooFast)?;
            Err(RefreshError::Void)
        }
    }
}

async fn exchange(app: &App, old: &RefreshSecret) -> Result<Option<Login>, StoreError> {
    // Strangers' inventions are a reader's work; they must not take turns of the writer from the chat.
    if app.store.refresh_token(old.key(), app.now()).await?.is_none() {
        return Ok(None);
    }
    let refresh = RefreshSecret::random();
    let expires_at = login::refresh_expiry(app);
    let Some(taken) = app.store.rotate_refresh_token(old.key(), refresh.key(), expires_at, app.now()).await? else {
        return Ok(None);
    };
    let Some(user) = app.store.user(taken.user).await? else { return Ok(None) };
    let id = LoginId::from_key(taken.login);
    let issued = login::issue(app, &user, id).await?;
    Ok(Some(Login { user, issued, refresh, id }))
}
