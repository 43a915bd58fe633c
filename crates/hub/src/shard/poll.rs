//! Which of a shard's sockets have something to read or take something again: an epoll of the shard's own,
//! which is one entry in its runtime's however many sockets there are. A task and a registration for each
//! socket would cost more memory than the session itself. It never reads and never writes.

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

/// What happened to a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SocketEvent {
    pub(crate) slot: usize,
    /// Of the session's number, what tells it from the one that had the slot before.
    generation: u32,
    /// Something is there to be read.
    pub(crate) readable: bool,
    /// Nothing more will come: what is there is to be read to its end.
    pub(crate) ended: bool,
    /// It takes something.
    pub(crate) writable: bool,
}

impl SocketEvent {
    /// Whether it is about this session and not about one before it.
    pub(crate) fn is_of(&self, session: SessionId) -> bool {
        self.generation == generation(session)
    }
}

/// A shard's sockets, as the kernel watches them. One that is closed is no longer among them.
pub(crate) struct Poll {
    epoll: AsyncFd<OwnedFd>,
}

impl Poll {
    /// An empty one; must be called on the shard's runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe code, for descriptors that may be closed; an owned one is not"
        )]
        let epoll = AsyncFd::with_interest(epoll, Interest::READABLE)?;
        Ok(Self { epoll })
    }

    /// Watches a socket. Events come once, whenever something changes.
    pub(crate) fn add(&self, socket: &TcpStream, slot: usize, session: SessionId) -> io::Result<()> {
        let data = EventData::new_u64(name(slot, session));
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, data, flags)?)
    }

    /// Waits for events. Dropping the future loses none.
    pub(crate) async fn next(&self, events: &mut Vec<epoll::Event>) {
        loop {
            // An error is the end of the runtime, which ends this future too.
            let Ok(mut guard) = self.epoll.readable().await else { return std::future::pending().await };
            if let Err(error) = self.take(events) {
                tracing::error!(%error, "a shard cannot hear of its sockets");
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

    /// Takes the events that there are now.
    pub(crate) fn take(&self, events: &mut Vec<epoll::Event>) -> io::Result<()> {
        events.reserve(EVENTS_MAX);
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&at_once)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What an event of the kernel's says.
pub(crate) fn read(event: epoll::Event) -> SocketEvent {
    read_parts(event.data.u64(), event.flags)
}

/// By what the kernel knows a session's socket.
pub(super) fn name(slot: usize, session: SessionId) -> u64 {
    (slot as u64) << 32 | u64::from(generation(session))
}

pub(super) fn read_parts(data: u64, flags: EventFlags) -> SocketEvent {
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
