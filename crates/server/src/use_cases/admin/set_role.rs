//! Gives a user another role on the whole server.

use teahouse_core::{User, UserRole};

use super::{AdminContext, ChangeUserError};

/// Sets the role of the user of this name.
///
/// # Errors
/// Nothing was changed.
pub(crate) async fn set_role(context: &AdminContext<'_>, name: &str, role: UserRole) -> Result<User, ChangeUserError> {
    context.store.set_role(name, role).await?.ok_or(ChangeUserError::NoSuchUser)
}
