//! One process for each database: a lock on a file in the data directory, held while the store is open. The kernel
//! releases it when the process ends, however it ends. It never looks into the database.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::OpenError;

/// The name of the file that an open store locks in its directory.
pub const LOCK_FILE: &str = "teahouse.lock";

/// The lock on a data directory. Dropping it releases the lock.
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Creates the directory, for its owner only, when there is none, and locks it.
    pub(crate) fn take(directory: &Path) -> Result<Self, OpenError> {
        let directory_error = |source: io::Error| OpenError::Directory { path: directory.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(directory_error)?;
        let path = directory.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(directory_error)?;
        if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(directory_error(error.into()));
            }
            let mut holder = String::new();
            // The process id is only for the error message; the lock does not depend on it.
            let _ = file.read_to_string(&mut holder);
            return Err(OpenError::Locked { path, holder: holder.trim().to_owned() });
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(directory_error)?;
        writeln!(file, "{}", std::process::id()).map_err(directory_error)?;
        Ok(Self { _file: file })
    }
}
