//! Creates an account with a role.

use teahouse_core::{User, UserRole};
use teahouse_store::{CreateUserError, NewUser};

use super::AdminContext;
use crate::app::own_ids_start;

/// An account to create; name and e-mail address are valid.
pub(crate) struct AccountDraft {
    /// The username.
    pub username: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// The role.
    pub role: UserRole,
    /// The hash of the password.
    pub password_hash: String,
}

/// Creates the account.
///
/// # Errors
/// The username or the e-mail address is taken, or the store failed.
pub(crate) async fn create_user(context: &AdminContext<'_>, draft: AccountDraft) -> Result<User, CreateUserError> {
    let AccountDraft { username, email, role, password_hash } = draft;
    let ids_start = own_ids_start(context.config);
    let user =
        context.store.create_user(NewUser { username, email, password_hash, now: context.now, ids_start }).await?;
    if role == user.role {
        return Ok(user);
    }
    let promoted = context.store.set_role(&user.profile.username, role).await?;
    Ok(promoted.unwrap_or(user))
}
