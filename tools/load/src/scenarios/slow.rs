//! Effect of slow readers on fast ones: some clients stop reading for a while and read on at the end. Fast clients
//! should not be delayed, slow ones should miss nothing, and the server's memory should stay bounded.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::fanout::lobby_key;
use super::{
    FIRST_USER, IN_FLIGHT_MAX, LOBBY, POLL_INTERVAL, Report, ServerProcess, TIMEOUT, content_chars, per, server_error,
};
use crate::client_pool::{ClientPool, Incoming};
use crate::deliveries::{DeliveryTracker, Receipts};
use crate::envelopes::{self, Stamp};
use crate::error::LoadError;
use crate::latency::{Latency, Stopwatch};
use crate::progress::Progress;
use crate::schedule::Schedule;
use crate::target::{Dialect, Target};

/// How long the slow clients may take to read everything at the end.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(60);

/// Parameters.
#[derive(Clone, Copy, Debug)]
pub struct Slow {
    /// Clients that read all the time.
    pub fast: usize,
    /// Clients that stop reading.
    pub slow: usize,
    /// Messages per second.
    pub rate: u32,
    /// Characters per message.
    pub chars: usize,
    /// Duration of each phase: all clients read, then the slow ones do not.
    pub duration: Duration,
    /// Protocol dialect.
    pub dialect: Dialect,
    /// The server's process on this machine, to measure its memory.
    pub server_pid: Option<u32>,
}

/// Results.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SlowReport {
    /// Clients that read all the time.
    pub fast: usize,
    /// Clients that stopped reading.
    pub slow: usize,
    /// Messages sent.
    pub messages: u64,
    /// Latency of the fast clients while all clients read.
    pub fast_alone: Latency,
    /// Latency of the fast clients while the slow ones did not read.
    pub fast_beside_slow: Latency,
    /// How long the slow clients took to read everything at the end.
    pub reading_on_seconds: f64,
    /// Deliveries to all clients.
    pub receipts: Receipts,
    /// Growth of the server's memory per slow client while they did not read.
    pub server_bytes_per_slow: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    AllRead,
    SomePaused,
    CatchingUp { since: Duration },
}

/// Runs the scenario.
///
/// # Errors
/// The server refused a message or ended a connection.
pub fn run(target: &Target, params: Slow, progress: &mut Progress) -> Result<SlowReport, LoadError> {
    let Slow { dialect, duration, .. } = params;
    let server = ServerProcess(params.server_pid);
    let (fast, size) = (params.fast.max(1), params.fast.max(1) + params.slow);
    let mut pool = ClientPool::new(target, FIRST_USER..FIRST_USER + size as u64, dialect.transport())?;
    pool.connect_all(IN_FLIGHT_MAX, TIMEOUT, progress)?;
    pool.wait_for_count(size as u64, TIMEOUT, progress)?;
    let mut run = Run::new(fast, size, params);
    let (mut phase, mut memory, mut growth) = (Phase::AllRead, None, None);
    let reading_on = loop {
        let now = run.began.elapsed();
        let sent = run.schedule.issued();
        if phase == Phase::AllRead && now >= duration {
            phase = Phase::SomePaused;
            memory = server.memory()?;
            run.set_paused(&mut pool, fast..size, true)?;
        }
        if phase == Phase::SomePaused && run.schedule.next().is_none() && now >= 2 * duration {
            phase = Phase::CatchingUp { since: now };
            growth = server.memory()?.zip(memory).map(|(now, before)| per(now.saturating_sub(before), params.slow));
            run.set_paused(&mut pool, fast..size, false)?;
        }
        let wait = run.schedule.wait_time(now, POLL_INTERVAL);
        pool.poll(wait, &mut |index, incoming, _| run.receive(index, incoming))?;
        if let Phase::CatchingUp { since } = phase
            && (run.tracker.completed() == sent || now > 2 * duration + CATCH_UP_TIMEOUT)
        {
            break run.began.elapsed().saturating_sub(since);
        }
        let bytes = run.messages_due();
        if !bytes.is_empty() {
            pool.send(0, &bytes);
        }
        progress.report(|| format!("{}: {sent} sent, received by all: {}", phase.name(), run.tracker.completed()));
    };
    let lost = pool.counters().lost;
    if lost > 0 {
        return Err(LoadError::Lost(lost));
    }
    let [alone, beside] = &run.latencies;
    Ok(SlowReport {
        fast,
        slow: params.slow,
        messages: run.schedule.issued(),
        fast_alone: alone.summary(),
        fast_beside_slow: beside.summary(),
        reading_on_seconds: reading_on.as_secs_f64(),
        receipts: run.tracker.receipts(run.schedule.issued()),
        server_bytes_per_slow: growth,
    })
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::AllRead => "all clients read",
            Self::SomePaused => "some clients do not read",
            Self::CatchingUp { .. } => "slow clients catch up",
        }
    }
}

struct Run {
    params: Slow,
    fast: usize,
    id: u32,
    chars: usize,
    schedule: Schedule,
    tracker: DeliveryTracker,
    /// Latency of the fast clients, without and with slow ones.
    latencies: [Stopwatch; 2],
    began: Instant,
}

impl Run {
    fn new(fast: usize, size: usize, params: Slow) -> Self {
        Self {
            params,
            fast,
            id: envelopes::new_run(),
            chars: content_chars(params.dialect, params.chars),
            schedule: Schedule::new(f64::from(params.rate), 2 * params.duration),
            tracker: DeliveryTracker::new(size),
            latencies: [Stopwatch::new(), Stopwatch::new()],
            began: Instant::now(),
        }
    }

    fn set_paused(
        &mut self,
        pool: &mut ClientPool,
        clients: std::ops::Range<usize>,
        paused: bool,
    ) -> Result<(), LoadError> {
        for index in clients {
            pool.pause(index, paused, &mut |index, incoming, _| self.receive(index, incoming))?;
        }
        Ok(())
    }

    fn messages_due(&mut self) -> Vec<u8> {
        let now = self.began.elapsed();
        let mut bytes = Vec::new();
        while let Some((number, due)) = self.schedule.take(now) {
            let stamp = Stamp { number, due_micros: u64::try_from(due.as_micros()).unwrap_or(u64::MAX) };
            let content = envelopes::content(self.id, stamp, self.chars);
            match self.params.dialect {
                Dialect::Classic => envelopes::push_classic_message(&mut bytes, &content),
                Dialect::V1 => envelopes::push_message(&mut bytes, self.id, number, LOBBY, &content),
            }
        }
        bytes
    }

    fn receive(&mut self, index: usize, incoming: Incoming<'_>) -> Result<(), LoadError> {
        let Incoming::Envelope(envelope) = incoming else { return Ok(()) };
        if let Some(key) = lobby_key(self.params.dialect, envelope) {
            let stamp = self.tracker.record(index, key, || envelopes::stamp(envelope, self.id));
            if let Some(stamp) = stamp.filter(|_| index < self.fast) {
                let due = Duration::from_micros(stamp.due_micros);
                let phase = usize::from(due >= self.params.duration);
                self.latencies[phase].record(self.began.elapsed().saturating_sub(due));
            }
        } else if envelopes::is_error(envelope) {
            return Err(server_error(envelope));
        }
        Ok(())
    }
}

impl Report for SlowReport {
    fn receipts(&self) -> Option<Receipts> {
        Some(self.receipts)
    }
}

impl fmt::Display for SlowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} messages to {} fast and {} slow clients", self.messages, self.fast, self.slow)?;
        writeln!(f, "latency of fast clients, all reading:        {}", self.fast_alone)?;
        writeln!(f, "latency of fast clients, beside slow ones:   {}", self.fast_beside_slow)?;
        writeln!(f, "slow clients caught up in {:.2} s", self.reading_on_seconds)?;
        writeln!(f, "deliveries: {}", self.receipts)?;
        match self.server_bytes_per_slow {
            Some(bytes) => writeln!(f, "server memory growth per slow client: {bytes:.0} bytes"),
            None => Ok(()),
        }
    }
}
