//! Private messages: pairs of people, one of whom writes to the other, so many messages a second in all.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{
    FIRST_USER, IN_FLIGHT_MAX, LOOK, PATIENCE, Report, STRAGGLERS, Watch, content_chars, micros_each, premises,
    refused, write_cpu,
};
use crate::crowd::{Crowd, Heard};
use crate::envelopes::{self, Stamp};
use crate::error::LoadError;
use crate::latency::{Latency, Stopwatch};
use crate::ledger::Receipts;
use crate::progress::Progress;
use crate::schedule::Schedule;
use crate::target::{Dialect, Door, Target};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Private {
    /// How many pairs.
    pub pairs: usize,
    /// Messages a second, of all together.
    pub rate: u32,
    /// Characters of a message.
    pub chars: usize,
    /// For how long.
    pub duration: Duration,
    /// Classic: sent over HTTP, heard over a WebSocket. V1: both over WebSockets.
    pub dialect: Dialect,
    /// The server's process, when it runs on this machine and its processor time is asked for.
    pub server_pid: Option<u32>,
}

/// What was found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PrivateReport {
    /// How many pairs.
    pub pairs: usize,
    /// Messages that were sent.
    pub messages: u64,
    /// From the moment at which one was due until its receiver heard it.
    pub latency: Latency,
    /// And until its sender knew that it is durable.
    pub durable: Latency,
    /// What the receivers heard.
    pub receipts: Receipts,
    /// The server's processor time for each message.
    pub server_cpu_micros_per_message: Option<f64>,
}

/// Sends.
///
/// # Errors
/// A message was refused; somebody was disconnected.
pub fn run(target: &Target, asked: Private, progress: &mut Progress) -> Result<PrivateReport, LoadError> {
    let Private { dialect, rate, duration, .. } = asked;
    let (pairs, size) = (asked.pairs.max(1), asked.pairs.max(1) as u64);
    let chars = content_chars(dialect, asked.chars);
    let server = Watch(asked.server_pid);
    // Senders are 0.., their receivers follow in the same order.
    let sender_door = if dialect == Dialect::V1 { Door::V1 } else { Door::Http };
    let mut crowd = Crowd::new(target, FIRST_USER..FIRST_USER + size, sender_door)?;
    crowd.add(target, FIRST_USER + size..FIRST_USER + 2 * size, dialect.door())?;
    crowd.connect_all(IN_FLIGHT_MAX, PATIENCE, progress)?;
    let rooms = match dialect {
        Dialect::Classic => Vec::new(),
        Dialect::V1 => {
            let open = |pair: usize| (pair, "open", format!(r#"{{"user":{}}}"#, FIRST_USER + size + pair as u64));
            premises::ask_all(&mut crowd, "opening conversations", (0..pairs).map(open), progress)?
        }
    };
    let tokens = match dialect {
        Dialect::Classic => (0..size).map(|pair| target.token(FIRST_USER + pair)).collect::<Result<Vec<_>, _>>()?,
        Dialect::V1 => Vec::new(),
    };

    let run = envelopes::new_run();
    let mut schedule = Schedule::new(f64::from(rate), duration);
    let (mut heard_after, mut durable_after) = (Stopwatch::new(), Stopwatch::new());
    let mut receipts = Receipts::default();
    let mut next = vec![0_u32; pairs];
    let mut dues = vec![Duration::ZERO; usize::try_from(rate).unwrap_or(0) * duration.as_secs().max(1) as usize + 1];
    // Over HTTP answers come in the order of the requests: which of a sender's is answered next.
    let mut answers = vec![0_u64; pairs];
    let mut durable = 0;
    let before = server.cpu()?;
    let began = Instant::now();
    loop {
        let now = began.elapsed();
        let is_over = schedule.next().is_none();
        let sent = schedule.taken();
        if is_over && (receipts.heard >= sent && durable >= sent || now > duration + STRAGGLERS) {
            break;
        }
        while let Some((number, due)) = schedule.take(now) {
            let pair = usize::try_from(number % size).unwrap_or(0);
            let stamp = Stamp { number, due_micros: u64::try_from(due.as_micros()).unwrap_or(u64::MAX) };
            let content = envelopes::content(run, stamp, chars);
            if let Some(slot) = usize::try_from(number).ok().and_then(|number| dues.get_mut(number)) {
                *slot = due;
            }
            let mut say = Vec::new();
            match dialect {
                Dialect::V1 => envelopes::push_message(&mut say, run, number, rooms[pair], &content),
                Dialect::Classic => {
                    let receiver = FIRST_USER + size + pair as u64;
                    let body = format!(r#"{{"receiver_id":{receiver},"content":"{content}"}}"#);
                    say = target.post(&tokens[pair], "/api/messages/send", &body);
                }
            }
            crowd.send(pair, &say);
        }
        progress.tell(|| format!("{sent} sent, {} heard, {durable} durable", receipts.heard));
        let patience = schedule.patience(began.elapsed(), LOOK);
        crowd.turn(patience, &mut |index, heard, _| {
            let now = began.elapsed();
            let number = match heard {
                Heard::Answer(200 | 201, _) => {
                    answers[index] += 1;
                    Some((answers[index] - 1) * size + index as u64)
                }
                Heard::Answer(status, body) => {
                    return Err(LoadError::Limit(format!("{status} {}", String::from_utf8_lossy(body))));
                }
                Heard::Text(envelope) if envelopes::is_refusal(envelope) => return Err(refused(envelope)),
                Heard::Text(envelope) => {
                    let is_one = envelopes::is_message(envelope) || envelopes::is_private_message(envelope);
                    if index >= pairs
                        && is_one
                        && let Some(stamp) = envelopes::stamp(envelope, run)
                    {
                        receipts.number(&mut next[index - pairs], stamp.number);
                        heard_after.record(now.saturating_sub(Duration::from_micros(stamp.due_micros)));
                    }
                    envelopes::acknowledged(envelope)
                }
            };
            if let Some(due) = number.and_then(|number| dues.get(usize::try_from(number).ok()?)) {
                durable_after.record(now.saturating_sub(*due));
                durable += 1;
            }
            Ok(())
        })?;
    }
    let used = server.cpu_since(before)?;
    let (sent, lost) = (schedule.taken(), crowd.counters().lost);
    if lost > 0 {
        return Err(LoadError::Lost(lost));
    }
    receipts.lost = sent.saturating_sub(receipts.heard);
    Ok(PrivateReport {
        pairs,
        messages: sent,
        latency: heard_after.summary(),
        durable: durable_after.summary(),
        receipts,
        server_cpu_micros_per_message: micros_each(used, sent),
    })
}

impl Report for PrivateReport {
    fn receipts(&self) -> Option<Receipts> {
        Some(self.receipts)
    }
}

impl fmt::Display for PrivateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} private messages between {} pairs", self.messages, self.pairs)?;
        writeln!(f, "heard after one was due: {}", self.latency)?;
        writeln!(f, "durable after it was due: {}", self.durable)?;
        writeln!(f, "receipts: {}", self.receipts)?;
        write_cpu(f, "message", self.server_cpu_micros_per_message)
    }
}
