//! Moving the log into the database: beside the writer while that is enough, by the writer itself when
//! the log grew too long. It never decides what is durable; the log is, from the commit on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use prometheus_client::metrics::gauge::Gauge;
use rusqlite::Connection;

use crate::backup::Backups;
use crate::queue::Queue;
use crate::writer::is_unknowable;
use crate::{OpenError, SqliteMetrics, SqliteOptions, schema};

/// The checkpointing thread, and how far the log has grown. Owned by the writer.
pub(crate) struct Checkpointer {
    // One place is enough: asking twice is asking once.
    asks: Arc<Queue<()>>,
    thread: Option<JoinHandle<()>>,
    log_pages: Arc<AtomicU64>,
    page_bytes: u64,
    // Where the log stood when it was last looked at; shorter now means that it began anew.
    seen_bytes: u64,
    // How long the log must be before the thread is asked next, and before the writer restarts it.
    ask_at_bytes: u64,
    restart_at_bytes: u64,
    checkpoint_bytes: u64,
    wal_bytes_max: u64,
    metrics: SqliteMetrics,
    // While a backup reads the log cannot begin anew; the writer need not stop to find that out.
    backups: Backups,
}

impl Checkpointer {
    /// Opens its connection and starts its thread.
    pub(crate) fn start(path: &Path, options: &SqliteOptions, backups: Backups) -> Result<Self, OpenError> {
        let conn = schema::open_checkpointer(path)?;
        let page_bytes: u32 = conn.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let asks = Arc::new(Queue::new(1, Gauge::default()));
        let queue = Arc::clone(&asks);
        let on_fatal = Arc::clone(&options.on_fatal);
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || {
                let mut taken = Vec::new();
                while queue.take(1, &mut taken) {
                    taken.clear();
                    if let Err(error) = checkpoint(&conn, "PASSIVE") {
                        if is_unknowable(&error) {
                            on_fatal(&format!(
                                "a checkpoint could not be synced ({error}); nothing can be known of the database file"
                            ));
                        }
                        // The log keeps everything; the next one tries again.
                        tracing::warn!(%error, "a checkpoint did not succeed");
                    }
                }
            })
            .map_err(OpenError::Thread)?;
        Ok(Self {
            asks,
            thread: Some(thread),
            log_pages: Arc::default(),
            page_bytes: u64::from(page_bytes),
            seen_bytes: 0,
            ask_at_bytes: options.checkpoint_bytes,
            restart_at_bytes: options.wal_bytes_max,
            checkpoint_bytes: options.checkpoint_bytes,
            wal_bytes_max: options.wal_bytes_max,
            metrics: options.metrics.clone(),
            backups,
        })
    }

    /// Lets the writer's connection say after each commit how long the log is.
    pub(crate) fn watch(&self, writer: &mut Connection) -> Result<(), rusqlite::Error> {
        let log_pages = Arc::clone(&self.log_pages);
        writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            log_pages.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))
    }

    /// Called by the writer between groups. An error is one after which nothing can be known.
    pub(crate) fn maintain(&mut self, writer: &Connection) -> Result<(), rusqlite::Error> {
        let log_bytes = self.log_pages.load(Ordering::Relaxed) * self.page_bytes;
        self.metrics.wal_bytes.set(log_bytes);
        if log_bytes < self.seen_bytes {
            self.begins_anew();
        }
        self.seen_bytes = log_bytes;
        if log_bytes >= self.restart_at_bytes && !self.backups.is_running() {
            return self.restart(writer, log_bytes);
        }
        if log_bytes >= self.ask_at_bytes {
            self.ask_at_bytes = log_bytes.saturating_add(self.checkpoint_bytes);
            // Full means that it was asked already.
            let _ = self.asks.try_push(());
        }
        Ok(())
    }

    fn begins_anew(&mut self) {
        self.seen_bytes = 0;
        self.ask_at_bytes = self.checkpoint_bytes;
        self.restart_at_bytes = self.wal_bytes_max;
    }

    fn restart(&mut self, writer: &Connection, log_bytes: u64) -> Result<(), rusqlite::Error> {
        match checkpoint(writer, "RESTART") {
            Ok(true) => {
                tracing::info!(log_bytes, "the log begins anew");
                // The hook says so only with the next commit.
                self.log_pages.store(0, Ordering::Relaxed);
                self.begins_anew();
                return Ok(());
            }
            Ok(false) => tracing::warn!(log_bytes, "the log is long, and a reader holds on to it"),
            Err(error) if is_unknowable(&error) => return Err(error),
            Err(error) => tracing::warn!(%error, log_bytes, "the log is long, and cannot be checkpointed"),
        }
        // Not with every group: only when it grew by another step.
        self.restart_at_bytes = log_bytes.saturating_add(self.checkpoint_bytes);
        Ok(())
    }

    /// Ends the thread and waits for it.
    pub(crate) fn stop(&mut self) {
        self.asks.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether it got to the end of the log.
fn checkpoint(conn: &Connection, mode: &str) -> Result<bool, rusqlite::Error> {
    conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
}
