//! Sets a user's password. All logins of the user end.

use teahouse_core::User;

use super::{AdminContext, ChangeUserError};
use crate::session_tokens::replace_password;

/// Sets the hash of a new password for the user of this name.
///
/// # Errors
/// Nothing was changed.
pub(crate) async fn set_password(context: &AdminContext<'_>, name: &str, hash: &str) -> Result<User, ChangeUserError> {
    // The store also finds users by their e-mail address; a name with an @ may be the address of somebody else.
    let found = context.store.user_by_login(name).await?.map(|(user, _)| user);
    let user = found
        .filter(|user| user.profile.username.to_lowercase() == name.to_lowercase())
        .ok_or(ChangeUserError::NoSuchUser)?;
    replace_password((context.store, context.live), user.profile.id, hash, context.now, None).await?;
    Ok(user)
}
