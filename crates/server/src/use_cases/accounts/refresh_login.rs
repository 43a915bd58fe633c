//! Continues a login with its refresh token, which is exchanged for the next one.

use std::net::IpAddr;
use std::sync::Arc;

use teahouse_store::StoreError;

use crate::app::App;
use crate::limits::{AddressLimit, RetryAfter};
pub(crate) use crate::session_tokens::{Login, RefreshSecret};
use crate::session_tokens::{issue_token, refresh_expiry};
use crate::tokens::LoginId;

/// Why the login was not continued.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The refresh token is missing, unknown, used or expired, or its user is disabled.
    #[error("invalid refresh token")]
    Invalid,
    /// Too many invalid refresh tokens from this address.
    #[error("too many invalid tokens from this address")]
    RateLimited(RetryAfter),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Exchanges a refresh token for the next one and a token of the same login.
///
/// # Errors
/// The login was not continued; a valid refresh token stays valid.
pub(crate) async fn refresh_login(app: &Arc<App>, old: RefreshSecret, address: IpAddr) -> Result<Login, RefreshError> {
    let own = Arc::clone(app);
    let login = app.run_to_end(async move { exchange(&own, &old).await }).await?;
    match login {
        Some(login) => Ok(login),
        None => {
            app.take_address_token(AddressLimit::BadToken, address).map_err(RefreshError::RateLimited)?;
            Err(RefreshError::Invalid)
        }
    }
}

async fn exchange(app: &App, old: &RefreshSecret) -> Result<Option<Login>, StoreError> {
    // Invalid tokens cost a read only; they must not take turns of the writer from the chat.
    if app.store.refresh_token(old.key(), app.now()).await?.is_none() {
        return Ok(None);
    }
    let refresh = RefreshSecret::random();
    let expires_at = refresh_expiry(app);
    let Some(rotated) = app.store.rotate_refresh_token(old.key(), refresh.key(), expires_at, app.now()).await? else {
        return Ok(None);
    };
    let Some(user) = app.store.user(rotated.user).await? else { return Ok(None) };
    let id = LoginId::from_key(rotated.login);
    let issued = issue_token(app, &user, id).await?;
    Ok(Some(Login { user, issued, refresh, id }))
}
