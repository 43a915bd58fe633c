//! Teahouse's store in SQLite: one file, one writer thread that commits in groups, a few reader threads, a thread for
//! checkpoints and one for backups. [`SqliteStore::open`] is the only way in. This file opens and closes; it knows
//! nothing of messages or users. Once the store is open, no call blocks a Tokio thread.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accounts;
mod actor;
mod api_keys;
mod append;
mod backup;
mod changes;
mod checkpoint;
mod direct;
mod entries;
mod error;
mod group;
mod lock;
mod membership;
mod mentions;
mod messages;
mod metrics;
mod options;
mod queue;
mod read_marks;
mod readers;
mod room_list;
mod room_search;
mod rooms;
mod row;
mod schema;
mod site_users;
mod store_impl;
mod strangers;
mod tokens;
mod user_search;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use teahouse_store::CommitSink;
use tokio::sync::watch;

pub use backup::{BackupError, BackupProgress, Backups};
pub use error::OpenError;
pub use lock::LOCK_FILE;
pub use metrics::SqliteMetrics;
pub use options::SqliteOptions;

use checkpoint::Checkpointer;
use lock::DirectoryLock;
use queue::Queue;
use readers::Readers;
use writer::{Job, Writer};

/// The name of the database in its directory.
pub const DATABASE_FILE: &str = "teahouse.db";

/// A store in one SQLite file.
pub struct SqliteStore {
    writes: Arc<Queue<Box<dyn Job>>>,
    readers: Readers,
    backups: Backups,
    metrics: SqliteMetrics,
    epoch: String,
    // The sender lives in the writer thread, which ends last. It sends nothing; its end is the message.
    ended: watch::Receiver<()>,
    // The writer thread, which joins all other threads before it ends. The lock guards this handle only.
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl SqliteStore {
    /// Locks the directory, migrates the database, and starts the threads. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`]; each one is a sentence for the operator.
    pub fn open(options: SqliteOptions, sink: Box<dyn CommitSink>) -> Result<Self, OpenError> {
        let lock = DirectoryLock::take(&options.directory)?;
        let path = options.directory.join(DATABASE_FILE);
        let (conn, epoch) = schema::open_writer(&path, options.busy_timeout)?;

        let metrics = options.metrics.clone();
        let writes = Arc::new(Queue::new(options.queue_max, metrics.common.writes_waiting.clone()));
        let backups = Backups::new(&path, options.busy_timeout);
        let (readers, reader_threads) = Readers::start(&path, &options)?;
        let checkpointer = Checkpointer::start(&path, &options, backups.clone())?;
        let (ended_sender, ended) = watch::channel(());
        let writer = Writer::new(conn, Arc::clone(&writes), sink, checkpointer, &options)?;
        let (thread_readers, thread_backups) = (readers.clone(), backups.clone());
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                writer.run();
                thread_readers.close();
                for thread in reader_threads {
                    // A reader catches panics itself.
                    let _ = thread.join();
                }
                thread_backups.close();
                drop(lock);
                drop(ended_sender);
            })
            .map_err(OpenError::Thread)?;
        Ok(Self { writes, readers, backups, metrics, epoch, ended, writer: Mutex::new(Some(writer)) })
    }

    /// A handle that copies this store into a directory.
    #[must_use]
    pub fn backups(&self) -> Backups {
        self.backups.clone()
    }
}

impl Drop for SqliteStore {
    /// Closes a store that was not closed, so that the lock is free and the log is short when the value is gone.
    fn drop(&mut self) {
        self.writes.close();
        self.readers.close();
        self.backups.stop();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && writer.thread().id() != std::thread::current().id()
        {
            let _ = writer.join();
        }
    }
}
