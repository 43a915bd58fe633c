//! A shard's thread and loop: mail, control, time, and slices of the pass over its sessions. The only
//! place of the hub that reads clocks.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{self, Context, Waker};
use std::time::{Duration, Instant, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustix::event::epoll;
use teahouse_core::limits::PRESENCE_TICK;
use teahouse_core::{Seq, SessionId, Timestamp, Version};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::Control;
use super::connection::Connection;
use super::delivery::ReadResult;
use super::poll::{self, Poll};
use super::state::{Job, State};
use crate::clock::Clock;
use crate::inbox::Inbox;
use crate::metrics::HubMetrics;
use crate::online::Online;
use crate::options::HubOptions;
use crate::ports::{BoxFuture, HistoryReader, RequestHandler, Response};
use crate::session::{GOODBYE_TIMEOUT, StoreRead};

/// How long a pass over the sessions may run before the sockets are looked at in between.
const SLICE: Duration = Duration::from_millis(1);
/// How many sockets are written to or closed between two looks at the clock; either takes microseconds.
const STEPS_PER_LOOK: u32 = 16;
/// And how many that are behind: each takes up to `socket::ROUNDS_MAX` full batches.
const BEHIND_PER_LOOK: u32 = 1;
/// What one read takes from a socket, at most.
const READ_BUFFER_BYTES: usize = 16 * 1024;
/// Control messages handled in one turn.
const CONTROLS_PER_TURN: usize = 64;
/// How often in a row the kernel is asked what happened to sockets: for more events than a process may have sockets.
const TAKES_MAX: usize = 256;
/// How often a drain sends the next ones away.
const DRAIN_TICK: Duration = Duration::from_millis(20);

/// What a shard needs of the rest of the house.
#[derive(Clone)]
pub(crate) struct Ports {
    pub(crate) handler: Arc<dyn RequestHandler>,
    pub(crate) history: Arc<dyn HistoryReader>,
}

/// What a shard starts with.
pub(crate) struct Setup {
    pub(crate) index: usize,
    pub(crate) options: HubOptions,
    pub(crate) metrics: HubMetrics,
    pub(crate) online: Arc<Online>,
    pub(crate) inboxes: Arc<[Arc<Inbox>]>,
    pub(crate) next_session: Arc<AtomicU64>,
    /// Where the lobby stands.
    pub(crate) lobby: (Version, Seq),
}

/// What came of work that took time.
enum Done {
    Response(SessionId, Result<Response, ()>),
    Read(StoreRead, Option<ReadResult>),
}

/// A shard's state with what drives it.
struct Shard {
    state: RefCell<State>,
    buffer: RefCell<Vec<u8>>,
    clock: Clock,
    sockets: Poll,
    /// Everything that takes time and is under way; the loop waits for it at its end. What comes to its end rings for
    /// the inbox.
    work: RefCell<FuturesUnordered<BoxFuture<Done>>>,
    inbox: Arc<Inbox>,
    work_bell: Waker,
    /// Rings when a turn left something for the loop to do.
    busy: Notify,
}

impl Shard {
    /// One turn: time is read, `work` changes the state, and what it left to do is begun.
    fn turn<T>(&self, work: impl FnOnce(&mut State, &mut [u8]) -> T) -> T {
        let mut state = self.state.borrow_mut();
        state.now = self.clock.now();
        let result = work(&mut state, &mut self.buffer.borrow_mut());
        if state.is_busy() || !state.jobs.is_empty() {
            self.busy.notify_one();
        }
        for job in std::mem::take(&mut state.jobs) {
            self.work.borrow_mut().push(match job {
                Job::Response(id, future) => Box::pin(async move { Done::Response(id, unpanicked(future).await) }),
                Job::Read(want) => {
                    let future = state.read(&want);
                    Box::pin(async move { Done::Read(want, unpanicked(future).await.unwrap_or_default()) })
                }
            });
        }
        result
    }

    fn has_work(&self) -> bool {
        !self.work.borrow().is_empty()
    }

    /// Sees to it that sockets to which something happened are looked after, those of `events` first and then all others:
    /// when ten thousand are cut off, who lives on may be the last.
    fn notice(&self, events: &mut Vec<epoll::Event>) {
        for _ in 0..TAKES_MAX {
            let is_full = events.len() == events.capacity();
            self.turn(|state, _| events.drain(..).for_each(|event| state.noticed(poll::read(event))));
            if !is_full || self.sockets.take(events).is_err() {
                break;
            }
        }
    }

    /// All work that has come to its end by now. What was begun since the last time is begun in truth.
    fn done_by_now(&self) -> Vec<Done> {
        // A group of commits answers a thousand at once; the runtime would give us a part of them at a time.
        let mut work = self.work.borrow_mut();
        let mut next = pin!(tokio::task::unconstrained(poll_fn(|context| work.poll_next_unpin(context))));
        let mut context = Context::from_waker(&self.work_bell);
        let mut done = Vec::new();
        while let task::Poll::Ready(Some(one)) = next.as_mut().poll(&mut context) {
            done.push(one);
        }
        done
    }

    /// Takes the mail and what came of work in one turn: the envelope of what somebody said, and the answer that it
    /// is stored, leave in one write.
    fn take_in(&self) {
        let done = self.done_by_now();
        self.turn(|state, _| {
            state.deliver(self.inbox.take());
            for done in done {
                match done {
                    Done::Response(id, answer) => state.answer(id, answer),
                    Done::Read(want, found) => state.found(want, found),
                }
            }
        });
    }
}

/// Awaits a future; `Err` when it panicked.
async fn unpanicked<T>(mut future: BoxFuture<T>) -> Result<T, ()> {
    poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => task::Poll::Ready(Err(())),
    })
    .await
}

/// Runs a shard on this thread until its control channel is closed.
///
/// A panic of the shard itself is a bug that no session caused alone; its users would be deaf and mute
/// while the process looks alive, so the process ends and comes back whole.
pub(crate) fn run(
    runtime: &Runtime,
    sockets: Poll,
    setup: Setup,
    ports: Ports,
    inbox: Arc<Inbox>,
    control: mpsc::Receiver<Control>,
) {
    let index = setup.index;
    let life = AssertUnwindSafe(|| runtime.block_on(live(sockets, setup, ports, inbox, control)));
    if catch_unwind(life).is_err() {
        tracing::error!(shard = index, "a shard panicked; the process ends");
        std::process::abort();
    }
}

async fn live(sockets: Poll, setup: Setup, ports: Ports, inbox: Arc<Inbox>, mut control: mpsc::Receiver<Control>) {
    let metrics = setup.metrics.clone();
    let mut events = Vec::new();
    let shard = Shard {
        state: RefCell::new(State::new(setup, ports)),
        buffer: RefCell::new(vec![0; READ_BUFFER_BYTES]),
        clock: Clock::start(),
        sockets,
        work: RefCell::default(),
        work_bell: Waker::from(Arc::clone(&inbox)),
        inbox,
        busy: Notify::new(),
    };
    let mut ticks = tokio::time::interval(PRESENCE_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut drain: Option<(Instant, oneshot::Sender<()>)> = None;
    // One timer for the whole drain: a new one each turn would never fire on a shard that is busy.
    let mut drain_ticks = tokio::time::interval(DRAIN_TICK);
    drain_ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);

    loop {
        if shard.has_work() && !shard.inbox.is_flush_pending() {
            shard.take_in();
        }
        let more = shard.turn(slice);
        if more && shard.sockets.take(&mut events).is_ok() {
            // On a busy shard the choice below comes to the sockets by luck.
            shard.notice(&mut events);
        }
        tokio::select! {
            () = shard.sockets.next(&mut events) => shard.notice(&mut events),
            () = shard.inbox.notified() => shard.take_in(),
            first = control.recv() => {
                let Some(first) = first else { break };
                let mut next = Some(first);
                for _ in 0..CONTROLS_PER_TURN {
                    let Some(message) = next else { break };
                    if let Some(begun) = obey(&shard, message) {
                        drain = Some(begun);
                    }
                    next = control.try_recv().ok();
                }
                if let Some(message) = next && let Some(begun) = obey(&shard, message) {
                    drain = Some(begun);
                }
            }
            due = ticks.tick() => {
                metrics.loop_lag.observe(due.elapsed().as_secs_f64());
                shard.turn(|state, _| state.tick());
                shard.turn(|state, _| state.sweep());
            }
            _ = drain_ticks.tick(), if drain.is_some() => {
                let empty = shard.turn(|state, _| {
                    state.drain_on();
                    state.slots.is_empty()
                });
                if let Some((until, done)) = drain.take() {
                    if empty || Instant::now() >= until {
                        let _ = done.send(());
                    } else {
                        drain = Some((until, done));
                    }
                }
            }
            () = shard.busy.notified() => {}
            () = tokio::task::yield_now(), if more => {}
        }
    }

    shard.turn(|state, _| state.forget_all());
    loop {
        shard.take_in();
        if !shard.has_work() {
            break;
        }
        shard.inbox.notified().await;
    }
}

/// Goes on with the sockets that have something, with those who are to be written to, with the pass over all sessions
/// and with closing sockets, for a slice of time each. Says whether anything is left of them.
fn slice(state: &mut State, buffer: &mut [u8]) -> bool {
    let called_left = state.look_after_called(buffer, slice_of_time());
    let passing_left = state.look_after_passing(buffer, slice_of_time());
    let ready_left = state.write_to_ready(slice_of_time());
    let visits_left = state.continue_pass(slice_of_time());
    let behind_left = state.write_to_behind(slice_of(BEHIND_PER_LOOK));
    let burials_left = state.bury(slice_of_time());
    [called_left, passing_left, ready_left, visits_left, behind_left, burials_left].contains(&true)
}

/// Says after each step whether the slice is over.
fn slice_of_time() -> impl FnMut() -> bool {
    slice_of(STEPS_PER_LOOK)
}

fn slice_of(steps_per_look: u32) -> impl FnMut() -> bool {
    let began = Instant::now();
    let mut steps = 0;
    move || {
        steps += 1;
        steps % steps_per_look == 0 && began.elapsed() >= SLICE
    }
}

/// Does what a control message asks. A drain that began comes back with its end and who waits for it.
fn obey(shard: &Shard, message: Control) -> Option<(Instant, oneshot::Sender<()>)> {
    match message {
        Control::Arrive(arrival) => {
            let wall = Timestamp::from(SystemTime::now());
            let checked_at = shard.clock.at(arrival.checked_at);
            shard.turn(|state, _| {
                let send_buffer_bytes = state.options.send_buffer_bytes;
                state.arrive(*arrival, checked_at, wall, |stream, slot, id| {
                    Connection::adopt(stream, send_buffer_bytes, &shard.sockets, slot, id)
                });
            });
        }
        Control::Revoke(revoked, done) => {
            shard.turn(|state, _| state.revoke(revoked));
            let _ = done.send(());
        }
        Control::Disconnect(user, reason, done) => {
            shard.turn(|state, _| state.disconnect(user, &reason));
            let _ = done.send(());
        }
        Control::Probe(answer) => {
            let _ = answer.send(());
        }
        Control::Drain(over, done) => {
            shard.turn(|state, _| state.drain(over));
            return Some((Instant::now() + over + GOODBYE_TIMEOUT, done));
        }
    }
    None
}
