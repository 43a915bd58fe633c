//! How many messages a second are made durable, and how long one takes. Every sender waits for the proof
//! of one message before it sends the next.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{FIRST_USER, IN_FLIGHT_MAX, PATIENCE};
use crate::crowd::{Crowd, Heard};
use crate::error::LoadError;
use crate::latency::{Latency, Stopwatch};
use crate::process;
use crate::progress::Progress;
use crate::target::{Door, Target};
use crate::wire;

/// Characters of a message.
const CONTENT_CHARS: usize = 200;
/// What is not counted: the server's caches fill, the senders fall into step.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long waiting for answers may keep the end from being noticed.
const LOOK: Duration = Duration::from_millis(10);

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Durable {
    /// How many senders.
    pub senders: usize,
    /// For how long they send.
    pub duration: Duration,
    /// By HTTP the answer is the proof; over sockets it is one's own echo, and everybody hears everybody.
    pub door: Door,
    /// The server's process, when it runs on this machine and its processor time is asked for.
    pub server_pid: Option<u32>,
}

/// What was found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DurableReport {
    /// How many senders.
    pub senders: usize,
    /// Messages that were proved durable.
    pub messages: u64,
    /// And how many that is a second.
    pub messages_per_second: f64,
    /// From sending to the proof.
    pub latency: Latency,
    /// The server's processor time for each message.
    pub server_cpu_micros_per_message: Option<f64>,
}

/// Sends.
///
/// # Errors
/// A message was refused, a sender was disconnected.
pub fn run(target: &Target, asked: Durable, progress: &mut Progress) -> Result<DurableReport, LoadError> {
    let users = FIRST_USER..FIRST_USER + asked.senders as u64;
    let content = "x".repeat(CONTENT_CHARS);
    let messages =
        users.clone().map(|user| message(target, asked.door, user, &content)).collect::<Result<Vec<_>, _>>()?;
    let mut crowd = Crowd::new(target, users, asked.door)?;
    crowd.connect_all(IN_FLIGHT_MAX, PATIENCE, progress)?;

    let began = Instant::now();
    let counting_from = began + WARM_UP;
    let until = counting_from + asked.duration;
    let mut sent = vec![began; messages.len()];
    let mut stopwatch = Stopwatch::new();
    let mut count = 0_u64;
    for (index, message) in messages.iter().enumerate() {
        sent[index] = Instant::now();
        crowd.send(index, message);
    }
    let cpu = || asked.server_pid.map(process::processor_time).transpose();
    let mut cpu_before = None;
    while Instant::now() < until {
        if cpu_before.is_none() && Instant::now() >= counting_from {
            cpu_before = Some(cpu()?);
        }
        progress.tell(|| format!("sending: {count} messages are durable"));
        crowd.turn(LOOK, &mut |index, heard, say| {
            if !is_proof(index, heard)? {
                return Ok(());
            }
            let now = Instant::now();
            if (counting_from..until).contains(&now) {
                stopwatch.record(now - sent[index]);
                count += 1;
            }
            sent[index] = now;
            say.extend_from_slice(&messages[index]);
            Ok(())
        })?;
    }
    let used = cpu()?.zip(cpu_before.flatten()).map(|(after, before)| after.saturating_sub(before));
    let lost = crowd.counters().lost;
    if lost > 0 {
        return Err(LoadError::Lost(lost));
    }
    #[expect(clippy::cast_precision_loss, reason = "messages of one run")]
    let messages = count as f64;
    Ok(DurableReport {
        senders: asked.senders,
        messages: count,
        messages_per_second: messages / asked.duration.as_secs_f64(),
        latency: stopwatch.summary(),
        server_cpu_micros_per_message: used.map(|used| used.as_secs_f64() * 1e6 / messages.max(1.0)),
    })
}

fn message(target: &Target, door: Door, user: u64, content: &str) -> Result<Vec<u8>, LoadError> {
    Ok(match door {
        Door::Http => {
            let body = format!(r#"{{"content":"{content}"}}"#);
            wire::post(target.address, "/api/chat/send", &target.token(user)?, &body)
        }
        Door::Socket => {
            let mut frame = Vec::new();
            let envelope = format!(r#"{{"type":"message","data":{{"content":"{content}"}}}}"#);
            wire::push_frame(&mut frame, wire::TEXT, envelope.as_bytes());
            frame
        }
    })
}

/// Whether this proves that the client's message is durable.
fn is_proof(index: usize, heard: Heard<'_>) -> Result<bool, LoadError> {
    match heard {
        Heard::Answer(200, _) => Ok(true),
        Heard::Answer(status, body) => Err(LoadError::Limit(format!("{status} {}", String::from_utf8_lossy(body)))),
        Heard::Text(envelope) if envelope.starts_with(br#"{"type":"message","#) => {
            Ok(wire::number_after(envelope, br#""user_id":"#) == Some(FIRST_USER + index as u64))
        }
        Heard::Text(envelope) if envelope.starts_with(br#"{"type":"notification""#) => {
            Err(LoadError::Limit(String::from_utf8_lossy(envelope).into_owned()))
        }
        Heard::Text(_) => Ok(false),
    }
}

impl fmt::Display for DurableReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} senders: {:.0} messages a second", self.senders, self.messages_per_second)?;
        let Latency { p50_ms, p99_ms, max_ms, .. } = self.latency;
        writeln!(f, "durable after: p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, slowest {max_ms:.1} ms")?;
        if let Some(micros) = self.server_cpu_micros_per_message {
            writeln!(f, "the server's processor time for each message: {micros:.1} µs")?;
        }
        Ok(())
    }
}
