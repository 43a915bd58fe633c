//! The server's store. This file alone chooses the database and knows what it offers beyond the contract.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use teahouse_hub::Bounds;
use teahouse_store::{BoundHook, CommitSink, Store};
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
    /// Opens the store of this configuration, which reports its bounds that are reached to `bounds`. Blocks.
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
        options.metrics.common.on_bound = BoundHook::new(move |bound, figure| bounds.record(bound, figure));
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
