//! The scenarios, a file each, and what they share: user ids, timeouts, server CPU and memory, reports.

pub mod connect;
pub mod durable;
pub mod fanout;
pub mod idle;
pub mod mixed;
pub mod private;
pub mod resume;
pub mod rooms;
mod setup;
pub mod slow;
pub mod storm;

use std::fmt::Display;
use std::ops::Range;
use std::time::Duration;

use serde::Serialize;

use crate::deliveries::Receipts;
use crate::envelopes;
use crate::error::LoadError;
use crate::process;
use crate::target::Dialect;

/// Concurrent handshakes.
pub const IN_FLIGHT_MAX: usize = 2000;
/// The first user id of the pool; lower ids are the separate clients below.
pub const FIRST_USER: u64 = 1001;
/// The user id of the [`Probe`](crate::Probe).
pub const PROBE_USER: u64 = 1;
/// The user id of the [`Observer`](crate::Observer).
pub const OBSERVER_USER: u64 = 2;
const SENDER_USER: u64 = 3;
/// The room that every user is a member of.
const LOBBY: u64 = 1;
/// A scenario fails when one of its steps takes longer.
const TIMEOUT: Duration = Duration::from_secs(120);
/// How long a scenario waits at its end for deliveries that are missing.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest wait for socket events between two checks of the schedule.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The summary of a scenario, as text and as JSON.
pub trait Report: Display + Serialize {
    /// Deliveries, in scenarios that count them.
    fn receipts(&self) -> Option<Receipts> {
        None
    }
}

/// The server's process, if it runs on this machine and `--server-pid` names it.
#[derive(Clone, Copy, Debug)]
struct ServerProcess(Option<u32>);

impl ServerProcess {
    fn cpu(self) -> Result<Option<Duration>, LoadError> {
        Ok(self.0.map(process::processor_time).transpose()?)
    }

    fn cpu_since(self, before: Option<Duration>) -> Result<Option<Duration>, LoadError> {
        Ok(self.cpu()?.zip(before).map(|(after, before)| after.saturating_sub(before)))
    }

    /// Anonymous resident memory: heap and stacks.
    fn memory(self) -> Result<Option<u64>, LoadError> {
        Ok(self.0.map(process::anonymous_bytes).transpose()?)
    }
}

/// Measures the server's CPU time within the measured period.
#[derive(Debug)]
struct CpuMeter {
    server: ServerProcess,
    measured: Range<Duration>,
    /// CPU time when the period began, once it has; the inner option is empty without a server process.
    before: Option<Option<Duration>>,
    /// CPU time used, once the period is over.
    used: Option<Option<Duration>>,
}

impl CpuMeter {
    fn new(server_pid: Option<u32>, measured: &Range<Duration>) -> Self {
        Self { server: ServerProcess(server_pid), measured: measured.clone(), before: None, used: None }
    }

    /// Samples when the period begins and ends; call it on every iteration. Returns whether the period is over.
    fn sample(&mut self, now: Duration) -> Result<bool, LoadError> {
        if self.before.is_none() && now >= self.measured.start {
            self.before = Some(self.server.cpu()?);
        }
        let is_over = now >= self.measured.end;
        if is_over && self.used.is_none() {
            self.used = Some(self.server.cpu_since(self.before.flatten())?);
        }
        Ok(is_over)
    }

    fn used(&self) -> Option<Duration> {
        self.used.flatten()
    }
}

/// Microseconds of CPU time per item.
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

/// Clamps the length of a message to the limits of the dialect.
fn content_chars(dialect: Dialect, wanted: usize) -> usize {
    let most = match dialect {
        Dialect::Classic => 500,
        Dialect::V1 => 4000,
    };
    wanted.clamp(envelopes::STAMP_CHARS_MAX, most)
}

fn server_error(envelope: &[u8]) -> LoadError {
    LoadError::Limit(String::from_utf8_lossy(envelope).into_owned())
}

fn write_cpu(f: &mut std::fmt::Formatter<'_>, what: &str, micros: Option<f64>) -> std::fmt::Result {
    match micros {
        Some(micros) => writeln!(f, "server CPU per {what}: {micros:.2} µs"),
        None => Ok(()),
    }
}
