//! How a store is opened: its directory, its bounds, and what happens when the disk fails for good.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::SqliteMetrics;

/// The options of a store.
#[derive(Clone)]
pub struct SqliteOptions {
    /// The data directory. It is created, for its owner only, when there is none.
    pub directory: PathBuf,
    /// Writes that may wait; further ones are refused as overloaded. 4,096: a tenth of a second of work.
    pub queue_max: usize,
    /// Writes in one group. 1,024: at 15 µs each the first one waits at most 15 ms for the last.
    pub group_max: usize,
    /// Reader threads, each with a connection. 2: reads come from the page cache, so each takes a core.
    pub readers: usize,
    /// Reads that may wait; further ones are refused as overloaded. 4,096.
    pub reads_max: usize,
    /// The growth of the log after which a thread checkpoints it while the writer continues. 32 MiB: a page that many
    /// messages change is moved once for all of them, and a start after a crash reads some tens of MiB at most.
    pub checkpoint_bytes: u64,
    /// The length of the log at which the writer pauses until it can restart it, since a checkpoint beside a busy
    /// writer may never reach the end. 256 MiB.
    pub wal_bytes_max: u64,
    /// Strangers whom a user may approach in a day. 20.
    pub strangers_per_day: usize,
    /// How long the writer waits for another program that holds the database before it refuses. 2 s.
    pub busy_timeout: Duration,
    /// Called when the disk failed in such a way that nobody can know what is durable. The default prints the reason
    /// on stderr and exits with status 70: a restart reads what the disk really holds.
    pub on_fatal: Arc<dyn Fn(&str) + Send + Sync>,
    /// The metrics of this store.
    pub metrics: SqliteMetrics,
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
            strangers_per_day: teahouse_core::limits::STRANGERS_PER_DAY,
            busy_timeout: Duration::from_secs(2),
            on_fatal: Arc::new(|why| {
                use io::Write as _;
                // The log may lose its last lines when the process exits.
                let _ = writeln!(io::stderr(), "teahouse: {why}");
                std::process::exit(70)
            }),
            metrics: SqliteMetrics::default(),
        }
    }
}
