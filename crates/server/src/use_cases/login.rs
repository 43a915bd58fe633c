//! A login: a token, and a refresh token that continues it. What becomes of the refresh token's secret
//! (a cookie) is the door's business; the store keeps only its key.

use teahouse_core::{Timestamp, TokenKey, User};
use teahouse_store::{RefreshToken, StoreError};

use crate::app::App;
use crate::tokens::{Issued, LoginId};

/// Somebody is logged in.
pub struct Login {
    /// Who.
    pub user: User,
    /// The token, and until when it is good.
    pub issued: Issued,
    /// What continues the login when the token has expired.
    pub refresh: RefreshSecret,
    /// What all tokens of this login have in common.
    pub(super) id: LoginId,
}

/// The secret half of a refresh token; its holder can continue the login.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshSecret(String);

impl RefreshSecret {
    /// A new one: 256 random bits.
    pub(super) fn random() -> Self {
        Self(crate::secrets::random_hex::<32>())
    }

    /// What somebody presents as one.
    #[must_use]
    pub fn presented(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The secret itself, for its holder.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the store knows of it.
    pub(super) fn key(&self) -> TokenKey {
        crate::tokens::key_of(self.0.as_bytes())
    }
}

impl std::fmt::Debug for RefreshSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefreshSecret(…)")
    }
}

/// Begins a login of a user who has shown that they are who they say.
pub(super) async fn begin(app: &App, user: User) -> Result<Login, StoreError> {
    let (login, refresh) = (LoginId::random(), RefreshSecret::random());
    let expires_at = refresh_expiry(app);
    app.store
        .add_refresh_token(RefreshToken { key: refresh.key(), user: user.profile.id, login: login.key(), expires_at })
        .await?;
    let issued = issue(app, &user, login).await?;
    Ok(Login { user, issued, refresh, id: login })
}

/// A token that no revocation of the past covers: two things that happen within one second (a password
/// is changed, somebody logs in) must not undo each other.
pub(super) async fn issue(app: &App, user: &User, login: LoginId) -> Result<Issued, StoreError> {
    let not_before = app.store.issue_not_before(user.profile.id).await?;
    Ok(app.tokens.issue(user, login, app.now().seconds().max(not_before)))
}

/// Until when a refresh token that is made now is good.
pub(super) fn refresh_expiry(app: &App) -> Timestamp {
    app.now().plus(app.config.auth.refresh_ttl)
}
