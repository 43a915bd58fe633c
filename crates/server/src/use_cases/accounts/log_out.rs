//! Ends a login: its token, all tokens refreshed from it, its refresh token, and the live sessions of any of them.

use std::sync::Arc;
use std::time::Duration;

use teahouse_core::token::Revoked;
use teahouse_core::{Revocation, Timestamp, TokenKey, UserId};
use teahouse_store::StoreError;

use super::authenticate::Authenticated;
use crate::app::App;
pub(crate) use crate::session_tokens::RefreshSecret;
use crate::tokens::LoginId;

/// How much longer than the token itself the store remembers its revocation: verifying a token grants leeway.
const LEEWAY: Duration = Duration::from_secs(60);

/// Why no login was ended.
#[derive(Debug, thiserror::Error)]
pub enum LogOutError {
    /// The request has neither a valid token nor a valid refresh token.
    #[error("there is no login to end")]
    NoLogin,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Ends the login of the token and, where it is another one, that of the refresh token. Either suffices: a page whose
/// token has expired can still log out.
///
/// # Errors
/// No login was ended.
pub(crate) async fn log_out(
    app: &Arc<App>,
    token: Option<Authenticated>,
    refresh: Option<RefreshSecret>,
) -> Result<(), LogOutError> {
    let mut logins = Vec::new();
    if let Some(Authenticated { user, mark }) = token {
        let until = Timestamp(mark.expires_at.saturating_mul(1000)).plus(LEEWAY);
        logins.push(EndingLogin {
            user: user.profile.id,
            key: mark.login.unwrap_or(mark.token),
            until: until.max(last_expiry(app)),
        });
    }
    if let Some(refresh) = refresh
        && let Some(refresh) = app.store.refresh_token(refresh.key(), app.now()).await?
        && !logins.iter().any(|login| login.key == refresh.login)
    {
        logins.push(EndingLogin { user: refresh.user, key: refresh.login, until: last_expiry(app) });
    }
    if logins.is_empty() {
        return Err(LogOutError::NoLogin);
    }
    let own = Arc::clone(app);
    Ok(app.run_to_end(async move { end_all(&own, logins).await }).await?)
}

/// Ends one login, as if its holder had logged out.
pub(super) async fn end_login(app: &App, user: UserId, login: LoginId) -> Result<(), StoreError> {
    end_all(app, vec![EndingLogin { user, key: login.key(), until: last_expiry(app) }]).await
}

struct EndingLogin {
    user: UserId,
    key: TokenKey,
    until: Timestamp,
}

async fn end_all(app: &App, logins: Vec<EndingLogin>) -> Result<(), StoreError> {
    for EndingLogin { user, key, until } in logins {
        app.store.revoke(user, key, until).await?;
        app.live.revoke(Revoked { user, what: Revocation::Key(key) }).await;
    }
    Ok(())
}

/// The last moment at which a token of a login that ends now could still be valid.
fn last_expiry(app: &App) -> Timestamp {
    app.now().plus(app.config.auth.token_ttl).plus(LEEWAY)
}
