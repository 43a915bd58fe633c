//! Clients that are watched one by one, each on a thread of its own so that the crowd's work does not
//! show in what they measure: a probe that asks without pause, and an onlooker that only listens.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::LoadError;
use crate::latency::{Latency, Stopwatch};
use crate::target::{Door, Target};
use crate::{envelopes, wire};

const HEARTBEAT: &str = r#"{"type":"heartbeat","data":{}}"#;
/// How long a single client waits for anything at all.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a listener looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);
const BUFFER_BYTES: usize = 16 * 1024;

/// One client that waits for what it wants to read.
pub struct Solo {
    stream: TcpStream,
    waiting: Vec<u8>,
    bytes: u64,
}

impl Solo {
    /// Opens a user's WebSocket.
    ///
    /// # Errors
    /// The server does not let it in.
    pub fn connect(target: &Target, user: u64) -> Result<Self, LoadError> {
        Self::enter(target, user, Door::Classic)
    }

    pub(crate) fn enter(target: &Target, user: u64, door: Door) -> Result<Self, LoadError> {
        let stream = TcpStream::connect(target.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut solo = Self { stream, waiting: Vec::new(), bytes: 0 };
        solo.stream.write_all(&target.handshake(user, door)?)?;
        loop {
            let answer = wire::read_answer(&solo.waiting).map_err(|what| LoadError::Protocol(what.to_owned()))?;
            if let Some(answer) = answer {
                if answer.status != 101 {
                    let body = String::from_utf8_lossy(answer.body);
                    return Err(LoadError::Refused(format!("{} {body}", answer.status)));
                }
                let length = answer.length;
                solo.waiting.drain(..length);
                return Ok(solo);
            }
            solo.fill()?;
        }
    }

    /// Says this.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn say(&mut self, envelope: &str) -> Result<(), LoadError> {
        let mut frame = Vec::new();
        wire::push_frame(&mut frame, wire::TEXT, envelope.as_bytes());
        self.send(&frame)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        Ok(self.stream.write_all(bytes)?)
    }

    pub(crate) fn wait_no_longer_than(&self, time: Duration) -> Result<(), LoadError> {
        Ok(self.stream.set_read_timeout(Some(time))?)
    }

    /// The first envelope that is looked for; v1.
    pub(crate) fn hear_until(&mut self, wanted: impl Fn(&[u8]) -> bool) -> Result<String, LoadError> {
        loop {
            let heard = self.hear()?;
            for envelope in envelopes::split(heard.as_bytes()) {
                if envelopes::is_refusal(envelope) {
                    return Err(LoadError::Limit(String::from_utf8_lossy(envelope).into_owned()));
                }
                if wanted(envelope) {
                    return Ok(String::from_utf8_lossy(envelope).into_owned());
                }
            }
        }
    }

    /// The next envelope. Pings are answered meanwhile.
    ///
    /// # Errors
    /// The connection is gone; nothing came within the time that a read may take.
    pub fn hear(&mut self) -> Result<String, LoadError> {
        loop {
            let frame = wire::read_frame(&self.waiting).map_err(|what| LoadError::Protocol(what.to_owned()))?;
            let Some(frame) = frame else {
                self.fill()?;
                continue;
            };
            let (opcode, length, payload) = (frame.opcode, frame.length, frame.payload.to_vec());
            self.waiting.drain(..length);
            self.bytes += length as u64;
            match opcode {
                wire::PING => {
                    let mut pong = Vec::new();
                    wire::push_frame(&mut pong, wire::PONG, &payload);
                    self.stream.write_all(&pong)?;
                }
                wire::CLOSE => return Err(LoadError::Lost(1)),
                _ => return String::from_utf8(payload).map_err(|_| LoadError::Protocol("bad UTF-8".into())),
            }
        }
    }

    fn fill(&mut self) -> Result<(), LoadError> {
        let mut buffer = [0; BUFFER_BYTES];
        match self.stream.read(&mut buffer)? {
            0 => Err(LoadError::Lost(1)),
            read => {
                self.waiting.extend_from_slice(&buffer[..read]);
                Ok(())
            }
        }
    }
}

/// What a probe found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ProbeReport {
    /// How long answers took.
    pub latency: Latency,
    /// When the slowest one was asked for, in seconds after the probe began.
    pub slowest_at_seconds: f64,
}

/// A session that sends a heartbeat as soon as the last one was answered.
pub struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<ProbeReport, LoadError>>,
}

impl Probe {
    /// Connects this user and begins.
    ///
    /// # Errors
    /// The server does not let it in.
    pub fn start(target: &Target, user: u64) -> Result<Self, LoadError> {
        let solo = Solo::connect(target, user)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("probe".into()).spawn(move || probe(solo, &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Ends it, and says what it found.
    ///
    /// # Errors
    /// A heartbeat was not answered.
    pub fn finish(self) -> Result<ProbeReport, LoadError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| LoadError::Thread)?
    }
}

fn probe(mut solo: Solo, stop: &AtomicBool) -> Result<ProbeReport, LoadError> {
    let began = Instant::now();
    let mut stopwatch = Stopwatch::new();
    let mut slowest = (Duration::ZERO, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        solo.say(HEARTBEAT)?;
        loop {
            let heard = solo.hear()?;
            if heard.starts_with(r#"{"type":"heartbeat""#) {
                break;
            }
            if heard.starts_with(r#"{"type":"notification""#) {
                return Err(LoadError::Limit(heard));
            }
        }
        let took = asked.elapsed();
        stopwatch.record(took);
        slowest = slowest.max((took, asked - began));
    }
    Ok(ProbeReport { latency: stopwatch.summary(), slowest_at_seconds: slowest.1.as_secs_f64() })
}

/// What an onlooker heard.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct OnlookerReport {
    /// For how long it listened.
    pub seconds: f64,
    /// Bytes of frames, headers and pings included.
    pub bytes: u64,
    /// How often it was told how many are online.
    pub counts: u64,
    /// What it was told last.
    pub last_count: Option<u64>,
    /// Envelopes of any other type.
    pub others: u64,
}

/// A session that only listens.
pub struct Onlooker {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<OnlookerReport, LoadError>>,
}

impl Onlooker {
    /// Connects this user and begins.
    ///
    /// # Errors
    /// The server does not let it in.
    pub fn start(target: &Target, user: u64) -> Result<Self, LoadError> {
        let solo = Solo::connect(target, user)?;
        solo.stream.set_read_timeout(Some(LOOK))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("onlooker".into()).spawn(move || look_on(solo, &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Ends it, and says what it heard.
    ///
    /// # Errors
    /// It was disconnected.
    pub fn finish(self) -> Result<OnlookerReport, LoadError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| LoadError::Thread)?
    }
}

fn look_on(mut solo: Solo, stop: &AtomicBool) -> Result<OnlookerReport, LoadError> {
    let began = Instant::now();
    let mut report = OnlookerReport { seconds: 0.0, bytes: 0, counts: 0, last_count: None, others: 0 };
    while !stop.load(Ordering::Relaxed) {
        match solo.hear() {
            Ok(heard) => match envelopes::online_count(heard.as_bytes()) {
                Some(count) => {
                    report.counts += 1;
                    report.last_count = Some(count);
                }
                None => report.others += 1,
            },
            Err(LoadError::Io(error)) if is_time_out(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(OnlookerReport { seconds: began.elapsed().as_secs_f64(), bytes: solo.bytes, ..report })
}

fn is_time_out(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
