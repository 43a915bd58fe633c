//! Changes the profile that others see of a user. It counts as a send, since every session receives it.

use teahouse_core::User;
use teahouse_store::StoreError;

use crate::app::App;
use crate::limits::RetryAfter;
use crate::validation::profile::check_profile;
pub(crate) use crate::validation::profile::{InvalidProfile, ProfileUpdate};

/// Why the profile was not changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UpdateProfileError {
    /// A part of the update is invalid.
    #[error(transparent)]
    Invalid(#[from] InvalidProfile),
    /// The user exceeded the rate of sending.
    #[error("rate limited")]
    RateLimited(RetryAfter),
    /// The user was deleted.
    #[error("no such user")]
    NotFound,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Changes the user's profile and returns the user with it.
///
/// # Errors
/// The profile was not changed.
pub(crate) async fn update_profile(app: &App, user: &User, update: ProfileUpdate) -> Result<User, UpdateProfileError> {
    let checked = check_profile(&user.profile.username, update);
    app.take_send_token(user.profile.id, checked.is_ok()).map_err(UpdateProfileError::RateLimited)?;
    let change = checked?;
    app.store.update_profile(user.profile.id, change).await?.ok_or(UpdateProfileError::NotFound)
}
