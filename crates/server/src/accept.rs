//! The accept loop: it turns sockets into HTTP connections, or into sessions at once, within bounds. It notes the order
//! of first bytes, which decides the order of a user's connections. It interprets no request.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use bytes::Bytes;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketFlags, acceptfrom_with, recv};
use socket2::{Domain, Protocol, Socket, Type};
use teahouse_core::AcceptOrder;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::config::Server;
use crate::connection::{ConnectionPermit, FirstByteOrder, FirstRequest, PeerAddr, RequestOrder, StallTimeoutStream};
use crate::websocket::{Handshakes, RefusedHandshake};

/// The backlog of a listener; the kernel caps it (`net.core.somaxconn`).
const BACKLOG: i32 = 65_535;
/// First requests in progress at once, from head to answer. Each holds 8 KiB of hyper's and the memory of its
/// handshake, and the heap keeps its peak (docs/performance.md).
const FIRST_REQUESTS_MAX: usize = 64;
/// Bytes of a first request that one read takes; most requests are shorter.
const FIRST_BYTES_MAX: usize = 4096;
/// A first request that is slow to arrive or to be answered blocks another connection's for at most this long.
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
        // Accepted sockets inherit it (tcp(7)), which saves a system call for each.
        socket.set_tcp_nodelay(true)?;
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

/// State that all connections of a listener share.
#[derive(Clone)]
struct Shared {
    router: Router,
    handshakes: Option<Handshakes>,
    next_accept_order: Arc<AtomicU64>,
    first_requests: Arc<Semaphore>,
    header_timeout: Duration,
    header_bytes_max: usize,
    closing: CancellationToken,
}

/// Accepts connections until `closing`, then waits until every HTTP connection is answered and closed. `handshakes`
/// gets the first bytes of each connection before HTTP does.
pub(crate) async fn serve(
    listener: Listener,
    router: Router,
    handshakes: Option<Handshakes>,
    config: &Server,
    closing: CancellationToken,
) {
    let shared = Arc::new(Shared {
        router,
        handshakes,
        next_accept_order: Arc::new(AtomicU64::new(1)),
        first_requests: Arc::new(Semaphore::new(FIRST_REQUESTS_MAX)),
        header_timeout: config.header_timeout,
        header_bytes_max: config.header_bytes_max.0,
        closing: closing.clone(),
    });
    let permits = Arc::new(Semaphore::new(config.connections_max));
    let connections = TaskTracker::new();
    loop {
        // Connections beyond the limit wait in the kernel's backlog.
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = closing.cancelled() => break,
            next = next => next,
        };
        match (permit, accepted) {
            (Ok(permit), Ok((stream, peer))) => {
                connections.spawn(serve_connection(Arc::clone(&shared), stream, peer, permit));
            }
            (_, Err(error)) if is_connection_error(&error) => {}
            (_, Err(error)) => {
                tracing::warn!(%error, "accept failed; pausing");
                tokio::time::sleep(DESCRIPTOR_PAUSE).await;
            }
            // The semaphore is never closed.
            (Err(_), _) => break,
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
    permit: OwnedSemaphorePermit,
) {
    let Some(stream) = wait_for_first_byte(&shared, stream).await else { return };
    let accepted = AcceptOrder(shared.next_accept_order.fetch_add(1, Ordering::Relaxed));
    let Ok(first_request_permit) = Arc::clone(&shared.first_requests).acquire_owned().await else { return };
    // Boxed, so that a task that waits for the permit is small.
    Box::pin(serve_first_request(&shared, stream, accepted, peer, permit, first_request_permit)).await;
}

/// Reads the first request and offers it to the fast handshake; HTTP serves everything else.
async fn serve_first_request(
    shared: &Shared,
    stream: std::net::TcpStream,
    accepted: AcceptOrder,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
    first_request_permit: OwnedSemaphorePermit,
) {
    let Some(bytes) = read_first_bytes(&stream) else { return };
    let (mut first_request_permit, mut refused) = (Some(first_request_permit), None);
    let mut first = FirstRequest { stream, accepted, peer, bytes, permit };
    if let Some(handshakes) = &shared.handshakes {
        let mut attaching = pin!(handshakes.try_attach(first));
        let for_http = tokio::select! {
            biased;
            for_http = &mut attaching => for_http,
            () = tokio::time::sleep(FIRST_REQUEST_PATIENCE) => {
                first_request_permit = None;
                attaching.await
            }
        };
        match for_http {
            None => return,
            Some(for_http) => (first, refused) = for_http,
        }
    }
    Box::pin(serve_http(shared, first, refused, first_request_permit)).await;
}

/// Waits for the first byte of a connection; `None` when it does not arrive.
async fn wait_for_first_byte(shared: &Shared, stream: std::net::TcpStream) -> Option<std::net::TcpStream> {
    match recv(&stream, &mut [0; 1], RecvFlags::PEEK) {
        Ok((_, 1..)) => return Some(stream),
        Err(Errno::WOULDBLOCK) => {}
        Ok(_) | Err(_) => return None,
    }
    let stream = TcpStream::from_std(stream).ok()?;
    // A silent connection costs a descriptor and this task, for at most the header timeout. Peek, and not only
    // readiness, since a runtime may report a new socket as readable that is not.
    let mut first = [0];
    let peeked = tokio::time::timeout(shared.header_timeout, stream.peek(&mut first));
    let arrived = tokio::select! {
        () = shared.closing.cancelled() => false,
        peeked = peeked => matches!(peeked, Ok(Ok(1..))),
    };
    if arrived { stream.into_std().ok() } else { None }
}

/// The bytes of the first request that have arrived; `None` when the connection is closed or broken.
fn read_first_bytes(stream: &std::net::TcpStream) -> Option<Bytes> {
    let mut bytes = Vec::with_capacity(FIRST_BYTES_MAX);
    match recv(stream, spare_capacity(&mut bytes), RecvFlags::empty()) {
        Ok((_, 0)) => None,
        // The peeked byte should be there; if the kernel says otherwise, HTTP waits for it.
        Ok(_) | Err(Errno::WOULDBLOCK | Errno::INTR) => Some(bytes.into()),
        Err(_) => None,
    }
}

/// Serves HTTP on a connection of which some bytes have been read. A refused handshake is only answered here.
async fn serve_http(
    shared: &Shared,
    first: FirstRequest,
    refused: Option<RefusedHandshake>,
    first_request_permit: Option<OwnedSemaphorePermit>,
) {
    let FirstRequest { stream, accepted, peer, bytes, permit } = first;
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    // tokio reports a newly registered socket as not writable until its driver has turned once. hyper, when it gives up
    // on a request (a body that does not arrive), would then close the connection with the answer unwritten.
    if stream.writable().await.is_err() {
        return;
    }
    let order = Arc::new(RequestOrder::new(Arc::clone(&shared.next_accept_order), accepted, first_request_permit));
    let service = {
        let (order, router, permit) = (Arc::clone(&order), shared.router.clone(), ConnectionPermit::new(permit));
        let refused = Mutex::new(refused);
        service_fn(move |mut request: Request<Incoming>| {
            let extensions = request.extensions_mut();
            extensions.insert(FirstByteOrder(order.start_request()));
            extensions.insert(PeerAddr(peer));
            extensions.insert(permit.clone());
            if let Some(refused) = refused.lock().unwrap_or_else(PoisonError::into_inner).take() {
                extensions.insert(refused);
            }
            call(router.clone(), request, Arc::clone(&order))
        })
    };
    let io = TokioIo::new(StallTimeoutStream::new(stream, bytes, Arc::clone(&order)));
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.header_timeout)
        .max_buf_size(shared.header_bytes_max)
        .serve_connection(io, service)
        .with_upgrades();
    let mut http = pin!(http);

    let patience = tokio::time::sleep(FIRST_REQUEST_PATIENCE);
    tokio::select! {
        _ = &mut http => return,
        () = patience => order.release_permit(),
    }
    tokio::select! {
        _ = &mut http => return,
        () = shared.closing.cancelled() => http.as_mut().graceful_shutdown(),
    }
    // Errors of the peer need no log line, and the server's own were logged where they happened.
    let _ = http.await;
}

async fn call(
    mut router: Router,
    request: Request<Incoming>,
    order: Arc<RequestOrder>,
) -> Result<Response, Infallible> {
    let response = router.call(request.map(axum::body::Body::new)).await;
    let response = response.unwrap_or_else(|never| match never {});
    order.end_request(response.status());
    Ok(response)
}
