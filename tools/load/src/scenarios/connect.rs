//! New people come all at once, so many handshakes at a time.

use std::fmt;

use serde::Serialize;

use super::{FIRST_USER, PATIENCE, Report, Watch, micros_each, write_cpu};
use crate::crowd::Crowd;
use crate::error::LoadError;
use crate::latency::Latency;
use crate::progress::Progress;
use crate::target::{Dialect, Target};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Connect {
    /// How many come.
    pub connections: usize,
    /// Handshakes under way at once.
    pub in_flight_max: usize,
    /// What is spoken.
    pub dialect: Dialect,
    /// The server's process, when it runs on this machine and its processor time is asked for.
    pub server_pid: Option<u32>,
}

/// What was found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ConnectReport {
    /// How many came.
    pub connections: usize,
    /// How long it took until all were live.
    pub seconds: f64,
    /// And how much longer until all were told that all are online.
    pub count_seconds: f64,
    /// From the beginning of a connection to its first envelope.
    pub latency: Latency,
    /// Handshakes that broke and were tried again.
    pub retried: u64,
    /// The server's processor time for each, until all were told the count.
    pub server_cpu_micros_per_connect: Option<f64>,
    /// The same for those who come back, whose accounts are there.
    pub server_cpu_micros_per_reconnect: Option<f64>,
}

/// Lets them come; then all go and come back.
///
/// # Errors
/// Not all of them became live.
pub fn run(target: &Target, asked: Connect, progress: &mut Progress) -> Result<ConnectReport, LoadError> {
    let Connect { connections, in_flight_max, dialect, server_pid } = asked;
    let (server, size) = (Watch(server_pid), connections as u64);
    let mut crowd = Crowd::new(target, FIRST_USER..FIRST_USER + size, dialect.door())?;
    let before = server.cpu()?;
    let took = crowd.connect_all(in_flight_max, PATIENCE, progress)?;
    let counted = crowd.wait_for_count(size, PATIENCE, progress)?;
    let first = server.cpu_since(before)?;
    let latency = crowd.connect_latency();
    let mut again = None;
    if server_pid.is_some() {
        crowd.reset_all();
        let before = server.cpu()?;
        crowd.connect_all(in_flight_max, PATIENCE, progress)?;
        crowd.wait_for_count(size, PATIENCE, progress)?;
        again = server.cpu_since(before)?;
    }
    Ok(ConnectReport {
        connections,
        seconds: took.as_secs_f64(),
        count_seconds: counted.as_secs_f64(),
        latency,
        retried: crowd.counters().retried,
        server_cpu_micros_per_connect: micros_each(first, size),
        server_cpu_micros_per_reconnect: micros_each(again, size),
    })
}

impl Report for ConnectReport {}

impl fmt::Display for ConnectReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} came in {:.2} s ({} tried again)", self.connections, self.seconds, self.retried)?;
        writeln!(f, "all were told the count {:.2} s later", self.count_seconds)?;
        writeln!(f, "from the first byte to the first envelope: {}", self.latency)?;
        write_cpu(f, "first visit", self.server_cpu_micros_per_connect)?;
        write_cpu(f, "return", self.server_cpu_micros_per_reconnect)
    }
}
