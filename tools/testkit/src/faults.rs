//! Faults of the machine of one server: a full, read-only or slow disk, failing syncs, a wall clock that jumps, no
//! random numbers. A preloaded library (`faults/shim.c`, built here with `cc`) intercepts calls to libc. A file with a
//! few integers controls it, and counts how often each fault really happened.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

const SOURCE: &str = include_str!("faults/shim.c");

/// The indexes of the words in the file, as in the shim.
mod word {
    pub(super) const DISK_ERRNO: u64 = 0;
    pub(super) const WRITE_MS: u64 = 1;
    pub(super) const SYNC_MS: u64 = 2;
    pub(super) const SYNCS_TO_FAIL: u64 = 3;
    pub(super) const CLOCK_SECONDS: u64 = 4;
    pub(super) const RANDOM_TO_FAIL: u64 = 5;
    pub(super) const FIRST_COUNTER: u64 = 16;
    pub(super) const ALL: u64 = 23;
}

/// The state of the disk under the data directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disk {
    /// Writes succeed.
    Healthy,
    /// Writes and new files fail with ENOSPC.
    Full,
    /// Writes, new files and opening for writing fail with EROFS, as after an error of the file system.
    ReadOnly,
}

/// How often each fault really happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hits {
    /// Writes that failed on a full or read-only disk.
    pub refused_writes: u64,
    /// Writes that were delayed.
    pub slowed_writes: u64,
    /// Syncs that were delayed.
    pub slowed_syncs: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// Reads of the wall clock that got a wrong time.
    pub wrong_clock_reads: u64,
    /// Requests for random numbers that failed.
    pub failed_random: u64,
    /// Processes that loaded the library.
    pub starts: u64,
}

/// The faults of one server, over all of its processes. At first there are none.
#[derive(Debug)]
pub struct Faults {
    words: File,
    environment: [(String, String); 2],
    /// Holds the library and the file.
    _directory: TempDir,
}

impl Faults {
    /// Builds the library and its control file. `scripts/setup.sh` installs `cc`.
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| -> PathBuf { directory.path().join(name) };
        let (source, library, control) = (at("shim.c"), at("faults.so"), at("words"));
        std::fs::write(&source, SOURCE).unwrap();
        let mut compiler = Command::new("cc");
        let compiling = compiler.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(&source).output();
        let compiled = compiling.unwrap_or_else(|error| panic!("cc builds the fault library: {error}"));
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        let words = File::options().read(true).write(true).create_new(true).open(&control).unwrap();
        words.set_len(word::ALL * 8).unwrap();
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let environment = [("LD_PRELOAD".to_owned(), text(library)), ("FAULTS_CONTROL".to_owned(), text(control))];
        Self { words, environment, _directory: directory }
    }

    /// Environment variables that load the library into the server.
    #[must_use]
    pub fn environment(&self) -> [(&str, &str); 2] {
        self.environment.each_ref().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Sets the state of the disk.
    pub fn set_disk(&self, disk: Disk) {
        let errno = match disk {
            Disk::Healthy => 0,
            Disk::Full => rustix::io::Errno::NOSPC.raw_os_error(),
            Disk::ReadOnly => rustix::io::Errno::ROFS.raw_os_error(),
        };
        self.set(word::DISK_ERRNO, errno.into());
    }

    /// Delays each write to the disk. A write that already waits, waits no longer than this.
    pub fn delay_writes(&self, delay: Duration) {
        self.set(word::WRITE_MS, i64::try_from(delay.as_millis()).unwrap());
    }

    /// Delays each sync.
    pub fn delay_syncs(&self, delay: Duration) {
        self.set(word::SYNC_MS, i64::try_from(delay.as_millis()).unwrap());
    }

    /// Lets the next syncs fail with EIO.
    pub fn fail_syncs(&self, number: u32) {
        self.set(word::SYNCS_TO_FAIL, number.into());
    }

    /// Shifts the wall clock; the monotonic clock stays right.
    pub fn shift_clock(&self, seconds: i64) {
        self.set(word::CLOCK_SECONDS, seconds);
    }

    /// Lets the next requests for random numbers fail; the server panics then.
    pub fn fail_random(&self, number: u32) {
        self.set(word::RANDOM_TO_FAIL, number.into());
    }

    /// How often each fault really happened.
    #[must_use]
    pub fn hits(&self) -> Hits {
        let mut counters = (word::FIRST_COUNTER..word::ALL).map(|index| self.get(index));
        let mut next = || counters.next().unwrap();
        Hits {
            refused_writes: next(),
            slowed_writes: next(),
            slowed_syncs: next(),
            failed_syncs: next(),
            wrong_clock_reads: next(),
            failed_random: next(),
            starts: next(),
        }
    }

    // The shim maps the file. It sees whole words, because each write is an aligned word.
    fn set(&self, index: u64, value: i64) {
        self.words.write_all_at(&value.to_ne_bytes(), index * 8).unwrap();
    }

    fn get(&self, index: u64) -> u64 {
        let mut bytes = [0; 8];
        self.words.read_exact_at(&mut bytes, index * 8).unwrap();
        u64::from_ne_bytes(bytes)
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::new()
    }
}
