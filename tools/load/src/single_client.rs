//! Single clients, each on a thread of its own so that the pool's work does not distort what they measure: a probe
//! that sends heartbeats without pause, and an observer that only reads.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::LoadError;
use crate::latency::{Latency, Stopwatch};
use crate::target::{Target, Transport};
use crate::{envelopes, wire};

const HEARTBEAT: &str = r#"{"type":"heartbeat","data":{}}"#;
/// Read timeout of a single client.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The longest wait between two checks of the stop flag.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const BUFFER_BYTES: usize = 16 * 1024;

/// One client with blocking reads.
pub struct SingleClient {
    stream: TcpStream,
    waiting: Vec<u8>,
    bytes: u64,
}

impl SingleClient {
    /// Opens a user's WebSocket.
    ///
    /// # Errors
    /// The server refuses the connection.
    pub fn connect(target: &Target, user: u64) -> Result<Self, LoadError> {
        Self::connect_with(target, user, Transport::Classic)
    }

    pub(crate) fn connect_with(target: &Target, user: u64, transport: Transport) -> Result<Self, LoadError> {
        let stream = TcpStream::connect(target.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut client = Self { stream, waiting: Vec::new(), bytes: 0 };
        client.stream.write_all(&target.handshake(user, transport)?)?;
        loop {
            let response = wire::read_response(&client.waiting).map_err(|what| LoadError::Protocol(what.to_owned()))?;
            if let Some(response) = response {
                if response.status != 101 {
                    let body = String::from_utf8_lossy(response.body);
                    return Err(LoadError::Refused(format!("{} {body}", response.status)));
                }
                let length = response.length;
                client.waiting.drain(..length);
                return Ok(client);
            }
            client.fill()?;
        }
    }

    /// Sends a text frame.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn send_text(&mut self, envelope: &str) -> Result<(), LoadError> {
        let mut frame = Vec::new();
        wire::push_frame(&mut frame, wire::TEXT, envelope.as_bytes());
        self.send_bytes(&frame)
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        Ok(self.stream.write_all(bytes)?)
    }

    pub(crate) fn set_read_timeout(&self, time: Duration) -> Result<(), LoadError> {
        Ok(self.stream.set_read_timeout(Some(time))?)
    }

    /// Reads up to the first wanted envelope; v1.
    pub(crate) fn read_until(&mut self, wanted: impl Fn(&[u8]) -> bool) -> Result<String, LoadError> {
        loop {
            let envelope = self.read_text()?;
            for envelope in envelopes::split(envelope.as_bytes()) {
                if envelopes::is_error(envelope) {
                    return Err(LoadError::Limit(String::from_utf8_lossy(envelope).into_owned()));
                }
                if wanted(envelope) {
                    return Ok(String::from_utf8_lossy(envelope).into_owned());
                }
            }
        }
    }

    /// Reads the next frame of envelopes, and answers pings meanwhile.
    ///
    /// # Errors
    /// The connection is closed, or nothing arrived within the read timeout.
    pub fn read_text(&mut self) -> Result<String, LoadError> {
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
                _ => return String::from_utf8(payload).map_err(|_| LoadError::Protocol("invalid UTF-8".into())),
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

/// The results of a probe.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ProbeReport {
    /// Time from heartbeat to response.
    pub latency: Latency,
    /// When the slowest heartbeat was sent, in seconds since the probe started.
    pub slowest_at_seconds: f64,
}

/// A session that sends a heartbeat as soon as the last one is answered.
pub struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<ProbeReport, LoadError>>,
}

impl Probe {
    /// Connects the user and starts the thread.
    ///
    /// # Errors
    /// The server refuses the connection.
    pub fn start(target: &Target, user: u64) -> Result<Self, LoadError> {
        let client = SingleClient::connect(target, user)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("probe".into()).spawn(move || probe(client, &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Stops the probe and returns its results.
    ///
    /// # Errors
    /// A heartbeat was not answered, or was refused.
    pub fn finish(self) -> Result<ProbeReport, LoadError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| LoadError::Thread)?
    }
}

fn probe(mut client: SingleClient, stop: &AtomicBool) -> Result<ProbeReport, LoadError> {
    let began = Instant::now();
    let mut stopwatch = Stopwatch::new();
    let mut slowest = (Duration::ZERO, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let sent_at = Instant::now();
        client.send_text(HEARTBEAT)?;
        loop {
            let envelope = client.read_text()?;
            if envelope.starts_with(r#"{"type":"heartbeat""#) {
                break;
            }
            if envelope.starts_with(r#"{"type":"notification""#) {
                return Err(LoadError::Limit(envelope));
            }
        }
        let took = sent_at.elapsed();
        stopwatch.record(took);
        slowest = slowest.max((took, sent_at - began));
    }
    Ok(ProbeReport { latency: stopwatch.summary(), slowest_at_seconds: slowest.1.as_secs_f64() })
}

/// The results of an observer.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct ObserverReport {
    /// Duration of the observation.
    pub seconds: f64,
    /// Bytes of frames, including headers and pings.
    pub bytes: u64,
    /// Number of online counts received.
    pub counts: u64,
    /// The last online count.
    pub last_count: Option<u64>,
    /// Number of other envelopes.
    pub others: u64,
}

/// A session that only reads.
pub struct Observer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<ObserverReport, LoadError>>,
}

impl Observer {
    /// Connects the user and starts the thread.
    ///
    /// # Errors
    /// The server refuses the connection.
    pub fn start(target: &Target, user: u64) -> Result<Self, LoadError> {
        let client = SingleClient::connect(target, user)?;
        client.stream.set_read_timeout(Some(POLL_INTERVAL))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("observer".into()).spawn(move || observe(client, &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Stops the observer and returns its results.
    ///
    /// # Errors
    /// The connection was closed.
    pub fn finish(self) -> Result<ObserverReport, LoadError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| LoadError::Thread)?
    }
}

fn observe(mut client: SingleClient, stop: &AtomicBool) -> Result<ObserverReport, LoadError> {
    let began = Instant::now();
    let mut report = ObserverReport { seconds: 0.0, bytes: 0, counts: 0, last_count: None, others: 0 };
    while !stop.load(Ordering::Relaxed) {
        match client.read_text() {
            Ok(envelope) => match envelopes::online_count(envelope.as_bytes()) {
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
    Ok(ObserverReport { seconds: began.elapsed().as_secs_f64(), bytes: client.bytes, ..report })
}

fn is_time_out(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
