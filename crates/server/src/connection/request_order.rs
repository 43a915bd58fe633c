//! Gives each request of a connection the order of its first byte, holds the permit of the connection's first request,
//! and marks the connection's place idle or busy.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use teahouse_core::AcceptOrder;

use super::{FirstRequestPermit, Place};

/// The order of the request whose head a connection is reading.
pub(crate) struct RequestOrder {
    next_accept_order: Arc<AtomicU64>,
    /// The order of the first byte of the current head; 0 while no byte of it has arrived.
    first_byte: AtomicU64,
    /// Held until the first request is answered or, by an upgrade, until the socket is gone.
    permit: Mutex<Option<FirstRequestPermit>>,
    place: Arc<Place>,
    /// A request is being answered.
    in_request: AtomicBool,
}

impl RequestOrder {
    /// The order of a connection whose first byte has arrived.
    #[must_use]
    pub(crate) fn new(
        next_accept_order: Arc<AtomicU64>,
        first_byte: AcceptOrder,
        permit: Option<FirstRequestPermit>,
        place: Arc<Place>,
    ) -> Self {
        Self {
            place,
            in_request: AtomicBool::new(false),
            next_accept_order,
            first_byte: AtomicU64::new(first_byte.0),
            permit: Mutex::new(permit),
        }
    }

    /// Notes that bytes arrived.
    pub(super) fn note_bytes(&self) {
        if self.first_byte.load(Ordering::Relaxed) == 0 {
            self.first_byte.store(self.next_accept_order.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Notes that no byte is there to read and none waits to be written: between requests the connection is idle.
    pub(super) fn note_silence(&self) {
        if !self.in_request.load(Ordering::Relaxed) {
            self.place.mark_idle();
        }
    }

    /// Starts a request, whose head is complete. `None` when the connection gave its place away meanwhile.
    #[must_use]
    pub(crate) fn start_request(&self) -> Option<AcceptOrder> {
        self.in_request.store(true, Ordering::Relaxed);
        // A pipelined request arrived together with the one before it.
        self.note_bytes();
        self.place.begin_request().then(|| AcceptOrder(self.first_byte.load(Ordering::Relaxed)))
    }

    /// Notes that the answer begins: the next byte belongs to the next head. Bytes that arrived before were the body.
    pub(super) fn begin_answer(&self, status: StatusCode) {
        self.first_byte.store(0, Ordering::Relaxed);
        if status != StatusCode::SWITCHING_PROTOCOLS {
            self.release_permit();
        }
    }

    /// Ends a request whose answer is written, or is not going to be.
    pub(super) fn end_request(&self) {
        self.in_request.store(false, Ordering::Relaxed);
        self.place.end_request();
    }

    /// Lets another connection begin its first request.
    pub(crate) fn release_permit(&self) {
        self.permit.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
