//! A backup is a directory with everything a server needs to start again: the secrets and the store. This module
//! creates backups; `backup/restore.rs` restores them. The database is copied last, so that a directory without it is
//! not a complete backup. The store copies its database itself.

mod restore;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use teahouse_store_sqlite::{BackupError, Backups};

use crate::secrets;

pub(crate) use restore::{ExistingData, restore_backup};

/// Bytes that one read of a file copy takes.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Why no backup was created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateBackupError {
    /// The target is not empty.
    #[error("{0} is not empty; nothing was changed; name a directory that is empty or does not exist")]
    NotEmpty(PathBuf),
    /// A file or directory could not be written or read.
    #[error("{path}: {error} (a running server makes the copy, as its own user)")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The database has its own tools for backups.
    #[error("this server's database cannot be backed up into a directory; use the tools of the database")]
    NoBackups,
    /// The store could not be copied.
    #[error(transparent)]
    Store(#[from] BackupError),
}

/// Copies the secrets of a data directory and its store, while the store stays in use. `progress` receives the
/// completed part, from 0 to 1. The first start from a backup gives the history a new epoch.
///
/// # Errors
/// There is no backup, and the target is as it was.
pub(crate) async fn create_backup(
    backups: Option<&Backups>,
    data: &Path,
    into: &Path,
    progress: impl FnMut(f64) + Send + 'static,
) -> Result<(), CreateBackupError> {
    let backups = backups.ok_or(CreateBackupError::NoBackups)?;
    let mut partial = PartialBackup::start(into)?;
    for name in secrets::FILES {
        let (from, to) = (data.join(name), into.join(name));
        match copy_file(&from, &to, &mut |_| {}) {
            Ok(()) => partial.written.push(to),
            // A server whose configuration has the secret may have no file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(CreateBackupError::Io { path: from, error }),
        }
    }
    match backups.copy_to(into, Box::new(progress)).await {
        Ok(()) => {
            // The backup is complete: do not remove its files.
            std::mem::forget(partial);
            Ok(())
        }
        Err(BackupError::Exists(_)) => Err(CreateBackupError::NotEmpty(into.to_owned())),
        Err(error) => Err(error.into()),
    }
}

/// An incomplete backup. Dropping it removes its files.
struct PartialBackup {
    written: Vec<PathBuf>,
    /// The directory, if this backup created it.
    created: Option<PathBuf>,
}

impl PartialBackup {
    fn start(into: &Path) -> Result<Self, CreateBackupError> {
        let io = |error| CreateBackupError::Io { path: into.to_owned(), error };
        let created = (!into.try_exists().map_err(io)?).then(|| into.to_owned());
        create_private_directory(into).map_err(io)?;
        if fs::read_dir(into).map_err(io)?.next().is_some() {
            return Err(CreateBackupError::NotEmpty(into.to_owned()));
        }
        Ok(Self { written: Vec::new(), created })
    }
}

impl Drop for PartialBackup {
    fn drop(&mut self) {
        // Errors are ignored: without a database the remaining files are not a backup either.
        for path in &self.written {
            let _ = fs::remove_file(path);
        }
        if let Some(created) = &self.created {
            let _ = fs::remove_dir(created);
        }
    }
}

/// Creates a directory with mode 0700, with its parents, unless it exists.
fn create_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Copies a file with mode 0600. The copy is synced when this returns.
fn copy_file(from: &Path, to: &Path, progress: &mut dyn FnMut(f64)) -> io::Result<()> {
    let mut source = File::open(from)?;
    let bytes = source.metadata()?.len().max(1);
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut copied = 0;
    loop {
        let length = source.read(&mut chunk)?;
        if length == 0 {
            return target.sync_all();
        }
        target.write_all(&chunk[..length])?;
        copied += length as u64;
        #[expect(clippy::cast_precision_loss, reason = "it is shown in percent")]
        progress(copied as f64 / bytes as f64);
    }
}
