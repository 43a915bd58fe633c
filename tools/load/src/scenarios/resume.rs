//! Many sessions resume at once after an absence, while one live client keeps sending. v1 only, since classic does not
//! resume.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{
    FIRST_USER, IN_FLIGHT_MAX, POLL_INTERVAL, Report, SENDER_USER, ServerProcess, TIMEOUT, content_chars, micros_each,
    per_second, setup, write_cpu,
};
use crate::client_pool::{ClientPool, Held, Incoming};
use crate::deliveries::Receipts;
use crate::envelopes;
use crate::error::LoadError;
use crate::latency::Latency;
use crate::paced_sender::{PacedSender, SendTo};
use crate::progress::Progress;
use crate::target::{Dialect, Target, Transport};

/// The user who sends the messages that the sessions miss.
const AUTHOR_USER: u64 = 4;
/// How long the live client sends before the resume, for comparison.
const BEFORE: Duration = Duration::from_secs(2);
/// Messages per second of the live client.
const SENDER_RATE: f64 = 100.0;

/// Parameters.
#[derive(Clone, Copy, Debug)]
pub struct Resume {
    /// Number of sessions.
    pub sessions: usize,
    /// Missed messages per session. Beyond 500, the server resets the room instead of resuming it.
    pub changes: usize,
    /// Rooms that the sessions are spread over, one room per session.
    pub rooms: usize,
    /// Characters per message.
    pub chars: usize,
    /// The server's process on this machine, to measure its CPU time.
    pub server_pid: Option<u32>,
}

/// Results.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ResumeReport {
    /// Number of sessions.
    pub sessions: usize,
    /// Missed messages per session.
    pub changes: usize,
    /// Time until all sessions were caught up.
    pub seconds: f64,
    /// Catch-up messages per second.
    pub envelopes_per_second: f64,
    /// Deliveries of the missed messages.
    pub receipts: Receipts,
    /// Rooms that were reset instead of resumed.
    pub resets: u64,
    /// Round trip of the live client's messages before the resume.
    pub live_before: Latency,
    /// The same during the resume.
    pub live_meanwhile: Latency,
    /// The server's CPU time per envelope.
    pub server_cpu_micros_per_envelope: Option<f64>,
}

/// Runs the scenario.
///
/// # Errors
/// The server refused a request or ended a connection.
pub fn run(target: &Target, params: Resume, progress: &mut Progress) -> Result<ResumeReport, LoadError> {
    let (size, changes) = (params.sessions.max(1), params.changes);
    let server = ServerProcess(params.server_pid);
    let mut author = ClientPool::new(target, AUTHOR_USER..AUTHOR_USER + 1, Transport::V1)?;
    author.connect_all(1, TIMEOUT, progress)?;
    let owners = (0..params.rooms.clamp(1, size)).map(|_| 0);
    let rooms = setup::create_rooms(&mut author, owners, "public", progress)?;
    let room_of = |index: usize| rooms[index % rooms.len()];
    let mut pool = ClientPool::new(target, FIRST_USER..FIRST_USER + size as u64, Transport::V1)?;
    pool.connect_all(IN_FLIGHT_MAX, TIMEOUT, progress)?;
    setup::join_rooms(&mut pool, (0..size).map(|index| (index, room_of(index))), progress)?;
    pool.reset_all();
    let chars = content_chars(Dialect::V1, params.chars);
    setup::fill_rooms(&mut author, 0, &rooms, changes, chars, progress)?;
    drop(author);

    // The rooms are new, so every session resumes from version 0.
    for index in 0..size {
        pool.set_held(index, Held { room: u32::try_from(room_of(index)).unwrap_or(0), version: 0 });
    }
    let before = PacedSender::start(target, SENDER_USER, SENDER_RATE, SendTo::OwnRoom)?;
    let before_began = Instant::now();
    while before_began.elapsed() < BEFORE {
        progress.report(|| "measuring the live client alone".to_owned());
        pool.poll(POLL_INTERVAL, &mut |_, _, _| Ok(()))?;
    }
    let before = before.finish()?;

    let mut at = vec![0_u32; size];
    let (mut receipts, mut resets) = (Receipts::default(), 0);
    let sender = PacedSender::start(target, SENDER_USER, SENDER_RATE, SendTo::OwnRoom)?;
    let cpu = server.cpu()?;
    let took = pool.connect_all_with(IN_FLIGHT_MAX, TIMEOUT, progress, &mut |index, incoming, _| {
        let Incoming::Envelope(envelope) = incoming else { return Ok(()) };
        if envelopes::is_message(envelope) {
            if let Some((room, version)) = envelopes::room_and_version(envelope)
                && room == room_of(index)
            {
                receipts.record_version(&mut at[index], version);
            }
        } else if envelopes::is_catch_up(envelope) {
            resets += u64::from(envelopes::is_reset(envelope));
        }
        Ok(())
    })?;
    let used = server.cpu_since(cpu)?;
    let meanwhile = sender.finish()?;
    let lost = pool.counters().lost;
    if lost > 0 {
        return Err(LoadError::Lost(lost));
    }
    receipts.lost = (size as u64 * changes as u64).saturating_sub(receipts.received);
    Ok(ResumeReport {
        sessions: size,
        changes,
        seconds: took.as_secs_f64(),
        envelopes_per_second: per_second(receipts.received, took),
        receipts,
        resets,
        live_before: before.latency,
        live_meanwhile: meanwhile.latency,
        server_cpu_micros_per_envelope: micros_each(used, receipts.received),
    })
}

impl Report for ResumeReport {
    fn receipts(&self) -> Option<Receipts> {
        Some(self.receipts)
    }
}

impl fmt::Display for ResumeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, changes, seconds, envelopes_per_second, resets, .. } = self;
        writeln!(f, "{sessions} sessions, {changes} missed messages each, caught up in {seconds:.2} s")?;
        writeln!(f, "{envelopes_per_second:.0} envelopes/s ({resets} rooms reset)")?;
        writeln!(f, "deliveries: {}", self.receipts)?;
        writeln!(f, "live client before:    {}", self.live_before)?;
        writeln!(f, "live client meanwhile: {}", self.live_meanwhile)?;
        write_cpu(f, "envelope", self.server_cpu_micros_per_envelope)
    }
}
