//! What a connection costs that is open and quiet.

use std::fmt;

use serde::Serialize;

use super::{FIRST_USER, IN_FLIGHT_MAX, PATIENCE, per};
use crate::crowd::Crowd;
use crate::error::LoadError;
use crate::process;
use crate::progress::Progress;
use crate::target::{Door, Target};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// How many connections.
    pub connections: usize,
    /// The server's process, which must run on this machine.
    pub server_pid: u32,
}

/// What was found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct IdleReport {
    /// How many connections.
    pub connections: usize,
    /// How long opening them took.
    pub connect_seconds: f64,
    /// The server's processor time for each of them.
    pub server_cpu_micros_per_connect: f64,
    /// Anonymous resident memory of the server before.
    pub anonymous_bytes_before: u64,
    /// And with all of them open, registered and told the count.
    pub anonymous_bytes_after: u64,
    /// The difference, for each connection.
    pub user_bytes_per_connection: f64,
    /// By how much the kernel's small objects grew, for each connection: both ends of it, the whole machine's.
    pub kernel_slab_bytes_per_pair: Option<f64>,
}

/// Opens them and looks.
///
/// # Errors
/// Not all of them became live.
pub fn run(target: &Target, asked: Idle, progress: &mut Progress) -> Result<IdleReport, LoadError> {
    let Idle { connections, server_pid } = asked;
    let mut crowd = Crowd::new(target, FIRST_USER..FIRST_USER + connections as u64, Door::Socket)?;
    let before = process::anonymous_bytes(server_pid)?;
    let (slab, cpu) = (process::kernel_slab_bytes().ok(), process::processor_time(server_pid)?);
    let took = crowd.connect_all(IN_FLIGHT_MAX, PATIENCE, progress)?;
    let cpu = process::processor_time(server_pid)?.saturating_sub(cpu);
    crowd.wait_for_count(connections as u64, PATIENCE, progress)?;
    let after = process::anonymous_bytes(server_pid)?;
    let slab = slab.zip(process::kernel_slab_bytes().ok()).map(|(before, after)| after.saturating_sub(before));
    Ok(IdleReport {
        connections,
        connect_seconds: took.as_secs_f64(),
        server_cpu_micros_per_connect: cpu.as_secs_f64() * 1e6 / per(connections as u64, 1),
        anonymous_bytes_before: before,
        anonymous_bytes_after: after,
        user_bytes_per_connection: per(after.saturating_sub(before), connections),
        kernel_slab_bytes_per_pair: slab.map(|bytes| per(bytes, connections)),
    })
}

impl fmt::Display for IdleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} connections in {:.2} s", self.connections, self.connect_seconds)?;
        writeln!(f, "the server's processor time for each: {:.0} µs", self.server_cpu_micros_per_connect)?;
        writeln!(f, "user memory for each: {:.0} bytes", self.user_bytes_per_connection)?;
        match self.kernel_slab_bytes_per_pair {
            Some(bytes) => writeln!(f, "kernel memory for each, both ends: {bytes:.0} bytes"),
            None => writeln!(f, "kernel memory cannot be told here"),
        }
    }
}
