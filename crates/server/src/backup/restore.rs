//! Restores a backup into a data directory on which no server runs. It copies the backup into a staging directory and
//! opens the copy once, before it touches existing data. It never deletes existing data.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use teahouse_protocol::rfc3339;
use teahouse_store::Lifecycle;
use teahouse_store_sqlite::OpenError;

use super::{copy_file, create_private_directory};
use crate::offline::{DATABASE_FILE, LOCK_FILE, open_store};
use crate::{clock, secrets};

/// The staging directory, inside the data directory.
const STAGING: &str = ".restoring";

/// The treatment of existing data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ExistingData {
    /// The restore is refused.
    Refuse,
    /// The data is moved aside.
    MoveAside,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    /// The source is not a backup.
    #[error("{0} is not a backup: it contains no {DATABASE_FILE}")]
    NoBackup(PathBuf),
    /// The source is a data directory, whose database file alone is not the whole database.
    #[error("{0} is a server's data directory, not a backup; create one with `teahouse backup DIRECTORY --data {0}`")]
    IsData(PathBuf),
    /// The data directory is not empty.
    #[error("{0} is not empty; --replace moves its content aside without deleting anything")]
    NotEmpty(PathBuf),
    /// A server runs on the data directory.
    #[error("a server is running on {0}; stop it first")]
    Running(PathBuf),
    /// The old data cannot be moved.
    #[error(
        "{path} cannot be moved aside ({error}); if it is a mount point, empty it by hand and restore without --replace"
    )]
    MoveAside {
        /// The data directory.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// A file or directory could not be written or read.
    #[error("{path}: {error}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// This version cannot open the store of the backup.
    #[error("the backup cannot be used: {0}")]
    Open(#[from] OpenError),
}

impl RestoreError {
    /// Whether the restore was refused before anything failed.
    #[must_use]
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::NoBackup(_) | Self::IsData(_) | Self::NotEmpty(_) | Self::Running(_))
    }
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> RestoreError + use<> {
    let path = path.to_owned();
    move |error| RestoreError::Io { path: path.clone(), error }
}

/// Restores a backup into the data directory, with a new epoch. Returns the directory to which it moved old data.
///
/// # Errors
/// Nothing was restored, and existing data is as it was.
pub(crate) async fn restore_backup(
    backup: &Path,
    data: &Path,
    existing: ExistingData,
    progress: &mut dyn FnMut(f64),
) -> Result<Option<PathBuf>, RestoreError> {
    if !backup.join(DATABASE_FILE).is_file() {
        return Err(RestoreError::NoBackup(backup.to_owned()));
    }
    if backup.join(LOCK_FILE).exists() {
        return Err(RestoreError::IsData(backup.to_owned()));
    }
    let is_new = !data.try_exists().map_err(io_error(data))?;
    create_private_directory(data).map_err(io_error(data))?;
    let has_data = fs::read_dir(data).map_err(io_error(data))?.next().is_some();
    if has_data && existing == ExistingData::Refuse {
        return Err(RestoreError::NotEmpty(data.to_owned()));
    }
    // If the path is a symbolic link, the link must lead to the new data too.
    let data = &fs::canonicalize(data).map_err(io_error(data))?;
    let lock = DirectoryLock::acquire(data)?;
    let staging = data.join(STAGING);
    let restored = match stage(backup, &staging, progress).await {
        Ok(()) => install(data, &staging, has_data),
        Err(error) => Err(error),
    };
    if restored.is_err() {
        // Errors of the cleanup are ignored: the first error is the one to report.
        let _ = fs::remove_dir_all(&staging);
        if !has_data {
            let _ = fs::remove_file(data.join(LOCK_FILE));
        }
        if is_new {
            let _ = fs::remove_dir(data);
        }
    }
    drop(lock);
    restored
}

/// Copies the backup into the staging directory and opens the copy once, which validates it and gives it a new epoch.
async fn stage(backup: &Path, staging: &Path, progress: &mut dyn FnMut(f64)) -> Result<(), RestoreError> {
    // The lock is held, so an existing staging directory is left over from an interrupted restore.
    match fs::remove_dir_all(staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(staging)(error)),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(staging).map_err(io_error(staging))?;
    for name in secrets::FILES {
        let from = backup.join(name);
        match copy_file(&from, &staging.join(name), &mut |_| {}) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            copied => copied.map_err(io_error(&from))?,
        }
    }
    let from = backup.join(DATABASE_FILE);
    copy_file(&from, &staging.join(DATABASE_FILE), progress).map_err(io_error(&from))?;
    let store = open_store(staging)?;
    store.close().await;
    drop(store);
    fs::remove_file(staging.join(LOCK_FILE)).map_err(io_error(staging))
}

/// Moves the staged copy into the data directory, after moving old data aside.
fn install(data: &Path, staging: &Path, has_data: bool) -> Result<Option<PathBuf>, RestoreError> {
    if !has_data {
        move_files(staging, data).map_err(io_error(data))?;
        sync_directory(data).map_err(io_error(data))?;
        return Ok(None);
    }
    let aside = aside_path(data);
    fs::rename(data, &aside).map_err(|error| RestoreError::MoveAside { path: data.to_owned(), error })?;
    let installed = (|| {
        DirBuilder::new().mode(0o700).create(data)?;
        move_files(&aside.join(STAGING), data)?;
        sync_directory(data)
    })();
    installed.map_err(|error| {
        let error = io::Error::new(error.kind(), format!("{error}; the old data is in {}", aside.display()));
        io_error(data)(error)
    })?;
    Ok(Some(aside))
}

/// A sibling of the data directory: `NAME.before-restore-TIME`.
fn aside_path(data: &Path) -> PathBuf {
    let time: String = rfc3339(clock::wall()).chars().filter(char::is_ascii_alphanumeric).collect();
    let mut name = data.file_name().unwrap_or_default().to_owned();
    name.push(format!(".before-restore-{time}"));
    data.with_file_name(name)
}

/// The lock of a data directory, the same one that an open store holds.
struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    fn acquire(data: &Path) -> Result<Self, RestoreError> {
        let path = data.join(LOCK_FILE);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(io_error(&path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(RestoreError::Running(data.to_owned())),
            Err(error) => Err(RestoreError::Io { path, error: error.into() }),
        }
    }
}

/// Moves all files of a directory into another one on the same file system, the database last, and removes it.
fn move_files(from: &Path, to: &Path) -> io::Result<()> {
    let mut names = fs::read_dir(from)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort_by_key(|name| name == DATABASE_FILE);
    for name in names {
        fs::rename(from.join(&name), to.join(&name))?;
    }
    fs::remove_dir(from)
}

/// Syncs a directory and its parent, so that renames in both are durable.
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}
