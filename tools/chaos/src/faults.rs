//! Faults of the machine under one server: a disk that is full, read-only, slow or fails to sync, a wall clock that
//! jumps, no random numbers. A small library (`faults/shim.c`) stands between the process and libc and is steered by
//! the words of a file, which both map or read; it counts what it really did. Built with `cc` where it is used.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

const SOURCE: &str = include_str!("faults/shim.c");

/// The places of the words in the file, as in the shim.
mod word {
    pub const DISK_ERRNO: u64 = 0;
    pub const WRITE_MS: u64 = 1;
    pub const SYNC_MS: u64 = 2;
    pub const SYNCS_TO_FAIL: u64 = 3;
    pub const CLOCK_SECONDS: u64 = 4;
    pub const RANDOM_TO_FAIL: u64 = 5;
    pub const FIRST_COUNTER: u64 = 16;
    pub const ALL: u64 = 23;
}

/// What becomes of writing to a file under the data directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disk {
    /// It is written.
    Well,
    /// Nothing can be written, and no file made: ENOSPC.
    Full,
    /// The same, and nothing can be opened for writing: EROFS, as after an error of the file system.
    ReadOnly,
}

/// How often each fault really happened, since the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hits {
    /// Writes that a full or read-only disk refused.
    pub refused_writes: u64,
    /// Writes that took longer.
    pub slowed_writes: u64,
    /// Syncs that took longer.
    pub slowed_syncs: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// Looks at the wall clock that were told a wrong time.
    pub bent_clock_reads: u64,
    /// Requests for random numbers that got none.
    pub failed_random: u64,
    /// Processes that were started under these faults.
    pub starts: u64,
}

/// The switches of the faults of one server, through all of its lives. All is well at first.
#[derive(Debug)]
pub struct Faults {
    words: File,
    environment: [(String, String); 2],
    /// The library and the file; gone with these switches.
    _directory: TempDir,
}

impl Faults {
    /// Builds the library, and a file to steer it by. What a test needs to say when there is no `cc`: setup.sh installs it.
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| -> PathBuf { directory.path().join(name) };
        let (source, library, control) = (at("shim.c"), at("faults.so"), at("words"));
        std::fs::write(&source, SOURCE).unwrap();
        let mut compiler = Command::new("cc");
        let compiling = compiler.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(&source).output();
        let compiled = compiling.unwrap_or_else(|error| panic!("cc builds the faults' library: {error}"));
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        let words = File::options().read(true).write(true).create_new(true).open(&control).unwrap();
        words.set_len(word::ALL * 8).unwrap();
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let environment = [("LD_PRELOAD".to_owned(), text(library)), ("FAULTS_CONTROL".to_owned(), text(control))];
        Self { words, environment, _directory: directory }
    }

    /// What the server is started with.
    #[must_use]
    pub fn environment(&self) -> [(&str, &str); 2] {
        self.environment.each_ref().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// From now on the disk is like that.
    pub fn disk(&self, disk: Disk) {
        let errno = match disk {
            Disk::Well => 0,
            Disk::Full => rustix::io::Errno::NOSPC.raw_os_error(),
            Disk::ReadOnly => rustix::io::Errno::ROFS.raw_os_error(),
        };
        self.set(word::DISK_ERRNO, errno.into());
    }

    /// From now on each write to the disk takes this much longer; what waits already waits no longer than this.
    pub fn writes_take(&self, longer: Duration) {
        self.set(word::WRITE_MS, i64::try_from(longer.as_millis()).unwrap());
    }

    /// The same with each sync.
    pub fn syncs_take(&self, longer: Duration) {
        self.set(word::SYNC_MS, i64::try_from(longer.as_millis()).unwrap());
    }

    /// So many syncs from now on fail with EIO.
    pub fn syncs_fail(&self, number: u32) {
        self.set(word::SYNCS_TO_FAIL, number.into());
    }

    /// From now on the wall clock is wrong by this many seconds; the monotonic one goes on as it is.
    pub fn clock_is_off_by(&self, seconds: i64) {
        self.set(word::CLOCK_SECONDS, seconds);
    }

    /// So many times from now on there are no random numbers, which the server takes for a bug and panics.
    pub fn random_fails(&self, number: u32) {
        self.set(word::RANDOM_TO_FAIL, number.into());
    }

    /// How often each really happened.
    #[must_use]
    pub fn hits(&self) -> Hits {
        let mut counters = (word::FIRST_COUNTER..word::ALL).map(|place| self.get(place));
        let mut next = || counters.next().unwrap();
        Hits {
            refused_writes: next(),
            slowed_writes: next(),
            slowed_syncs: next(),
            failed_syncs: next(),
            bent_clock_reads: next(),
            failed_random: next(),
            starts: next(),
        }
    }

    // The shim maps the file and sees whole words, since each is written at its own aligned place.
    fn set(&self, place: u64, value: i64) {
        self.words.write_all_at(&value.to_ne_bytes(), place * 8).unwrap();
    }

    fn get(&self, place: u64) -> u64 {
        let mut bytes = [0; 8];
        self.words.read_exact_at(&mut bytes, place * 8).unwrap();
        u64::from_ne_bytes(bytes)
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::new()
    }
}
