//! What a crowd does and what is measured of it, one file a question. Each gives a summary that a person
//! or a program can read.

pub mod connect;
pub mod durable;
pub mod fanout;
pub mod idle;
pub mod mixed;
mod premises;
pub mod private;
pub mod resume;
pub mod rooms;
pub mod slow;
pub mod storm;

use std::fmt::Display;
use std::ops::Range;
use std::time::Duration;

use serde::Serialize;

use crate::envelopes;
use crate::error::LoadError;
use crate::ledger::Receipts;
use crate::process;
use crate::target::Dialect;

/// Handshakes that the crowd has under way at once.
pub const IN_FLIGHT_MAX: usize = 2000;
/// The first user of the crowd; below are those who watch.
pub const FIRST_USER: u64 = 1001;
/// The user who watches.
pub const PROBE_USER: u64 = 1;
/// The user who only listens.
pub const ONLOOKER_USER: u64 = 2;
/// The user who speaks all through.
const SPEAKER_USER: u64 = 3;
/// Where everybody is.
const LOBBY: u64 = 1;
/// How long anything may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long stragglers are waited for. Whatever has come by then has come; only what is lost makes one wait.
const STRAGGLERS: Duration = Duration::from_secs(30);
/// How long waiting for events may keep the end from being noticed.
const LOOK: Duration = Duration::from_millis(10);

/// A summary, for people and for programs.
pub trait Report: Display + Serialize {
    /// What came of what was said, where something was.
    fn receipts(&self) -> Option<Receipts> {
        None
    }
}

/// The server's process, when it runs on this machine and is to be looked at.
#[derive(Clone, Copy, Debug)]
struct Watch(Option<u32>);

impl Watch {
    /// Its processor time so far.
    fn cpu(self) -> Result<Option<Duration>, LoadError> {
        Ok(self.0.map(process::processor_time).transpose()?)
    }

    /// What it used since then.
    fn cpu_since(self, before: Option<Duration>) -> Result<Option<Duration>, LoadError> {
        Ok(self.cpu()?.zip(before).map(|(after, before)| after.saturating_sub(before)))
    }

    /// Its memory: the heap and the stacks.
    fn memory(self) -> Result<Option<u64>, LoadError> {
        Ok(self.0.map(process::anonymous_bytes).transpose()?)
    }
}

/// The server's processor time within the time that counts.
#[derive(Debug)]
struct CpuMeter {
    server: Watch,
    counting: Range<Duration>,
    /// At the beginning of that time, once it has come; none where nobody asked.
    before: Option<Option<Duration>>,
    /// Used in it, once it is over.
    used: Option<Option<Duration>>,
}

impl CpuMeter {
    fn new(server_pid: Option<u32>, counting: &Range<Duration>) -> Self {
        Self { server: Watch(server_pid), counting: counting.clone(), before: None, used: None }
    }

    /// Looks, when it is time to; asked in each turn of a scenario. Says whether the time that counts is over.
    fn look(&mut self, now: Duration) -> Result<bool, LoadError> {
        if self.before.is_none() && now >= self.counting.start {
            self.before = Some(self.server.cpu()?);
        }
        let is_over = now >= self.counting.end;
        if is_over && self.used.is_none() {
            self.used = Some(self.server.cpu_since(self.before.flatten())?);
        }
        Ok(is_over)
    }

    /// What it used; none where nobody asked.
    fn used(&self) -> Option<Duration> {
        self.used.flatten()
    }
}

/// Microseconds of processor time for each of so many.
fn micros_each(used: Option<Duration>, of: u64) -> Option<f64> {
    used.map(|used| used.as_secs_f64() * 1e6 / ratio(of.max(1), 1))
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes of one machine")]
fn ratio(amount: u64, of: u64) -> f64 {
    amount as f64 / of.max(1) as f64
}

fn per(amount: u64, of: usize) -> f64 {
    ratio(amount, of as u64)
}

fn per_second(amount: u64, time: Duration) -> f64 {
    ratio(amount, 1) / time.as_secs_f64().max(1e-9)
}

/// A text's length where the dialect has a limit of its own.
fn content_chars(dialect: Dialect, wanted: usize) -> usize {
    let most = match dialect {
        Dialect::Classic => 500,
        Dialect::V1 => 4000,
    };
    wanted.clamp(envelopes::STAMP_CHARS_MAX, most)
}

fn refused(envelope: &[u8]) -> LoadError {
    LoadError::Limit(String::from_utf8_lossy(envelope).into_owned())
}

fn write_cpu(f: &mut std::fmt::Formatter<'_>, what: &str, micros: Option<f64>) -> std::fmt::Result {
    match micros {
        Some(micros) => writeln!(f, "the server's processor time for each {what}: {micros:.2} µs"),
        None => Ok(()),
    }
}
