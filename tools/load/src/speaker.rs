//! One v1 client on a thread of its own that says something now and then, whatever happens to the others, and
//! takes the time from when it was due until it came back to it.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::envelopes::{self, Stamp};
use crate::error::LoadError;
use crate::latency::{Latency, Stopwatch};
use crate::ledger::Receipts;
use crate::schedule::Schedule;
use crate::solo::Solo;
use crate::target::{Door, Target};

const LOBBY: u64 = 1;
/// Longer than any run.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How often it looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);
/// How long it waits in the end for what it said to come back.
const STRAGGLERS: Duration = Duration::from_secs(30);
/// Characters of a message.
const CONTENT_CHARS: usize = 100;

/// Where it speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Where {
    /// To everybody.
    Lobby,
    /// To itself, in a room of its own.
    Alone,
}

/// What a speaker found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SpeakerReport {
    /// Messages that it said.
    pub said: u64,
    /// From the moment at which one was due until it came back.
    pub latency: Latency,
    /// What came back.
    pub receipts: Receipts,
    /// The version of the room when it ended.
    pub version: u64,
}

/// A session that speaks.
pub(crate) struct Speaker {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<SpeakerReport, LoadError>>,
}

impl Speaker {
    /// Connects this user and begins, with so many messages a second.
    pub(crate) fn start(target: &Target, user: u64, rate: f64, place: Where) -> Result<Self, LoadError> {
        let mut solo = Solo::enter(target, user, Door::V1)?;
        let mut hello = Vec::new();
        envelopes::push_hello(&mut hello, None, None);
        solo.send(&hello)?;
        let welcome = solo.hear_until(envelopes::is_welcome)?;
        let (room, version) = match place {
            Where::Lobby => (LOBBY, envelopes::entry_version(welcome.as_bytes(), LOBBY).unwrap_or(0)),
            Where::Alone => {
                let mut create = Vec::new();
                let name = format!("speaker {:08x}", envelopes::new_run());
                envelopes::push_request(&mut create, "create", 0, &format!(r#"{{"kind":"private","name":"{name}"}}"#));
                solo.send(&create)?;
                let entry = solo.hear_until(|envelope| envelopes::acknowledged(envelope) == Some(0))?;
                (envelopes::entry_id(entry.as_bytes()).unwrap_or(0), 0)
            }
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("speaker".into())
            .spawn(move || speak(solo, (room, version), rate, &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Ends it, when all that it said has come back, and says what it found.
    pub(crate) fn finish(self) -> Result<SpeakerReport, LoadError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| LoadError::Thread)?
    }
}

fn speak(
    mut solo: Solo,
    (room, version): (u64, u64),
    rate: f64,
    stop: &AtomicBool,
) -> Result<SpeakerReport, LoadError> {
    let (began, run) = (Instant::now(), envelopes::new_run());
    let mut schedule = Schedule::new(rate, DAY);
    let mut stopwatch = Stopwatch::new();
    let mut receipts = Receipts::default();
    let mut at = u32::try_from(version).unwrap_or(0);
    let mut stopped_at = None;
    loop {
        let now = began.elapsed();
        if stopped_at.is_none() && stop.load(Ordering::Relaxed) {
            stopped_at = Some(now);
        }
        let said = schedule.taken();
        if stopped_at.is_some_and(|stopped| receipts.heard >= said || now > stopped + STRAGGLERS) {
            receipts.lost = said.saturating_sub(receipts.heard);
            return Ok(SpeakerReport { said, latency: stopwatch.summary(), receipts, version: u64::from(at) });
        }
        let mut say = Vec::new();
        while stopped_at.is_none()
            && let Some((number, due)) = schedule.take(now)
        {
            let stamp = Stamp { number, due_micros: u64::try_from(due.as_micros()).unwrap_or(u64::MAX) };
            envelopes::push_message(&mut say, run, number, room, &envelopes::content(run, stamp, CONTENT_CHARS));
        }
        solo.send(&say)?;
        solo.wait_no_longer_than(schedule.patience(began.elapsed(), LOOK).max(Duration::from_millis(1)))?;
        match solo.hear() {
            Ok(heard) => {
                for envelope in envelopes::split(heard.as_bytes()) {
                    if envelopes::is_refusal(envelope) {
                        return Err(LoadError::Limit(String::from_utf8_lossy(envelope).into_owned()));
                    }
                    let place = envelopes::is_message(envelope).then(|| envelopes::place(envelope)).flatten();
                    if let Some((_, version)) = place.filter(|&(heard_in, _)| heard_in == room) {
                        let before = receipts;
                        receipts.version(&mut at, version);
                        match envelopes::stamp(envelope, run) {
                            Some(stamp) => {
                                let due = Duration::from_micros(stamp.due_micros);
                                stopwatch.record(began.elapsed().saturating_sub(due));
                            }
                            // Somebody else speaks here too.
                            None => receipts.heard = before.heard,
                        }
                    }
                }
            }
            Err(LoadError::Io(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
}
