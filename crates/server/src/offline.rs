//! The store's directory while no server runs on it: the names of its files, and opening the store for a command.

use std::path::Path;

use teahouse_core::Commit;
use teahouse_store::{CommitSink, OpenError, SqliteOptions, SqliteStore};

/// The store's database file, whose presence marks a data directory and a complete backup.
pub const DATABASE_FILE: &str = "teahouse.db";
/// The file that an open store locks.
pub const LOCK_FILE: &str = "teahouse.lock";

/// Drops commits: without a server there are no sessions to deliver them to.
pub struct NullSink;

impl CommitSink for NullSink {
    fn committed(&mut self, _: Vec<Commit>) {}
}

/// Opens the store of a directory on which no server runs.
///
/// # Errors
/// The store cannot be opened, for instance since a process has it open.
pub fn open_store(directory: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(SqliteOptions::new(directory), Box::new(NullSink))
}
