//! Many clients on one thread: raw sockets, one epoll, some hundreds of bytes a client. It connects, resets,
//! reads, answers pings and counts; what is said and why is its caller's.

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

use crate::client::{Client, Stage, source_address};
use crate::error::LoadError;
use crate::latency::{Latency, Stopwatch};
use crate::progress::Progress;
use crate::target::{Door, Target};
use crate::wire;

/// What one read takes, and the longest frame or answer.
const BUFFER_BYTES: usize = 256 * 1024;
/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;
/// How long waiting for events may keep deadlines and progress from being looked at.
const LOOK: Duration = Duration::from_millis(100);
/// The receive buffer of a client that is going to pause: what the kernel holds for it, the server does not.
const PAUSING_BUFFER_BYTES: usize = 4096;

/// What a client heard.
#[derive(Clone, Copy, Debug)]
pub enum Heard<'a> {
    /// An envelope.
    Text(&'a [u8]),
    /// The answer to a request: status and body.
    Answer(u16, &'a [u8]),
}

/// What a crowd counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Connections that were opened and became live.
    pub opened: u64,
    /// Connections that broke before they were live and were tried again.
    pub retried: u64,
    /// Live connections that the server ended.
    pub lost: u64,
    /// Envelopes and answers heard.
    pub heard: u64,
    /// Bytes read.
    pub bytes: u64,
}

/// The room that a client holds, and up to which version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Held {
    pub(crate) room: u32,
    pub(crate) version: u32,
}

/// Many clients on one thread. They live only while one of its methods runs.
pub struct Crowd {
    epoll: OwnedFd,
    address: SocketAddr,
    never_sleeps: bool,
    clients: Vec<Client>,
    /// All tokens, one behind the other, and where each ends.
    tokens: String,
    ends: Vec<u32>,
    /// What each v1 client holds; empty as long as nobody holds anything.
    held: Vec<Held>,
    /// The name of the server's history, as a welcome told it.
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

impl Crowd {
    /// One client for each of these users, none of them connected.
    ///
    /// # Errors
    /// A token cannot be signed, the kernel gives no epoll.
    pub fn new(target: &Target, users: Range<u64>, door: Door) -> Result<Self, LoadError> {
        let mut crowd = Self {
            epoll: epoll::create(CreateFlags::CLOEXEC).map_err(io::Error::from)?,
            address: target.address,
            never_sleeps: target.visited_awake,
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
        crowd.add(target, users, door)?;
        Ok(crowd)
    }

    /// More clients, behind those that there are.
    ///
    /// # Errors
    /// A token cannot be signed.
    pub fn add(&mut self, target: &Target, users: Range<u64>, door: Door) -> Result<(), LoadError> {
        for user in users {
            // Over HTTP each request brings its own.
            if door != Door::Http {
                self.tokens.push_str(&target.token(user)?);
            }
            self.ends.push(u32::try_from(self.tokens.len()).unwrap_or(u32::MAX));
            self.clients.push(Client::new(door));
        }
        Ok(())
    }

    /// How many clients it has.
    #[must_use]
    pub fn size(&self) -> usize {
        self.clients.len()
    }

    /// How many of them are live.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// How long clients took from the beginning of a connection until they were live, all of them so far.
    #[must_use]
    pub fn connect_latency(&self) -> Latency {
        self.connects.summary()
    }

    pub(crate) fn is_live(&self, index: usize) -> bool {
        self.clients[index].stage == Stage::Live
    }

    /// What a v1 client says in its next hello that it holds.
    pub(crate) fn hold(&mut self, index: usize, held: Held) {
        self.held.resize(self.clients.len(), Held::default());
        self.held[index] = held;
    }

    /// What a v1 client holds.
    pub(crate) fn held(&self, index: usize) -> Held {
        self.held.get(index).copied().unwrap_or_default()
    }

    /// Connects everybody who is away, this many at a time, until all are live; says how long that took.
    /// A WebSocket is live with its first envelope, which shows that the session is on its shard; one that
    /// holds a room is when it was caught up.
    ///
    /// # Errors
    /// A handshake was refused, or it took too long.
    pub fn connect_all(
        &mut self,
        in_flight_max: usize,
        within: Duration,
        progress: &mut Progress,
    ) -> Result<Duration, LoadError> {
        self.connect_all_listening(in_flight_max, within, progress, &mut |_, _, _| Ok(()))
    }

    /// The same, and what anybody hears meanwhile goes to `listen`.
    ///
    /// # Errors
    /// A handshake was refused, it took too long, or `listen` said so.
    pub(crate) fn connect_all_listening(
        &mut self,
        in_flight_max: usize,
        within: Duration,
        progress: &mut Progress,
        listen: &mut impl FnMut(usize, Heard<'_>, &mut Vec<u8>) -> Result<(), LoadError>,
    ) -> Result<Duration, LoadError> {
        let began = Instant::now();
        let away = (0..self.size()).filter(|&index| self.clients[index].stage == Stage::Away);
        self.to_connect = away.filter_map(|index| u32::try_from(index).ok()).collect();
        self.go_on_connecting(in_flight_max)?;
        self.until(
            within,
            progress,
            |crowd| crowd.live == crowd.size(),
            |crowd| format!("connecting: {} of {} are live", crowd.live, crowd.size()),
            listen,
        )?;
        Ok(began.elapsed())
    }

    /// Connects one client who is away, in its turn.
    pub(crate) fn begin_connecting(&mut self, index: usize, in_flight_max: usize) -> Result<(), LoadError> {
        self.to_connect.extend(u32::try_from(index));
        self.go_on_connecting(in_flight_max)
    }

    fn go_on_connecting(&mut self, in_flight_max: usize) -> Result<(), LoadError> {
        self.in_flight_max = in_flight_max.max(1);
        self.top_up()
    }

    /// Waits until every client was told that this many people are online.
    ///
    /// # Errors
    /// It took too long.
    pub fn wait_for_count(
        &mut self,
        count: u64,
        within: Duration,
        progress: &mut Progress,
    ) -> Result<Duration, LoadError> {
        let began = Instant::now();
        self.until(
            within,
            progress,
            |crowd| crowd.all_told(count),
            |crowd| format!("{} of {} clients were told that {count} are online", crowd.told(count), crowd.size()),
            &mut |_, _, _| Ok(()),
        )?;
        Ok(began.elapsed())
    }

    /// Whether every client was told that this many people are online.
    pub(crate) fn all_told(&self, count: u64) -> bool {
        self.told(count) == self.size()
    }

    fn told(&self, count: u64) -> usize {
        let told = |client: &&Client| client.door == Door::Http || client.count() == Some(count);
        self.clients.iter().filter(told).count()
    }

    /// Goes on until something is reached, and gives up in the end.
    pub(crate) fn until(
        &mut self,
        within: Duration,
        progress: &mut Progress,
        reached: impl Fn(&Self) -> bool,
        how_far: impl Fn(&Self) -> String,
        listen: &mut impl FnMut(usize, Heard<'_>, &mut Vec<u8>) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        let began = Instant::now();
        while !reached(self) {
            if began.elapsed() >= within {
                return Err(LoadError::TimedOut { what: how_far(self), within });
            }
            progress.tell(|| how_far(self));
            self.turn(LOOK, listen)?;
        }
        Ok(())
    }

    /// Resets every socket at once, without a goodbye.
    pub fn reset_all(&mut self) {
        for client in &mut self.clients {
            // Every socket lingers for no time at all, so that closing one resets it.
            client.leave();
        }
        self.to_connect.clear();
        self.in_flight = 0;
        self.live = 0;
    }

    /// Resets one live client's socket, without a goodbye.
    pub(crate) fn reset(&mut self, index: usize) {
        if self.is_live(index) {
            self.clients[index].leave();
            self.live -= 1;
        }
    }

    /// A client stops reading, from its next connection on with a small buffer; or reads on.
    pub(crate) fn pause(
        &mut self,
        index: usize,
        paused: bool,
        listen: &mut impl FnMut(usize, Heard<'_>, &mut Vec<u8>) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        self.clients[index].paused = paused;
        if paused {
            if let Some(socket) = &self.clients[index].socket {
                socket.set_recv_buffer_size(PAUSING_BUFFER_BYTES)?;
            }
            return Ok(());
        }
        // What came meanwhile has had its event.
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = self.readable(index, &mut buffer, listen);
        self.buffer = buffer;
        outcome
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, index: usize, bytes: &[u8]) {
        self.clients[index].send(bytes);
    }

    /// Waits for events, no longer than this, and deals with all that there are. What a client hears goes to
    /// `listen`, with a place for bytes that it answers at once.
    pub(crate) fn turn(
        &mut self,
        patience: Duration,
        listen: &mut impl FnMut(usize, Heard<'_>, &mut Vec<u8>) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        let mut events = std::mem::take(&mut self.events);
        self.wait(patience, &mut events)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut outcome = Ok(());
        for event in events.drain(..) {
            let (data, flags) = (event.data.u64(), event.flags);
            let (index, generation) = ((data & u64::from(u32::MAX)) as usize, (data >> 32) as u32);
            if self.clients[index].generation != generation || self.clients[index].stage == Stage::Away {
                continue;
            }
            outcome = self.look_after(index, flags, &mut buffer, listen);
            if outcome.is_err() {
                break;
            }
        }
        events.clear();
        self.events = events;
        self.buffer = buffer;
        outcome?;
        self.top_up()
    }

    fn wait(&self, patience: Duration, events: &mut Vec<epoll::Event>) -> Result<(), LoadError> {
        let until = Instant::now() + patience;
        let timeout = if self.never_sleeps { Duration::ZERO } else { patience };
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        loop {
            match epoll::wait(&self.epoll, spare_capacity(events), Some(&timeout)) {
                Ok(0) if self.never_sleeps && Instant::now() < until => std::thread::yield_now(),
                Ok(_) | Err(Errno::INTR) => return Ok(()),
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
    }

    fn look_after(
        &mut self,
        index: usize,
        flags: EventFlags,
        buffer: &mut [u8],
        listen: &mut impl FnMut(usize, Heard<'_>, &mut Vec<u8>) -> Result<(), LoadError>,
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
        if client.stage == Stage::Connecting {
            let connected = client.socket.as_ref().is_some_and(|socket| matches!(socket.take_error(), Ok(None)));
            if !connected {
                return;
            }
            if client.door == Door::Http {
                self.became_live(index);
                return;
            }
            client.stage = Stage::Shaking;
            let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
            let token = &self.tokens[start as usize..self.ends[index] as usize];
            client.send(&wire::handshake(self.address, token, client.door));
        } else if client.has_unsent() {
            client.send(&[]);
        }
    }

    fn became_live(&mut self, index: usize) {
        let client = &mut self.clients[index];
        client.stage = Stage::Live;
        self.in_flight -= 1;
        self.live += 1;
        self.counters.opened += 1;
        let took = self.began.elapsed().saturating_sub(Duration::from_micros(client.began_micros.into()));
        self.connects.record(took);
    }

    /// The server ended a connection, or it never came about.
    fn ended(&mut self, index: usize) {
        match self.clients[index].stage {
            Stage::Away => return,
            Stage::Live => {
                self.live -= 1;
                self.counters.lost += 1;
            }
            Stage::Connecting | Stage::Shaking | Stage::Joining | Stage::CatchingUp => {
                self.in_flight -= 1;
                self.counters.retried += 1;
                self.to_connect.extend(u32::try_from(index));
            }
        }
        self.clients[index].leave();
    }

    fn top_up(&mut self) -> Result<(), LoadError> {
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
        client.stage = Stage::Connecting;
        self.in_flight += 1;
        Ok(())
    }
}
