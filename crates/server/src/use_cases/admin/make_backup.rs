//! Copies the database and the secrets, while the server runs or not.

use std::path::Path;

use super::AdminContext;
pub use crate::backup::BackUpError;
use crate::backup::back_up;

/// Copies everything into a directory that is empty or does not exist. `progress` is called with the share that is done,
/// from 0 to 1.
///
/// # Errors
/// There is no backup.
pub async fn make_backup(
    context: &AdminContext<'_>,
    into: &Path,
    progress: impl FnMut(f64) + Send + 'static,
) -> Result<(), BackUpError> {
    back_up(context.store, &context.config.server.data, into, progress).await
}
