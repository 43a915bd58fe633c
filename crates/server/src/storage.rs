//! The server's store. This file alone chooses the database and knows what it offers beyond the contract.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use teahouse_hub::Bounds;
use teahouse_store::{CommitSink, OverloadHook, OverloadReason, Store};
pub(crate) use teahouse_store_sqlite::Backups;
use teahouse_store_sqlite::{OpenError, SqliteMetrics, SqliteOptions, SqliteStore};

use crate::config::Config;

/// An open store.
pub(crate) struct Storage {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Copies the store; `None` when the database has its own tools for that.
    pub backups: Option<Backups>,
    metrics: SqliteMetrics,
}

impl Storage {
    /// Opens the store of this configuration, which reports its full queues to `bounds`. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`]; each one is a sentence for the operator.
    pub(crate) fn open(config: &Config, sink: Box<dyn CommitSink>, bounds: Bounds) -> Result<Self, OpenError> {
        let mut options = SqliteOptions {
            queue_max: config.store.queue_max,
            group_max: config.store.group_max,
            reads_max: config.store.reads_max,
            strangers_per_day: config.limits.strangers_per_day,
            ..SqliteOptions::new(&config.server.data)
        };
        let (writes_max, reads_max) = (config.store.queue_max as u64, config.store.reads_max as u64);
        options.metrics.common.on_overload = OverloadHook::new(move |reason| match reason {
            OverloadReason::WriteQueue => bounds.record("store.queue_max", writes_max),
            OverloadReason::ReadQueue => bounds.record("store.reads_max", reads_max),
            // The log and `/ready` name the disk.
            OverloadReason::Disk => {}
        });
        let metrics = options.metrics.clone();
        let store = SqliteStore::open(options, sink)?;
        let backups = Some(store.backups());
        Ok(Self { store: Arc::new(store), backups, metrics })
    }

    /// Registers the store's metrics.
    pub(crate) fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }
}
