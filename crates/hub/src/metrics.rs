//! The hub's metrics. Their names are documented and never change.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::bounds::Bounds;

/// The label of `closes`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub struct CodeLabel {
    /// The close code.
    pub code: u16,
}

/// The hub's metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct HubMetrics {
    /// Live sessions.
    pub sessions: Gauge,
    /// Distinct users online, lingering ones included.
    pub users: Gauge,
    /// Sessions attached.
    pub attaches: Counter,
    /// Sessions displaced by a newer one.
    pub displacements: Counter,
    /// Leaves of sessions that were no longer registered.
    pub stale_leaves: Counter,
    /// WebSocket messages received.
    pub frames_in: Counter,
    /// Bytes received.
    pub bytes_in: Counter,
    /// WebSocket frames sent.
    pub frames_out: Counter,
    /// Bytes sent.
    pub bytes_out: Counter,
    /// Writes to sockets.
    pub writes: Counter,
    /// Room changes sent to sessions.
    pub deliveries: Counter,
    /// Pages read from the store for sessions that were behind a tail.
    pub catch_up_pages: Counter,
    /// Deliveries that did not fit into an inbox; the shard reads the store instead.
    pub inbox_gaps: Counter,
    /// Frames that were no valid request.
    pub malformed: Counter,
    /// Handlers that panicked. Each panic ended one session.
    pub panics: Counter,
    /// Sockets that the server closed, by close code.
    pub closes: Family<CodeLabel, Counter>,
    /// Seconds by which a shard's tick was late: the latency that its sessions see.
    pub loop_lag: Histogram,
    /// The bounds that were reached, those of the server included.
    pub bounds: Bounds,
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
            bounds: Bounds::default(),
        }
    }
}

impl HubMetrics {
    /// Registers all metrics under their names.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("sessions", "Live sessions", self.sessions.clone());
        registry.register("users", "Distinct users online, lingering ones included", self.users.clone());
        registry.register("attaches", "Sessions attached", self.attaches.clone());
        registry.register("displacements", "Sessions displaced by a newer one", self.displacements.clone());
        registry.register("stale_leaves", "Leaves that changed nothing", self.stale_leaves.clone());
        registry.register("frames_in", "WebSocket messages received", self.frames_in.clone());
        registry.register("bytes_in", "Bytes received over WebSocket", self.bytes_in.clone());
        registry.register("frames_out", "WebSocket frames sent", self.frames_out.clone());
        registry.register("bytes_out", "Bytes sent over WebSocket", self.bytes_out.clone());
        registry.register("writes", "Writes to WebSocket sockets", self.writes.clone());
        registry.register("deliveries", "Room changes sent to sessions", self.deliveries.clone());
        registry.register(
            "catch_up_pages",
            "Pages read from the store for sessions that were behind",
            self.catch_up_pages.clone(),
        );
        registry.register("inbox_gaps", "Deliveries that did not fit into a shard's inbox", self.inbox_gaps.clone());
        registry.register("malformed_envelopes", "Frames that were no valid request", self.malformed.clone());
        registry.register("handler_panics", "Handlers that panicked", self.panics.clone());
        registry.register("closes", "Sockets closed by the server", self.closes.clone());
        registry.register("shard_loop_lag_seconds", "Seconds by which a shard's tick was late", self.loop_lag.clone());
        self.bounds.register(registry);
    }
}
