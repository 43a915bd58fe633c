//! Everybody is cut off at once and comes back at once, while one session asks without pause and
//! another only listens.

use std::fmt;
use std::time::Instant;

use serde::Serialize;

use super::{FIRST_USER, IN_FLIGHT_MAX, ONLOOKER_USER, PATIENCE, PROBE_USER, per};
use crate::crowd::Crowd;
use crate::error::LoadError;
use crate::process;
use crate::progress::Progress;
use crate::solo::{Onlooker, OnlookerReport, Probe, ProbeReport};
use crate::target::{Door, Target};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// How many connections are reset.
    pub connections: usize,
    /// How often.
    pub rounds: u32,
    /// The server's process, when it runs on this machine and is to be looked at.
    pub server_pid: Option<u32>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct StormReport {
    /// How many connections are reset in a round.
    pub connections: usize,
    /// How long it took to open them the first time, when the server made their accounts.
    pub first_connect_seconds: f64,
    /// How long each round took, from the first reset until all were live again.
    pub back_seconds: Vec<f64>,
    /// Connections that were opened again, over all rounds.
    pub reconnects: u64,
    /// Handshakes that broke and were tried again.
    pub retried: u64,
    /// What the probe found, over all rounds.
    pub probe: ProbeReport,
    /// What the onlooker heard, over all rounds.
    pub onlooker: OnlookerReport,
    /// What the server's process told.
    pub server: Option<ServerReport>,
}

/// What the server's process told.
#[derive(Clone, Debug, Serialize)]
pub struct ServerReport {
    /// Processor time for each connect, without what the probe costs: measured in a round without one.
    pub cpu_micros_per_connect: f64,
    /// User memory for each connection when all were open for the first time.
    pub user_bytes_per_connection: f64,
    /// And after each round.
    pub user_bytes_per_connection_after: Vec<f64>,
}

/// Lets it storm.
///
/// # Errors
/// Not all came back, or somebody was disconnected who was not to be.
pub fn run(target: &Target, asked: Storm, progress: &mut Progress) -> Result<StormReport, LoadError> {
    let size = asked.connections;
    let mut crowd = Crowd::new(target, FIRST_USER..FIRST_USER + size as u64, Door::Socket)?;
    let anonymous = || asked.server_pid.map(process::anonymous_bytes).transpose();
    let memory_before = anonymous()?;
    let grown = || -> Result<Option<f64>, LoadError> {
        Ok(anonymous()?.zip(memory_before).map(|(now, before)| per(now.saturating_sub(before), size)))
    };
    let first = crowd.connect_all(IN_FLIGHT_MAX, PATIENCE, progress)?;
    crowd.wait_for_count(size as u64, PATIENCE, progress)?;
    let first_bytes = grown()?;

    let mut cpu_micros_per_connect = None;
    if let Some(pid) = asked.server_pid {
        let before = process::processor_time(pid)?;
        crowd.reset_all();
        crowd.connect_all(IN_FLIGHT_MAX, PATIENCE, progress)?;
        let used = process::processor_time(pid)?.saturating_sub(before);
        cpu_micros_per_connect = Some(used.as_secs_f64() * 1e6 / per(size as u64, 1));
    }

    let onlooker = Onlooker::start(target, ONLOOKER_USER)?;
    let probe = Probe::start(target, PROBE_USER)?;
    let counters_before = crowd.counters();
    let (mut back_seconds, mut bytes_after) = (Vec::new(), Vec::new());
    for _ in 0..asked.rounds {
        let began = Instant::now();
        crowd.reset_all();
        crowd.connect_all(IN_FLIGHT_MAX, PATIENCE, progress)?;
        back_seconds.push(began.elapsed().as_secs_f64());
        crowd.wait_for_count(size as u64 + 2, PATIENCE, progress)?;
        bytes_after.extend(grown()?);
    }
    let (probe, onlooker) = (probe.finish()?, onlooker.finish()?);
    let counters = crowd.counters();
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
        first_connect_seconds: first.as_secs_f64(),
        back_seconds,
        reconnects: counters.opened - counters_before.opened,
        retried: counters.retried - counters_before.retried,
        probe,
        onlooker,
        server,
    })
}

impl fmt::Display for StormReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} connections, opened in {:.2} s", self.connections, self.first_connect_seconds)?;
        writeln!(f, "reset, and all back after: {:.2?} s ({} tried again)", self.back_seconds, self.retried)?;
        let ProbeReport { latency, slowest_at_seconds } = self.probe;
        writeln!(
            f,
            "probe: slowest {:.1} ms (asked {slowest_at_seconds:.2} s after the start), p50 {:.3} ms, p99 {:.2} ms, {} answers",
            latency.max_ms, latency.p50_ms, latency.p99_ms, latency.count
        )?;
        let OnlookerReport { seconds, bytes, counts, .. } = self.onlooker;
        writeln!(f, "onlooker: {bytes} bytes in {seconds:.2} s, {counts} of them counts of who is online")?;
        if let Some(server) = &self.server {
            writeln!(f, "the server's processor time for each connect: {:.0} µs", server.cpu_micros_per_connect)?;
            writeln!(
                f,
                "user memory for each connection: {:.0} bytes, after each storm {:.0?}",
                server.user_bytes_per_connection, server.user_bytes_per_connection_after
            )?;
        }
        Ok(())
    }
}
