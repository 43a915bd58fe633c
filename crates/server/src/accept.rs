//! The accept loop: it turns sockets into HTTP connections, or into sessions at once, within bounds. It notes the order
//! of first bytes, which decides the order of a user's connections. A connection gets a place (`connection/places.rs`);
//! when there is none, it gets one of a small reserve, in which only probes are answered. It interprets no request.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use hyper::Request;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketFlags, acceptfrom_with, recv};
use socket2::{Domain, Protocol, Socket, Type};
use teahouse_core::AcceptOrder;
use teahouse_hub::Bounds;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::config::Server;
use crate::connection::first_head::{self, Arrived, FIRST_BYTES_MAX};
use crate::connection::{
    AnswerBody, BoundNames, FirstByteOrder, FirstRequest, FirstRequestPermit, PeerAddr, Place, PlaceRules, Places,
    RequestOrder, StallTimeoutStream,
};
use crate::fair_permits::FairPermits;
use crate::http::address::is_trusted;
use crate::ip_prefix::IpPrefix;
use crate::websocket::{Handshakes, RefusedHandshake};

/// The backlog of a listener; the kernel caps it (`net.core.somaxconn`).
const BACKLOG: i32 = 65_535;
/// The kernel's send buffer of one socket in bytes (the kernel doubles it): what a reader that stalls costs beyond the
/// bytes that the server counts.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// First requests in progress at once, from head to answer, of proxies and of all other peers. Each holds 8 KiB of
/// hyper's and the memory of its handshake, and the heap keeps its peak (docs/performance.md).
const FIRST_REQUESTS_MAX: usize = 64;
/// Places for connections beyond the maximum. Probes come one at a time, so that few places suffice; the oldest idle
/// connection gives way.
const RESERVE: usize = 16;
/// A first request that is slow to be answered blocks another connection's for at most this long.
const FIRST_REQUEST_PATIENCE: Duration = Duration::from_millis(250);
/// The pause of the accept loop when the process is out of descriptors.
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(100);

/// A listener whose backlog absorbs a reconnect storm.
pub(crate) struct Listener(AsyncFd<std::net::TcpListener>);

impl Listener {
    /// Listens on an address.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        // Accepted sockets inherit both (tcp(7)), which saves system calls for each.
        socket.set_tcp_nodelay(true)?;
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe code, for descriptors that may be closed; a listener's is not"
        )]
        let listener = AsyncFd::with_interest(socket.into(), Interest::READABLE)?;
        Ok(Self(listener))
    }

    /// The bound address.
    ///
    /// # Errors
    /// The kernel does not report it.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }

    /// The next connection, nonblocking. No runtime owns it yet, since most sockets move to a shard at once.
    async fn accept(&self) -> io::Result<(std::net::TcpStream, SocketAddr)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let accept = |listener: &std::net::TcpListener| Ok(acceptfrom_with(listener, flags)?);
        let (socket, peer) = self.0.async_io(Interest::READABLE, accept).await?;
        let peer = peer.and_then(|peer| peer.try_into().ok()).ok_or(ErrorKind::ConnectionAborted)?;
        Ok((socket.into(), peer))
    }
}

/// What a listener serves, and how many connections it has.
pub(crate) struct Serving {
    /// Answers requests.
    pub router: Router,
    /// Answers requests of the reserve, when every place is taken.
    pub router_when_full: Router,
    /// Gets the first request of each connection before HTTP does.
    pub handshakes: Option<Handshakes>,
    /// The bounds of its connections.
    pub rules: PlaceRules,
    /// The names of these bounds.
    pub names: BoundNames,
    /// Reports bounds that were reached.
    pub bounds: Bounds,
}

/// State that all connections of a listener share.
struct Shared {
    router: Router,
    router_when_full: Router,
    handshakes: Option<Handshakes>,
    places: Arc<Places>,
    reserve: Arc<Places>,
    next_accept_order: Arc<AtomicU64>,
    first_requests_of_proxies: Arc<Semaphore>,
    first_requests_of_addresses: Arc<FairPermits<IpPrefix, ()>>,
    header_timeout: Duration,
    header_bytes_max: usize,
    closing: CancellationToken,
}

impl Shared {
    fn new(serving: Serving, config: &Server, closing: CancellationToken) -> Self {
        let Serving { router, router_when_full, handshakes, rules, names, bounds } = serving;
        let for_all = PlaceRules { places: RESERVE, unauthenticated_max: RESERVE, per_prefix_max: RESERVE };
        let reserve = BoundNames { places: "RESERVE", unauthenticated: "RESERVE", per_prefix: "RESERVE" };
        Self {
            router,
            router_when_full,
            handshakes,
            places: Places::new(rules, names, bounds.clone()),
            reserve: Places::new(for_all, reserve, bounds),
            next_accept_order: Arc::new(AtomicU64::new(1)),
            first_requests_of_proxies: Arc::new(Semaphore::new(FIRST_REQUESTS_MAX)),
            // Connections are bounded, so those that wait are, too.
            first_requests_of_addresses: FairPermits::new(vec![(); FIRST_REQUESTS_MAX], usize::MAX, usize::MAX),
            header_timeout: config.header_timeout,
            header_bytes_max: config.header_bytes_max.0,
            closing,
        }
    }

    /// The permit of a connection's first request.
    async fn permit_first_request(&self, place: &Place) -> Option<FirstRequestPermit> {
        match place.peer() {
            None => {
                let permits = Arc::clone(&self.first_requests_of_proxies);
                permits.acquire_owned().await.ok().map(FirstRequestPermit::OfProxies)
            }
            Some(prefix) => {
                let permit = self.first_requests_of_addresses.acquire(prefix, |_, _| ()).await;
                permit.ok().map(FirstRequestPermit::OfAddresses)
            }
        }
    }

    fn next_order(&self) -> AcceptOrder {
        AcceptOrder(self.next_accept_order.fetch_add(1, Ordering::Relaxed))
    }

    /// A place for a new connection, and whether it is one of the reserve.
    fn admit(&self, peer: SocketAddr, is_proxy: bool) -> Option<(Place, bool)> {
        let prefix = IpPrefix::of(peer.ip());
        match self.places.admit((!is_proxy).then_some(prefix)) {
            Some(place) => Some((place, false)),
            None => self.reserve.admit(Some(prefix)).map(|place| (place, true)),
        }
    }
}

/// Accepts connections until `closing`, then waits until every HTTP connection is answered and closed.
pub(crate) async fn serve(listener: Listener, serving: Serving, config: &Server, closing: CancellationToken) {
    let shared = Arc::new(Shared::new(serving, config, closing.clone()));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = closing.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Without a place, not even one of the reserve, the connection is closed.
                if let Some((place, is_reserve)) = shared.admit(peer, is_trusted(peer.ip(), config.trusted_proxies())) {
                    connections.spawn(serve_connection(Arc::clone(&shared), stream, peer, place, is_reserve));
                }
            }
            Err(error) if is_connection_error(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "accept failed; pausing");
                tokio::time::sleep(DESCRIPTOR_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Whether an error of accept concerns only the new connection (accept(2), "Error handling").
fn is_connection_error(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}

async fn serve_connection(
    shared: Arc<Shared>,
    stream: std::net::TcpStream,
    peer: SocketAddr,
    place: Place,
    is_reserve: bool,
) {
    let Some((stream, accepted)) = wait_for_head(&shared, stream, &place).await else { return };
    // A connection of the reserve waits for no permit: its probe is answered even if other requests hold all permits.
    let permit = match is_reserve {
        true => None,
        false => shared.permit_first_request(&place).await,
    };
    // Boxed, so that a task that waits for the permit is small.
    Box::pin(serve_first_request(&shared, stream, accepted, peer, place, (permit, is_reserve))).await;
}

/// Reads the first request and offers it to the fast handshake; HTTP serves everything else.
async fn serve_first_request(
    shared: &Shared,
    stream: std::net::TcpStream,
    accepted: AcceptOrder,
    peer: SocketAddr,
    place: Place,
    (mut permit, is_reserve): (Option<FirstRequestPermit>, bool),
) {
    let Some(bytes) = read_first_bytes(&stream) else { return };
    let mut refused = None;
    let mut first = FirstRequest { stream, accepted, peer, bytes, place };
    if let Some(handshakes) = shared.handshakes.as_ref().filter(|_| !is_reserve) {
        let mut attaching = pin!(handshakes.try_attach(first));
        let for_http = tokio::select! {
            biased;
            for_http = &mut attaching => for_http,
            () = tokio::time::sleep(FIRST_REQUEST_PATIENCE) => {
                permit = None;
                attaching.await
            }
        };
        match for_http {
            None => return,
            Some(for_http) => (first, refused) = for_http,
        }
    }
    Box::pin(serve_http(shared, first, refused, permit, is_reserve)).await;
}

/// Waits for the head of a connection's first request, and notes the order of its first byte. `None` when it does not
/// arrive in time, or the connection gave way. Until then a connection costs its descriptor, its place and this task.
async fn wait_for_head(
    shared: &Shared,
    stream: std::net::TcpStream,
    place: &Place,
) -> Option<(std::net::TcpStream, AcceptOrder)> {
    let arrived = first_head::peek(&stream, shared.header_bytes_max);
    if arrived == Arrived::All {
        let accepted = shared.next_order();
        return place.mark_busy().then_some((stream, accepted));
    }
    let mut accepted = (arrived == Arrived::Part).then(|| shared.next_order());
    let stream = TcpStream::from_std(stream).ok()?;
    let arrival = async {
        let mut arrived = arrived;
        if arrived == Arrived::Nothing {
            arrived = tokio::select! {
                () = shared.closing.cancelled() => Arrived::End,
                arrived = first_head::wait_for_more(&stream, shared.header_bytes_max, Arrived::Nothing) => arrived,
            };
            accepted = (arrived != Arrived::End).then(|| shared.next_order());
        }
        // A request that has begun is answered, also during a shutdown.
        if arrived == Arrived::Part {
            arrived = first_head::wait_for_more(&stream, shared.header_bytes_max, Arrived::Part).await;
        }
        arrived == Arrived::All
    };
    let arrived = tokio::select! {
        () = place.wait_to_give_way() => false,
        arrived = tokio::time::timeout(shared.header_timeout, arrival) => arrived.unwrap_or(false),
    };
    if !arrived || !place.mark_busy() {
        return None;
    }
    Some((stream.into_std().ok()?, accepted?))
}

/// The bytes of the first request that have arrived; `None` when the connection is closed or broken.
fn read_first_bytes(stream: &std::net::TcpStream) -> Option<Bytes> {
    let mut bytes = Vec::with_capacity(FIRST_BYTES_MAX);
    match recv(stream, spare_capacity(&mut bytes), RecvFlags::empty()) {
        Ok((_, 0)) => None,
        // The peeked bytes should be there; if the kernel says otherwise, HTTP waits for them.
        Ok(_) | Err(Errno::WOULDBLOCK | Errno::INTR) => Some(bytes.into()),
        Err(_) => None,
    }
}

/// Serves HTTP on a connection of which some bytes have been read. A refused handshake is only answered here. A
/// connection of the reserve ends after its first answer.
async fn serve_http(
    shared: &Shared,
    first: FirstRequest,
    refused: Option<RefusedHandshake>,
    permit: Option<FirstRequestPermit>,
    is_reserve: bool,
) {
    let FirstRequest { stream, accepted, peer, bytes, place } = first;
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    // tokio reports a newly registered socket as not writable until its driver has turned once. hyper, when it gives up
    // on a request (a body that does not arrive), would then close the connection with the answer unwritten.
    if stream.writable().await.is_err() {
        return;
    }
    let router = if is_reserve { &shared.router_when_full } else { &shared.router };
    let place = Arc::new(place);
    let next_order = Arc::clone(&shared.next_accept_order);
    let order = Arc::new(RequestOrder::new(next_order, accepted, permit, Arc::clone(&place)));
    let service = {
        let (order, router, place) = (Arc::clone(&order), router.clone(), Arc::clone(&place));
        let refused = Mutex::new(refused);
        service_fn(move |mut request: Request<Incoming>| {
            let started = order.start_request();
            let extensions = request.extensions_mut();
            if let Some(accepted) = started {
                extensions.insert(FirstByteOrder(accepted));
            }
            extensions.insert(PeerAddr(peer));
            extensions.insert(Arc::clone(&place));
            if let Some(refused) = refused.lock().unwrap_or_else(PoisonError::into_inner).take() {
                extensions.insert(refused);
            }
            let answer = started.map(|_| call(router.clone(), request, Arc::clone(&order)));
            async { answer.ok_or(GaveWay)?.await }
        })
    };
    let io = TokioIo::new(StallTimeoutStream::new(stream, bytes, Arc::clone(&order)));
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.header_timeout)
        .max_buf_size(shared.header_bytes_max)
        .keep_alive(!is_reserve)
        .serve_connection(io, service)
        .with_upgrades();
    let mut http = pin!(http);

    let patience = tokio::time::sleep(FIRST_REQUEST_PATIENCE);
    tokio::select! {
        _ = &mut http => return,
        () = place.wait_to_give_way() => return,
        () = patience => order.release_permit(),
    }
    tokio::select! {
        _ = &mut http => return,
        () = place.wait_to_give_way() => return,
        () = shared.closing.cancelled() => http.as_mut().graceful_shutdown(),
    }
    // Errors of the peer need no log line, and the server's own were logged where they happened.
    let _ = http.await;
}

/// The connection gave its place away when a request arrived; it closes without an answer, as an idle one may.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the connection gave its place away")]
struct GaveWay;

/// The body of a request. A first request releases its permit while it waits for its body.
struct RequestBody {
    body: Incoming,
    order: Arc<RequestOrder>,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_pending() {
            self.order.release_permit();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn call(
    mut router: Router,
    request: Request<Incoming>,
    order: Arc<RequestOrder>,
) -> Result<hyper::Response<AnswerBody>, GaveWay> {
    let awaited = Arc::clone(&order);
    let request = request.map(|body| axum::body::Body::new(RequestBody { body, order: awaited }));
    let response = router.call(request).await;
    let response = response.unwrap_or_else(|never| match never {});
    Ok(AnswerBody::begin(response, order))
}

#[cfg(test)]
mod tests;
