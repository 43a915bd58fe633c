//! Why a store does not open. Each error is a sentence for the operator, with what to do.

use std::io;
use std::path::PathBuf;

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or a file in it cannot be created or opened.
    #[error("cannot use {}: {source}", path.display())]
    Directory {
        /// The directory or file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another process has it open.
    #[error(
        "another process (pid {holder}) has this database open and holds {}: stop that one first, or choose another data directory",
        path.display()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The id of the process that holds the lock.
        holder: String,
    },
    /// The schema is newer than this program.
    #[error(
        "{} was written by a newer version of Teahouse (its schema is {found}, this version knows {known}): start that version, or restore a backup that is older",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// The schema of the database.
        found: i64,
        /// The newest schema that this program knows.
        known: i64,
    },
    /// The file belongs to another program.
    #[error("{} is a database of another program: choose another data directory, or move that file away", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// A migration was changed, or did not run to its end.
    #[error(
        "the schema of {} is not what its migrations would have made ({detail}): restore a backup, or start the version that last worked with it",
        path.display()
    )]
    HalfDone {
        /// The database.
        path: PathBuf,
        /// The details.
        detail: String,
    },
    /// SQLite returned an error.
    #[error("the database cannot be opened: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A thread could not be started.
    #[error("a thread of the store could not be started: {0}")]
    Thread(io::Error),
    /// The system returned no random numbers.
    #[error("no random numbers: {0}")]
    Random(String),
}
