//! The server's store. This file alone chooses the database and knows what it offers beyond the contract.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use teahouse_store::{CommitSink, Store};
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
    /// Opens the store of this configuration. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`]; each one is a sentence for the operator.
    pub(crate) fn open(config: &Config, sink: Box<dyn CommitSink>) -> Result<Self, OpenError> {
        let options = SqliteOptions {
            queue_max: config.store.queue_max,
            group_max: config.store.group_max,
            strangers_per_day: config.limits.strangers_per_day,
            ..SqliteOptions::new(&config.server.data)
        };
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
