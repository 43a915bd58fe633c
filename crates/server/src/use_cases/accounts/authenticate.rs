//! Authenticates: finds the user of a token. Every transport calls this.

use std::net::IpAddr;

use teahouse_core::ids::OWN_IDS_START;
use teahouse_core::{TokenMark, User, UserId};
use teahouse_store::{SiteUser, StoreError, Subject, TokenStatus};

use crate::app::App;
use crate::limits::{AddressLimit, RetryAfter};
use crate::tokens::{Claims, TokenError};

/// A user whose token is valid.
#[derive(Clone, Debug)]
pub(crate) struct Authenticated {
    /// The user as the store has it now.
    pub user: User,
    /// The part of the token that the server remembers.
    pub mark: TokenMark,
}

/// Why a request has no user.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    /// The request has no token.
    #[error("no token")]
    Missing,
    /// The token is forged, expired, or issued for somebody else.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token was revoked by a logout or a password change.
    #[error("token revoked")]
    Revoked,
    /// The user is disabled.
    #[error("user disabled")]
    Disabled,
    /// The user does not exist.
    #[error("no such user")]
    Unknown,
    /// The token is invalid, and so were too many others from this address.
    #[error("too many invalid tokens from this address")]
    RateLimited(RetryAfter),
    /// The store failed; the token may be valid.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Finds the user of a token. A new user of a site's token gets an account here. Only invalid tokens count against
/// the address, so that nobody who shares an address can lock out the holder of a valid one (P24 in
/// docs/internals/regressions.md). A missing token does not count: a page without a login is no attack.
///
/// # Errors
/// The request has no user.
pub(crate) async fn authenticate(
    app: &App,
    token: Option<&str>,
    address: IpAddr,
) -> Result<Authenticated, AuthenticateError> {
    let token = token.ok_or(AuthenticateError::Missing)?;
    let outcome = verify(app, token).await;
    if let Err(error) = &outcome
        && !matches!(error, AuthenticateError::Store(_))
    {
        tracing::debug!(%error, "token refused");
        app.take_address_token(AddressLimit::BadToken, address).map_err(AuthenticateError::RateLimited)?;
    }
    outcome
}

async fn verify(app: &App, token: &str) -> Result<Authenticated, AuthenticateError> {
    let claims = app.tokens.verify(token, app.now())?;
    let mark = claims.mark;
    let user = match find_user(app, &claims.subject).await? {
        Some(id) => match app.store.token_status(id, &mark).await? {
            TokenStatus::Good(user) => *user,
            TokenStatus::Revoked => return Err(AuthenticateError::Revoked),
            TokenStatus::Disabled => return Err(AuthenticateError::Disabled),
            TokenStatus::Unknown => create_site_user(app, claims).await?,
        },
        None => create_site_user(app, claims).await?,
    };
    Ok(Authenticated { user, mark })
}

async fn find_user(app: &App, subject: &Subject) -> Result<Option<UserId>, StoreError> {
    match subject {
        Subject::Id(id) => Ok(Some(*id)),
        Subject::Name(name) => app.store.user_by_subject(name).await,
    }
}

async fn create_site_user(app: &App, claims: Claims) -> Result<User, AuthenticateError> {
    // An unknown id of the server's own range is a deleted account, which its old token must not bring back.
    let is_own_id = matches!(claims.subject, Subject::Id(id) if id.0 >= OWN_IDS_START);
    if is_own_id || !app.config.auth.site_tokens() {
        return Err(AuthenticateError::Unknown);
    }
    let Claims { subject, username, email, .. } = claims;
    let user = app.store.ensure_site_user(SiteUser { subject, username, email, now: app.now() }).await?;
    if user.disabled { Err(AuthenticateError::Disabled) } else { Ok(user) }
}
