//! Replaces the token of a live session with a fresh one of the same user, so that the session outlives the first.

use std::net::IpAddr;

use teahouse_core::{TokenMark, UserId};

use super::authenticate::{AuthenticateError, authenticate};
use crate::app::App;

/// Why the session keeps its old token.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// The fresh token is invalid.
    #[error(transparent)]
    Authenticate(#[from] AuthenticateError),
    /// The fresh token belongs to another user.
    #[error("this token belongs to another user")]
    OtherUser,
}

/// Verifies the fresh token, and returns the part that the session remembers.
///
/// # Errors
/// The token is invalid or another user's.
pub(crate) async fn renew_token(
    app: &App,
    user: UserId,
    token: &str,
    address: IpAddr,
) -> Result<TokenMark, RenewError> {
    let authenticated = authenticate(app, Some(token), address).await?;
    if authenticated.user.profile.id == user { Ok(authenticated.mark) } else { Err(RenewError::OtherUser) }
}
