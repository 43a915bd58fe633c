//! Many clients on one thread: raw sockets, one epoll, some tens of bytes a client. It connects, resets,
//! reads, answers pings and counts; what is said and why is its caller's.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::LoadError;
use crate::progress::Progress;
use crate::target::{Door, Target};
use crate::wire;

/// What one read takes, and the longest frame or answer.
const BUFFER_BYTES: usize = 256 * 1024;
/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;
/// Clients of one source address: a part of the ports that the kernel gives out for one (28,232).
const CLIENTS_PER_ADDRESS: usize = 10_000;
/// How long waiting for events may keep deadlines and progress from being looked at.
const LOOK: Duration = Duration::from_millis(100);

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

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Away,
    Connecting,
    /// The handshake is sent.
    Shaking,
    /// It was answered; the first envelope will show that the session is there.
    Joining,
    Live,
}

struct Client {
    socket: Option<Socket>,
    stage: Stage,
    /// Tells events of this socket from those of the one before.
    generation: u32,
    /// How many people are online, as it was told last.
    count: Option<u32>,
    /// The beginning of a frame whose end is still to come.
    rest: Vec<u8>,
    unsent: Vec<u8>,
}

/// Many clients on one thread. They live only while one of its methods runs.
pub struct Crowd {
    epoll: OwnedFd,
    address: SocketAddr,
    door: Door,
    clients: Vec<Client>,
    /// All handshakes, one behind the other, and where each ends.
    handshakes: Vec<u8>,
    ends: Vec<usize>,
    to_connect: VecDeque<u32>,
    in_flight: usize,
    in_flight_max: usize,
    live: usize,
    counters: Counters,
    buffer: Vec<u8>,
    events: Vec<epoll::Event>,
}

impl Crowd {
    /// One client for each of these users, none of them connected.
    ///
    /// # Errors
    /// A token cannot be signed, the kernel gives no epoll.
    pub fn new(target: &Target, users: Range<u64>, door: Door) -> Result<Self, LoadError> {
        let (mut handshakes, mut ends, mut clients) = (Vec::new(), Vec::new(), Vec::new());
        for user in users {
            if door == Door::Socket {
                handshakes.extend(target.handshake(user)?);
            }
            ends.push(handshakes.len());
            clients.push(Client {
                socket: None,
                stage: Stage::Away,
                generation: 0,
                count: None,
                rest: Vec::new(),
                unsent: Vec::new(),
            });
        }
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC).map_err(io::Error::from)?,
            address: target.address,
            door,
            clients,
            handshakes,
            ends,
            to_connect: VecDeque::new(),
            in_flight: 0,
            in_flight_max: 0,
            live: 0,
            counters: Counters::default(),
            buffer: vec![0; BUFFER_BYTES],
            events: Vec::with_capacity(EVENTS_MAX),
        })
    }

    /// How many clients it has.
    #[must_use]
    pub fn size(&self) -> usize {
        self.clients.len()
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Connects everybody who is away, this many at a time, until all are live; says how long that took.
    /// A WebSocket is live with its first envelope, which shows that the session is on its shard.
    ///
    /// # Errors
    /// A handshake was refused, or it took too long.
    pub fn connect_all(
        &mut self,
        in_flight_max: usize,
        within: Duration,
        progress: &mut Progress,
    ) -> Result<Duration, LoadError> {
        let began = Instant::now();
        self.in_flight_max = in_flight_max.max(1);
        self.to_connect = (0..).zip(&self.clients).filter(|(_, c)| c.stage == Stage::Away).map(|(i, _)| i).collect();
        self.top_up()?;
        self.until(
            within,
            progress,
            |crowd| crowd.live == crowd.size(),
            |crowd| format!("connecting: {} of {} are live", crowd.live, crowd.size()),
        )?;
        Ok(began.elapsed())
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
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let agree = move |crowd: &Self| crowd.clients.iter().filter(|client| client.count == Some(count)).count();
        self.until(
            within,
            progress,
            |crowd| agree(crowd) == crowd.size(),
            |crowd| format!("{} of {} clients were told that {count} are online", agree(crowd), crowd.size()),
        )?;
        Ok(began.elapsed())
    }

    fn until(
        &mut self,
        within: Duration,
        progress: &mut Progress,
        reached: impl Fn(&Self) -> bool,
        how_far: impl Fn(&Self) -> String,
    ) -> Result<(), LoadError> {
        let began = Instant::now();
        while !reached(self) {
            if began.elapsed() >= within {
                return Err(LoadError::TimedOut { what: how_far(self), within });
            }
            progress.tell(|| how_far(self));
            self.turn(LOOK, &mut |_, _, _| Ok(()))?;
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
        let timeout = Timespec::try_from(patience).map_err(io::Error::other)?;
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
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
        if flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
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
            if self.door == Door::Http {
                self.became_live(index);
                return;
            }
            client.stage = Stage::Shaking;
            let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
            client.send(&self.handshakes[start..self.ends[index]]);
        } else if !client.unsent.is_empty() {
            client.send(&[]);
        }
    }

    fn readable(
        &mut self,
        index: usize,
        buffer: &mut [u8],
        listen: &mut impl FnMut(usize, Heard<'_>, &mut Vec<u8>) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        loop {
            let client = &mut self.clients[index];
            let Some(mut socket) = client.socket.as_ref() else { return Ok(()) };
            let kept = client.rest.len();
            if kept >= buffer.len() {
                return Err(LoadError::Protocol(format!("a frame of more than {BUFFER_BYTES} bytes")));
            }
            let read = match socket.read(&mut buffer[kept..]) {
                Ok(read @ 1..) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Ok(_) | Err(_) => {
                    self.ended(index);
                    return Ok(());
                }
            };
            buffer[..kept].copy_from_slice(&client.rest);
            client.rest.clear();
            self.counters.bytes += read as u64;
            let drained = kept + read < buffer.len();
            let taken = self.understand(index, &buffer[..kept + read], listen)?;
            self.clients[index].rest.extend_from_slice(&buffer[taken..kept + read]);
            if drained {
                return Ok(());
            }
        }
    }

    /// Reads what is there whole, and says how many bytes that were.
    fn understand(
        &mut self,
        index: usize,
        bytes: &[u8],
        listen: &mut impl FnMut(usize, Heard<'_>, &mut Vec<u8>) -> Result<(), LoadError>,
    ) -> Result<usize, LoadError> {
        let broken = |what: &str| LoadError::Protocol(what.to_owned());
        let mut taken = 0;
        let mut say = Vec::new();
        while self.clients[index].stage != Stage::Away {
            let waiting = &bytes[taken..];
            if self.door == Door::Http || self.clients[index].stage == Stage::Shaking {
                let Some(answer) = wire::read_answer(waiting).map_err(broken)? else { break };
                taken += answer.length;
                if self.door == Door::Http {
                    self.counters.heard += 1;
                    listen(index, Heard::Answer(answer.status, answer.body), &mut say)?;
                } else if answer.status == 101 {
                    self.clients[index].stage = Stage::Joining;
                } else {
                    let body = String::from_utf8_lossy(answer.body);
                    return Err(LoadError::Refused(format!("{} {body}", answer.status)));
                }
                continue;
            }
            let Some(frame) = wire::read_frame(waiting).map_err(broken)? else { break };
            taken += frame.length;
            match frame.opcode {
                wire::TEXT => {
                    self.counters.heard += 1;
                    if self.clients[index].stage == Stage::Joining {
                        self.became_live(index);
                    }
                    if let Some(count) = wire::online_count(frame.payload) {
                        self.clients[index].count = u32::try_from(count).ok();
                    }
                    listen(index, Heard::Text(frame.payload), &mut say)?;
                }
                wire::PING => wire::push_frame(&mut say, wire::PONG, frame.payload),
                wire::CLOSE => self.ended(index),
                opcode => return Err(LoadError::Protocol(format!("a frame of opcode {opcode}"))),
            }
        }
        if !say.is_empty() {
            self.clients[index].send(&say);
        }
        Ok(taken)
    }

    fn became_live(&mut self, index: usize) {
        self.clients[index].stage = Stage::Live;
        self.in_flight -= 1;
        self.live += 1;
        self.counters.opened += 1;
    }

    /// The server ended a connection, or it never came about.
    fn ended(&mut self, index: usize) {
        match self.clients[index].stage {
            Stage::Away => return,
            Stage::Live => {
                self.live -= 1;
                self.counters.lost += 1;
            }
            Stage::Connecting | Stage::Shaking | Stage::Joining => {
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
        let data = EventData::new_u64(u64::from(client.generation) << 32 | u64::from(index));
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &socket, data, flags).map_err(io::Error::from)?;
        client.socket = Some(socket);
        client.stage = Stage::Connecting;
        self.in_flight += 1;
        Ok(())
    }
}

impl Client {
    fn leave(&mut self) {
        self.socket = None;
        self.stage = Stage::Away;
        self.count = None;
        self.rest = Vec::new();
        self.unsent = Vec::new();
    }

    /// Writes what waits and then these bytes. What does not fit waits; a broken socket shows when it is read.
    fn send(&mut self, bytes: &[u8]) {
        let Some(mut socket) = self.socket.as_ref() else { return };
        self.unsent.extend_from_slice(bytes);
        let mut written = 0;
        while written < self.unsent.len() {
            match socket.write(&self.unsent[written..]) {
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if written == self.unsent.len() {
            self.unsent = Vec::new();
        } else {
            self.unsent.drain(..written);
        }
    }
}

/// Loopback is a network of sixteen million addresses, each with ports of its own.
fn source_address(target: IpAddr, index: usize) -> Option<IpAddr> {
    let wanted = matches!(target, IpAddr::V4(address) if address.is_loopback());
    let [.., high, low] = u32::try_from(index / CLIENTS_PER_ADDRESS).unwrap_or(0).to_be_bytes();
    wanted.then(|| Ipv4Addr::new(127, 1, high, low.saturating_add(1)).into())
}
