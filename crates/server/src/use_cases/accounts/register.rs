//! Creates an account of the server's own and logs in to it.

use std::net::IpAddr;
use std::sync::Arc;

use teahouse_store::{CreateUserError, NewUser, StoreError};

use crate::app::{App, own_ids_start};
use crate::ip_prefix::IpPrefix;
use crate::limits::{AddressLimit, RetryAfter};
use crate::passwords::{PasswordError, Requester};
pub(crate) use crate::session_tokens::Login;
use crate::session_tokens::{begin_login, remember_address};
pub(crate) use crate::validation::credentials::{InvalidEmail, InvalidPassword, InvalidUsername};
use crate::validation::credentials::{check_email, check_password, check_username};

/// A request for an account, as it was typed.
pub(crate) struct Registration {
    /// The name to log in with.
    pub username: String,
    /// The password.
    pub password: String,
    /// The e-mail address.
    pub email: String,
    /// The client's address.
    pub address: IpAddr,
}

/// Why no account was created.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// Registration is closed.
    #[error("registration is closed")]
    Closed,
    /// The username is invalid.
    #[error(transparent)]
    Username(#[from] InvalidUsername),
    /// The password is invalid.
    #[error(transparent)]
    Password(#[from] InvalidPassword),
    /// The e-mail address is invalid.
    #[error(transparent)]
    Email(#[from] InvalidEmail),
    /// Too many registrations from this address.
    #[error("too many registrations from this address")]
    RateLimited(RetryAfter),
    /// The username or the e-mail address is taken, or the store failed.
    #[error(transparent)]
    Create(#[from] CreateUserError),
    /// The password could not be hashed.
    #[error(transparent)]
    Hashing(#[from] PasswordError),
}

impl From<StoreError> for RegisterError {
    fn from(error: StoreError) -> Self {
        Self::Create(error.into())
    }
}

/// Creates an account and logs in to it. Invalid input is refused before it counts against the address.
///
/// # Errors
/// No account was created.
pub(crate) async fn register(app: &Arc<App>, registration: Registration) -> Result<Login, RegisterError> {
    if !app.config.auth.registration_open() {
        return Err(RegisterError::Closed);
    }
    let username = check_username(&registration.username)?.to_owned();
    check_password(&registration.password)?;
    let email = check_email(&registration.email)?.to_owned();
    let address = registration.address;
    app.take_address_token(AddressLimit::Register, address).map_err(RegisterError::RateLimited)?;
    let password_hash = app.passwords.hash(Requester::Prefix(IpPrefix::of(address)), registration.password).await?;
    let ids_start = own_ids_start(&app.config);
    let account = NewUser { username, email: Some(email), password_hash, now: app.now(), ids_start };
    let own = Arc::clone(app);
    app.run_to_end(async move {
        let user = own.store.create_user(account).await?;
        let login = begin_login(&own, user).await?;
        remember_address(&own, login.user.profile.id, address).await;
        Ok(login)
    })
    .await
}
