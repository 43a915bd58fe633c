//! What the store counts of itself. Metrics are handles: clone them, register one clone.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Why something was refused with `Overloaded`, as a label.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub struct OverloadLabel {
    /// `write_queue`, `read_queue` (full) or `disk` (full, read-only, busy).
    pub reason: &'static str,
}

/// The store's metrics.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    /// Changes that became durable: messages, deletions, read marks.
    pub commits: Counter,
    /// Groups that were committed, each with one fsync.
    pub groups: Counter,
    /// Writes in a group.
    pub group_size: Histogram,
    /// How long `COMMIT` took, which is mostly the disk.
    pub commit_seconds: Histogram,
    /// Writes that wait for the writer.
    pub writes_waiting: Gauge,
    /// Reads that wait for a reader.
    pub reads_waiting: Gauge,
    /// What was refused with `Overloaded`, by reason.
    pub refusals: Family<OverloadLabel, Counter>,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self {
            commits: Counter::default(),
            groups: Counter::default(),
            group_size: Histogram::new(exponential_buckets(1.0, 2.0, 13)),
            commit_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            writes_waiting: Gauge::default(),
            reads_waiting: Gauge::default(),
            refusals: Family::default(),
        }
    }
}

impl StoreMetrics {
    /// Puts all of them into `registry`, under `store_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("store");
        registry.register("commits", "Changes that became durable", self.commits.clone());
        registry.register("groups", "Groups committed, each with one fsync", self.groups.clone());
        registry.register("group_size", "Writes in a group", self.group_size.clone());
        registry.register_with_unit("commit", "How long COMMIT took", Unit::Seconds, self.commit_seconds.clone());
        registry.register("writes_waiting", "Writes that wait for the writer", self.writes_waiting.clone());
        registry.register("reads_waiting", "Reads that wait for a reader", self.reads_waiting.clone());
        registry.register("refusals", "Refused as overloaded, by reason", self.refusals.clone());
    }

    /// Counts a request that was refused with `Overloaded`.
    pub fn count_overload(&self, reason: &'static str) {
        self.refusals.get_or_create(&OverloadLabel { reason }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_registered_under_its_name() {
        let metrics = StoreMetrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        metrics.count_overload("disk");
        metrics.commits.inc();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("metrics can be encoded");
        for line in ["store_commits_total 1", "store_refusals_total{reason=\"disk\"} 1"] {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
    }
}
