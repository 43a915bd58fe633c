//! The data of a connection that the accept loop and the WebSocket handshake share: its place, its peer, its first bytes
//! and the order of its requests. It accepts nothing and interprets no request.

mod answer_body;
pub(crate) mod first_head;
mod places;
mod request_order;
mod stream;

use std::net::SocketAddr;

use bytes::Bytes;
use teahouse_core::AcceptOrder;
use tokio::sync::OwnedSemaphorePermit;

use crate::fair_permits::FairPermit;
use crate::ip_prefix::IpPrefix;
pub(crate) use answer_body::AnswerBody;
pub(crate) use places::{BoundNames, Place, PlaceRules, Places};
pub(crate) use request_order::RequestOrder;
pub(crate) use stream::StallTimeoutStream;

/// The permit of a connection's first request.
#[allow(dead_code, reason = "a permit is held and not read")]
pub(crate) enum FirstRequestPermit {
    /// Of the proxies' connections, in the order of their requests: the addresses behind them are not known yet.
    OfProxies(OwnedSemaphorePermit),
    /// Of all other addresses. One with many requests delays no other.
    OfAddresses(FairPermit<IpPrefix, ()>),
}

/// The order of a request's first byte among the first bytes of all requests, in the request's extensions. It decides
/// which of a user's connections is the newest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstByteOrder(pub AcceptOrder);

/// The address of the other end of the connection, in the request's extensions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PeerAddr(pub SocketAddr);

/// A connection whose first request's head has arrived.
pub(crate) struct FirstRequest {
    /// The socket, nonblocking.
    pub stream: std::net::TcpStream,
    /// The order of its first byte.
    pub accepted: AcceptOrder,
    /// The other end.
    pub peer: SocketAddr,
    /// The bytes that have arrived, possibly a part of the request.
    pub bytes: Bytes,
    /// Its place.
    pub place: Place,
}
