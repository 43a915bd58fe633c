//! A shard's thread and event loop. It is the hub's only reader of clocks, and the only place that drives futures.
//!
//! Each iteration takes the inbox and finished jobs, if there are any, runs the queues for a slice of time each, and then waits
//! for the first of: sockets, the inbox, control messages, ticks.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{self, Context, Waker};
use std::time::{Duration, Instant, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustix::event::epoll;
use teahouse_core::limits::PRESENCE_TICK;
use teahouse_core::{Seq, Timestamp, Version};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::Control;
use super::connection::Connection;
use super::environment::Environment;
use super::jobs::{Done, Job};
use super::poll::{self, Poll};
use super::state::Shard;
use super::turn::Step;
use crate::clock::Clock;
use crate::inbox::Inbox;
use crate::metrics::HubMetrics;
use crate::ports::BoxFuture;
use crate::session::GOODBYE_TIMEOUT;

/// How long a queue may run before sockets are polled again.
const SLICE: Duration = Duration::from_millis(1);
/// Short steps between two looks at the clock.
const STEPS_PER_LOOK: u32 = 16;
/// What one read takes from a socket, at most.
const READ_BUFFER_BYTES: usize = 16 * 1024;
/// Control messages handled in one iteration.
const CONTROLS_PER_TURN: usize = 64;
/// How often in a row the kernel is asked for events: for more of them than a process may have sockets.
const TAKES_MAX: usize = 256;
/// How often a drain sends the next sessions away.
const DRAIN_TICK: Duration = Duration::from_millis(20);

/// A shard with what drives it.
struct EventLoop {
    shard: RefCell<Shard>,
    buffer: RefCell<Vec<u8>>,
    clock: Clock,
    sockets: Poll,
    /// The jobs under way. One that is done notifies the inbox.
    jobs: RefCell<FuturesUnordered<BoxFuture<Done>>>,
    inbox: Arc<Inbox>,
    job_waker: Waker,
    /// Notified when a turn left something to do.
    busy: Notify,
    metrics: HubMetrics,
}

/// A drain under way: by when it ends, and who waits for it.
type Draining = (Instant, oneshot::Sender<()>);

impl EventLoop {
    fn new(sockets: Poll, environment: Environment, lobby: (Version, Seq)) -> Self {
        let inbox = Arc::clone(environment.own_inbox());
        Self {
            metrics: environment.metrics.clone(),
            shard: RefCell::new(Shard::new(environment, lobby)),
            buffer: RefCell::new(vec![0; READ_BUFFER_BYTES]),
            clock: Clock::start(),
            sockets,
            jobs: RefCell::default(),
            job_waker: Waker::from(Arc::clone(&inbox)),
            inbox,
            busy: Notify::new(),
        }
    }

    /// One turn: the clock is read, `work` changes the shard, and the jobs that it left are begun.
    fn turn<T>(&self, work: impl FnOnce(&mut Shard, &mut [u8]) -> T) -> T {
        let mut shard = self.shard.borrow_mut();
        shard.now = self.clock.now();
        let result = work(&mut shard, &mut self.buffer.borrow_mut());
        let jobs = shard.take_jobs();
        if shard.is_busy() || !jobs.is_empty() {
            self.busy.notify_one();
        }
        for job in jobs {
            self.jobs.borrow_mut().push(match job {
                Job::Request(id, future) => Box::pin(async move { Done::Request(id, catch_panic(future).await) }),
                Job::Read(read, future) => {
                    Box::pin(async move { Done::Read(read, catch_panic(future).await.unwrap_or_default()) })
                }
            });
        }
        result
    }

    fn has_jobs(&self) -> bool {
        !self.jobs.borrow().is_empty()
    }

    /// Notes events of sockets, those of `events` first and then all others that are there: when ten thousand
    /// peers are cut off, a live session's event may be the last.
    fn on_socket_events(&self, events: &mut Vec<epoll::Event>) {
        for _ in 0..TAKES_MAX {
            let is_full = events.len() == events.capacity();
            self.turn(|shard, _| events.drain(..).for_each(|event| shard.note_socket_event(poll::decode(event))));
            if !is_full || self.sockets.take(events).is_err() {
                break;
            }
        }
    }

    /// All jobs that are done by now. Those begun since the last time are polled for the first time.
    fn done_by_now(&self) -> Vec<Done> {
        // A group of commits answers a thousand requests at once; with its budget the runtime would yield in between.
        let mut jobs = self.jobs.borrow_mut();
        let mut next = pin!(tokio::task::unconstrained(poll_fn(|context| jobs.poll_next_unpin(context))));
        let mut context = Context::from_waker(&self.job_waker);
        let mut done = Vec::new();
        while let task::Poll::Ready(Some(one)) = next.as_mut().poll(&mut context) {
            done.push(one);
        }
        done
    }

    /// Takes what is done, then the inbox, and processes the inbox first.
    fn process_inbox(&self) {
        let done = self.done_by_now();
        self.turn(|shard, _| shard.process_inbox(done));
    }

    /// Handles a control message and those that wait with it. Returns a drain if one began.
    fn handle_controls(&self, first: Control, control: &mut mpsc::Receiver<Control>) -> Option<Draining> {
        let mut began = None;
        let mut next = Some(first);
        for left in (0..=CONTROLS_PER_TURN).rev() {
            let Some(message) = next.take() else { break };
            began = self.handle_control(message).or(began);
            next = if left > 0 { control.try_recv().ok() } else { None };
        }
        began
    }

    fn handle_control(&self, message: Control) -> Option<Draining> {
        match message {
            Control::Attach(arrival) => {
                let wall = Timestamp::from(SystemTime::now());
                let checked_at = self.clock.at(arrival.checked_at);
                self.turn(|shard, _| {
                    shard.attach(*arrival, checked_at, wall, |stream, slot, id| {
                        Connection::adopt(stream, &self.sockets, slot, id)
                    });
                });
            }
            Control::Revoke(revoked, done) => {
                self.turn(|shard, _| shard.revoke(revoked));
                let _ = done.send(());
            }
            Control::Disconnect(user, reason, done) => {
                self.turn(|shard, _| shard.disconnect(user, &reason));
                let _ = done.send(());
            }
            Control::Probe(answer) => {
                let _ = answer.send(());
            }
            Control::Drain(over, done) => {
                self.turn(|shard, _| shard.begin_drain(over));
                return Some((Instant::now() + over + GOODBYE_TIMEOUT, done));
            }
        }
        None
    }

    /// Goes on with a drain. Returns it, unless it is over.
    fn continue_drain(&self, (until, done): Draining) -> Option<Draining> {
        let is_left = self.turn(|shard, _| shard.continue_drain());
        if is_left && Instant::now() < until {
            return Some((until, done));
        }
        let _ = done.send(());
        None
    }

    /// Runs until the control channel is closed.
    async fn run_loop(&self, mut control: mpsc::Receiver<Control>) {
        let mut events = Vec::new();
        let mut ticks = tokio::time::interval(PRESENCE_TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut drain: Option<Draining> = None;
        // One timer for the whole drain: a new one each iteration would never fire on a busy shard.
        let mut drain_ticks = tokio::time::interval(DRAIN_TICK);
        drain_ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // A response that waits for the inbox keeps the loop busy until then.
            if self.shard.borrow().has_done() || self.has_jobs() && !self.inbox.is_flush_pending() {
                self.process_inbox();
            }
            let more = self.turn(|shard, buffer| shard.run_time_slices(buffer, slice));
            if more && self.sockets.take(&mut events).is_ok() {
                // On a busy shard the choice below would poll the sockets only now and then.
                self.on_socket_events(&mut events);
            }
            tokio::select! {
                () = self.sockets.next(&mut events) => self.on_socket_events(&mut events),
                () = self.inbox.notified() => self.process_inbox(),
                first = control.recv() => {
                    let Some(first) = first else { break };
                    drain = self.handle_controls(first, &mut control).or(drain);
                }
                due = ticks.tick() => {
                    self.metrics.loop_lag.observe(due.elapsed().as_secs_f64());
                    self.turn(|shard, _| shard.tick());
                    self.turn(|shard, _| shard.sweep());
                }
                _ = drain_ticks.tick(), if drain.is_some() => {
                    drain = drain.take().and_then(|draining| self.continue_drain(draining));
                }
                () = self.busy.notified() => {}
                () = tokio::task::yield_now(), if more => {}
            }
        }
    }

    /// Removes all sessions, and waits for the jobs that are under way.
    async fn finish(&self) {
        self.turn(|shard, _| shard.forget_all());
        loop {
            self.process_inbox();
            if self.jobs.borrow().is_empty() {
                break;
            }
            self.inbox.notified().await;
        }
    }
}

/// Awaits a future; `Err` when it panicked.
async fn catch_panic<T>(mut future: BoxFuture<T>) -> Result<T, ()> {
    poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => task::Poll::Ready(Err(())),
    })
    .await
}

/// Says after each step whether a slice of time is over.
fn slice(step: Step) -> impl FnMut() -> bool {
    let steps_per_look = match step {
        Step::Short => STEPS_PER_LOOK,
        Step::Long => 1,
    };
    let began = Instant::now();
    let mut steps = 0;
    move || {
        steps += 1;
        steps % steps_per_look == 0 && began.elapsed() >= SLICE
    }
}

/// Runs a shard on this thread until its control channel is closed. `lobby` is the lobby's version and seq.
///
/// A panic of the shard itself is a bug that no session caused alone. Its users could not send or receive while the
/// process looks alive, so the process ends and is restarted whole.
pub(crate) fn run(
    runtime: &Runtime,
    sockets: Poll,
    environment: Environment,
    lobby: (Version, Seq),
    control: mpsc::Receiver<Control>,
) {
    let index = environment.index;
    let life = AssertUnwindSafe(|| {
        runtime.block_on(async {
            let event_loop = EventLoop::new(sockets, environment, lobby);
            event_loop.run_loop(control).await;
            event_loop.finish().await;
        });
    });
    if catch_unwind(life).is_err() {
        tracing::error!(shard = index, "shard panicked, aborting");
        std::process::abort();
    }
}
