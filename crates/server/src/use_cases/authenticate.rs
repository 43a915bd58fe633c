//! Who somebody is, from a token. Every door asks here.

use std::net::IpAddr;

use teahouse_core::ids::OWN_IDS_START;
use teahouse_core::{TokenMark, User, UserId};
use teahouse_store::{SiteUser, StoreError, Subject, TokenStatus};

use crate::app::App;
use crate::limits::{AddressLimit, RetryAfter};
use crate::tokens::{Claims, TokenError};

/// Somebody who may come in.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// Who, as they are now.
    pub user: User,
    /// What is remembered of the token.
    pub mark: TokenMark,
}

/// Why a token lets nobody in.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    /// Forged, expired, not for us, or no token at all.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// It was revoked: logged out, or the password was changed.
    #[error("this token was revoked")]
    Revoked,
    /// The user is disabled.
    #[error("this user is disabled")]
    Disabled,
    /// There is no such user.
    #[error("there is no such user")]
    Unknown,
    /// It is bad, and too many bad ones came from this address.
    #[error("too many bad tokens from this address")]
    TooFast(RetryAfter),
    /// The store failed: nobody knows whether the token is good.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The user that a token lets in. One that a site's token speaks of is made here when it is new. A good
/// token is never held to its address's limit, so that nobody behind the same address can lock its bearer
/// out (ANCESTOR.md P24); a bad one counts.
///
/// # Errors
/// The token lets nobody in.
pub async fn authenticate(app: &App, token: &str, address: IpAddr) -> Result<Authenticated, AuthenticateError> {
    let outcome = look_at(app, token).await;
    if let Err(error) = &outcome
        && !matches!(error, AuthenticateError::Store(_))
    {
        tracing::debug!(%error, "a token was refused");
        app.limits.address(AddressLimit::BadToken, address).map_err(AuthenticateError::TooFast)?;
    }
    outcome
}

async fn look_at(app: &App, token: &str) -> Result<Authenticated, AuthenticateError> {
    let claims = app.tokens.verify(token, app.now())?;
    let mark = claims.mark;
    let user = match known(app, &claims.subject).await? {
        Some(id) => match app.store.token_status(id, &mark).await? {
            TokenStatus::Good(user) => *user,
            TokenStatus::Revoked => return Err(AuthenticateError::Revoked),
            TokenStatus::Disabled => return Err(AuthenticateError::Disabled),
            TokenStatus::Unknown => newcomer(app, claims).await?,
        },
        None => newcomer(app, claims).await?,
    };
    Ok(Authenticated { user, mark })
}

async fn known(app: &App, subject: &Subject) -> Result<Option<UserId>, StoreError> {
    match subject {
        Subject::Id(id) => Ok(Some(*id)),
        Subject::Name(name) => app.store.user_by_subject(name).await,
    }
}

async fn newcomer(app: &App, claims: Claims) -> Result<User, AuthenticateError> {
    // An id from our own range that nobody has is no site's: a deleted account must not come back by its old token.
    let own_id = matches!(claims.subject, Subject::Id(id) if id.0 >= OWN_IDS_START);
    if own_id || !app.config.auth.site_tokens() {
        return Err(AuthenticateError::Unknown);
    }
    let user = app
        .store
        .ensure_site_user(SiteUser {
            subject: claims.subject,
            username: claims.username,
            email: claims.email,
            now: app.now(),
        })
        .await?;
    if user.disabled { Err(AuthenticateError::Disabled) } else { Ok(user) }
}
