//! How many people hear a lobby message how soon: at a rate that does not wait for anybody, or with so many
//! messages on their way at once.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{
    CpuMeter, FIRST_USER, IN_FLIGHT_MAX, LOBBY, PATIENCE, Report, STRAGGLERS, content_chars, micros_each, per_second,
    refused, write_cpu,
};
use crate::crowd::{Crowd, Heard};
use crate::envelopes::{self, Stamp};
use crate::error::LoadError;
use crate::latency::{Latency, Stopwatch};
use crate::ledger::{Ledger, Receipts};
use crate::progress::Progress;
use crate::schedule::Schedule;
use crate::target::{Dialect, Target};

/// What is not counted: caches fill, everybody falls into step.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long waiting for events may keep the next message from being said.
const LOOK: Duration = Duration::from_millis(5);

/// When the next message is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// So many a second, whether anybody keeps up or not.
    Rate(u32),
    /// Never more than `size` on their way, and as soon as `burst` more may be.
    Window {
        /// On their way at once.
        size: u32,
        /// Said at once.
        burst: u32,
    },
}

impl Pace {
    /// One message at a time: nothing can be gathered into one write.
    pub const W1: Self = Self::Window { size: 1, burst: 1 };
    /// Eight on their way.
    pub const W8: Self = Self::Window { size: 8, burst: 1 };
    /// Thirty-two on their way, in bursts of sixteen.
    pub const DEEP: Self = Self::Window { size: 32, burst: 16 };
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(rate) => write!(f, "{rate} messages a second"),
            Self::Window { size, burst: 1 } => write!(f, "{size} on their way"),
            Self::Window { size, burst } => write!(f, "{size} on their way, {burst} said at once"),
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Fanout {
    /// How many listen.
    pub subscribers: usize,
    /// When the next message is said.
    pub pace: Pace,
    /// Characters of a message.
    pub chars: usize,
    /// For how long, after a second that is not counted.
    pub duration: Duration,
    /// What is spoken.
    pub dialect: Dialect,
    /// The server's process, when it runs on this machine and its processor time is asked for.
    pub server_pid: Option<u32>,
}

/// What was found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FanoutReport {
    /// How many listened.
    pub subscribers: usize,
    /// When the next message was said.
    pub pace: Pace,
    /// Messages that were said, those not counted included.
    pub messages: u64,
    /// What came of all of them.
    pub receipts: Receipts,
    /// Receipts in the time that was counted.
    pub deliveries: u64,
    /// And how many that is a second.
    pub deliveries_per_second: f64,
    /// From the moment at which a message was due, to its receipt by each, in the time that was counted.
    pub latency: Latency,
    /// The server's processor time in that time, as a part of one core.
    pub server_cpu_share: Option<f64>,
    /// And for each delivery.
    pub server_cpu_micros_per_delivery: Option<f64>,
}

/// Gathers an audience, speaks to it from one of its sessions, and listens with all.
///
/// # Errors
/// A message was refused; somebody was disconnected.
pub fn run(target: &Target, asked: Fanout, progress: &mut Progress) -> Result<FanoutReport, LoadError> {
    let mut crowd = gather(target, asked.subscribers, asked.dialect, progress)?;
    speak(&mut crowd, asked, progress)
}

/// An audience whose members all know that they are all there.
///
/// # Errors
/// Not all of them became live.
pub fn gather(
    target: &Target,
    subscribers: usize,
    dialect: Dialect,
    progress: &mut Progress,
) -> Result<Crowd, LoadError> {
    let size = subscribers as u64;
    let mut crowd = Crowd::new(target, FIRST_USER..FIRST_USER + size, dialect.door())?;
    crowd.connect_all(IN_FLIGHT_MAX, PATIENCE, progress)?;
    crowd.wait_for_count(size, PATIENCE, progress)?;
    Ok(crowd)
}

/// Speaks to an audience that [`gather`] brought together.
///
/// # Errors
/// A message was refused; somebody was disconnected.
pub fn speak(crowd: &mut Crowd, asked: Fanout, progress: &mut Progress) -> Result<FanoutReport, LoadError> {
    let Fanout { pace, duration, dialect, .. } = asked;
    let chars = content_chars(dialect, asked.chars);
    let lost_before = crowd.counters().lost;
    let run = envelopes::new_run();
    let mut ledger = Ledger::new(crowd.size());
    let mut stopwatch = Stopwatch::new();
    let mut schedule = match pace {
        Pace::Rate(rate) => Schedule::new(f64::from(rate), WARM_UP + duration),
        Pace::Window { .. } => Schedule::new(0.0, duration),
    };
    let (mut said, mut counted) = (0_u64, 0_u64);
    let began = Instant::now();
    let counting = WARM_UP..WARM_UP + duration;
    let mut meter = CpuMeter::new(asked.server_pid, &counting);
    loop {
        let now = began.elapsed();
        if meter.look(now)? && (ledger.completed() == said || now >= counting.end + STRAGGLERS) {
            break;
        }
        let mut say = Vec::new();
        let mut push = |number: u64, due: Duration| {
            let stamp = Stamp { number, due_micros: u64::try_from(due.as_micros()).unwrap_or(u64::MAX) };
            let content = envelopes::content(run, stamp, chars);
            match dialect {
                Dialect::Classic => envelopes::push_classic_message(&mut say, &content),
                Dialect::V1 => envelopes::push_message(&mut say, run, number, LOBBY, &content),
            }
        };
        match pace {
            Pace::Rate(_) => {
                while let Some((number, due)) = schedule.take(now) {
                    push(number, due);
                    said += 1;
                }
            }
            Pace::Window { size, burst } if now < counting.end => {
                let free = u64::from(size).saturating_sub(said - ledger.completed());
                if free >= u64::from(burst) {
                    (said..said + free).for_each(|number| push(number, now));
                    said += free;
                }
            }
            Pace::Window { .. } => {}
        }
        if !say.is_empty() {
            crowd.send(0, &say);
        }
        progress.tell(|| format!("{pace}: {said} said, heard by all: {}", ledger.completed()));
        let patience = schedule.patience(began.elapsed(), LOOK);
        crowd.turn(patience, &mut |index, heard, _| {
            let Heard::Text(envelope) = heard else { return Ok(()) };
            if let Some(key) = key(dialect, envelope) {
                if let Some(stamp) = ledger.heard(index, key, || envelopes::stamp(envelope, run)) {
                    let now = began.elapsed();
                    if counting.contains(&now) {
                        stopwatch.record(now.saturating_sub(Duration::from_micros(stamp.due_micros)));
                        counted += 1;
                    }
                }
            } else if envelopes::is_refusal(envelope) {
                return Err(refused(envelope));
            }
            Ok(())
        })?;
    }
    let lost = crowd.counters().lost - lost_before;
    if lost > 0 {
        return Err(LoadError::Lost(lost));
    }
    Ok(FanoutReport {
        subscribers: crowd.size(),
        pace,
        messages: said,
        receipts: ledger.receipts(said),
        deliveries: counted,
        deliveries_per_second: per_second(counted, duration),
        latency: stopwatch.summary(),
        server_cpu_share: meter.used().map(|used| used.as_secs_f64() / duration.as_secs_f64()),
        server_cpu_micros_per_delivery: micros_each(meter.used(), counted),
    })
}

/// What tells a lobby message from the one before.
pub(super) fn key(dialect: Dialect, envelope: &[u8]) -> Option<u64> {
    if !envelopes::is_message(envelope) {
        return None;
    }
    match dialect {
        Dialect::Classic => envelopes::message_id(envelope),
        Dialect::V1 => envelopes::place(envelope).filter(|&(room, _)| room == LOBBY).map(|(_, version)| version),
    }
}

impl Report for FanoutReport {
    fn receipts(&self) -> Option<Receipts> {
        Some(self.receipts)
    }
}

impl fmt::Display for FanoutReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} messages to {} people each, {}", self.messages, self.subscribers, self.pace)?;
        writeln!(f, "{:.0} deliveries a second", self.deliveries_per_second)?;
        writeln!(f, "heard after a message was due: {}", self.latency)?;
        writeln!(f, "receipts: {}", self.receipts)?;
        if let Some(share) = self.server_cpu_share {
            writeln!(f, "the server's processor: {:.0} % of one core", share * 100.0)?;
        }
        write_cpu(f, "delivery", self.server_cpu_micros_per_delivery)
    }
}
