//! Which of a shard's sockets are readable or writable: an epoll of the shard's own, which is one registration in
//! the runtime's. A task and a registration for each socket would cost more memory than the session itself.
//! It never reads and never writes.

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use teahouse_core::SessionId;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;

/// What the kernel reported about a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SocketEvent {
    pub(crate) slot: usize,
    /// The low half of the session's id, which differs from that of the session that had the slot before.
    generation: u32,
    /// There may be something to read.
    pub(crate) readable: bool,
    /// Nothing follows what is there to be read.
    pub(crate) ended: bool,
    pub(crate) writable: bool,
}

impl SocketEvent {
    /// Whether it is about this session and not about an earlier one of the same slot.
    pub(crate) fn is_of(&self, session: SessionId) -> bool {
        self.generation == generation(session)
    }
}

/// A shard's epoll. A socket leaves it when it is closed.
pub(crate) struct Poll {
    epoll: AsyncFd<OwnedFd>,
}

impl Poll {
    /// Creates an empty one; must be called on the shard's runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        #[expect(deprecated, reason = "the successor is unsafe, for descriptors that may be closed; this one is owned")]
        let epoll = AsyncFd::with_interest(epoll, Interest::READABLE)?;
        Ok(Self { epoll })
    }

    /// Registers a socket. Events are edge-triggered.
    pub(crate) fn add(&self, socket: &TcpStream, slot: usize, session: SessionId) -> io::Result<()> {
        let data = EventData::new_u64(event_data(slot, session));
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, data, flags)?)
    }

    /// Waits for events. Dropping the future loses none.
    pub(crate) async fn next(&self, events: &mut Vec<epoll::Event>) {
        loop {
            // It fails only when the runtime ends, which ends this future too.
            let Ok(mut guard) = self.epoll.readable().await else { return std::future::pending().await };
            if let Err(error) = self.take(events) {
                tracing::error!(%error, "epoll_wait failed");
                return std::future::pending().await;
            }
            if events.len() < events.capacity() {
                guard.clear_ready();
            }
            if !events.is_empty() {
                return;
            }
        }
    }

    /// Takes the events that are there now.
    pub(crate) fn take(&self, events: &mut Vec<epoll::Event>) -> io::Result<()> {
        events.reserve(EVENTS_MAX);
        let no_wait = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&no_wait)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Decodes an event of the kernel's.
pub(super) fn decode(event: epoll::Event) -> SocketEvent {
    decode_parts(event.data.u64(), event.flags)
}

/// The data under which a session's socket is registered.
pub(super) fn event_data(slot: usize, session: SessionId) -> u64 {
    (slot as u64) << 32 | u64::from(generation(session))
}

pub(super) fn decode_parts(data: u64, flags: EventFlags) -> SocketEvent {
    let ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
    SocketEvent {
        slot: usize::try_from(data >> 32).unwrap_or(usize::MAX),
        generation: low(data),
        readable: ended || flags.contains(EventFlags::IN),
        ended,
        writable: flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR),
    }
}

fn generation(session: SessionId) -> u32 {
    low(session.0)
}

fn low(number: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
    let low = number as u32;
    low
}
