//! The real binary as a process: started on a data directory, killed, asked to go, started again, looked at from
//! outside. Whoever drops it ends this one process and no other. It knows no client and no token.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tempfile::TempDir;

/// How long starting, stopping or a line of the log may take before whoever waits gives up. It is no bound that is
/// asserted: a busy machine is slow.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// So much of the log is kept, some hundred thousand lines; of a longer one the older half goes.
const LOG_BYTES_MAX: usize = 64 << 20;

/// What the server wrote to its standard error, and a bell for whoever waits for a line.
#[derive(Default)]
struct Log {
    text: Mutex<String>,
    bell: Condvar,
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
        self.bell.notify_all();
    }
}

/// Where its data is.
enum Data {
    /// Its own, and gone with it.
    Own(TempDir),
    /// Somebody else's.
    Given(PathBuf),
}

/// A server: one process after the other, on the same data and address.
pub struct Server {
    binary: PathBuf,
    /// None while it is down.
    child: Option<Child>,
    pid: Pid,
    address: SocketAddr,
    environment: Vec<(String, String)>,
    log: Arc<Log>,
    data: Data,
}

impl Server {
    /// Starts the binary with these variables and no others, on a directory of its own and a free port of loopback.
    #[must_use]
    pub fn start(binary: impl AsRef<Path>, environment: &[(&str, &str)]) -> Self {
        Self::spawn(binary.as_ref(), environment, Data::Own(tempfile::tempdir().unwrap()))
    }

    /// The same on a directory that there is and that stays.
    #[must_use]
    pub fn start_on(binary: impl AsRef<Path>, environment: &[(&str, &str)], data: &Path) -> Self {
        Self::spawn(binary.as_ref(), environment, Data::Given(data.to_owned()))
    }

    fn spawn(binary: &Path, environment: &[(&str, &str)], data: Data) -> Self {
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

    // ── What it is ──

    /// Where it listens, in all of its lives.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A path as an address.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        match &self.data {
            Data::Own(directory) => directory.path(),
            Data::Given(path) => path,
        }
    }

    /// The process of its present life.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Everything that it logged, over all of its lives.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text.lock().unwrap().clone()
    }

    /// Waits until a line of the log holds this, and gives the line.
    pub fn log_line(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut text = self.log.text.lock().unwrap();
        loop {
            if let Some(line) = text.lines().find(|line| line.contains(part)) {
                return line.to_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{part:?} is not in the log:\n{text}");
            text = self.log.bell.wait_timeout(text, left).unwrap().0;
        }
    }

    /// Where its metrics are, when they are listened for.
    #[must_use]
    pub fn metrics_url(&self) -> String {
        let line = self.log_line("metrics are served");
        let (_, address) = line.split_once("address=").unwrap();
        format!("http://{}/metrics", address.trim().trim_matches('"'))
    }

    /// All of its metrics.
    pub async fn metrics_text(&self) -> String {
        reqwest::get(self.metrics_url()).await.unwrap().text().await.unwrap()
    }

    /// One number of its metrics.
    pub async fn metric(&self, name: &str) -> u64 {
        let text = self.metrics_text().await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().parse().unwrap()
    }

    /// Open descriptors of the process.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Its memory in KiB.
    #[must_use]
    pub fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Nothing of ours panicked, in any of its lives.
    pub fn assert_no_panic(&self) {
        let log = self.log();
        assert!(!log.contains("panicked"), "{log}");
    }

    // ── What is done to it ──

    /// `kill -9`, and gone.
    pub fn kill9(&mut self) {
        let mut child = self.child.take().expect("a running server");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        kill_process(self.pid, Signal::TERM).unwrap();
    }

    /// From now on it may have so many descriptors open; what it has it keeps. Gives the limit before.
    pub fn limits_descriptors(&self, current: u64) -> u64 {
        let limit = rustix::process::getrlimit(Resource::Nofile);
        let before = prlimit(Some(self.pid), Resource::Nofile, Rlimit { current: Some(current), ..limit }).unwrap();
        before.current.unwrap_or(u64::MAX)
    }

    /// Whether it has ended by itself, and how.
    #[must_use]
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().expect("a server that was not waited for").try_wait().unwrap()
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("a running server");
        let waiting = tokio::task::spawn_blocking(move || child.wait());
        match tokio::time::timeout(within, waiting).await {
            Ok(status) => status.unwrap().unwrap(),
            Err(_) => self.did_not_end(within),
        }
    }

    /// The same for a test without tasks.
    pub fn waits_for_end(&mut self, within: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("a running server");
        let (tell, told) = mpsc::sync_channel(1);
        std::thread::spawn(move || tell.try_send(child.wait()));
        match told.recv_timeout(within) {
            Ok(status) => status.unwrap(),
            Err(_) => self.did_not_end(within),
        }
    }

    fn did_not_end(&self, within: Duration) -> ! {
        kill_process(self.pid, Signal::KILL).unwrap();
        panic!("the server did not end within {within:?}: {}", self.log());
    }

    /// Stops it and waits for its end.
    pub async fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.ended(PATIENCE).await
    }

    /// Starts it again, on the same data and port.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "it is still running");
        let (child, address) = self.begin();
        (self.pid, self.address, self.child) = (Pid::from_child(&child), address, Some(child));
    }

    /// Another command of the binary on the same data; what it printed.
    pub fn command(&self, arguments: &[&str]) -> String {
        let output = self.process().args(arguments).arg("--data").arg(self.data()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn process(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }

    fn begin(&self) -> (Child, SocketAddr) {
        let mut child = self
            .process()
            .args(["serve", "--listen", &self.address.to_string(), "--data"])
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()));
        let errors = child.stderr.take().unwrap();
        let log = Arc::clone(&self.log);
        // Both end with the process, whose ends of the pipes close then.
        std::thread::spawn(move || keep(errors, &log));
        let (tell, told) = mpsc::sync_channel(1);
        let out = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("http://") {
                    let address: String = address.chars().take_while(|c| !c.is_whitespace() && *c != '/').collect();
                    let _ = tell.try_send(address);
                }
            }
        });
        let Ok(address) = told.recv_timeout(PATIENCE) else {
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

fn keep(from: impl Read, log: &Log) {
    BufReader::new(from).split(b'\n').map_while(Result::ok).for_each(|line| log.add(&line));
}
