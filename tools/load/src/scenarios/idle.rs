//! What a connection costs that is open and quiet.

use std::fmt;

use serde::Serialize;

use super::{FIRST_USER, IN_FLIGHT_MAX, PATIENCE, Report, Watch, micros_each, per, write_cpu};
use crate::crowd::Crowd;
use crate::error::LoadError;
use crate::process;
use crate::progress::Progress;
use crate::target::{Dialect, Target};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// How many connections.
    pub connections: usize,
    /// What is spoken.
    pub dialect: Dialect,
    /// The server's process, which must run on this machine.
    pub server_pid: Option<u32>,
}

/// What was found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct IdleReport {
    /// How many connections.
    pub connections: usize,
    /// How long opening them took.
    pub connect_seconds: f64,
    /// The server's processor time for each of them.
    pub server_cpu_micros_per_connect: Option<f64>,
    /// Anonymous resident memory of the server before.
    pub anonymous_bytes_before: Option<u64>,
    /// And with all of them open, registered and told the count.
    pub anonymous_bytes_after: Option<u64>,
    /// The difference, for each connection.
    pub user_bytes_per_connection: Option<f64>,
    /// By how much the kernel's small objects grew, for each connection: both ends of it, the whole machine's.
    pub kernel_slab_bytes_per_pair: Option<f64>,
    /// What a client of the crowd itself takes.
    pub crowd_bytes_per_client: f64,
}

/// Opens them and looks.
///
/// # Errors
/// Not all of them became live.
pub fn run(target: &Target, asked: Idle, progress: &mut Progress) -> Result<IdleReport, LoadError> {
    let Idle { connections, dialect, server_pid } = asked;
    let (server, own) = (Watch(server_pid), Watch(Some(std::process::id())));
    let own_before = own.memory()?;
    let mut crowd = Crowd::new(target, FIRST_USER..FIRST_USER + connections as u64, dialect.door())?;
    let before = server.memory()?;
    let (slab, cpu) = (process::kernel_slab_bytes().ok(), server.cpu()?);
    let took = crowd.connect_all(IN_FLIGHT_MAX, PATIENCE, progress)?;
    let cpu = server.cpu_since(cpu)?;
    crowd.wait_for_count(connections as u64, PATIENCE, progress)?;
    let after = server.memory()?;
    let grown = |before: Option<u64>, after: Option<u64>| {
        before.zip(after).map(|(before, after)| per(after.saturating_sub(before), connections))
    };
    Ok(IdleReport {
        connections,
        connect_seconds: took.as_secs_f64(),
        server_cpu_micros_per_connect: micros_each(cpu, connections as u64),
        anonymous_bytes_before: before,
        anonymous_bytes_after: after,
        user_bytes_per_connection: grown(before, after),
        kernel_slab_bytes_per_pair: grown(slab, process::kernel_slab_bytes().ok()),
        crowd_bytes_per_client: grown(own_before, own.memory()?).unwrap_or_default(),
    })
}

impl Report for IdleReport {}

impl fmt::Display for IdleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} connections in {:.2} s", self.connections, self.connect_seconds)?;
        write_cpu(f, "connect", self.server_cpu_micros_per_connect)?;
        match self.user_bytes_per_connection {
            Some(bytes) => writeln!(f, "the server's user memory for each: {bytes:.0} bytes")?,
            None => writeln!(f, "the server's memory: say --server-pid to see it")?,
        }
        match self.kernel_slab_bytes_per_pair {
            Some(bytes) => writeln!(f, "kernel memory for each, both ends: {bytes:.0} bytes")?,
            None => writeln!(f, "kernel memory cannot be told here")?,
        }
        writeln!(f, "this crowd's own memory for each: {:.0} bytes", self.crowd_bytes_per_client)
    }
}
