//! Checkpoints: a thread moves the log into the database while the writer continues; the writer itself does so when the
//! log grew too long. It never decides what is durable; the log is, from the commit on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use prometheus_client::metrics::gauge::Gauge;
use rusqlite::Connection;

use crate::backup::Backups;
use crate::queue::Queue;
use crate::writer::leaves_durability_unknown;
use crate::{OpenError, SqliteMetrics, SqliteOptions, schema};

/// The checkpointing thread, and how far the log has grown. Owned by the writer.
pub(crate) struct Checkpointer {
    // Capacity 1: a second request adds nothing.
    requests: Arc<Queue<()>>,
    thread: Option<JoinHandle<()>>,
    log_pages: Arc<AtomicU64>,
    page_bytes: u64,
    // The length of the log at the last look. A shorter log was restarted.
    seen_bytes: u64,
    // The lengths at which the thread is asked next, and at which the writer restarts the log.
    request_at_bytes: u64,
    restart_at_bytes: u64,
    checkpoint_bytes: u64,
    wal_bytes_max: u64,
    metrics: SqliteMetrics,
    // While a backup reads, the log cannot restart, and the writer does not try.
    backups: Backups,
}

impl Checkpointer {
    /// Opens its connection and starts its thread.
    pub(crate) fn start(path: &Path, options: &SqliteOptions, backups: Backups) -> Result<Self, OpenError> {
        let conn = schema::open_checkpointer(path)?;
        let page_bytes: u32 = conn.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let requests = Arc::new(Queue::new(1, Gauge::default()));
        let queue = Arc::clone(&requests);
        let on_fatal = Arc::clone(&options.on_fatal);
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || {
                let mut taken = Vec::new();
                while queue.take(1, &mut taken) {
                    taken.clear();
                    if let Err(error) = checkpoint(&conn, "PASSIVE") {
                        if leaves_durability_unknown(&error) {
                            on_fatal(&format!(
                                "a checkpoint could not be synced ({error}); nothing can be known of the database file"
                            ));
                        }
                        // The log keeps everything; the next checkpoint tries again.
                        tracing::warn!(%error, "checkpoint failed");
                    }
                }
            })
            .map_err(OpenError::Thread)?;
        Ok(Self {
            requests,
            thread: Some(thread),
            log_pages: Arc::default(),
            page_bytes: u64::from(page_bytes),
            seen_bytes: 0,
            request_at_bytes: options.checkpoint_bytes,
            restart_at_bytes: options.wal_bytes_max,
            checkpoint_bytes: options.checkpoint_bytes,
            wal_bytes_max: options.wal_bytes_max,
            metrics: options.metrics.clone(),
            backups,
        })
    }

    /// Makes the writer's connection report the length of the log after each commit.
    pub(crate) fn watch(&self, writer: &mut Connection) -> Result<(), rusqlite::Error> {
        let log_pages = Arc::clone(&self.log_pages);
        writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            log_pages.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))
    }

    /// Called by the writer between groups. After an error nobody can know what is durable.
    pub(crate) fn maintain(&mut self, writer: &Connection) -> Result<(), rusqlite::Error> {
        let log_bytes = self.log_pages.load(Ordering::Relaxed) * self.page_bytes;
        self.metrics.wal_bytes.set(log_bytes);
        if log_bytes < self.seen_bytes {
            self.mark_restarted();
        }
        self.seen_bytes = log_bytes;
        if log_bytes >= self.restart_at_bytes && !self.backups.is_running() {
            return self.restart(writer, log_bytes);
        }
        if log_bytes >= self.request_at_bytes {
            self.request_at_bytes = log_bytes.saturating_add(self.checkpoint_bytes);
            // A full queue: a request is waiting already.
            let _ = self.requests.try_push(());
        }
        Ok(())
    }

    fn mark_restarted(&mut self) {
        self.seen_bytes = 0;
        self.request_at_bytes = self.checkpoint_bytes;
        self.restart_at_bytes = self.wal_bytes_max;
    }

    fn restart(&mut self, writer: &Connection, log_bytes: u64) -> Result<(), rusqlite::Error> {
        match checkpoint(writer, "RESTART") {
            Ok(true) => {
                tracing::info!(log_bytes, "log restarted");
                // The hook reports it only with the next commit.
                self.log_pages.store(0, Ordering::Relaxed);
                self.mark_restarted();
                return Ok(());
            }
            Ok(false) => tracing::warn!(log_bytes, "log is long and a reader holds it"),
            Err(error) if leaves_durability_unknown(&error) => return Err(error),
            Err(error) => tracing::warn!(%error, log_bytes, "log is long and the checkpoint failed"),
        }
        // Not with every group: only after it grew by another step.
        self.restart_at_bytes = log_bytes.saturating_add(self.checkpoint_bytes);
        Ok(())
    }

    /// Ends the thread and waits for it.
    pub(crate) fn stop(&mut self) {
        self.requests.close();
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

/// Returns whether the checkpoint reached the end of the log.
fn checkpoint(conn: &Connection, mode: &str) -> Result<bool, rusqlite::Error> {
    conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
}
