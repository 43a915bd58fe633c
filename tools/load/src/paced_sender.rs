//! A v1 client on a thread of its own that sends at a fixed rate, whatever else happens, and measures the time from
//! when a message was due until it came back.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::deliveries::Receipts;
use crate::envelopes::{self, Stamp};
use crate::error::LoadError;
use crate::latency::{Latency, Stopwatch};
use crate::schedule::Schedule;
use crate::single_client::SingleClient;
use crate::target::{Target, Transport};

const LOBBY: u64 = 1;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The longest wait between two checks of the stop flag.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long it waits at the end for messages that have not come back.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Characters per message.
const CONTENT_CHARS: usize = 100;

/// The room that it sends to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SendTo {
    /// The lobby, which every user receives.
    Lobby,
    /// A private room of its own.
    OwnRoom,
}

/// The results of a sender.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SenderReport {
    /// Messages sent.
    pub sent: u64,
    /// Time from when a message was due until it came back.
    pub latency: Latency,
    /// Deliveries of its own messages.
    pub receipts: Receipts,
    /// The version of the room at the end.
    pub version: u64,
}

/// A session that sends at a fixed rate.
pub(crate) struct PacedSender {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<SenderReport, LoadError>>,
}

impl PacedSender {
    /// Connects the user and starts sending `rate` messages per second.
    pub(crate) fn start(target: &Target, user: u64, rate: f64, send_to: SendTo) -> Result<Self, LoadError> {
        let mut client = SingleClient::connect_with(target, user, Transport::V1)?;
        let mut hello = Vec::new();
        envelopes::push_hello(&mut hello, None, None);
        client.send_bytes(&hello)?;
        let welcome = client.read_until(envelopes::is_welcome)?;
        let (room, version) = match send_to {
            SendTo::Lobby => (LOBBY, envelopes::entry_version(welcome.as_bytes(), LOBBY).unwrap_or(0)),
            SendTo::OwnRoom => {
                let mut create = Vec::new();
                let name = format!("sender {:08x}", envelopes::new_run());
                envelopes::push_request(&mut create, "create", 0, &format!(r#"{{"kind":"private","name":"{name}"}}"#));
                client.send_bytes(&create)?;
                let entry = client.read_until(|envelope| envelopes::ack_number(envelope) == Some(0))?;
                (envelopes::entry_id(entry.as_bytes()).unwrap_or(0), 0)
            }
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("sender".into())
            .spawn(move || send(client, (room, version), rate, &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Stops the sender once all its messages came back, and returns its results.
    pub(crate) fn finish(self) -> Result<SenderReport, LoadError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| LoadError::Thread)?
    }
}

fn send(
    mut client: SingleClient,
    (room, version): (u64, u64),
    rate: f64,
    stop: &AtomicBool,
) -> Result<SenderReport, LoadError> {
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
        let sent = schedule.issued();
        if stopped_at.is_some_and(|stopped| receipts.received >= sent || now > stopped + DRAIN_TIMEOUT) {
            receipts.lost = sent.saturating_sub(receipts.received);
            return Ok(SenderReport { sent, latency: stopwatch.summary(), receipts, version: u64::from(at) });
        }
        let mut bytes = Vec::new();
        while stopped_at.is_none()
            && let Some((number, due)) = schedule.take(now)
        {
            let stamp = Stamp { number, due_micros: u64::try_from(due.as_micros()).unwrap_or(u64::MAX) };
            envelopes::push_message(&mut bytes, run, number, room, &envelopes::content(run, stamp, CONTENT_CHARS));
        }
        client.send_bytes(&bytes)?;
        client.set_read_timeout(schedule.wait_time(began.elapsed(), POLL_INTERVAL).max(Duration::from_millis(1)))?;
        match client.read_text() {
            Ok(envelope) => {
                for envelope in envelopes::split(envelope.as_bytes()) {
                    if envelopes::is_error(envelope) {
                        return Err(LoadError::Limit(String::from_utf8_lossy(envelope).into_owned()));
                    }
                    let position =
                        envelopes::is_message(envelope).then(|| envelopes::room_and_version(envelope)).flatten();
                    if let Some((_, version)) = position.filter(|&(message_room, _)| message_room == room) {
                        let before = receipts;
                        receipts.record_version(&mut at, version);
                        match envelopes::stamp(envelope, run) {
                            Some(stamp) => {
                                let due = Duration::from_micros(stamp.due_micros);
                                stopwatch.record(began.elapsed().saturating_sub(due));
                            }
                            // A message of another sender.
                            None => receipts.received = before.received,
                        }
                    }
                }
            }
            Err(LoadError::Io(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
}
