//! Latency and throughput of lobby messages to many subscribers, at a fixed rate or with a fixed number in flight.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{
    CpuMeter, DRAIN_TIMEOUT, FIRST_USER, IN_FLIGHT_MAX, LOBBY, Report, TIMEOUT, content_chars, micros_each, per_second,
    server_error, write_cpu,
};
use crate::client_pool::{ClientPool, Incoming};
use crate::deliveries::{DeliveryTracker, Receipts};
use crate::envelopes::{self, Stamp};
use crate::error::LoadError;
use crate::latency::{Latency, Stopwatch};
use crate::progress::Progress;
use crate::schedule::Schedule;
use crate::target::{Dialect, Target};

/// Time that is not measured, in which caches fill and the pace settles.
const WARM_UP: Duration = Duration::from_secs(1);
/// The longest wait for socket events between two checks of the schedule.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// When the next message is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// Messages per second, on schedule.
    Rate(u32),
    /// At most `size` messages in flight, sent as soon as there is room for `burst` more.
    Window {
        /// Messages in flight.
        size: u32,
        /// Messages sent at once.
        burst: u32,
    },
}

impl Pace {
    /// One message at a time, so that the server cannot batch writes.
    pub const W1: Self = Self::Window { size: 1, burst: 1 };
    /// Eight messages in flight.
    pub const W8: Self = Self::Window { size: 8, burst: 1 };
    /// 32 messages in flight, in bursts of 16.
    pub const DEEP: Self = Self::Window { size: 32, burst: 16 };
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(rate) => write!(f, "{rate} messages/s"),
            Self::Window { size, burst: 1 } => write!(f, "{size} in flight"),
            Self::Window { size, burst } => write!(f, "{size} in flight, bursts of {burst}"),
        }
    }
}

/// Parameters.
#[derive(Clone, Copy, Debug)]
pub struct Fanout {
    /// Number of subscribers.
    pub subscribers: usize,
    /// When the next message is sent.
    pub pace: Pace,
    /// Characters per message.
    pub chars: usize,
    /// Measured time, after a second of warm-up.
    pub duration: Duration,
    /// Protocol dialect.
    pub dialect: Dialect,
    /// The server's process on this machine, to measure its CPU time.
    pub server_pid: Option<u32>,
}

/// Results.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FanoutReport {
    /// Number of subscribers.
    pub subscribers: usize,
    /// When the next message was sent.
    pub pace: Pace,
    /// Messages sent, including warm-up.
    pub messages: u64,
    /// All deliveries, including warm-up.
    pub receipts: Receipts,
    /// Deliveries in the measured time.
    pub deliveries: u64,
    /// Deliveries per second.
    pub deliveries_per_second: f64,
    /// From when a message was due until each delivery, in the measured time.
    pub latency: Latency,
    /// The server's CPU time as a share of one core.
    pub server_cpu_share: Option<f64>,
    /// The server's CPU time per delivery.
    pub server_cpu_micros_per_delivery: Option<f64>,
}

/// Connects the subscribers and runs the scenario.
///
/// # Errors
/// The server refused a message or ended a connection.
pub fn run(target: &Target, params: Fanout, progress: &mut Progress) -> Result<FanoutReport, LoadError> {
    let mut pool = connect(target, params.subscribers, params.dialect, progress)?;
    measure(&mut pool, params, progress)
}

/// Connects subscribers, and waits until each has received the full online count.
///
/// # Errors
/// Not all of them became live.
pub fn connect(
    target: &Target,
    subscribers: usize,
    dialect: Dialect,
    progress: &mut Progress,
) -> Result<ClientPool, LoadError> {
    let size = subscribers as u64;
    let mut pool = ClientPool::new(target, FIRST_USER..FIRST_USER + size, dialect.transport())?;
    pool.connect_all(IN_FLIGHT_MAX, TIMEOUT, progress)?;
    pool.wait_for_count(size, TIMEOUT, progress)?;
    Ok(pool)
}

/// Sends from the first client of a connected pool and measures deliveries to all.
///
/// # Errors
/// The server refused a message or ended a connection.
pub fn measure(pool: &mut ClientPool, params: Fanout, progress: &mut Progress) -> Result<FanoutReport, LoadError> {
    let Fanout { pace, duration, .. } = params;
    let lost_before = pool.counters().lost;
    let mut run = Run::new(pool.size(), params);
    let mut meter = CpuMeter::new(params.server_pid, &run.measured);
    loop {
        let now = run.began.elapsed();
        let is_over = meter.sample(now)?;
        if is_over && (run.tracker.completed() == run.sent || now >= run.measured.end + DRAIN_TIMEOUT) {
            break;
        }
        let bytes = run.messages_due(now);
        if !bytes.is_empty() {
            pool.send(0, &bytes);
        }
        progress.report(|| format!("{pace}: {} sent, received by all: {}", run.sent, run.tracker.completed()));
        let wait = run.schedule.wait_time(run.began.elapsed(), POLL_INTERVAL);
        pool.poll(wait, &mut |index, incoming, _| run.receive(index, incoming))?;
    }
    let lost = pool.counters().lost - lost_before;
    if lost > 0 {
        return Err(LoadError::Lost(lost));
    }
    Ok(FanoutReport {
        subscribers: pool.size(),
        pace,
        messages: run.sent,
        receipts: run.tracker.receipts(run.sent),
        deliveries: run.deliveries,
        deliveries_per_second: per_second(run.deliveries, duration),
        latency: run.stopwatch.summary(),
        server_cpu_share: meter.used().map(|used| used.as_secs_f64() / duration.as_secs_f64()),
        server_cpu_micros_per_delivery: micros_each(meter.used(), run.deliveries),
    })
}

struct Run {
    params: Fanout,
    id: u32,
    chars: usize,
    schedule: Schedule,
    tracker: DeliveryTracker,
    stopwatch: Stopwatch,
    sent: u64,
    /// Deliveries in the measured time.
    deliveries: u64,
    measured: Range<Duration>,
    began: Instant,
}

impl Run {
    fn new(subscribers: usize, params: Fanout) -> Self {
        let schedule = match params.pace {
            Pace::Rate(rate) => Schedule::new(f64::from(rate), WARM_UP + params.duration),
            Pace::Window { .. } => Schedule::new(0.0, params.duration),
        };
        Self {
            params,
            id: envelopes::new_run(),
            chars: content_chars(params.dialect, params.chars),
            schedule,
            tracker: DeliveryTracker::new(subscribers),
            stopwatch: Stopwatch::new(),
            sent: 0,
            deliveries: 0,
            measured: WARM_UP..WARM_UP + params.duration,
            began: Instant::now(),
        }
    }

    /// Encodes the messages that are due, or that the window has room for.
    fn messages_due(&mut self, now: Duration) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.params.pace {
            Pace::Rate(_) => {
                while let Some((number, due)) = self.schedule.take(now) {
                    self.push(&mut bytes, number, due);
                    self.sent += 1;
                }
            }
            Pace::Window { size, burst } if now < self.measured.end => {
                let free = u64::from(size).saturating_sub(self.sent - self.tracker.completed());
                if free >= u64::from(burst) {
                    (self.sent..self.sent + free).for_each(|number| self.push(&mut bytes, number, now));
                    self.sent += free;
                }
            }
            Pace::Window { .. } => {}
        }
        bytes
    }

    fn push(&self, bytes: &mut Vec<u8>, number: u64, due: Duration) {
        let stamp = Stamp { number, due_micros: u64::try_from(due.as_micros()).unwrap_or(u64::MAX) };
        let content = envelopes::content(self.id, stamp, self.chars);
        match self.params.dialect {
            Dialect::Classic => envelopes::push_classic_message(bytes, &content),
            Dialect::V1 => envelopes::push_message(bytes, self.id, number, LOBBY, &content),
        }
    }

    fn receive(&mut self, index: usize, incoming: Incoming<'_>) -> Result<(), LoadError> {
        let Incoming::Envelope(envelope) = incoming else { return Ok(()) };
        if let Some(key) = lobby_key(self.params.dialect, envelope) {
            if let Some(stamp) = self.tracker.record(index, key, || envelopes::stamp(envelope, self.id)) {
                let now = self.began.elapsed();
                if self.measured.contains(&now) {
                    self.stopwatch.record(now.saturating_sub(Duration::from_micros(stamp.due_micros)));
                    self.deliveries += 1;
                }
            }
        } else if envelopes::is_error(envelope) {
            return Err(server_error(envelope));
        }
        Ok(())
    }
}

/// The number that identifies a lobby message and grows with every message.
pub(super) fn lobby_key(dialect: Dialect, envelope: &[u8]) -> Option<u64> {
    if !envelopes::is_message(envelope) {
        return None;
    }
    match dialect {
        Dialect::Classic => envelopes::message_id(envelope),
        Dialect::V1 => {
            envelopes::room_and_version(envelope).filter(|&(room, _)| room == LOBBY).map(|(_, version)| version)
        }
    }
}

impl Report for FanoutReport {
    fn receipts(&self) -> Option<Receipts> {
        Some(self.receipts)
    }
}

impl fmt::Display for FanoutReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} messages to {} subscribers, {}", self.messages, self.subscribers, self.pace)?;
        writeln!(f, "{:.0} deliveries/s", self.deliveries_per_second)?;
        writeln!(f, "latency from due to received: {}", self.latency)?;
        writeln!(f, "deliveries: {}", self.receipts)?;
        if let Some(share) = self.server_cpu_share {
            writeln!(f, "server CPU: {:.0} % of one core", share * 100.0)?;
        }
        write_cpu(f, "delivery", self.server_cpu_micros_per_delivery)
    }
}
