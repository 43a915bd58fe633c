//! What the kernel says of a server process: memory, processor time, descriptors; and what it allows this one.

use std::fs;
use std::io::{self, ErrorKind};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Clock ticks a second in `/proc/PID/stat`; the same on every Linux that we run on.
const TICKS_PER_SECOND: u64 = 100;

/// Bytes of anonymous memory that are resident: the heap and the stacks, without the program and files.
///
/// # Errors
/// There is no such process, or it is not ours to look at.
pub fn anonymous_bytes(pid: u32) -> io::Result<u64> {
    kilobytes(&fs::read_to_string(format!("/proc/{pid}/status"))?, "RssAnon:").ok_or_else(unreadable)
}

/// Bytes of the kernel's own small objects, the whole machine's: sockets, descriptors, epoll entries.
///
/// # Errors
/// It cannot be told.
pub fn kernel_slab_bytes() -> io::Result<u64> {
    kilobytes(&fs::read_to_string("/proc/meminfo")?, "Slab:").ok_or_else(unreadable)
}

/// Processor time used so far, in user mode and in the kernel.
///
/// # Errors
/// There is no such process.
pub fn processor_time(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the name in parentheses, which may hold spaces.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).ok_or_else(unreadable)?;
    let ticks: Vec<u64> = fields.skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
    let [user, system] = ticks[..] else { return Err(unreadable()) };
    Ok(Duration::from_millis((user + system) * 1000 / TICKS_PER_SECOND))
}

/// Open descriptors.
///
/// # Errors
/// There is no such process, or it is not ours to look at.
pub fn descriptors(pid: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Raises this process's own limit of descriptors as far as it may: every client is one.
///
/// # Errors
/// The kernel would not.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

fn unreadable() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "the kernel's account of the process reads otherwise than expected")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_time_and_descriptors() {
        let pid = std::process::id();
        assert!(anonymous_bytes(pid).unwrap() > 4096);
        assert!(kernel_slab_bytes().unwrap() > 4096);
        assert!(descriptors(pid).unwrap() >= 3);
        assert!(processor_time(pid).unwrap() < Duration::from_secs(3600));
    }
}
