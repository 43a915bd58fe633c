//! Ending a login: its token, every token that was refreshed from it, its refresh token, and the live
//! sockets that were opened with any of them.

use std::sync::Arc;
use std::time::Duration;

use teahouse_core::token::Revoked;
use teahouse_core::{Revocation, Timestamp, TokenKey, UserId};
use teahouse_store::StoreError;

use super::authenticate::Authenticated;
pub use super::login::RefreshSecret;
use crate::app::App;
use crate::tokens::LoginId;

/// For how much longer than its own time a key is remembered: tokens are given leeway when they are verified.
const LEEWAY: Duration = Duration::from_secs(60);

/// Why somebody is still logged in.
#[derive(Debug, thiserror::Error)]
pub enum LogOutError {
    /// Neither a good token nor a good refresh token was presented.
    #[error("there is no login to end")]
    NoLogin,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Ends the login of the token, and that of the refresh token where it is another. Either is enough:
/// a page whose token expired over night can still log out.
///
/// # Errors
/// Nobody was logged out.
pub async fn log_out(
    app: &Arc<App>,
    token: Option<Authenticated>,
    refresh: Option<RefreshSecret>,
) -> Result<(), LogOutError> {
    let mut ended = Vec::new();
    if let Some(Authenticated { user, mark }) = token {
        let until = Timestamp(mark.expires_at.saturating_mul(1000)).plus(LEEWAY);
        ended.push(Ended {
            user: user.profile.id,
            key: mark.login.unwrap_or(mark.token),
            until: until.max(last_expiry(app)),
        });
    }
    if let Some(refresh) = refresh
        && let Some(refresh) = app.store.refresh_token(refresh.key(), app.now()).await?
        && !ended.iter().any(|ended| ended.key == refresh.login)
    {
        ended.push(Ended { user: refresh.user, key: refresh.login, until: last_expiry(app) });
    }
    if ended.is_empty() {
        return Err(LogOutError::NoLogin);
    }
    let own = Arc::clone(app);
    Ok(app.run_to_end(async move { end(&own, ended).await }).await?)
}

/// Ends one login, as if its holder had logged out.
pub(super) async fn end_login(app: &App, user: UserId, login: LoginId) -> Result<(), StoreError> {
    end(app, vec![Ended { user, key: login.key(), until: last_expiry(app) }]).await
}

struct Ended {
    user: UserId,
    key: TokenKey,
    until: Timestamp,
}

async fn end(app: &App, ended: Vec<Ended>) -> Result<(), StoreError> {
    for Ended { user, key, until } in ended {
        app.store.revoke(user, key, until).await?;
        app.live.revoke(Revoked { user, what: Revocation::Key(key) }).await;
    }
    Ok(())
}

/// No token of a login that ends now is good for longer than this.
fn last_expiry(app: &App) -> Timestamp {
    app.now().plus(app.config.auth.token_ttl).plus(LEEWAY)
}
