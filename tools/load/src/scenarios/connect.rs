//! Cost of new sessions that connect all at once, with a bound on concurrent handshakes.

use std::fmt;

use serde::Serialize;

use super::{FIRST_USER, Report, ServerProcess, TIMEOUT, micros_each, write_cpu};
use crate::client_pool::ClientPool;
use crate::error::LoadError;
use crate::latency::Latency;
use crate::progress::Progress;
use crate::target::{Dialect, Target};

/// Parameters.
#[derive(Clone, Copy, Debug)]
pub struct Connect {
    /// Number of connections.
    pub connections: usize,
    /// Concurrent handshakes.
    pub in_flight_max: usize,
    /// Protocol dialect.
    pub dialect: Dialect,
    /// The server's process on this machine, to measure its CPU time.
    pub server_pid: Option<u32>,
}

/// Results.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ConnectReport {
    /// Number of connections.
    pub connections: usize,
    /// Time until all clients were live.
    pub seconds: f64,
    /// Further time until all clients received the full online count.
    pub count_seconds: f64,
    /// From the start of a connection to its first envelope.
    pub latency: Latency,
    /// Handshakes that failed and were retried.
    pub retried: u64,
    /// The server's CPU time per new session, up to the full online count.
    pub server_cpu_micros_per_connect: Option<f64>,
    /// The same per reconnect, when the accounts exist.
    pub server_cpu_micros_per_reconnect: Option<f64>,
}

/// Runs the scenario. With a server process, all clients then reconnect once.
///
/// # Errors
/// Not all connections became live.
pub fn run(target: &Target, params: Connect, progress: &mut Progress) -> Result<ConnectReport, LoadError> {
    let Connect { connections, in_flight_max, dialect, server_pid } = params;
    let (server, size) = (ServerProcess(server_pid), connections as u64);
    let mut pool = ClientPool::new(target, FIRST_USER..FIRST_USER + size, dialect.transport())?;
    let before = server.cpu()?;
    let took = pool.connect_all(in_flight_max, TIMEOUT, progress)?;
    let counted = pool.wait_for_count(size, TIMEOUT, progress)?;
    let first = server.cpu_since(before)?;
    let latency = pool.connect_latency();
    let mut again = None;
    if server_pid.is_some() {
        pool.reset_all();
        let before = server.cpu()?;
        pool.connect_all(in_flight_max, TIMEOUT, progress)?;
        pool.wait_for_count(size, TIMEOUT, progress)?;
        again = server.cpu_since(before)?;
    }
    Ok(ConnectReport {
        connections,
        seconds: took.as_secs_f64(),
        count_seconds: counted.as_secs_f64(),
        latency,
        retried: pool.counters().retried,
        server_cpu_micros_per_connect: micros_each(first, size),
        server_cpu_micros_per_reconnect: micros_each(again, size),
    })
}

impl Report for ConnectReport {}

impl fmt::Display for ConnectReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} connections in {:.2} s ({} retried)", self.connections, self.seconds, self.retried)?;
        writeln!(f, "all received the full online count {:.2} s later", self.count_seconds)?;
        writeln!(f, "latency from connect to first envelope: {}", self.latency)?;
        write_cpu(f, "new session", self.server_cpu_micros_per_connect)?;
        write_cpu(f, "reconnect", self.server_cpu_micros_per_reconnect)
    }
}
