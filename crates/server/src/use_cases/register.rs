//! Making an account here, and being logged in to it at once.

use std::net::IpAddr;
use std::sync::Arc;

use teahouse_core::ids::OWN_IDS_START;
use teahouse_store::{CreateUserError, NewUser, StoreError};

pub use super::credentials::{EmailFault, PasswordFault, UsernameFault};
use super::credentials::{check_email, check_password, check_username};
use super::login;
pub use super::login::Login;
use crate::app::App;
use crate::limits::{AddressLimit, RetryAfter};
use crate::passwords::PasswordError;

/// What somebody typed who wants an account.
pub struct Registration {
    /// The name to log in with.
    pub username: String,
    /// The password.
    pub password: String,
    /// The e-mail address.
    pub email: String,
    /// Where the request comes from.
    pub address: IpAddr,
}

/// Why no account was made.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// Accounts are kept elsewhere.
    #[error("registration is closed here")]
    Closed,
    /// The username cannot be one.
    #[error(transparent)]
    Username(#[from] UsernameFault),
    /// The password is too weak or too long.
    #[error(transparent)]
    Password(#[from] PasswordFault),
    /// The e-mail address cannot be one.
    #[error(transparent)]
    Email(#[from] EmailFault),
    /// Too many registrations from this address.
    #[error("too many registrations from this address")]
    TooFast(RetryAfter),
    /// The username or the e-mail address is taken, or the store failed.
    #[error(transparent)]
    Create(#[from] CreateUserError),
    /// The password could not be hashed now.
    #[error(transparent)]
    Hashing(#[from] PasswordError),
}

impl From<StoreError> for RegisterError {
    fn from(error: StoreError) -> Self {
        Self::Create(error.into())
    }
}

/// Makes an account and logs in to it. What was typed wrong is said before it counts against the address.
///
/// # Errors
/// No account was made.
pub async fn register(app: &Arc<App>, typed: Registration) -> Result<Login, RegisterError> {
    if !app.config.auth.registration_open() {
        return Err(RegisterError::Closed);
    }
    let username = check_username(&typed.username)?.to_owned();
    check_password(&typed.password)?;
    let email = check_email(&typed.email)?.to_owned();
    app.limits.take_for_address(AddressLimit::Register, typed.address).map_err(RegisterError::TooFast)?;
    let password_hash = app.passwords.hash(typed.password).await?;
    let ids_start = if app.config.auth.site_tokens() { OWN_IDS_START } else { 1 };
    let account = NewUser { username, email: Some(email), password_hash, now: app.now(), ids_start };
    let own = Arc::clone(app);
    app.run_to_end(async move {
        let user = own.store.create_user(account).await?;
        Ok(login::begin(&own, user).await?)
    })
    .await
}
