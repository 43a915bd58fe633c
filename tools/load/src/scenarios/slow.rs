//! Slow readers beside fast ones: some stop reading while everybody is spoken to, and read on in the end.
//! The others should not notice, the slow ones miss nothing, and the server should not swell.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::fanout::key;
use super::{FIRST_USER, IN_FLIGHT_MAX, LOBBY, LOOK, PATIENCE, Report, Watch, content_chars, per, refused};
use crate::crowd::{Crowd, Heard};
use crate::envelopes::{self, Stamp};
use crate::error::LoadError;
use crate::latency::{Latency, Stopwatch};
use crate::ledger::{Ledger, Receipts};
use crate::progress::Progress;
use crate::schedule::Schedule;
use crate::target::{Dialect, Target};

/// How long the slow ones may take to read everything in the end.
const READING_ON: Duration = Duration::from_secs(60);

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Slow {
    /// How many read all the time.
    pub fast: usize,
    /// How many stop reading.
    pub slow: usize,
    /// Messages a second.
    pub rate: u32,
    /// Characters of a message.
    pub chars: usize,
    /// For how long nobody is slow, and then some are.
    pub duration: Duration,
    /// What is spoken.
    pub dialect: Dialect,
    /// The server's process, when it runs on this machine and its memory is asked for.
    pub server_pid: Option<u32>,
}

/// What was found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SlowReport {
    /// How many read all the time.
    pub fast: usize,
    /// How many stopped reading.
    pub slow: usize,
    /// Messages that were said.
    pub messages: u64,
    /// What the fast ones waited while nobody was slow.
    pub fast_alone: Latency,
    /// And while some were.
    pub fast_beside_slow: Latency,
    /// How long the slow ones took to read everything in the end.
    pub reading_on_seconds: f64,
    /// What everybody heard, the slow ones in the end.
    pub receipts: Receipts,
    /// By how much the server grew for each slow one while they did not read.
    pub server_bytes_per_slow: Option<f64>,
}

/// Speaks to all.
///
/// # Errors
/// A message was refused; somebody was disconnected.
pub fn run(target: &Target, asked: Slow, progress: &mut Progress) -> Result<SlowReport, LoadError> {
    let Slow { dialect, duration, .. } = asked;
    let chars = content_chars(dialect, asked.chars);
    let server = Watch(asked.server_pid);
    let (fast, size) = (asked.fast.max(1), asked.fast.max(1) + asked.slow);
    let mut crowd = Crowd::new(target, FIRST_USER..FIRST_USER + size as u64, dialect.door())?;
    crowd.connect_all(IN_FLIGHT_MAX, PATIENCE, progress)?;
    crowd.wait_for_count(size as u64, PATIENCE, progress)?;
    let run = envelopes::new_run();
    let mut ledger = Ledger::new(size);
    let mut waits = [Stopwatch::new(), Stopwatch::new()];
    let mut schedule = Schedule::new(f64::from(asked.rate), 2 * duration);
    let began = Instant::now();
    let (mut phase, mut memory, mut grown, mut read_on_at) = (0, None, None, None);
    loop {
        let now = began.elapsed();
        let said = schedule.taken();
        let mut listen = |index: usize, heard: Heard<'_>, _: &mut Vec<u8>| {
            let Heard::Text(envelope) = heard else { return Ok(()) };
            if let Some(key) = key(dialect, envelope) {
                let stamp = ledger.heard(index, key, || envelopes::stamp(envelope, run));
                if let Some(stamp) = stamp.filter(|_| index < fast) {
                    let due = Duration::from_micros(stamp.due_micros);
                    waits[usize::from(due >= duration)].record(began.elapsed().saturating_sub(due));
                }
            } else if envelopes::is_refusal(envelope) {
                return Err(refused(envelope));
            }
            Ok(())
        };
        if phase == 0 && now >= duration {
            phase = 1;
            memory = server.memory()?;
            for index in fast..size {
                crowd.pause(index, true, &mut listen)?;
            }
        }
        if phase == 1 && schedule.next().is_none() && now >= 2 * duration {
            phase = 2;
            grown = server.memory()?.zip(memory).map(|(now, before)| per(now.saturating_sub(before), asked.slow));
            read_on_at = Some(now);
            for index in fast..size {
                crowd.pause(index, false, &mut listen)?;
            }
        }
        crowd.turn(schedule.patience(now, LOOK), &mut listen)?;
        if phase == 2 && (ledger.completed() == said || now > 2 * duration + READING_ON) {
            break;
        }
        let now = began.elapsed();
        let mut say = Vec::new();
        while let Some((number, due)) = schedule.take(now) {
            let stamp = Stamp { number, due_micros: u64::try_from(due.as_micros()).unwrap_or(u64::MAX) };
            let content = envelopes::content(run, stamp, chars);
            match dialect {
                Dialect::Classic => envelopes::push_classic_message(&mut say, &content),
                Dialect::V1 => envelopes::push_message(&mut say, run, number, LOBBY, &content),
            }
        }
        if !say.is_empty() {
            crowd.send(0, &say);
        }
        progress.tell(|| {
            let phase = ["everybody reads", "some do not read", "they read on"][phase];
            format!("{phase}: {said} said, heard by all: {}", ledger.completed())
        });
    }
    let lost = crowd.counters().lost;
    if lost > 0 {
        return Err(LoadError::Lost(lost));
    }
    let reading_on = read_on_at.map_or(Duration::ZERO, |at| began.elapsed().saturating_sub(at));
    let [alone, beside] = waits;
    Ok(SlowReport {
        fast,
        slow: asked.slow,
        messages: schedule.taken(),
        fast_alone: alone.summary(),
        fast_beside_slow: beside.summary(),
        reading_on_seconds: reading_on.as_secs_f64(),
        receipts: ledger.receipts(schedule.taken()),
        server_bytes_per_slow: grown,
    })
}

impl Report for SlowReport {
    fn receipts(&self) -> Option<Receipts> {
        Some(self.receipts)
    }
}

impl fmt::Display for SlowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} messages to {} fast readers and {} slow ones", self.messages, self.fast, self.slow)?;
        writeln!(f, "the fast ones, while nobody was slow: {}", self.fast_alone)?;
        writeln!(f, "the fast ones, while some were slow:  {}", self.fast_beside_slow)?;
        writeln!(f, "the slow ones had read everything after {:.2} s", self.reading_on_seconds)?;
        writeln!(f, "receipts: {}", self.receipts)?;
        match self.server_bytes_per_slow {
            Some(bytes) => writeln!(f, "the server grew by {bytes:.0} bytes for each slow one"),
            None => Ok(()),
        }
    }
}
