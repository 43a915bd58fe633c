//! Many come back at once after an absence in which much was said, and are caught up, while somebody else
//! talks on. In v1, the only dialect that resumes.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{
    FIRST_USER, IN_FLIGHT_MAX, LOOK, PATIENCE, Report, SPEAKER_USER, Watch, content_chars, micros_each, per_second,
    premises, write_cpu,
};
use crate::crowd::{Crowd, Heard, Held};
use crate::envelopes;
use crate::error::LoadError;
use crate::latency::Latency;
use crate::ledger::Receipts;
use crate::progress::Progress;
use crate::speaker::{Speaker, Where};
use crate::target::{Dialect, Door, Target};

/// The user who says what others will miss.
const AUTHOR_USER: u64 = 4;
/// For how long the speaker talks before, so that there is something to compare with.
const BEFORE: Duration = Duration::from_secs(2);
/// Messages a second of the one who talks on.
const SPEAKER_RATE: f64 = 100.0;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Resume {
    /// How many come back.
    pub sessions: usize,
    /// How many messages each has missed; beyond 500 a server begins anew instead.
    pub changes: usize,
    /// Over how many rooms they are spread, one for each.
    pub rooms: usize,
    /// Characters of a message.
    pub chars: usize,
    /// The server's process, when it runs on this machine and its processor time is asked for.
    pub server_pid: Option<u32>,
}

/// What was found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ResumeReport {
    /// How many came back.
    pub sessions: usize,
    /// How many messages each had missed.
    pub changes: usize,
    /// How long until all were caught up.
    pub seconds: f64,
    /// What they were caught up with, a second.
    pub envelopes_per_second: f64,
    /// What they heard of it.
    pub receipts: Receipts,
    /// Who was begun anew instead.
    pub resets: u64,
    /// What the one who talks on waited for each own message, before.
    pub live_before: Latency,
    /// And meanwhile.
    pub live_meanwhile: Latency,
    /// The server's processor time for each envelope.
    pub server_cpu_micros_per_envelope: Option<f64>,
}

/// Prepares it all, and lets them come back.
///
/// # Errors
/// Something was refused; somebody was disconnected.
pub fn run(target: &Target, asked: Resume, progress: &mut Progress) -> Result<ResumeReport, LoadError> {
    let (size, changes) = (asked.sessions.max(1), asked.changes);
    let server = Watch(asked.server_pid);
    let mut author = Crowd::new(target, AUTHOR_USER..AUTHOR_USER + 1, Door::V1)?;
    author.connect_all(1, PATIENCE, progress)?;
    let owners = (0..asked.rooms.clamp(1, size)).map(|_| 0);
    let rooms = premises::create_rooms(&mut author, owners, "public", progress)?;
    let room_of = |index: usize| rooms[index % rooms.len()];
    let mut crowd = Crowd::new(target, FIRST_USER..FIRST_USER + size as u64, Door::V1)?;
    crowd.connect_all(IN_FLIGHT_MAX, PATIENCE, progress)?;
    premises::join_rooms(&mut crowd, (0..size).map(|index| (index, room_of(index))), progress)?;
    crowd.reset_all();
    let chars = content_chars(Dialect::V1, asked.chars);
    premises::fill_rooms(&mut author, 0, &rooms, changes, chars, progress)?;
    drop(author);

    // The rooms are new: everybody stands at their beginning.
    for index in 0..size {
        crowd.hold(index, Held { room: u32::try_from(room_of(index)).unwrap_or(0), version: 0 });
    }
    let before = Speaker::start(target, SPEAKER_USER, SPEAKER_RATE, Where::Alone)?;
    let nobody = Instant::now();
    while nobody.elapsed() < BEFORE {
        progress.tell(|| "one talks alone".to_owned());
        crowd.turn(LOOK, &mut |_, _, _| Ok(()))?;
    }
    let before = before.finish()?;

    let mut at = vec![0_u32; size];
    let (mut receipts, mut resets) = (Receipts::default(), 0);
    let speaker = Speaker::start(target, SPEAKER_USER, SPEAKER_RATE, Where::Alone)?;
    let cpu = server.cpu()?;
    let took = crowd.connect_all_listening(IN_FLIGHT_MAX, PATIENCE, progress, &mut |index, heard, _| {
        let Heard::Text(envelope) = heard else { return Ok(()) };
        if envelopes::is_message(envelope) {
            if let Some((room, version)) = envelopes::place(envelope)
                && room == room_of(index)
            {
                receipts.version(&mut at[index], version);
            }
        } else if envelopes::is_catch_up(envelope) {
            resets += u64::from(envelopes::is_reset(envelope));
        }
        Ok(())
    })?;
    let used = server.cpu_since(cpu)?;
    let meanwhile = speaker.finish()?;
    let lost = crowd.counters().lost;
    if lost > 0 {
        return Err(LoadError::Lost(lost));
    }
    receipts.lost = (size as u64 * changes as u64).saturating_sub(receipts.heard);
    Ok(ResumeReport {
        sessions: size,
        changes,
        seconds: took.as_secs_f64(),
        envelopes_per_second: per_second(receipts.heard, took),
        receipts,
        resets,
        live_before: before.latency,
        live_meanwhile: meanwhile.latency,
        server_cpu_micros_per_envelope: micros_each(used, receipts.heard),
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
        writeln!(f, "{sessions} came back after {changes} messages each, and were caught up in {seconds:.2} s")?;
        writeln!(f, "{envelopes_per_second:.0} envelopes a second ({resets} begun anew)")?;
        writeln!(f, "receipts: {}", self.receipts)?;
        writeln!(f, "who talks on, before:    {}", self.live_before)?;
        writeln!(f, "who talks on, meanwhile: {}", self.live_meanwhile)?;
        write_cpu(f, "envelope", self.server_cpu_micros_per_envelope)
    }
}
