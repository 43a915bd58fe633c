//! What the kernel reports about a process (memory, CPU time, descriptors), and this process's descriptor limit.

use std::fs;
use std::io::{self, ErrorKind};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Clock ticks per second in `/proc/PID/stat` (`USER_HZ`), the same on every supported Linux.
const TICKS_PER_SECOND: u64 = 100;

/// Anonymous resident memory in bytes: heap and stacks, without the program and mapped files.
///
/// # Errors
/// The process does not exist or is not readable.
pub fn anonymous_bytes(pid: u32) -> io::Result<u64> {
    kilobytes(&fs::read_to_string(format!("/proc/{pid}/status"))?, "RssAnon:").ok_or_else(unreadable)
}

/// Resident memory in bytes.
///
/// # Errors
/// The process does not exist or is not readable.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    kilobytes(&fs::read_to_string(format!("/proc/{pid}/status"))?, "VmRSS:").ok_or_else(unreadable)
}

/// The highest resident memory in bytes since the start, or since [`reset_peak`].
///
/// # Errors
/// The process does not exist or is not readable.
pub fn peak_bytes(pid: u32) -> io::Result<u64> {
    kilobytes(&fs::read_to_string(format!("/proc/{pid}/status"))?, "VmHWM:").ok_or_else(unreadable)
}

/// Lets [`peak_bytes`] begin again at the present memory.
///
/// # Errors
/// The process does not exist or belongs to somebody else.
pub fn reset_peak(pid: u32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

/// Slab memory of the whole machine in bytes: sockets, descriptors, epoll entries.
///
/// # Errors
/// `/proc/meminfo` is not readable.
pub fn kernel_slab_bytes() -> io::Result<u64> {
    kilobytes(&fs::read_to_string("/proc/meminfo")?, "Slab:").ok_or_else(unreadable)
}

/// CPU time used so far, in user mode and in the kernel.
///
/// # Errors
/// The process does not exist.
pub fn processor_time(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the process name in parentheses, which may contain spaces.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).ok_or_else(unreadable)?;
    let ticks: Vec<u64> = fields.skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
    let [user, system] = ticks[..] else { return Err(unreadable()) };
    Ok(Duration::from_millis((user + system) * 1000 / TICKS_PER_SECOND))
}

/// Number of open descriptors.
///
/// # Errors
/// The process does not exist or is not readable.
pub fn descriptors(pid: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Raises this process's descriptor limit to its maximum: every client needs a descriptor.
///
/// # Errors
/// The system call failed.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

fn unreadable() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "unexpected format of a file in /proc")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_time_and_descriptors() {
        let pid = std::process::id();
        assert!(anonymous_bytes(pid).unwrap() > 4096);
        assert!(resident_bytes(pid).unwrap() > 4096);
        reset_peak(pid).unwrap();
        assert!(peak_bytes(pid).unwrap() > 4096);
        assert!(kernel_slab_bytes().unwrap() > 4096);
        assert!(descriptors(pid).unwrap() >= 3);
        assert!(processor_time(pid).unwrap() < Duration::from_secs(3600));
    }
}
