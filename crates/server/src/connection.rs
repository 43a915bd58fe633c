//! The data of a connection that the accept loop and the WebSocket handshake share: its permit, its peer, its first
//! bytes and the order of its requests. It accepts nothing and interprets no request.

mod request_order;
mod stream;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use teahouse_core::AcceptOrder;
use tokio::sync::OwnedSemaphorePermit;

pub(crate) use request_order::RequestOrder;
pub(crate) use stream::StallTimeoutStream;

/// The order of a request's first byte among the first bytes of all requests, in the request's extensions. It decides
/// which of a user's connections is the newest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstByteOrder(pub AcceptOrder);

/// The address of the other end of the connection, in the request's extensions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PeerAddr(pub SocketAddr);

/// The permit of a connection under `server.connections_max`, in the request's extensions. An upgrade takes it along.
#[derive(Clone)]
pub(crate) struct ConnectionPermit(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl ConnectionPermit {
    /// Shares the permit among the requests of a connection.
    #[must_use]
    pub(crate) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Mutex::new(Some(permit))))
    }

    /// Takes the permit out, so that it outlives the HTTP connection.
    #[must_use]
    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A connection whose first bytes have arrived.
pub(crate) struct FirstRequest {
    /// The socket, nonblocking.
    pub stream: std::net::TcpStream,
    /// The order of its first byte.
    pub accepted: AcceptOrder,
    /// The other end.
    pub peer: SocketAddr,
    /// The bytes that have arrived, possibly a part of the request.
    pub bytes: Bytes,
    /// The permit under `server.connections_max`.
    pub permit: OwnedSemaphorePermit,
}
