//! What the hub counts, for the operator's page.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Label of a close: its code.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub struct CodeLabel {
    /// The close code.
    pub code: u16,
}

/// The hub's counters. Cloning shares them.
#[derive(Clone, Debug)]
pub struct HubMetrics {
    /// Live sessions now.
    pub sessions: Gauge,
    /// Distinct users online now, the lingering ones included.
    pub users: Gauge,
    /// Sessions that were attached.
    pub attaches: Counter,
    /// Sessions that made room for a newer one.
    pub displacements: Counter,
    /// Leaves of sessions that were no longer registered, which changed nothing.
    pub stale_leaves: Counter,
    /// WebSocket messages that came in.
    pub frames_in: Counter,
    /// Bytes that came in.
    pub bytes_in: Counter,
    /// WebSocket frames that went out.
    pub frames_out: Counter,
    /// Bytes that went out.
    pub bytes_out: Counter,
    /// Writes to sockets.
    pub writes: Counter,
    /// Room changes that were put before a session.
    pub deliveries: Counter,
    /// Pages read from the store for sessions that were too slow for a tail.
    pub catch_up_pages: Counter,
    /// Deliveries that an inbox had no room for; the store mends them.
    pub inbox_gaps: Counter,
    /// Frames that were no request.
    pub malformed: Counter,
    /// Handlers that panicked; each ended one session.
    pub panics: Counter,
    /// Sockets closed by us, by close code.
    pub closes: Family<CodeLabel, Counter>,
    /// Seconds between a shard's turns while it had work: how late anything on it can be.
    pub loop_lag: Histogram,
}

impl Default for HubMetrics {
    fn default() -> Self {
        Self {
            sessions: Gauge::default(),
            users: Gauge::default(),
            attaches: Counter::default(),
            displacements: Counter::default(),
            stale_leaves: Counter::default(),
            frames_in: Counter::default(),
            bytes_in: Counter::default(),
            frames_out: Counter::default(),
            bytes_out: Counter::default(),
            writes: Counter::default(),
            deliveries: Counter::default(),
            catch_up_pages: Counter::default(),
            inbox_gaps: Counter::default(),
            malformed: Counter::default(),
            panics: Counter::default(),
            closes: Family::default(),
            loop_lag: Histogram::new([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]),
        }
    }
}

impl HubMetrics {
    /// Makes all of them visible under their names.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("sessions", "Live sessions", self.sessions.clone());
        registry.register("users", "Distinct users online, the lingering ones included", self.users.clone());
        registry.register("attaches", "Sessions attached", self.attaches.clone());
        registry.register("displacements", "Sessions displaced by a newer one", self.displacements.clone());
        registry.register("stale_leaves", "Leaves that changed nothing", self.stale_leaves.clone());
        registry.register("frames_in", "WebSocket messages received", self.frames_in.clone());
        registry.register("bytes_in", "Bytes received over WebSocket", self.bytes_in.clone());
        registry.register("frames_out", "WebSocket frames sent", self.frames_out.clone());
        registry.register("bytes_out", "Bytes sent over WebSocket", self.bytes_out.clone());
        registry.register("writes", "Writes to WebSocket sockets", self.writes.clone());
        registry.register("deliveries", "Room changes put before sessions", self.deliveries.clone());
        registry.register("catch_up_pages", "Pages read for slow sessions", self.catch_up_pages.clone());
        registry.register("inbox_gaps", "Deliveries without room in a shard's inbox", self.inbox_gaps.clone());
        registry.register("malformed_envelopes", "Frames that were no request", self.malformed.clone());
        registry.register("handler_panics", "Handlers that panicked", self.panics.clone());
        registry.register("closes", "Sockets closed by the server", self.closes.clone());
        registry.register("shard_loop_lag_seconds", "How late a shard's turn came", self.loop_lag.clone());
    }
}
