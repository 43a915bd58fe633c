//! Throughput and latency of durable messages. Each sender waits for the acknowledgement of one message before it
//! sends the next, or all send on schedule.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{
    CpuMeter, DRAIN_TIMEOUT, FIRST_USER, IN_FLIGHT_MAX, LOBBY, POLL_INTERVAL, Report, TIMEOUT, content_chars,
    micros_each, per_second, server_error, setup, write_cpu,
};
use crate::client_pool::{ClientPool, Incoming};
use crate::deliveries::Receipts;
use crate::envelopes::{self, Stamp};
use crate::error::LoadError;
use crate::latency::{Latency, Stopwatch};
use crate::progress::Progress;
use crate::schedule::Schedule;
use crate::target::{Dialect, Target, Transport};

/// Time that is not measured, in which caches fill and the pace settles.
const WARM_UP: Duration = Duration::from_secs(1);

/// Rooms that the senders use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Places {
    /// All in the lobby: every sender receives every message
    Lobby,
    /// All in one private room (v1)
    One,
    /// Each in a private room of its own (v1)
    Each,
}

/// Parameters.
#[derive(Clone, Copy, Debug)]
pub struct Durable {
    /// Number of senders.
    pub senders: usize,
    /// Measured time, after a second of warm-up.
    pub duration: Duration,
    /// The acknowledgement is the response over HTTP, the `ack` over v1, and the sender's own echo over classic.
    pub transport: Transport,
    /// Rooms that the senders use.
    pub places: Places,
    /// Messages per second in total, on schedule. Without it, each sender waits for the last acknowledgement.
    pub rate: Option<u32>,
    /// Characters per message.
    pub chars: usize,
    /// The server's process on this machine, to measure its CPU time.
    pub server_pid: Option<u32>,
}

/// Results.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DurableReport {
    /// Number of senders.
    pub senders: usize,
    /// Rooms that the senders used.
    pub places: Places,
    /// Messages acknowledged in the measured time.
    pub messages: u64,
    /// Messages acknowledged per second.
    pub messages_per_second: f64,
    /// From when a message was sent, or was due, until its acknowledgement.
    pub latency: Latency,
    /// Acknowledgements of all messages.
    pub receipts: Receipts,
    /// The server's CPU time per message.
    pub server_cpu_micros_per_message: Option<f64>,
}

struct Senders<'a> {
    target: &'a Target,
    transport: Transport,
    run: u32,
    chars: usize,
    tokens: Vec<String>,
    rooms: Vec<u64>,
}

impl Senders<'_> {
    fn encode(&self, index: usize, number: u64, due: Duration) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.push(&mut bytes, index, number, due);
        bytes
    }

    fn push(&self, into: &mut Vec<u8>, index: usize, number: u64, due: Duration) {
        let due_micros = u64::try_from(due.as_micros()).unwrap_or(u64::MAX);
        // A classic echo identifies its sender only by name, so the stamp's number identifies the sender.
        let content = envelopes::content(self.run, Stamp { number: index as u64, due_micros }, self.chars);
        match self.transport {
            Transport::V1 => envelopes::push_message(into, self.run, number, self.rooms[index], &content),
            Transport::Classic => envelopes::push_classic_message(into, &content),
            Transport::Http => {
                let body = format!(r#"{{"content":"{content}"}}"#);
                into.extend_from_slice(&self.target.post(&self.tokens[index], "/api/chat/send", &body));
            }
        }
    }

    /// Whether this acknowledges a message of the client.
    fn is_acknowledgement(&self, index: usize, incoming: Incoming<'_>) -> Result<bool, LoadError> {
        match incoming {
            Incoming::Response(200, _) => Ok(true),
            Incoming::Response(status, body) => {
                Err(LoadError::Limit(format!("{status} {}", String::from_utf8_lossy(body))))
            }
            Incoming::Envelope(envelope) if envelopes::is_error(envelope) => Err(server_error(envelope)),
            Incoming::Envelope(envelope) if self.transport == Transport::V1 => {
                Ok(envelopes::ack_number(envelope).is_some())
            }
            Incoming::Envelope(envelope) => {
                let is_own = |stamp: Stamp| stamp.number == index as u64;
                Ok(envelopes::is_message(envelope) && envelopes::stamp(envelope, self.run).is_some_and(is_own))
            }
        }
    }
}

/// Runs the scenario.
///
/// # Errors
/// The server refused a message or ended a connection.
pub fn run(target: &Target, params: Durable, progress: &mut Progress) -> Result<DurableReport, LoadError> {
    let Durable { transport, duration, .. } = params;
    let size = params.senders.max(1);
    let users = FIRST_USER..FIRST_USER + size as u64;
    let mut pool = ClientPool::new(target, users.clone(), transport)?;
    pool.connect_all(IN_FLIGHT_MAX, TIMEOUT, progress)?;
    let places = if transport == Transport::V1 { params.places } else { Places::Lobby };
    let rooms = match places {
        Places::Lobby => vec![LOBBY; size],
        Places::Each => setup::create_rooms(&mut pool, 0..size, "private", progress)?,
        Places::One => {
            let room = setup::create_rooms(&mut pool, 0..1, "public", progress)?[0];
            let join = |index| (index, "join", format!(r#"{{"room":{room}}}"#));
            setup::request_all(&mut pool, "joining the room", (1..size).map(join), progress)?;
            vec![room; size]
        }
    };
    let tokens = match transport {
        Transport::Http => users.map(|user| target.token(user)).collect::<Result<Vec<_>, _>>()?,
        Transport::Classic | Transport::V1 => Vec::new(),
    };
    let dialect = if transport == Transport::V1 { Dialect::V1 } else { Dialect::Classic };
    let chars = content_chars(dialect, params.chars);
    let senders = Senders { target, transport, run: envelopes::new_run(), chars, tokens, rooms };
    send(&mut pool, &senders, Durable { places, duration, ..params }, progress)
}

fn send(
    pool: &mut ClientPool,
    senders: &Senders<'_>,
    params: Durable,
    progress: &mut Progress,
) -> Result<DurableReport, LoadError> {
    let size = pool.size();
    let measured = WARM_UP..WARM_UP + params.duration;
    let mut schedule = Schedule::new(f64::from(params.rate.unwrap_or(0)), measured.end);
    // Due times of each sender's unacknowledged messages, oldest first; nearly always one.
    let mut pending: Vec<VecDeque<Duration>> = vec![VecDeque::new(); size];
    let mut stopwatch = Stopwatch::new();
    let (mut sent, mut acknowledged, mut counted) = (0_u64, 0_u64, 0_u64);
    let mut meter = CpuMeter::new(params.server_pid, &measured);
    let began = Instant::now();
    if params.rate.is_none() {
        for (index, pending) in pending.iter_mut().enumerate() {
            pending.push_back(began.elapsed());
            pool.send(index, &senders.encode(index, sent, began.elapsed()));
            sent += 1;
        }
    }
    loop {
        let now = began.elapsed();
        if meter.sample(now)? && (acknowledged >= sent || now > measured.end + DRAIN_TIMEOUT) {
            break;
        }
        while let Some((number, due)) = schedule.take(now) {
            let index = usize::try_from(number % size as u64).unwrap_or(0);
            pending[index].push_back(due);
            pool.send(index, &senders.encode(index, number, due));
            sent += 1;
        }
        progress.report(|| format!("{acknowledged} messages acknowledged, {} pending", sent - acknowledged));
        let wait = schedule.wait_time(began.elapsed(), POLL_INTERVAL);
        pool.poll(wait, &mut |index, incoming, bytes| {
            if !senders.is_acknowledgement(index, incoming)? {
                return Ok(());
            }
            let now = began.elapsed();
            let Some(due) = pending[index].pop_front() else { return Ok(()) };
            acknowledged += 1;
            if measured.contains(&now) {
                stopwatch.record(now.saturating_sub(due));
                counted += 1;
            }
            if params.rate.is_none() && now < measured.end {
                senders.push(bytes, index, sent, now);
                pending[index].push_back(now);
                sent += 1;
            }
            Ok(())
        })?;
    }
    let lost = pool.counters().lost;
    if lost > 0 {
        return Err(LoadError::Lost(lost));
    }
    Ok(DurableReport {
        senders: size,
        places: params.places,
        messages: counted,
        messages_per_second: per_second(counted, params.duration),
        latency: stopwatch.summary(),
        receipts: Receipts { received: acknowledged, lost: sent - acknowledged, ..Receipts::default() },
        server_cpu_micros_per_message: micros_each(meter.used(), counted),
    })
}

impl Report for DurableReport {
    fn receipts(&self) -> Option<Receipts> {
        Some(self.receipts)
    }
}

impl fmt::Display for DurableReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = match self.places {
            Places::Lobby => "in the lobby",
            Places::One => "in one room",
            Places::Each => "one room each",
        };
        writeln!(f, "{} senders {places}: {:.0} durable messages/s", self.senders, self.messages_per_second)?;
        writeln!(f, "latency until acknowledged: {}", self.latency)?;
        writeln!(f, "acknowledgements: {}", self.receipts)?;
        write_cpu(f, "message", self.server_cpu_micros_per_message)
    }
}
