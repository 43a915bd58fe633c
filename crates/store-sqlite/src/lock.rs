//! One process a database: a lock file in the data directory, held as long as the store is open. The
//! kernel lets go of it when the process ends, however it ends. It never looks into the database.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::OpenError;

/// The name of the file whose lock a store holds on its directory.
pub const LOCK_FILE: &str = "teahouse.lock";

/// The hold on a data directory; dropping it lets go.
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Makes the directory (for its owner only) when there is none, and takes hold of it.
    pub(crate) fn take(directory: &Path) -> Result<Self, OpenError> {
        let trouble = |source: io::Error| OpenError::Directory { path: directory.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(trouble)?;
        let path = directory.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(trouble)?;
        if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(trouble(error.into()));
            }
            let mut holder = String::new();
            // The number is a courtesy to whoever reads the message; the lock holds without it.
            let _ = file.read_to_string(&mut holder);
            return Err(OpenError::Locked { path, holder: holder.trim().to_owned() });
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(trouble)?;
        writeln!(file, "{}", std::process::id()).map_err(trouble)?;
        Ok(Self { _file: file })
    }
}
