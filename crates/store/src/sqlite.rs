//! SQLite behind the [`Store`](crate::Store) contract: one file, one writer thread that commits in
//! groups, a few reader threads, a thread that checkpoints, now and then one that copies. This file opens
//! and closes; it says nothing about messages or users. No call here or below blocks a Tokio thread once open.

mod accounts;
mod acting;
mod append;
mod backup;
mod changes;
mod checkpoint;
mod contract;
mod direct;
mod entries;
mod group;
mod keys;
mod lock;
mod marks;
mod membership;
mod mentions;
mod messages;
mod people;
mod readers;
mod rooms;
mod row;
mod schema;
mod site_users;
mod tokens;
mod writer;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::queue::Queue;
use crate::{CommitSink, StoreMetrics};
use backup::Backups;
use checkpoint::Checkpointer;
use lock::DirectoryLock;
use readers::Readers;
use writer::{Job, Writer};

/// The database's name in the data directory.
const FILE: &str = "teahouse.db";

/// How a store is opened.
#[derive(Clone)]
pub struct SqliteOptions {
    /// The data directory; made (for its owner only) when there is none.
    pub directory: PathBuf,
    /// Writes that may wait; more are refused as overloaded. 4,096: a tenth of a second of work.
    pub queue_max: usize,
    /// Writes in one group. 1,024: at 15 µs each the first one waits no more than 15 ms for the last.
    pub group_max: usize,
    /// Reader threads, each with a connection. 2: reads come from the page cache, so a core each.
    pub readers: usize,
    /// Reads that may wait; more are refused as overloaded. 4,096.
    pub reads_max: usize,
    /// So many bytes of log since the last time are checkpointed beside the writer. 32 MiB: a page that many messages
    /// change is moved once for all of them, and a start after a crash reads no more than some tens of MiB.
    pub checkpoint_bytes: u64,
    /// Above so many bytes of log the writer pauses until it can start the log anew, since a checkpoint
    /// beside a busy writer may never get to its end. 256 MiB.
    pub wal_bytes_max: u64,
    /// How long the writer waits for another program that holds the database before it refuses. 2 s.
    pub busy_timeout: Duration,
    /// What happens when the disk failed in such a way that we cannot know what is durable. Says why on
    /// stderr and ends the process with status 70: starting anew reads what is really there.
    pub on_fatal: Arc<dyn Fn(&str) + Send + Sync>,
    /// Where the store counts.
    pub metrics: StoreMetrics,
}

impl SqliteOptions {
    /// The defaults, for this data directory.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            queue_max: 4096,
            group_max: 1024,
            readers: 2,
            reads_max: 4096,
            checkpoint_bytes: 32 * 1024 * 1024,
            wal_bytes_max: 256 * 1024 * 1024,
            busy_timeout: Duration::from_secs(2),
            on_fatal: Arc::new(|why| {
                use io::Write as _;
                // Not through the log alone: its last lines may be lost with the process.
                let _ = writeln!(io::stderr(), "teahouse: {why}");
                std::process::exit(70)
            }),
            metrics: StoreMetrics::default(),
        }
    }
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or a file in it cannot be made or opened.
    #[error("cannot use {}: {source}", path.display())]
    Directory {
        /// Which one.
        path: PathBuf,
        /// Why not.
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
        /// The process that said it holds the lock.
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
        /// The schema that was found.
        found: i64,
        /// The newest schema that this program knows.
        known: i64,
    },
    /// Somebody else's file.
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
        /// What is wrong.
        detail: String,
    },
    /// SQLite said no.
    #[error("the database cannot be opened: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A thread could not be started.
    #[error("a thread of the store could not be started: {0}")]
    Thread(io::Error),
    /// The system has no random numbers to give.
    #[error("no random numbers: {0}")]
    Random(String),
}

/// The durable half in one SQLite file.
pub struct SqliteStore {
    writes: Arc<Queue<Box<dyn Job>>>,
    readers: Readers,
    backups: Backups,
    metrics: StoreMetrics,
    epoch: String,
    // Its sender lives in the writer thread, which ends last; it never says anything but "ended".
    ended: watch::Receiver<()>,
    // The writer, which waits for all other threads before it ends. The lock guards this handle only.
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl SqliteStore {
    /// Opens the store: takes hold of the directory, migrates, starts the threads. Blocks; it is called
    /// once, before anything is served.
    ///
    /// # Errors
    /// See [`OpenError`]; each one is a sentence for the operator.
    pub fn open(options: SqliteOptions, sink: Box<dyn CommitSink>) -> Result<Self, OpenError> {
        let hold = DirectoryLock::take(&options.directory)?;
        let path = options.directory.join(FILE);
        let (conn, epoch) = schema::open_writer(&path, options.busy_timeout)?;

        let metrics = options.metrics.clone();
        let writes = Arc::new(Queue::new(options.queue_max, metrics.writes_waiting.clone()));
        let backups = Backups::new(&path, options.busy_timeout);
        let (readers, reader_threads) = Readers::start(&path, &options)?;
        let checkpointer = Checkpointer::start(&path, &options, backups.clone())?;
        let (ended_sender, ended) = watch::channel(());
        let writer = Writer::new(conn, Arc::clone(&writes), sink, checkpointer, &options)?;
        let threads = readers.clone();
        let copying = backups.clone();
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                writer.run();
                threads.close();
                for thread in reader_threads {
                    // A reader catches the panics of what it is asked; it has no answer left to give.
                    let _ = thread.join();
                }
                copying.close();
                drop(hold);
                drop(ended_sender);
            })
            .map_err(OpenError::Thread)?;
        Ok(Self { writes, readers, backups, metrics, epoch, ended, writer: Mutex::new(Some(writer)) })
    }
}

impl Drop for SqliteStore {
    /// A store that was not closed is closed here, so that the lock is free and the log is short when
    /// the value is gone. After `close` there is nothing left to wait for.
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
