//! How many messages a second are made durable, and how long one takes. Every sender waits for the proof
//! of one message before it sends the next; or all send at a rate that waits for nobody.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{
    CpuMeter, FIRST_USER, IN_FLIGHT_MAX, LOBBY, LOOK, PATIENCE, Report, STRAGGLERS, content_chars, micros_each,
    per_second, premises, refused, write_cpu,
};
use crate::crowd::{Crowd, Heard};
use crate::envelopes::{self, Stamp};
use crate::error::LoadError;
use crate::latency::{Latency, Stopwatch};
use crate::ledger::Receipts;
use crate::progress::Progress;
use crate::schedule::Schedule;
use crate::target::{Dialect, Door, Target};

/// What is not counted: the server's caches fill, the senders fall into step.
const WARM_UP: Duration = Duration::from_secs(1);

/// Where the senders speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Places {
    /// All in the lobby: everybody hears everybody
    Lobby,
    /// All in one private room of the first sender's, which the others come into: v1
    One,
    /// Each in a private room of their own: v1
    Each,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Durable {
    /// How many senders.
    pub senders: usize,
    /// For how long they send, after a second that is not counted.
    pub duration: Duration,
    /// By HTTP the answer is the proof, over v1 the `ack`, over classic one's own echo.
    pub door: Door,
    /// Where they speak.
    pub places: Places,
    /// Messages a second of all together; without one, everybody waits for the proof of the last one.
    pub rate: Option<u32>,
    /// Characters of a message.
    pub chars: usize,
    /// The server's process, when it runs on this machine and its processor time is asked for.
    pub server_pid: Option<u32>,
}

/// What was found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DurableReport {
    /// How many senders.
    pub senders: usize,
    /// Where they spoke.
    pub places: Places,
    /// Messages that were proved durable in the time that was counted.
    pub messages: u64,
    /// And how many that is a second.
    pub messages_per_second: f64,
    /// From sending, or from when it was due, to the proof.
    pub latency: Latency,
    /// Proofs of all that was sent.
    pub receipts: Receipts,
    /// The server's processor time for each message.
    pub server_cpu_micros_per_message: Option<f64>,
}

/// What each sender needs.
struct Senders<'a> {
    target: &'a Target,
    door: Door,
    run: u32,
    chars: usize,
    tokens: Vec<String>,
    rooms: Vec<u64>,
}

impl Senders<'_> {
    fn push(&self, into: &mut Vec<u8>, index: usize, number: u64, due: Duration) {
        let due_micros = u64::try_from(due.as_micros()).unwrap_or(u64::MAX);
        // Over classic a proof tells the sender only by its name: the number says which sender it was.
        let content = envelopes::content(self.run, Stamp { number: index as u64, due_micros }, self.chars);
        match self.door {
            Door::V1 => envelopes::push_message(into, self.run, number, self.rooms[index], &content),
            Door::Classic => envelopes::push_classic_message(into, &content),
            Door::Http => {
                let body = format!(r#"{{"content":"{content}"}}"#);
                into.extend_from_slice(&self.target.post(&self.tokens[index], "/api/chat/send", &body));
            }
        }
    }

    /// Whether this proves that a message of the client's is durable.
    fn is_proof(&self, index: usize, heard: Heard<'_>) -> Result<bool, LoadError> {
        match heard {
            Heard::Answer(200, _) => Ok(true),
            Heard::Answer(status, body) => Err(LoadError::Limit(format!("{status} {}", String::from_utf8_lossy(body)))),
            Heard::Text(envelope) if envelopes::is_refusal(envelope) => Err(refused(envelope)),
            Heard::Text(envelope) if self.door == Door::V1 => Ok(envelopes::acknowledged(envelope).is_some()),
            Heard::Text(envelope) => {
                let own = |stamp: Stamp| stamp.number == index as u64;
                Ok(envelopes::is_message(envelope) && envelopes::stamp(envelope, self.run).is_some_and(own))
            }
        }
    }
}

/// Sends.
///
/// # Errors
/// A message was refused, a sender was disconnected.
pub fn run(target: &Target, asked: Durable, progress: &mut Progress) -> Result<DurableReport, LoadError> {
    let Durable { door, duration, .. } = asked;
    let size = asked.senders.max(1);
    let users = FIRST_USER..FIRST_USER + size as u64;
    let mut crowd = Crowd::new(target, users.clone(), door)?;
    crowd.connect_all(IN_FLIGHT_MAX, PATIENCE, progress)?;
    let places = if door == Door::V1 { asked.places } else { Places::Lobby };
    let rooms = match places {
        Places::Lobby => vec![LOBBY; size],
        Places::Each => premises::create_rooms(&mut crowd, 0..size, "private", progress)?,
        Places::One => {
            let room = premises::create_rooms(&mut crowd, 0..1, "private", progress)?[0];
            let invite = |user| (0, "invite", format!(r#"{{"room":{room},"user":{user}}}"#));
            let others: Vec<_> = users.clone().skip(1).map(invite).collect();
            premises::ask_all(&mut crowd, "coming into the room", others.into_iter(), progress)?;
            vec![room; size]
        }
    };
    let tokens = match door {
        Door::Http => users.map(|user| target.token(user)).collect::<Result<Vec<_>, _>>()?,
        Door::Classic | Door::V1 => Vec::new(),
    };
    let dialect = if door == Door::V1 { Dialect::V1 } else { Dialect::Classic };
    let chars = content_chars(dialect, asked.chars);
    let senders = Senders { target, door, run: envelopes::new_run(), chars, tokens, rooms };
    send(&mut crowd, &senders, Durable { places, duration, ..asked }, progress)
}

fn send(
    crowd: &mut Crowd,
    senders: &Senders<'_>,
    asked: Durable,
    progress: &mut Progress,
) -> Result<DurableReport, LoadError> {
    let size = crowd.size();
    let counting = WARM_UP..WARM_UP + asked.duration;
    let mut schedule = Schedule::new(f64::from(asked.rate.unwrap_or(0)), counting.end);
    // What of each sender's is not proved yet was due then, the oldest first: nearly always one.
    let mut waiting: Vec<VecDeque<Duration>> = vec![VecDeque::new(); size];
    let mut stopwatch = Stopwatch::new();
    let (mut sent, mut proved, mut counted) = (0_u64, 0_u64, 0_u64);
    let mut meter = CpuMeter::new(asked.server_pid, &counting);
    let began = Instant::now();
    let mut say = Vec::new();
    if asked.rate.is_none() {
        for (index, waiting) in waiting.iter_mut().enumerate() {
            say.clear();
            senders.push(&mut say, index, sent, began.elapsed());
            waiting.push_back(began.elapsed());
            crowd.send(index, &say);
            sent += 1;
        }
    }
    loop {
        let now = began.elapsed();
        if meter.look(now)? && (proved >= sent || now > counting.end + STRAGGLERS) {
            break;
        }
        while let Some((number, due)) = schedule.take(now) {
            let index = usize::try_from(number % size as u64).unwrap_or(0);
            say.clear();
            senders.push(&mut say, index, number, due);
            waiting[index].push_back(due);
            crowd.send(index, &say);
            sent += 1;
        }
        progress.tell(|| format!("{proved} messages are durable, {} wait to be", sent - proved));
        let patience = schedule.patience(began.elapsed(), LOOK);
        crowd.turn(patience, &mut |index, heard, say| {
            if !senders.is_proof(index, heard)? {
                return Ok(());
            }
            let now = began.elapsed();
            let Some(due) = waiting[index].pop_front() else { return Ok(()) };
            proved += 1;
            if counting.contains(&now) {
                stopwatch.record(now.saturating_sub(due));
                counted += 1;
            }
            if asked.rate.is_none() && now < counting.end {
                senders.push(say, index, sent, now);
                waiting[index].push_back(now);
                sent += 1;
            }
            Ok(())
        })?;
    }
    let lost = crowd.counters().lost;
    if lost > 0 {
        return Err(LoadError::Lost(lost));
    }
    Ok(DurableReport {
        senders: size,
        places: asked.places,
        messages: counted,
        messages_per_second: per_second(counted, asked.duration),
        latency: stopwatch.summary(),
        receipts: Receipts { heard: proved, lost: sent - proved, ..Receipts::default() },
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
            Places::Each => "in a room each",
        };
        writeln!(f, "{} senders {places}: {:.0} durable messages a second", self.senders, self.messages_per_second)?;
        writeln!(f, "durable after: {}", self.latency)?;
        writeln!(f, "proofs: {}", self.receipts)?;
        write_cpu(f, "message", self.server_cpu_micros_per_message)
    }
}
