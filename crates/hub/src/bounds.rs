//! Reports every bound that was reached: a counter for each, and at most one log line a minute for each. It decides
//! nothing: the code that has a bound refuses, waits or closes, and then reports it here.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::maps::HashMap;

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct BoundLabel {
    bound: &'static str,
}

/// How often a bound was reached since the last log line about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Unlogged {
    times: u64,
    highest: u64,
}

/// The bounds that were reached. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    reached: Family<BoundLabel, Counter>,
    /// The bounds of which a line was logged in this minute. Locked for one lookup.
    logged: Arc<Mutex<HashMap<&'static str, Unlogged>>>,
}

impl Bounds {
    /// Records that a bound was reached. `bound` is the name of its configuration key, or of its constant; `figure` is
    /// the number that reached it, in the bound's own unit. The first time in a minute is logged at once.
    pub fn record(&self, bound: &'static str, figure: u64) {
        self.reached.get_or_create(&BoundLabel { bound }).inc();
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(unlogged) = logged.get_mut(bound) {
            unlogged.times += 1;
            unlogged.highest = unlogged.highest.max(figure);
            return;
        }
        logged.insert(bound, Unlogged { times: 0, highest: 0 });
        drop(logged);
        tracing::warn!(bound, figure, "bound reached");
    }

    /// Logs the bounds that were reached again in this minute, and begins the next one. The server calls it once a
    /// minute.
    pub fn log_repeated(&self) {
        let logged = std::mem::take(&mut *self.logged.lock().unwrap_or_else(PoisonError::into_inner));
        for (bound, Unlogged { times, highest }) in logged {
            if times > 0 {
                tracing::warn!(bound, times, highest, "bound reached again");
            }
        }
    }

    /// How often a bound was reached since the start.
    #[must_use]
    pub fn times(&self, bound: &'static str) -> u64 {
        self.reached.get_or_create(&BoundLabel { bound }).get()
    }

    /// Registers the metric.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("bounds_reached", "Times that a bound was reached, by bound", self.reached.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_counted_and_the_first_of_a_minute_is_logged_alone() {
        let bounds = Bounds::default();
        let unlogged = || bounds.logged.lock().unwrap().get("limits.answers").copied();
        bounds.record("limits.answers", 7);
        assert_eq!(unlogged(), Some(Unlogged { times: 0, highest: 0 }));
        bounds.record("limits.answers", 9);
        bounds.record("limits.answers", 8);
        assert_eq!(unlogged(), Some(Unlogged { times: 2, highest: 9 }));
        bounds.log_repeated();
        assert_eq!((unlogged(), bounds.times("limits.answers"), bounds.times("limits.other")), (None, 3, 0));
    }
}
