//! Logins: the token that the server issues for one and the refresh token that continues it, and what ends them all.
//! The store keeps refresh tokens hashed; `http::cookie` carries them.

use std::net::IpAddr;
use std::time::Duration;

use teahouse_core::token::Revoked;
use teahouse_core::{Revocation, Timestamp, TokenKey, User, UserId};
use teahouse_store::{RefreshToken, Store, StoreError};

use crate::app::{App, LiveSessions};
use crate::ip_prefix::IpPrefix;
use crate::tokens::{Issued, LoginId};

/// The store remembers at most once in this time that a user logs in from an address.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A login that began or was continued.
pub(crate) struct Login {
    /// The user who logged in.
    pub user: User,
    /// The token and its expiry.
    pub issued: Issued,
    /// Continues the login after the token has expired.
    pub refresh: RefreshSecret,
    /// Shared by all tokens of this login.
    pub id: LoginId,
}

/// The secret half of a refresh token; its holder can continue the login.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RefreshSecret(String);

impl RefreshSecret {
    /// A new secret of 256 random bits.
    #[must_use]
    pub(crate) fn random() -> Self {
        Self(crate::crypto::random_hex::<32>())
    }

    /// The secret that a client presents.
    #[must_use]
    pub(crate) fn presented(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The secret itself, for its holder.
    #[must_use]
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The hash under which the store keeps it.
    #[must_use]
    pub(crate) fn key(&self) -> TokenKey {
        crate::crypto::fingerprint(self.0.as_bytes())
    }
}

impl std::fmt::Debug for RefreshSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefreshSecret(…)")
    }
}

/// Begins a login of a user who has proved their identity.
///
/// # Errors
/// The store failed.
pub(crate) async fn begin_login(app: &App, user: User) -> Result<Login, StoreError> {
    let (login, refresh) = (LoginId::random(), RefreshSecret::random());
    let expires_at = refresh_expiry(app);
    app.store
        .add_refresh_token(RefreshToken { key: refresh.key(), user: user.profile.id, login: login.key(), expires_at })
        .await?;
    let issued = issue_token(app, &user, login).await?;
    Ok(Login { user, issued, refresh, id: login })
}

/// Remembers that a login came from this address, once a day at most. A failure does not fail the login.
pub(crate) async fn remember_address(app: &App, user: UserId, address: IpAddr) {
    let (key, now) = (app.tokens.known_clients.prefix_key(IpPrefix::of(address)), app.now());
    let remembered = async {
        match app.store.login_prefix_seen(user, key).await? {
            Some(seen) if seen.plus(DAY) > now => Ok(()),
            _ => app.store.remember_login_prefix(user, key, now).await,
        }
    };
    if let Err(error) = remembered.await {
        tracing::warn!(user = user.0, %error, "address of a login not remembered");
    }
}

/// Issues a token that no past revocation covers: a password change and a login within the same second must not undo
/// each other.
///
/// # Errors
/// The store failed.
pub(crate) async fn issue_token(app: &App, user: &User, login: LoginId) -> Result<Issued, StoreError> {
    let not_before = app.store.issue_not_before(user.profile.id).await?;
    Ok(app.tokens.issue(user, login, app.now().seconds().max(not_before)))
}

/// When a refresh token that is made now expires.
#[must_use]
pub(crate) fn refresh_expiry(app: &App) -> Timestamp {
    app.now().plus(app.config.auth.refresh_ttl)
}

/// Stores a new password hash and ends every login of the user but `except`. Live sessions close at once; `live` is
/// absent when no server runs.
///
/// # Errors
/// The store failed; the password is unchanged.
pub(crate) async fn replace_password(
    (store, live): (&dyn Store, Option<&dyn LiveSessions>),
    user: UserId,
    hash: &str,
    now: Timestamp,
    except: Option<TokenKey>,
) -> Result<(), StoreError> {
    // After an earlier change tokens may be issued up to a second ahead of the clock; those end as well.
    let second = now.seconds().max(store.issue_not_before(user).await?);
    store.change_password(user, hash, Timestamp(second.saturating_mul(1000)), except).await?;
    if let Some(live) = live {
        live.revoke(Revoked { user, what: Revocation::IssuedUpTo { second, except } }).await;
    }
    Ok(())
}
