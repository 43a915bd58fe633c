//! Token status: revocations and refresh tokens, all of them hashed. It never sees a token.

use async_trait::async_trait;
use teahouse_core::{Timestamp, TokenKey, TokenMark, User, UserId};

use crate::StoreError;

/// Revocations and refresh tokens: which tokens are still valid.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// Whether a token with this mark still admits this user, with the user's current state. It does not look at
    /// `mark.expires_at`: the caller verified that with the token.
    async fn token_status(&self, user: UserId, mark: &TokenMark) -> Result<TokenStatus, StoreError>;

    /// The user whom a site's tokens name with this `sub`, which is no number.
    async fn user_by_subject(&self, subject: &str) -> Result<Option<UserId>, StoreError>;

    /// Revokes the token or the login with this key, and removes the login's refresh tokens. The revocation is kept
    /// until `until`.
    async fn revoke(&self, user: UserId, key: TokenKey, until: Timestamp) -> Result<(), StoreError>;

    /// The first second in which a token for this user can be issued that no revocation covers.
    async fn issue_not_before(&self, user: UserId) -> Result<i64, StoreError>;

    /// Adds a refresh token. Of a user's logins beyond [`teahouse_core::limits::LOGINS_PER_USER_MAX`] those that were
    /// not continued for longest end.
    async fn add_refresh_token(&self, token: RefreshToken) -> Result<(), StoreError>;

    /// Replaces the refresh token `old` by `new` with the same user and login, in one transaction. Returns `None`
    /// and changes nothing when `old` is unknown or expired at `now`, or its user is disabled.
    async fn rotate_refresh_token(
        &self,
        old: TokenKey,
        new: TokenKey,
        new_expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<RefreshToken>, StoreError>;

    /// A refresh token that is valid at `now`.
    async fn refresh_token(&self, key: TokenKey, now: Timestamp) -> Result<Option<RefreshToken>, StoreError>;

    /// Deletes refresh tokens and revocations that expired so long before `now` that no request can need them, what
    /// [`LOGIN_PREFIXES_KEPT`](crate::LOGIN_PREFIXES_KEPT) says, and what deletions of messages have left. The server
    /// calls it from time to time, since refresh tokens that are never used pile up.
    async fn forget_expired(&self, now: Timestamp) -> Result<(), StoreError>;
}

/// Whether a token is valid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TokenStatus {
    /// It admits this user.
    Good(Box<User>),
    /// It was revoked by a logout or a password change.
    Revoked,
    /// The user is disabled.
    Disabled,
    /// There is no such user.
    Unknown,
}

/// A refresh token, hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefreshToken {
    /// The token's key.
    pub key: TokenKey,
    /// Its user.
    pub user: UserId,
    /// The login that it continues.
    pub login: TokenKey,
    /// The time from which it is invalid.
    pub expires_at: Timestamp,
}
