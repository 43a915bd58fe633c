//! Cost of idle connections: memory and CPU per connection.

use std::fmt;

use serde::Serialize;

use super::{FIRST_USER, IN_FLIGHT_MAX, Report, ServerProcess, TIMEOUT, micros_each, per, write_cpu};
use crate::client_pool::ClientPool;
use crate::error::LoadError;
use crate::process;
use crate::progress::Progress;
use crate::target::{Dialect, Target};

/// Parameters.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// Number of connections.
    pub connections: usize,
    /// Protocol dialect.
    pub dialect: Dialect,
    /// The server's process on this machine, to measure its memory and CPU time.
    pub server_pid: Option<u32>,
}

/// Results.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct IdleReport {
    /// Number of connections.
    pub connections: usize,
    /// Time to open them all.
    pub connect_seconds: f64,
    /// The server's CPU time per connection.
    pub server_cpu_micros_per_connect: Option<f64>,
    /// The server's anonymous resident memory before.
    pub anonymous_bytes_before: Option<u64>,
    /// The same with all connections open and all online counts delivered.
    pub anonymous_bytes_after: Option<u64>,
    /// The difference per connection.
    pub user_bytes_per_connection: Option<f64>,
    /// Growth of the machine's slab memory per connection, both ends included.
    pub kernel_slab_bytes_per_pair: Option<f64>,
    /// The load generator's own memory per client.
    pub load_bytes_per_client: f64,
}

/// Runs the scenario.
///
/// # Errors
/// Not all connections became live.
pub fn run(target: &Target, params: Idle, progress: &mut Progress) -> Result<IdleReport, LoadError> {
    let Idle { connections, dialect, server_pid } = params;
    let (server, own) = (ServerProcess(server_pid), ServerProcess(Some(std::process::id())));
    let own_before = own.memory()?;
    let mut pool = ClientPool::new(target, FIRST_USER..FIRST_USER + connections as u64, dialect.transport())?;
    let before = server.memory()?;
    let (slab, cpu) = (process::kernel_slab_bytes().ok(), server.cpu()?);
    let took = pool.connect_all(IN_FLIGHT_MAX, TIMEOUT, progress)?;
    let cpu = server.cpu_since(cpu)?;
    pool.wait_for_count(connections as u64, TIMEOUT, progress)?;
    let after = server.memory()?;
    let growth = |before: Option<u64>, after: Option<u64>| {
        before.zip(after).map(|(before, after)| per(after.saturating_sub(before), connections))
    };
    Ok(IdleReport {
        connections,
        connect_seconds: took.as_secs_f64(),
        server_cpu_micros_per_connect: micros_each(cpu, connections as u64),
        anonymous_bytes_before: before,
        anonymous_bytes_after: after,
        user_bytes_per_connection: growth(before, after),
        kernel_slab_bytes_per_pair: growth(slab, process::kernel_slab_bytes().ok()),
        load_bytes_per_client: growth(own_before, own.memory()?).unwrap_or_default(),
    })
}

impl Report for IdleReport {}

impl fmt::Display for IdleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} connections in {:.2} s", self.connections, self.connect_seconds)?;
        write_cpu(f, "connect", self.server_cpu_micros_per_connect)?;
        match self.user_bytes_per_connection {
            Some(bytes) => writeln!(f, "server user memory per connection: {bytes:.0} bytes")?,
            None => writeln!(f, "server memory: not measured (needs --server-pid)")?,
        }
        match self.kernel_slab_bytes_per_pair {
            Some(bytes) => writeln!(f, "kernel memory per connection, both ends: {bytes:.0} bytes")?,
            None => writeln!(f, "kernel memory: not available")?,
        }
        writeln!(f, "load generator's own memory per client: {:.0} bytes", self.load_bytes_per_client)
    }
}
