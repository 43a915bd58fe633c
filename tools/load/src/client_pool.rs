//! Many clients on one thread: raw sockets, one epoll, a few hundred bytes per client. The pool connects, resets,
//! reads, answers pings and counts. Its caller decides what clients send, and handles what they receive.

mod reading;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::client::{Client, ClientState, source_address};
use crate::error::LoadError;
use crate::latency::{Latency, Stopwatch};
use crate::progress::Progress;
use crate::target::{Target, Transport};
use crate::wire;

/// Bytes per read; also the longest frame or response.
const BUFFER_BYTES: usize = 256 * 1024;
/// Events per call of `epoll_wait`.
const EVENTS_MAX: usize = 1024;
/// The longest wait for events between two checks of deadlines and progress.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Receive buffer of a client that pauses: what the kernel buffers for the client does not back up on the server.
const PAUSING_BUFFER_BYTES: usize = 4096;

/// Something that a client received.
#[derive(Clone, Copy, Debug)]
pub enum Incoming<'a> {
    /// A WebSocket envelope.
    Envelope(&'a [u8]),
    /// An HTTP response: status and body.
    Response(u16, &'a [u8]),
}

/// Totals of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Connections that became live.
    pub opened: u64,
    /// Connections that ended before they were live and were retried.
    pub retried: u64,
    /// Live connections that the server ended.
    pub lost: u64,
    /// Envelopes and responses received.
    pub received: u64,
    /// Bytes read.
    pub bytes: u64,
}

/// The room that a v1 client resumes, and the version it holds. Room 0 means none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Held {
    pub(crate) room: u32,
    pub(crate) version: u32,
}

/// Many clients on one thread. They make progress only while a method of the pool runs.
pub struct ClientPool {
    epoll: OwnedFd,
    address: SocketAddr,
    busy_poll: bool,
    clients: Vec<Client>,
    /// All tokens, concatenated, and the end of each.
    tokens: String,
    ends: Vec<u32>,
    /// What each v1 client resumes; empty as long as no client resumes anything.
    held: Vec<Held>,
    /// The server's epoch, from the first welcome.
    epoch: Option<String>,
    to_connect: VecDeque<u32>,
    in_flight: usize,
    in_flight_max: usize,
    live: usize,
    counters: Counters,
    began: Instant,
    connects: Stopwatch,
    buffer: Vec<u8>,
    events: Vec<epoll::Event>,
}

impl ClientPool {
    /// Creates one disconnected client per user.
    ///
    /// # Errors
    /// A token cannot be signed, or epoll is not available.
    pub fn new(target: &Target, users: Range<u64>, transport: Transport) -> Result<Self, LoadError> {
        let mut pool = Self {
            epoll: epoll::create(CreateFlags::CLOEXEC).map_err(io::Error::from)?,
            address: target.address,
            busy_poll: target.busy_poll,
            clients: Vec::new(),
            tokens: String::new(),
            ends: Vec::new(),
            held: Vec::new(),
            epoch: None,
            to_connect: VecDeque::new(),
            in_flight: 0,
            in_flight_max: 0,
            live: 0,
            counters: Counters::default(),
            began: Instant::now(),
            connects: Stopwatch::new(),
            buffer: vec![0; BUFFER_BYTES],
            events: Vec::with_capacity(EVENTS_MAX),
        };
        pool.add(target, users, transport)?;
        Ok(pool)
    }

    /// Appends one disconnected client per user.
    ///
    /// # Errors
    /// A token cannot be signed.
    pub fn add(&mut self, target: &Target, users: Range<u64>, transport: Transport) -> Result<(), LoadError> {
        for user in users {
            // Over HTTP, each request carries a token.
            if transport != Transport::Http {
                self.tokens.push_str(&target.token(user)?);
            }
            self.ends.push(u32::try_from(self.tokens.len()).unwrap_or(u32::MAX));
            self.clients.push(Client::new(transport));
        }
        Ok(())
    }

    /// Number of clients.
    #[must_use]
    pub fn size(&self) -> usize {
        self.clients.len()
    }

    /// Number of live clients.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live
    }

    /// The totals so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Durations from the start of a connection until the client was live, over all connections so far.
    #[must_use]
    pub fn connect_latency(&self) -> Latency {
        self.connects.summary()
    }

    pub(crate) fn is_live(&self, index: usize) -> bool {
        self.clients[index].state == ClientState::Live
    }

    /// Sets what a v1 client resumes with its next hello.
    pub(crate) fn set_held(&mut self, index: usize, held: Held) {
        self.held.resize(self.clients.len(), Held::default());
        self.held[index] = held;
    }

    pub(crate) fn held(&self, index: usize) -> Held {
        self.held.get(index).copied().unwrap_or_default()
    }

    /// Connects all disconnected clients, `in_flight_max` at a time, and returns how long that took. A WebSocket is
    /// live with its first envelope, which proves that the session is on its shard; a v1 client that resumes a room is
    /// live once the room is caught up.
    ///
    /// # Errors
    /// A handshake was refused, or not all clients were live in time.
    pub fn connect_all(
        &mut self,
        in_flight_max: usize,
        within: Duration,
        progress: &mut Progress,
    ) -> Result<Duration, LoadError> {
        self.connect_all_with(in_flight_max, within, progress, &mut |_, _, _| Ok(()))
    }

    /// Like [`Self::connect_all`], and passes everything received to `listen`.
    ///
    /// # Errors
    /// A handshake was refused, not all clients were live in time, or `listen` failed.
    pub(crate) fn connect_all_with(
        &mut self,
        in_flight_max: usize,
        within: Duration,
        progress: &mut Progress,
        listen: &mut impl FnMut(usize, Incoming<'_>, &mut Vec<u8>) -> Result<(), LoadError>,
    ) -> Result<Duration, LoadError> {
        let began = Instant::now();
        let disconnected = (0..self.size()).filter(|&index| self.clients[index].state == ClientState::Disconnected);
        self.to_connect = disconnected.filter_map(|index| u32::try_from(index).ok()).collect();
        self.set_in_flight_max(in_flight_max)?;
        self.run_until(
            within,
            progress,
            |pool| pool.live == pool.size(),
            |pool| format!("connecting: {} of {} are live", pool.live, pool.size()),
            listen,
        )?;
        Ok(began.elapsed())
    }

    /// Queues one disconnected client for connecting.
    pub(crate) fn start_connecting(&mut self, index: usize, in_flight_max: usize) -> Result<(), LoadError> {
        self.to_connect.extend(u32::try_from(index));
        self.set_in_flight_max(in_flight_max)
    }

    fn set_in_flight_max(&mut self, in_flight_max: usize) -> Result<(), LoadError> {
        self.in_flight_max = in_flight_max.max(1);
        self.start_queued()
    }

    /// Waits until every client received this online count, and returns how long that took.
    ///
    /// # Errors
    /// Not every client received it in time.
    pub fn wait_for_count(
        &mut self,
        count: u64,
        within: Duration,
        progress: &mut Progress,
    ) -> Result<Duration, LoadError> {
        let began = Instant::now();
        self.run_until(
            within,
            progress,
            |pool| pool.all_have_count(count),
            |pool| {
                format!(
                    "{} of {} clients received the online count {count}",
                    pool.clients_with_count(count),
                    pool.size()
                )
            },
            &mut |_, _, _| Ok(()),
        )?;
        Ok(began.elapsed())
    }

    /// Whether every client received this online count.
    pub(crate) fn all_have_count(&self, count: u64) -> bool {
        self.clients_with_count(count) == self.size()
    }

    fn clients_with_count(&self, count: u64) -> usize {
        let has_count = |client: &&Client| client.transport == Transport::Http || client.online_count() == Some(count);
        self.clients.iter().filter(has_count).count()
    }

    /// Polls until `reached`, or fails when `within` has passed.
    pub(crate) fn run_until(
        &mut self,
        within: Duration,
        progress: &mut Progress,
        is_reached: impl Fn(&Self) -> bool,
        describe: impl Fn(&Self) -> String,
        listen: &mut impl FnMut(usize, Incoming<'_>, &mut Vec<u8>) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        let began = Instant::now();
        while !is_reached(self) {
            if began.elapsed() >= within {
                return Err(LoadError::TimedOut { what: describe(self), within });
            }
            progress.report(|| describe(self));
            self.poll(POLL_INTERVAL, listen)?;
        }
        Ok(())
    }

    /// Resets every socket at once, without a close frame.
    pub fn reset_all(&mut self) {
        for client in &mut self.clients {
            // `SO_LINGER` is zero, so closing a socket sends RST.
            client.disconnect();
        }
        self.to_connect.clear();
        self.in_flight = 0;
        self.live = 0;
    }

    /// Resets one live client's socket, without a close frame.
    pub(crate) fn reset(&mut self, index: usize) {
        if self.is_live(index) {
            self.clients[index].disconnect();
            self.live -= 1;
        }
    }

    /// Stops or resumes reading. A client that stops also gets a small receive buffer.
    pub(crate) fn pause(
        &mut self,
        index: usize,
        paused: bool,
        listen: &mut impl FnMut(usize, Incoming<'_>, &mut Vec<u8>) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        self.clients[index].paused = paused;
        if paused {
            if let Some(socket) = &self.clients[index].socket {
                socket.set_recv_buffer_size(PAUSING_BUFFER_BYTES)?;
            }
            return Ok(());
        }
        // The edge-triggered events of pending bytes have already been consumed.
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = self.readable(index, &mut buffer, listen);
        self.buffer = buffer;
        outcome
    }

    /// Sends encoded bytes.
    pub(crate) fn send(&mut self, index: usize, bytes: &[u8]) {
        self.clients[index].send(bytes);
    }

    /// Waits for events, at most `wait`, and handles them. Everything received goes to `listen`, together with a buffer
    /// for bytes that the client sends in response.
    pub(crate) fn poll(
        &mut self,
        wait: Duration,
        listen: &mut impl FnMut(usize, Incoming<'_>, &mut Vec<u8>) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        let mut events = std::mem::take(&mut self.events);
        self.wait(wait, &mut events)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut outcome = Ok(());
        for event in events.drain(..) {
            let (data, flags) = (event.data.u64(), event.flags);
            let (index, generation) = ((data & u64::from(u32::MAX)) as usize, (data >> 32) as u32);
            if self.clients[index].generation != generation || self.clients[index].state == ClientState::Disconnected {
                continue;
            }
            outcome = self.handle_event(index, flags, &mut buffer, listen);
            if outcome.is_err() {
                break;
            }
        }
        events.clear();
        self.events = events;
        self.buffer = buffer;
        outcome?;
        self.start_queued()
    }

    fn wait(&self, wait: Duration, events: &mut Vec<epoll::Event>) -> Result<(), LoadError> {
        let until = Instant::now() + wait;
        let timeout = if self.busy_poll { Duration::ZERO } else { wait };
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        loop {
            match epoll::wait(&self.epoll, spare_capacity(events), Some(&timeout)) {
                Ok(0) if self.busy_poll && Instant::now() < until => std::thread::yield_now(),
                Ok(_) | Err(Errno::INTR) => return Ok(()),
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
    }

    fn handle_event(
        &mut self,
        index: usize,
        flags: EventFlags,
        buffer: &mut [u8],
        listen: &mut impl FnMut(usize, Incoming<'_>, &mut Vec<u8>) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        if flags.contains(EventFlags::OUT) {
            self.writable(index);
        }
        if flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR)
            && !self.clients[index].paused
        {
            self.readable(index, buffer, listen)?;
        }
        Ok(())
    }

    fn writable(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.state == ClientState::Connecting {
            let connected = client.socket.as_ref().is_some_and(|socket| matches!(socket.take_error(), Ok(None)));
            if !connected {
                return;
            }
            if client.transport == Transport::Http {
                self.mark_live(index);
                return;
            }
            client.state = ClientState::Handshaking;
            let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
            let token = &self.tokens[start as usize..self.ends[index] as usize];
            client.send(&wire::handshake(self.address, token, client.transport));
        } else if client.has_unsent() {
            client.send(&[]);
        }
    }

    fn mark_live(&mut self, index: usize) {
        let client = &mut self.clients[index];
        client.state = ClientState::Live;
        self.in_flight -= 1;
        self.live += 1;
        self.counters.opened += 1;
        let took = self.began.elapsed().saturating_sub(Duration::from_micros(client.began_micros.into()));
        self.connects.record(took);
    }

    /// The server ended a connection or refused it.
    fn handle_disconnect(&mut self, index: usize) {
        match self.clients[index].state {
            ClientState::Disconnected => return,
            ClientState::Live => {
                self.live -= 1;
                self.counters.lost += 1;
            }
            ClientState::Connecting
            | ClientState::Handshaking
            | ClientState::AwaitingWelcome
            | ClientState::CatchingUp => {
                self.in_flight -= 1;
                self.counters.retried += 1;
                self.to_connect.extend(u32::try_from(index));
            }
        }
        self.clients[index].disconnect();
    }

    fn start_queued(&mut self) -> Result<(), LoadError> {
        while self.in_flight < self.in_flight_max
            && let Some(index) = self.to_connect.pop_front()
        {
            self.connect(index)?;
        }
        Ok(())
    }

    fn connect(&mut self, index: u32) -> Result<(), LoadError> {
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_linger(Some(Duration::ZERO))?;
        if let Some(source) = source_address(self.address.ip(), index as usize) {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match socket.connect(&self.address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error.into()),
        }
        let client = &mut self.clients[index as usize];
        client.generation = client.generation.wrapping_add(1);
        client.began_micros = u32::try_from(self.began.elapsed().as_micros()).unwrap_or(u32::MAX);
        let data = EventData::new_u64(u64::from(client.generation) << 32 | u64::from(index));
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &socket, data, flags).map_err(io::Error::from)?;
        client.socket = Some(socket);
        client.state = ClientState::Connecting;
        self.in_flight += 1;
        Ok(())
    }
}
