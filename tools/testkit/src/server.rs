//! The real binary as a process: a test starts it on a data directory, kills it, stops it, starts it again and reads its
//! log and metrics. Dropping it kills this one process and no other. It knows no client and no token.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tempfile::TempDir;

/// How long a test waits for anything before it gives up. It is not a bound that a test asserts: a busy machine is slow.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The log keeps some hundred thousand lines. When it is full, its older half is dropped.
const LOG_BYTES_MAX: usize = 64 << 20;

/// What the server wrote to its standard error.
#[derive(Default)]
struct Log {
    text: Mutex<String>,
    grown: Condvar,
}

impl Log {
    fn add(&self, line: &[u8]) {
        let mut text = self.text.lock().unwrap();
        if text.len() > LOG_BYTES_MAX {
            let half = text.len() / 2;
            let end = (half..text.len()).find(|&at| text.as_bytes()[at] == b'\n').map_or(text.len(), |at| at + 1);
            text.drain(..end);
        }
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
        self.grown.notify_all();
    }
}

enum DataDirectory {
    /// Removed with the server.
    Own(TempDir),
    /// Kept when the server is dropped.
    Given(PathBuf),
}

/// A server: one process after another, on the same data and address.
pub struct Server {
    binary: PathBuf,
    /// None while it is down.
    child: Option<Child>,
    pid: Pid,
    address: SocketAddr,
    environment: Vec<(String, String)>,
    log: Arc<Log>,
    data: DataDirectory,
}

impl Server {
    /// Starts the binary with these environment variables and no others, on a temporary directory and a free port of
    /// loopback, and waits until it listens.
    #[must_use]
    pub fn start(binary: impl AsRef<Path>, environment: &[(&str, &str)]) -> Self {
        Self::spawn(binary.as_ref(), environment, DataDirectory::Own(tempfile::tempdir().unwrap()))
    }

    /// The same on an existing directory.
    #[must_use]
    pub fn start_on(binary: impl AsRef<Path>, environment: &[(&str, &str)], data: &Path) -> Self {
        Self::spawn(binary.as_ref(), environment, DataDirectory::Given(data.to_owned()))
    }

    fn spawn(binary: &Path, environment: &[(&str, &str)], data: DataDirectory) -> Self {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let mut server = Self {
            binary: binary.to_owned(),
            child: None,
            pid: rustix::process::getpid(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            environment: environment.iter().map(own).collect(),
            log: Arc::default(),
            data,
        };
        server.restart();
        server
    }

    // ── Looking at it ──

    /// The address, which a restart keeps.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        match &self.data {
            DataDirectory::Own(directory) => directory.path(),
            DataDirectory::Given(path) => path,
        }
    }

    /// The current process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Everything that all of its processes logged.
    #[must_use]
    pub fn log(&self) -> String {
        // A wait that gave up holds the lock while it panics.
        self.log.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a log line that contains this, and returns the line.
    pub fn wait_for_log_line(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut text = self.log.text.lock().unwrap();
        loop {
            if let Some(line) = text.lines().find(|line| line.contains(part)) {
                return line.to_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{part:?} is not in the log:\n{text}");
            text = self.log.grown.wait_timeout(text, left).unwrap().0;
        }
    }

    /// The URL of the metrics, where their listener is on.
    #[must_use]
    pub fn metrics_url(&self) -> String {
        let line = self.wait_for_log_line("metrics listening");
        let (_, address) = line.split_once("address=").unwrap();
        format!("http://{}/metrics", address.trim().trim_matches('"'))
    }

    /// All metrics.
    pub async fn metrics_text(&self) -> String {
        reqwest::get(self.metrics_url()).await.unwrap().text().await.unwrap()
    }

    /// The value of one metric.
    pub async fn metric(&self, name: &str) -> u64 {
        let text = self.metrics_text().await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().parse().unwrap()
    }

    /// Number of open descriptors.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Resident memory in KiB.
    #[must_use]
    pub fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Asserts that no process panicked.
    pub fn assert_no_panic(&self) {
        let log = self.log();
        assert!(!log.contains("panicked"), "{log}");
    }

    // ── Acting on it ──

    /// Kills it with SIGKILL and waits for its end.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("a running server");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        kill_process(self.pid, Signal::TERM).unwrap();
    }

    /// Limits its open descriptors, without closing any. Returns the limit before.
    pub fn limit_descriptors(&self, current: u64) -> u64 {
        let limit = rustix::process::getrlimit(Resource::Nofile);
        let before = prlimit(Some(self.pid), Resource::Nofile, Rlimit { current: Some(current), ..limit }).unwrap();
        before.current.unwrap_or(u64::MAX)
    }

    /// The exit status, if the process has ended by itself.
    #[must_use]
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().expect("a server that no test waited for").try_wait().unwrap()
    }

    /// Waits until it has ended by itself.
    pub async fn wait_for_exit(&mut self, within: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("a running server");
        let waiting = tokio::task::spawn_blocking(move || child.wait());
        match tokio::time::timeout(within, waiting).await {
            Ok(status) => status.unwrap().unwrap(),
            Err(_) => self.panic_not_ended(within),
        }
    }

    /// The same without an async runtime.
    pub fn wait_for_exit_blocking(&mut self, within: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("a running server");
        let (sender, receiver) = mpsc::sync_channel(1);
        std::thread::spawn(move || sender.try_send(child.wait()));
        match receiver.recv_timeout(within) {
            Ok(status) => status.unwrap(),
            Err(_) => self.panic_not_ended(within),
        }
    }

    fn panic_not_ended(&self, within: Duration) -> ! {
        kill_process(self.pid, Signal::KILL).unwrap();
        panic!("the server did not end within {within:?}: {}", self.log());
    }

    /// Sends SIGTERM and waits for its end.
    pub async fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.wait_for_exit(PATIENCE).await
    }

    /// Starts it again on the same data and port.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "the server is still running");
        let (child, address) = self.spawn_process();
        (self.pid, self.address, self.child) = (Pid::from_child(&child), address, Some(child));
    }

    /// Runs another command of the binary on the same data, and returns its output.
    pub fn command(&self, arguments: &[&str]) -> String {
        let output = self.binary_command().args(arguments).arg("--data").arg(self.data()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn binary_command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }

    fn spawn_process(&self) -> (Child, SocketAddr) {
        let mut child = self
            .binary_command()
            .args(["serve", "--listen", &self.address.to_string(), "--data"])
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()));
        let errors = child.stderr.take().unwrap();
        let log = Arc::clone(&self.log);
        // Both threads end with the process, which closes its ends of the pipes.
        std::thread::spawn(move || collect(errors, &log));
        let (sender, receiver) = mpsc::sync_channel(1);
        let out = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("http://") {
                    let address: String = address.chars().take_while(|c| !c.is_whitespace() && *c != '/').collect();
                    let _ = sender.try_send(address);
                }
            }
        });
        let Ok(address) = receiver.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the server did not start: {}", self.log());
        };
        (child, address.parse().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let end = log.lines().rev().take(20).collect::<Vec<_>>();
            eprintln!("the end of the server's log:");
            end.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}

fn collect(from: impl Read, log: &Log) {
    BufReader::new(from).split(b'\n').map_while(Result::ok).for_each(|line| log.add(&line));
}
