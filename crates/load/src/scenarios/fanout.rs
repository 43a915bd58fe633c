//! How long a lobby message takes to all who listen, at a rate that does not wait for anybody.

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
/// How long stragglers are waited for.
const STRAGGLERS: Duration = Duration::from_secs(10);

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Fanout {
    /// How many listen.
    pub subscribers: usize,
    /// Messages a second.
    pub rate: u32,
    /// For how long.
    pub duration: Duration,
    /// The server's process, when it runs on this machine and its processor time is asked for.
    pub server_pid: Option<u32>,
}

/// What was found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FanoutReport {
    /// How many listened.
    pub subscribers: usize,
    /// Messages that were sent.
    pub messages: u64,
    /// Messages that were received, by all together.
    pub deliveries: u64,
    /// And how many that is a second, from the first message sent to the last one received.
    pub deliveries_per_second: f64,
    /// From the moment at which a message was due, to its receipt by each.
    pub latency: Latency,
    /// The server's processor time, as a part of one core.
    pub server_cpu_share: Option<f64>,
}

/// Sends from one session, evenly over time, and listens with all.
///
/// # Errors
/// A message was refused; somebody was disconnected or did not hear everything.
pub fn run(target: &Target, asked: Fanout, progress: &mut Progress) -> Result<FanoutReport, LoadError> {
    let mut crowd = Crowd::new(target, FIRST_USER..FIRST_USER + asked.subscribers as u64, Door::Socket)?;
    crowd.connect_all(IN_FLIGHT_MAX, PATIENCE, progress)?;
    crowd.wait_for_count(asked.subscribers as u64, PATIENCE, progress)?;

    let interval = Duration::from_secs(1) / asked.rate.max(1);
    let messages = u64::from(asked.rate) * asked.duration.as_secs();
    let wanted = messages * asked.subscribers as u64;
    let mut stopwatch = Stopwatch::new();
    let (mut sent, mut deliveries) = (0_u64, 0_u64);
    let cpu = || asked.server_pid.map(process::processor_time).transpose();
    let cpu_before = cpu()?;
    let began = Instant::now();
    let give_up = began + asked.duration + STRAGGLERS;
    while deliveries < wanted && Instant::now() < give_up {
        let mut due = began + interval.saturating_mul(u32::try_from(sent).unwrap_or(u32::MAX));
        while sent < messages && Instant::now() >= due {
            crowd.send(0, &message(due - began));
            sent += 1;
            due += interval;
        }
        progress.tell(|| format!("{sent} messages sent, {deliveries} received"));
        let patience = if sent < messages { due.saturating_duration_since(Instant::now()) } else { STRAGGLERS };
        crowd.turn(patience, &mut |_, heard, _| {
            match heard {
                Heard::Text(envelope) if envelope.starts_with(br#"{"type":"message","#) => {
                    if let Some(due) = wire::number_after(envelope, br#""content":""#) {
                        stopwatch.record(began.elapsed().saturating_sub(Duration::from_micros(due)));
                        deliveries += 1;
                    }
                }
                Heard::Text(envelope) if envelope.starts_with(br#"{"type":"notification""#) => {
                    return Err(LoadError::Limit(String::from_utf8_lossy(envelope).into_owned()));
                }
                Heard::Text(_) | Heard::Answer(..) => {}
            }
            Ok(())
        })?;
    }
    let took = began.elapsed();
    let used = cpu()?.zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    let lost = crowd.counters().lost;
    if lost > 0 {
        return Err(LoadError::Lost(lost));
    }
    if deliveries < wanted {
        let what = format!("receiving {wanted} messages ({deliveries} came)");
        return Err(LoadError::TimedOut { what, within: asked.duration + STRAGGLERS });
    }
    #[expect(clippy::cast_precision_loss, reason = "messages of one run")]
    let delivered = deliveries as f64;
    Ok(FanoutReport {
        subscribers: asked.subscribers,
        messages,
        deliveries,
        deliveries_per_second: delivered / took.as_secs_f64(),
        latency: stopwatch.summary(),
        server_cpu_share: used.map(|used| used.as_secs_f64() / took.as_secs_f64()),
    })
}

/// A message that says when it was due, in microseconds after the start.
fn message(due: Duration) -> Vec<u8> {
    let stamp = format!("{} ", due.as_micros());
    let content = format!("{stamp}{}", "x".repeat(CONTENT_CHARS - stamp.len()));
    let mut frame = Vec::new();
    let envelope = format!(r#"{{"type":"message","data":{{"content":"{content}"}}}}"#);
    wire::push_frame(&mut frame, wire::TEXT, envelope.as_bytes());
    frame
}

impl fmt::Display for FanoutReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} messages to {} subscribers each", self.messages, self.subscribers)?;
        writeln!(f, "{:.0} deliveries a second", self.deliveries_per_second)?;
        let Latency { p50_ms, p99_ms, max_ms, .. } = self.latency;
        writeln!(f, "received after: p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, slowest {max_ms:.1} ms")?;
        if let Some(share) = self.server_cpu_share {
            writeln!(f, "the server's processor: {:.0} % of one core", share * 100.0)?;
        }
        Ok(())
    }
}
