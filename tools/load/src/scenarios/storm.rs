//! Reconnect storm: all clients are reset at once and reconnect at once, while a probe sends heartbeats, an observer
//! reads, and (v1) a sender sends; every v1 client must receive exactly what it missed.

use std::fmt;
use std::time::Instant;

use serde::Serialize;

use super::{
    DRAIN_TIMEOUT, FIRST_USER, IN_FLIGHT_MAX, LOBBY, OBSERVER_USER, POLL_INTERVAL, PROBE_USER, Report, SENDER_USER,
    ServerProcess, TIMEOUT, micros_each, per,
};
use crate::client_pool::{ClientPool, Held, Incoming};
use crate::deliveries::Receipts;
use crate::envelopes;
use crate::error::LoadError;
use crate::paced_sender::{PacedSender, SendTo, SenderReport};
use crate::progress::Progress;
use crate::single_client::{Observer, ObserverReport, Probe, ProbeReport};
use crate::target::{Dialect, Target};

/// Version of a client before its first welcome. Zero is the version of an empty room.
const NOT_WELCOMED: u32 = u32::MAX;

/// Parameters.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// Number of connections.
    pub connections: usize,
    /// Number of storms.
    pub rounds: u32,
    /// Protocol dialect. In v1, every client resumes the lobby.
    pub dialect: Dialect,
    /// Lobby messages per second during the storm, in v1.
    pub rate: u32,
    /// The server's process on this machine, to measure its memory and CPU time.
    pub server_pid: Option<u32>,
}

/// Results.
#[derive(Clone, Debug, Serialize)]
pub struct StormReport {
    /// Number of connections.
    pub connections: usize,
    /// Time of the first connect, when the server creates the accounts.
    pub first_connect_seconds: f64,
    /// Time of each round, from the reset until all clients were live and caught up.
    pub back_seconds: Vec<f64>,
    /// Reconnects over all rounds.
    pub reconnects: u64,
    /// Handshakes that failed and were retried.
    pub retried: u64,
    /// Results of the probe, over all rounds.
    pub probe: ProbeReport,
    /// Results of the observer, over all rounds.
    pub observer: ObserverReport,
    /// Results of the sender, over all rounds.
    pub sender: Option<SenderReport>,
    /// Deliveries of its messages, live and in catch-up.
    pub receipts: Option<Receipts>,
    /// Measurements of the server's process.
    pub server: Option<ServerReport>,
}

/// Measurements of the server's process.
#[derive(Clone, Debug, Serialize)]
pub struct ServerReport {
    /// CPU time per reconnect, measured in a round without probe and observer.
    pub cpu_micros_per_connect: f64,
    /// User memory per connection after the first connect.
    pub user_bytes_per_connection: f64,
    /// The same after each round.
    pub user_bytes_per_connection_after: Vec<f64>,
}

/// The lobby version of each client.
struct Readers {
    at: Vec<u32>,
    receipts: Receipts,
}

impl Readers {
    fn receive(&mut self, index: usize, envelope: &[u8]) {
        let at = &mut self.at[index];
        if envelopes::is_message(envelope) {
            if let Some((LOBBY, version)) = envelopes::room_and_version(envelope) {
                self.receipts.record_version(at, version);
            }
        } else if envelopes::is_caught_up(envelope) {
            // Nothing is edited here, so every version is a message, and what a catch-up skips is lost.
            if let Some((LOBBY, version)) = envelopes::room_and_version(envelope) {
                let version = u32::try_from(version).unwrap_or(u32::MAX);
                self.receipts.lost += u64::from(version.saturating_sub(*at));
                *at = version.max(*at);
            }
        } else if envelopes::is_welcome(envelope) && *at == NOT_WELCOMED {
            let version = envelopes::entry_version(envelope, LOBBY).unwrap_or(0);
            *at = u32::try_from(version).unwrap_or(u32::MAX);
        }
    }
}

/// Runs the scenario.
///
/// # Errors
/// Not all clients came back, or the server ended a connection that was to stay.
pub fn run(target: &Target, params: Storm, progress: &mut Progress) -> Result<StormReport, LoadError> {
    let size = params.connections;
    let is_v1 = params.dialect == Dialect::V1;
    let server = ServerProcess(params.server_pid);
    let pool = ClientPool::new(target, FIRST_USER..FIRST_USER + size as u64, params.dialect.transport())?;
    let readers = Readers { at: vec![NOT_WELCOMED; if is_v1 { size } else { 0 }], receipts: Receipts::default() };
    let mut run = Run { pool, readers, progress };
    let memory_before = server.memory()?;
    let growth = || -> Result<Option<f64>, LoadError> {
        Ok(server.memory()?.zip(memory_before).map(|(now, before)| per(now.saturating_sub(before), size)))
    };
    let first_connect_seconds = run.connect()?;
    run.pool.wait_for_count(size as u64, TIMEOUT, run.progress)?;
    let first_bytes = growth()?;
    let cpu_micros_per_connect = match params.server_pid {
        Some(_) => run.measure_reconnect(server)?,
        None => None,
    };

    let observer = Observer::start(target, OBSERVER_USER)?;
    let probe = Probe::start(target, PROBE_USER)?;
    let sends = is_v1 && params.rate > 0;
    let start_sender = || PacedSender::start(target, SENDER_USER, f64::from(params.rate), SendTo::Lobby);
    let sender = sends.then(start_sender).transpose()?;
    let online = size as u64 + 2 + u64::from(sends);
    let counters_before = run.pool.counters();
    let (mut back_seconds, mut bytes_after) = (Vec::new(), Vec::new());
    for _ in 0..params.rounds {
        back_seconds.push(run.storm(online)?);
        bytes_after.extend(growth()?);
    }
    let (probe, observer) = (probe.finish()?, observer.finish()?);
    let sender = sender.map(PacedSender::finish).transpose()?;
    if let Some(sender) = &sender {
        run.read_up_to(sender.version)?;
    }
    let counters = run.pool.counters();
    if counters.lost > 0 {
        return Err(LoadError::Lost(counters.lost));
    }
    let server = cpu_micros_per_connect.zip(first_bytes).map(|(cpu_micros_per_connect, first)| ServerReport {
        cpu_micros_per_connect,
        user_bytes_per_connection: first,
        user_bytes_per_connection_after: bytes_after,
    });
    Ok(StormReport {
        connections: size,
        first_connect_seconds,
        back_seconds,
        reconnects: counters.opened - counters_before.opened,
        retried: counters.retried - counters_before.retried,
        probe,
        observer,
        sender,
        receipts: sends.then_some(run.readers.receipts),
        server,
    })
}

struct Run<'a> {
    pool: ClientPool,
    readers: Readers,
    progress: &'a mut Progress,
}

impl Run<'_> {
    /// Connects all clients and returns how long that took, in seconds.
    fn connect(&mut self) -> Result<f64, LoadError> {
        let mut listen = listener(&mut self.readers);
        let took = self.pool.connect_all_with(IN_FLIGHT_MAX, TIMEOUT, self.progress, &mut listen)?;
        Ok(took.as_secs_f64())
    }

    /// Resets and reconnects all clients, and returns the server's CPU time per connection.
    fn measure_reconnect(&mut self, server: ServerProcess) -> Result<Option<f64>, LoadError> {
        let before = server.cpu()?;
        self.reset_all();
        self.connect()?;
        Ok(micros_each(server.cpu_since(before)?, self.pool.size() as u64))
    }

    /// Resets and reconnects all clients, returns how long that took in seconds, and waits for the online count.
    fn storm(&mut self, online: u64) -> Result<f64, LoadError> {
        let began = Instant::now();
        self.reset_all();
        self.connect()?;
        let seconds = began.elapsed().as_secs_f64();
        self.pool.run_until(
            TIMEOUT,
            self.progress,
            |pool| pool.all_have_count(online),
            |_| "all are back and wait for the online count".to_owned(),
            &mut listener(&mut self.readers),
        )?;
        Ok(seconds)
    }

    /// Resets all clients. In v1, each resumes the lobby where it was.
    fn reset_all(&mut self) {
        for (index, &version) in self.readers.at.iter().enumerate() {
            self.pool.set_held(index, Held { room: LOBBY as u32, version });
        }
        self.pool.reset_all();
    }

    /// Waits until every client has received this version. What is still missing at the end is lost.
    fn read_up_to(&mut self, version: u64) -> Result<(), LoadError> {
        let version = u32::try_from(version).unwrap_or(u32::MAX);
        let began = Instant::now();
        while self.readers.at.iter().any(|&at| at < version) && began.elapsed() < DRAIN_TIMEOUT {
            self.progress.report(|| "waiting for the last deliveries".to_owned());
            self.pool.poll(POLL_INTERVAL, &mut listener(&mut self.readers))?;
        }
        let missing = self.readers.at.iter().map(|&at| u64::from(version.saturating_sub(at))).sum::<u64>();
        self.readers.receipts.lost += missing;
        Ok(())
    }
}

fn listener(readers: &mut Readers) -> impl FnMut(usize, Incoming<'_>, &mut Vec<u8>) -> Result<(), LoadError> + use<'_> {
    let is_v1 = !readers.at.is_empty();
    move |index, incoming, _| {
        if let Incoming::Envelope(envelope) = incoming
            && is_v1
        {
            readers.receive(index, envelope);
        }
        Ok(())
    }
}

impl Report for StormReport {
    fn receipts(&self) -> Option<Receipts> {
        self.receipts
    }
}

impl fmt::Display for StormReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} connections in {:.2} s", self.connections, self.first_connect_seconds)?;
        writeln!(f, "all back after reset: {:.2?} s ({} retried)", self.back_seconds, self.retried)?;
        let ProbeReport { latency, slowest_at_seconds } = self.probe;
        writeln!(
            f,
            "probe: max {:.1} ms ({slowest_at_seconds:.2} s after the start), p50 {:.3} ms, p99 {:.2} ms, {} heartbeats",
            latency.max_ms, latency.p50_ms, latency.p99_ms, latency.count
        )?;
        let ObserverReport { seconds, bytes, counts, .. } = self.observer;
        writeln!(f, "observer: {bytes} bytes in {seconds:.2} s, {counts} online counts")?;
        if let Some(sender) = &self.sender {
            writeln!(f, "sender: {} messages, round trip: {}", sender.sent, sender.latency)?;
        }
        if let Some(receipts) = &self.receipts {
            writeln!(f, "deliveries: {receipts}")?;
        }
        if let Some(server) = &self.server {
            writeln!(f, "server CPU per reconnect: {:.0} µs", server.cpu_micros_per_connect)?;
            writeln!(
                f,
                "user memory per connection: {:.0} bytes, after each storm {:.0?}",
                server.user_bytes_per_connection, server.user_bytes_per_connection_after
            )?;
        }
        Ok(())
    }
}
