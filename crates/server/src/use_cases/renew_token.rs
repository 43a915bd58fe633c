//! Going on with a session under a fresh token of the same user, so that it outlives the one that it began with.

use std::net::IpAddr;

use teahouse_core::{TokenMark, UserId};

use super::authenticate::{AuthenticateError, authenticate};
use crate::app::App;

/// Why the session goes on under its old token.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// The new one lets nobody in.
    #[error(transparent)]
    Authenticate(#[from] AuthenticateError),
    /// It is somebody else's.
    #[error("this token is another user's")]
    OtherUser,
}

/// What is to be remembered of the fresh token.
///
/// # Errors
/// It is no good, or not this user's.
pub async fn renew_token(app: &App, user: UserId, token: &str, address: IpAddr) -> Result<TokenMark, RenewError> {
    let who = authenticate(app, token, address).await?;
    if who.user.profile.id == user { Ok(who.mark) } else { Err(RenewError::OtherUser) }
}
