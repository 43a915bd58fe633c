//! The accept loop: sockets become HTTP connections, or sessions at once, within bounds. It notes when each
//! request's first byte arrived, which decides the order of a user's connections, and knows nothing of what is asked.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketFlags, acceptfrom_with, recv};
use socket2::{Domain, Protocol, Socket, Type};
use teahouse_core::AcceptOrder;
use teahouse_core::limits::STALL_TIMEOUT;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::config::Server;
use crate::http::address::Peer;
use crate::websocket::{First, Handshakes, Refused};

/// Connections that the kernel may hold for us; it cuts this down to its own limit.
const BACKLOG: i32 = 65_535;
/// First requests under way at once, from their head to their answer. Each holds 8 KiB of hyper's and what
/// its handshake needs, and heaps remember their largest day (docs/performance.md).
const FIRST_REQUESTS_MAX: usize = 64;
/// What is read of a first request at once; most are shorter.
const FIRST_BYTES_MAX: usize = 4096;
/// How long a first request that is slow to come or to be answered keeps others waiting.
const FIRST_REQUEST_PATIENCE: Duration = Duration::from_millis(250);
/// How long accepting pauses when the process has no descriptors left.
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(100);

/// The order in which a request's first byte arrived, in the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Arrived(pub AcceptOrder);

/// A connection's place among all that are allowed, in the request's extensions. An upgrade takes it along.
#[derive(Clone)]
pub struct Place(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Place {
    /// Takes the place out, so that it outlives the HTTP connection.
    #[must_use]
    pub fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A listener with a backlog that a storm of reconnects does not overflow.
pub struct Listener(AsyncFd<std::net::TcpListener>);

impl Listener {
    /// Listens.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        // Whoever is accepted has it from here (tcp(7)), without a system call of their own.
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

    /// Where it listens.
    ///
    /// # Errors
    /// When the kernel will not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }

    /// The next connection, nonblocking, and no runtime's yet: most leave for another one at once.
    async fn accept(&self) -> io::Result<(std::net::TcpStream, SocketAddr)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let accept = |listener: &std::net::TcpListener| Ok(acceptfrom_with(listener, flags)?);
        let (socket, peer) = self.0.async_io(Interest::READABLE, accept).await?;
        let peer = peer.and_then(|peer| peer.try_into().ok()).ok_or(ErrorKind::ConnectionAborted)?;
        Ok((socket.into(), peer))
    }
}

/// What all connections share.
#[derive(Clone)]
struct Shared {
    router: Router,
    handshakes: Option<Handshakes>,
    orders: Arc<AtomicU64>,
    first_requests: Arc<Semaphore>,
    header_timeout: Duration,
    header_bytes_max: usize,
    closing: CancellationToken,
}

/// Accepts until `closing`, then waits until every HTTP connection has been answered and closed. Where there are
/// `handshakes`, they are offered each connection's first bytes.
pub async fn serve(
    listener: Listener,
    router: Router,
    handshakes: Option<Handshakes>,
    config: &Server,
    closing: CancellationToken,
) {
    let shared = Arc::new(Shared {
        router,
        handshakes,
        orders: Arc::new(AtomicU64::new(1)),
        first_requests: Arc::new(Semaphore::new(FIRST_REQUESTS_MAX)),
        header_timeout: config.header_timeout,
        header_bytes_max: config.header_bytes_max.0,
        closing: closing.clone(),
    });
    let places = Arc::new(Semaphore::new(config.connections_max));
    let connections = TaskTracker::new();
    loop {
        // Beyond the allowed number nobody is accepted: they wait in the kernel's backlog.
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = closing.cancelled() => break,
            next = next => next,
        };
        match (place, accepted) {
            (Ok(place), Ok((stream, peer))) => {
                connections.spawn(connection(Arc::clone(&shared), stream, peer, place));
            }
            (_, Err(error)) if is_of_one_connection(&error) => {}
            (_, Err(error)) => {
                tracing::warn!(%error, "cannot accept connections; pausing");
                tokio::time::sleep(DESCRIPTOR_PAUSE).await;
            }
            // Nobody closes the semaphore.
            (Err(_), _) => break,
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Whether an error of accept is that connection's own trouble and not ours (accept(2), "Error handling").
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}

async fn connection(shared: Arc<Shared>, stream: std::net::TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) {
    let Some(stream) = first_byte(&shared, stream).await else { return };
    let accepted = AcceptOrder(shared.orders.fetch_add(1, Ordering::Relaxed));
    let Ok(gate) = Arc::clone(&shared.first_requests).acquire_owned().await else { return };
    // Boxed, so that a task that waits for its turn is small.
    Box::pin(first_request(&shared, stream, accepted, peer, place, gate)).await;
}

/// Reads a first request and offers it to the handshakes; HTTP has the rest.
async fn first_request(
    shared: &Shared,
    stream: std::net::TcpStream,
    accepted: AcceptOrder,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
    gate: OwnedSemaphorePermit,
) {
    let Some(bytes) = first_bytes(&stream) else { return };
    let (mut gate, mut refused) = (Some(gate), None);
    let mut first = First { stream, accepted, peer, bytes, place };
    if let Some(handshakes) = &shared.handshakes {
        let mut taking = pin!(handshakes.take(first));
        let left = tokio::select! {
            biased;
            left = &mut taking => left,
            () = tokio::time::sleep(FIRST_REQUEST_PATIENCE) => {
                gate = None;
                taking.await
            }
        };
        match left {
            None => return,
            Some(left) => (first, refused) = left,
        }
    }
    Box::pin(http(shared, first, refused, gate)).await;
}

/// Waits for a connection's first byte; none when it does not come.
async fn first_byte(shared: &Shared, stream: std::net::TcpStream) -> Option<std::net::TcpStream> {
    match recv(&stream, &mut [0; 1], RecvFlags::PEEK) {
        Ok((_, 1..)) => return Some(stream),
        Err(Errno::WOULDBLOCK) => {}
        Ok(_) | Err(_) => return None,
    }
    let stream = TcpStream::from_std(stream).ok()?;
    // Who sends nothing after connecting costs a descriptor and this task, for as long as a head may take.
    // The byte is looked at and not only waited for, since a runtime may take a new socket for readable that is not.
    let mut first = [0];
    let peeked = tokio::time::timeout(shared.header_timeout, stream.peek(&mut first));
    let arrived = tokio::select! {
        () = shared.closing.cancelled() => false,
        peeked = peeked => matches!(peeked, Ok(Ok(1..))),
    };
    if arrived { stream.into_std().ok() } else { None }
}

/// What has come of a first request; none when that is nothing and there will be nothing.
fn first_bytes(stream: &std::net::TcpStream) -> Option<Bytes> {
    let mut bytes = Vec::with_capacity(FIRST_BYTES_MAX);
    match recv(stream, spare_capacity(&mut bytes), RecvFlags::empty()) {
        Ok((_, 0)) => None,
        // A byte that was there is gone only if the kernel says so in error; HTTP will find out.
        Ok(_) | Err(Errno::WOULDBLOCK | Errno::INTR) => Some(bytes.into()),
        Err(_) => None,
    }
}

/// Serves HTTP on a connection of which some bytes have been read. A first request that was refused is only answered.
async fn http(shared: &Shared, first: First, refused: Option<Refused>, gate: Option<OwnedSemaphorePermit>) {
    let First { stream, accepted, peer, bytes, place } = first;
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    // A socket that a runtime has just adopted says that it takes nothing, until the driver has turned once. HTTP that
    // gives up on a request (a body that does not come) would hang up on that, with its answer still unwritten.
    if stream.writable().await.is_err() {
        return;
    }
    let head = Arc::new(Head {
        orders: Arc::clone(&shared.orders),
        arrived: AtomicU64::new(accepted.0),
        gate: Mutex::new(gate),
    });
    let place = Place(Arc::new(Mutex::new(Some(place))));
    let service = {
        let (head, router, refused) = (Arc::clone(&head), shared.router.clone(), Mutex::new(refused));
        service_fn(move |mut request: hyper::Request<Incoming>| {
            let order = head.begin();
            let extensions = request.extensions_mut();
            extensions.insert(Arrived(order));
            extensions.insert(Peer(peer));
            extensions.insert(place.clone());
            if let Some(refused) = refused.lock().unwrap_or_else(PoisonError::into_inner).take() {
                extensions.insert(refused);
            }
            let (head, mut router) = (Arc::clone(&head), router.clone());
            async move {
                let response = router.call(request.map(axum::body::Body::new)).await;
                let response = response.unwrap_or_else(|never| match never {});
                head.end(response.status());
                Ok::<_, Infallible>(response)
            }
        })
    };
    let io = TokioIo::new(Tracked { stream, bytes, head: Arc::clone(&head), stalled: None });
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
        () = patience => head.release(),
    }
    tokio::select! {
        _ = &mut http => return,
        () = shared.closing.cancelled() => http.as_mut().graceful_shutdown(),
    }
    // What the other end did wrong is its own affair, and ours was logged where it happened.
    let _ = http.await;
}

/// What is known of the request head that a connection is reading.
struct Head {
    orders: Arc<AtomicU64>,
    /// The order of the first byte of the head that is being read; 0 while there is none.
    arrived: AtomicU64,
    /// The right to a first request, held until it was answered; by an upgrade, until the socket has left.
    gate: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Head {
    fn note_arrival(&self) {
        if self.arrived.load(Ordering::Relaxed) == 0 {
            self.arrived.store(self.orders.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    fn release(&self) {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// A head was read: the request begins.
    fn begin(&self) -> AcceptOrder {
        // A pipelined request came with the one before it.
        self.note_arrival();
        AcceptOrder(self.arrived.load(Ordering::Relaxed))
    }

    /// The request was answered: what is read from now on is the next head. Bytes that came meanwhile were its body.
    fn end(&self, status: StatusCode) {
        self.arrived.store(0, Ordering::Relaxed);
        if status != StatusCode::SWITCHING_PROTOCOLS {
            self.release();
        }
    }
}

/// A socket, with what was read from it already, that notes when the first byte of a request comes, and gives up on a peer that takes nothing
/// of its answer: hyper has a deadline for heads and none for that.
pub struct Tracked {
    stream: TcpStream,
    /// What was read already, and is to be read first.
    bytes: Bytes,
    head: Arc<Head>,
    /// Since when, and until when at most, the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Tracked {
    /// The socket itself.
    #[must_use]
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn patiently<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL_TIMEOUT)));
        stalled.as_mut().poll(context).map(|()| Err(ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Tracked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.bytes.is_empty() {
            let count = self.bytes.len().min(buffer.remaining());
            buffer.put_slice(&self.bytes.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.head.note_arrival();
        }
        read
    }
}

impl AsyncWrite for Tracked {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.patiently(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.patiently(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
