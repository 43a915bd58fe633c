//! Latency of private messages between pairs of clients, at a fixed total rate.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{
    DRAIN_TIMEOUT, FIRST_USER, IN_FLIGHT_MAX, POLL_INTERVAL, Report, ServerProcess, TIMEOUT, content_chars,
    micros_each, server_error, setup, write_cpu,
};
use crate::client_pool::{ClientPool, Incoming};
use crate::deliveries::Receipts;
use crate::envelopes::{self, Stamp};
use crate::error::LoadError;
use crate::latency::{Latency, Stopwatch};
use crate::progress::Progress;
use crate::schedule::Schedule;
use crate::target::{Dialect, Target, Transport};

/// Parameters.
#[derive(Clone, Copy, Debug)]
pub struct Private {
    /// Number of pairs.
    pub pairs: usize,
    /// Messages per second in total, on schedule.
    pub rate: u32,
    /// Characters per message.
    pub chars: usize,
    /// Duration of sending.
    pub duration: Duration,
    /// Classic: sent over HTTP, received over WebSockets. v1: both over WebSockets.
    pub dialect: Dialect,
    /// The server's process on this machine, to measure its CPU time.
    pub server_pid: Option<u32>,
}

/// Results.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PrivateReport {
    /// Number of pairs.
    pub pairs: usize,
    /// Messages sent.
    pub messages: u64,
    /// From when a message was due until its receiver received it.
    pub latency: Latency,
    /// From when a message was due until its sender received the acknowledgement.
    pub durable: Latency,
    /// Deliveries to the receivers.
    pub receipts: Receipts,
    /// The server's CPU time per message.
    pub server_cpu_micros_per_message: Option<f64>,
}

/// Runs the scenario.
///
/// # Errors
/// The server refused a message or ended a connection.
pub fn run(target: &Target, params: Private, progress: &mut Progress) -> Result<PrivateReport, LoadError> {
    let server = ServerProcess(params.server_pid);
    let (mut pool, mut run) = prepare(target, params, progress)?;
    let before = server.cpu()?;
    run.began = Instant::now();
    loop {
        let now = run.began.elapsed();
        let is_over = run.schedule.next().is_none();
        let sent = run.schedule.issued();
        let all_arrived = run.receipts.received >= sent && run.durable >= sent;
        if is_over && (all_arrived || now > params.duration + DRAIN_TIMEOUT) {
            break;
        }
        run.send_due(target, &mut pool, now);
        progress.report(|| format!("{sent} sent, {} received, {} durable", run.receipts.received, run.durable));
        let wait = run.schedule.wait_time(run.began.elapsed(), POLL_INTERVAL);
        pool.poll(wait, &mut |index, incoming, _| run.receive(index, incoming))?;
    }
    let used = server.cpu_since(before)?;
    let (sent, lost) = (run.schedule.issued(), pool.counters().lost);
    if lost > 0 {
        return Err(LoadError::Lost(lost));
    }
    run.receipts.lost = sent.saturating_sub(run.receipts.received);
    Ok(PrivateReport {
        pairs: run.pairs,
        messages: sent,
        latency: run.received_after.summary(),
        durable: run.durable_after.summary(),
        receipts: run.receipts,
        server_cpu_micros_per_message: micros_each(used, sent),
    })
}

/// Connects the pairs: clients `0..pairs` send, and their receivers follow in the same order.
fn prepare(target: &Target, params: Private, progress: &mut Progress) -> Result<(ClientPool, Run), LoadError> {
    let Private { dialect, rate, duration, .. } = params;
    let (pairs, size) = (params.pairs.max(1), params.pairs.max(1) as u64);
    let sender_transport = if dialect == Dialect::V1 { Transport::V1 } else { Transport::Http };
    let mut pool = ClientPool::new(target, FIRST_USER..FIRST_USER + size, sender_transport)?;
    pool.add(target, FIRST_USER + size..FIRST_USER + 2 * size, dialect.transport())?;
    pool.connect_all(IN_FLIGHT_MAX, TIMEOUT, progress)?;
    let (rooms, tokens) = match dialect {
        Dialect::Classic => {
            let tokens = (0..size).map(|pair| target.token(FIRST_USER + pair)).collect::<Result<Vec<_>, _>>()?;
            (Vec::new(), tokens)
        }
        Dialect::V1 => {
            let open = |pair: usize| (pair, "open", format!(r#"{{"user":{}}}"#, FIRST_USER + size + pair as u64));
            let rooms = setup::request_all(&mut pool, "opening direct rooms", (0..pairs).map(open), progress)?;
            (rooms, Vec::new())
        }
    };
    let messages_max = usize::try_from(rate).unwrap_or(0) * duration.as_secs().max(1) as usize + 1;
    let run = Run {
        dialect,
        pairs,
        id: envelopes::new_run(),
        chars: content_chars(dialect, params.chars),
        rooms,
        tokens,
        schedule: Schedule::new(f64::from(rate), duration),
        received_after: Stopwatch::new(),
        durable_after: Stopwatch::new(),
        receipts: Receipts::default(),
        next: vec![0_u32; pairs],
        due_times: vec![Duration::ZERO; messages_max],
        responses: vec![0_u64; pairs],
        durable: 0,
        began: Instant::now(),
    };
    Ok((pool, run))
}

struct Run {
    dialect: Dialect,
    pairs: usize,
    id: u32,
    chars: usize,
    /// The direct room of each pair, in v1.
    rooms: Vec<u64>,
    /// The token of each sender, in classic.
    tokens: Vec<String>,
    schedule: Schedule,
    received_after: Stopwatch,
    durable_after: Stopwatch,
    receipts: Receipts,
    /// The next message number of each receiver.
    next: Vec<u32>,
    /// Due times by message number.
    due_times: Vec<Duration>,
    /// HTTP responses of each sender so far; responses come in the order of the requests.
    responses: Vec<u64>,
    durable: u64,
    began: Instant,
}

impl Run {
    fn send_due(&mut self, target: &Target, pool: &mut ClientPool, now: Duration) {
        let size = self.pairs as u64;
        while let Some((number, due)) = self.schedule.take(now) {
            let pair = usize::try_from(number % size).unwrap_or(0);
            let stamp = Stamp { number, due_micros: u64::try_from(due.as_micros()).unwrap_or(u64::MAX) };
            let content = envelopes::content(self.id, stamp, self.chars);
            if let Some(slot) = usize::try_from(number).ok().and_then(|number| self.due_times.get_mut(number)) {
                *slot = due;
            }
            let mut bytes = Vec::new();
            match self.dialect {
                Dialect::V1 => envelopes::push_message(&mut bytes, self.id, number, self.rooms[pair], &content),
                Dialect::Classic => {
                    let receiver = FIRST_USER + size + pair as u64;
                    let body = format!(r#"{{"receiver_id":{receiver},"content":"{content}"}}"#);
                    bytes = target.post(&self.tokens[pair], "/api/messages/send", &body);
                }
            }
            pool.send(pair, &bytes);
        }
    }

    fn receive(&mut self, index: usize, incoming: Incoming<'_>) -> Result<(), LoadError> {
        let now = self.began.elapsed();
        let acknowledged = match incoming {
            Incoming::Response(200 | 201, _) => {
                self.responses[index] += 1;
                Some((self.responses[index] - 1) * self.pairs as u64 + index as u64)
            }
            Incoming::Response(status, body) => {
                return Err(LoadError::Limit(format!("{status} {}", String::from_utf8_lossy(body))));
            }
            Incoming::Envelope(envelope) if envelopes::is_error(envelope) => return Err(server_error(envelope)),
            Incoming::Envelope(envelope) => {
                let is_message = envelopes::is_message(envelope) || envelopes::is_private_message(envelope);
                if index >= self.pairs
                    && is_message
                    && let Some(stamp) = envelopes::stamp(envelope, self.id)
                {
                    self.receipts.record_number(&mut self.next[index - self.pairs], stamp.number);
                    self.received_after.record(now.saturating_sub(Duration::from_micros(stamp.due_micros)));
                }
                envelopes::ack_number(envelope)
            }
        };
        if let Some(due) = acknowledged.and_then(|number| self.due_times.get(usize::try_from(number).ok()?)) {
            self.durable_after.record(now.saturating_sub(*due));
            self.durable += 1;
        }
        Ok(())
    }
}

impl Report for PrivateReport {
    fn receipts(&self) -> Option<Receipts> {
        Some(self.receipts)
    }
}

impl fmt::Display for PrivateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} private messages between {} pairs", self.messages, self.pairs)?;
        writeln!(f, "latency from due to received:     {}", self.latency)?;
        writeln!(f, "latency from due to acknowledged: {}", self.durable)?;
        writeln!(f, "deliveries: {}", self.receipts)?;
        write_cpu(f, "message", self.server_cpu_micros_per_message)
    }
}
