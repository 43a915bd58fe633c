//! The fixed parameters of a shard: its bounds, metrics, ports, and the state that it shares with the other shards.
//! None of them is replaced while the shard runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use teahouse_core::SessionId;

use crate::inbox::{Delivery, Inbox};
use crate::metrics::HubMetrics;
use crate::online::Online;
use crate::options::HubOptions;
use crate::ports::{HistoryReader, RequestHandler};

/// The server's implementations of the hub's ports.
#[derive(Clone)]
pub(crate) struct Ports {
    pub(crate) handler: Arc<dyn RequestHandler>,
    pub(crate) history: Arc<dyn HistoryReader>,
}

/// The fixed parameters of a shard.
pub(crate) struct Environment {
    pub(crate) index: usize,
    pub(crate) options: HubOptions,
    pub(crate) metrics: HubMetrics,
    pub(crate) ports: Ports,
    /// Users online on all shards. Each shard writes only its own users.
    pub(crate) online: Arc<Online>,
    /// The inbox of every shard, this one included.
    pub(crate) inboxes: Arc<[Arc<Inbox>]>,
    pub(crate) next_session: Arc<AtomicU64>,
}

impl Environment {
    pub(super) fn own_inbox(&self) -> &Arc<Inbox> {
        &self.inboxes[self.index]
    }

    pub(super) fn put_to_other_shards(&self, deliveries: &[Delivery]) {
        for (index, inbox) in self.inboxes.iter().enumerate() {
            if index != self.index {
                inbox.push(deliveries, &self.metrics);
            }
        }
    }

    pub(super) fn allocate_session_id(&self) -> SessionId {
        SessionId(self.next_session.fetch_add(1, Ordering::Relaxed))
    }
}
