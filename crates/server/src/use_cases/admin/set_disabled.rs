//! Disables or enables an account. Disabling ends the user's logins and live sessions.

use teahouse_core::token::Revoked;
use teahouse_core::{Revocation, User};

use super::{AdminContext, ChangeUserError};

/// Disables or enables the user of this name.
///
/// # Errors
/// Nothing was changed.
pub(crate) async fn set_disabled(
    context: &AdminContext<'_>,
    name: &str,
    disabled: bool,
) -> Result<User, ChangeUserError> {
    let user = context.store.set_disabled(name, disabled).await?.ok_or(ChangeUserError::NoSuchUser)?;
    if disabled && let Some(live) = context.live {
        live.revoke(Revoked { user: user.profile.id, what: Revocation::All }).await;
    }
    Ok(user)
}
