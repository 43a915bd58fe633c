//! Copies the database and the secrets, while the server runs or not.

use std::path::Path;

use super::AdminContext;
pub(crate) use crate::backup::CreateBackupError;
use crate::backup::create_backup;

/// Copies everything into a directory that is empty or does not exist. `progress` is called with the share that is done,
/// from 0 to 1.
///
/// # Errors
/// There is no backup.
pub(crate) async fn make_backup(
    context: &AdminContext<'_>,
    into: &Path,
    progress: impl FnMut(f64) + Send + 'static,
) -> Result<(), CreateBackupError> {
    create_backup(context.backups, &context.config.server.data, into, progress).await
}
