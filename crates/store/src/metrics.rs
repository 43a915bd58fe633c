//! The metrics that every store has. Metrics are handles: clone them, register one clone.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Why a request was refused with `Overloaded`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OverloadReason {
    /// Too many writes are waiting.
    WriteQueue,
    /// Too many reads are waiting.
    ReadQueue,
    /// The database or its disk refuses for now: full, read-only, locked by another program.
    Disk,
}

impl EncodeLabelValue for OverloadReason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::WriteQueue => "write_queue",
            Self::ReadQueue => "read_queue",
            Self::Disk => "disk",
        })
    }
}

/// What the store calls with each bound that is reached; by default nothing. It must not block.
#[derive(Clone)]
pub struct BoundHook(Arc<dyn Fn(&'static str, u64) + Send + Sync>);

impl BoundHook {
    /// Calls this function with the name of the bound and the number that reached it.
    #[must_use]
    pub fn new(call: impl Fn(&'static str, u64) + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }

    /// Reports a bound, by its configuration key or constant, and the number that reached it.
    pub fn record(&self, bound: &'static str, figure: u64) {
        (self.0)(bound, figure);
    }
}

impl Default for BoundHook {
    fn default() -> Self {
        Self::new(|_, _| {})
    }
}

impl fmt::Debug for BoundHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoundHook")
    }
}

/// The label of requests that were refused with `Overloaded`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub struct OverloadLabel {
    /// Why.
    pub reason: OverloadReason,
}

/// The store's metrics.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    /// Commits: changes that became durable, such as messages, deletions and read marks.
    pub commits: Counter,
    /// Committed groups, each with one fsync.
    pub groups: Counter,
    /// Writes in a group.
    pub group_size: Histogram,
    /// The time that `COMMIT` took, mostly the disk's.
    pub commit_seconds: Histogram,
    /// Writes that wait for the writer.
    pub writes_waiting: Gauge,
    /// Reads that wait for a reader.
    pub reads_waiting: Gauge,
    /// Requests that were refused with `Overloaded`, by reason.
    pub refusals: Family<OverloadLabel, Counter>,
    /// Called with each bound that is reached.
    pub on_bound: BoundHook,
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
            on_bound: BoundHook::default(),
        }
    }
}

impl StoreMetrics {
    /// Registers all of them as `store_…`.
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
    pub fn count_overload(&self, reason: OverloadReason) {
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
        metrics.count_overload(OverloadReason::Disk);
        metrics.commits.inc();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("metrics can be encoded");
        for line in ["store_commits_total 1", "store_refusals_total{reason=\"disk\"} 1"] {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
    }
}
