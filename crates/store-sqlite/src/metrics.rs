//! The store's metrics, and the length of its log. Metrics are handles: clone them, register one clone.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use teahouse_store::StoreMetrics;

/// The metrics of a SQLite store.
#[derive(Clone, Default, Debug)]
pub struct SqliteMetrics {
    /// The metrics that every store has.
    pub common: StoreMetrics,
    /// Bytes of the write-ahead log in use.
    pub wal_bytes: Gauge<u64, AtomicU64>,
}

impl SqliteMetrics {
    /// Registers all of them as `store_…`.
    pub fn register(&self, registry: &mut Registry) {
        self.common.register(registry);
        let registry = registry.sub_registry_with_prefix("store");
        registry.register_with_unit("wal", "The write-ahead log in use", Unit::Bytes, self.wal_bytes.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_registered_under_its_name() {
        let mut registry = Registry::default();
        SqliteMetrics::default().register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("metrics can be encoded");
        for line in ["store_commits_total 0", "store_wal_bytes 0"] {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
    }
}
