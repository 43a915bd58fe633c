//! Mutes a user, or lets a muted user write again. Their sessions learn of it from the commit.

use std::time::Duration;

use teahouse_core::{Timestamp, User};

use super::{AdminContext, ChangeUserError};

/// Mutes the user of this name for `time`; without a time the user may write again. Returns until when the user is muted.
///
/// # Errors
/// Nothing was changed.
pub(crate) async fn mute_user(
    context: &AdminContext<'_>,
    name: &str,
    time: Option<Duration>,
) -> Result<(User, Option<Timestamp>), ChangeUserError> {
    let until = time.map(|time| context.now.plus(time));
    let user = context.store.set_muted(name, until, context.now).await?.ok_or(ChangeUserError::NoSuchUser)?;
    Ok((user, until))
}
