//! The store's directory while no server runs on it: the names of its files, and opening the store for a command.

use std::path::Path;

use teahouse_store::{CommitGroup, CommitSink};
pub(crate) use teahouse_store_sqlite::{DATABASE_FILE, LOCK_FILE};
use teahouse_store_sqlite::{OpenError, SqliteOptions, SqliteStore};

/// Drops commits: without a server there are no sessions to deliver them to.
pub(crate) struct NullSink;

impl CommitSink for NullSink {
    fn commit(&mut self, _: CommitGroup<'_>) {}
}

/// Opens the store of a directory on which no server runs.
///
/// # Errors
/// The store cannot be opened, for instance since a process has it open.
pub(crate) fn open_store(directory: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(SqliteOptions::new(directory), Box::new(NullSink))
}
