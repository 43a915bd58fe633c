//! Gives each request of a connection the order of its first byte, and holds the permit of the connection's first
//! request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use teahouse_core::AcceptOrder;
use tokio::sync::OwnedSemaphorePermit;

/// The order of the request whose head a connection is reading.
pub(crate) struct RequestOrder {
    next_accept_order: Arc<AtomicU64>,
    /// The order of the first byte of the current head; 0 while no byte of it has arrived.
    first_byte: AtomicU64,
    /// Held until the first request is answered or, by an upgrade, until the socket is gone.
    first_request_permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl RequestOrder {
    /// The order of a connection whose first byte has arrived.
    #[must_use]
    pub(crate) fn new(
        next_accept_order: Arc<AtomicU64>,
        first_byte: AcceptOrder,
        first_request_permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            next_accept_order,
            first_byte: AtomicU64::new(first_byte.0),
            first_request_permit: Mutex::new(first_request_permit),
        }
    }

    /// Notes that bytes arrived.
    pub(super) fn note_bytes(&self) {
        if self.first_byte.load(Ordering::Relaxed) == 0 {
            self.first_byte.store(self.next_accept_order.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Starts a request, whose head is complete.
    #[must_use]
    pub(crate) fn start_request(&self) -> AcceptOrder {
        // A pipelined request arrived together with the one before it.
        self.note_bytes();
        AcceptOrder(self.first_byte.load(Ordering::Relaxed))
    }

    /// Ends an answered request: the next byte belongs to the next head. Bytes that arrived before were the body.
    pub(crate) fn end_request(&self, status: StatusCode) {
        self.first_byte.store(0, Ordering::Relaxed);
        if status != StatusCode::SWITCHING_PROTOCOLS {
            self.release_permit();
        }
    }

    /// Lets another connection begin its first request.
    pub(crate) fn release_permit(&self) {
        self.first_request_permit.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
