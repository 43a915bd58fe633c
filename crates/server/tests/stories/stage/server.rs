//! The real binary, on a directory of its own. Whoever drops it ends this one process and no other.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::token::SITE_SECRET;
use super::{NO_LIMITS, PATIENCE};

/// What the server wrote to its standard error, and a bell for whoever waits for a line.
#[derive(Default)]
struct Log {
    text: Mutex<String>,
    bell: Condvar,
}

/// A running server.
pub struct Server {
    child: Option<Child>,
    pid: Pid,
    address: SocketAddr,
    environment: Vec<(String, String)>,
    log: Arc<Log>,
    data: TempDir,
}

impl Server {
    /// A server as it is shipped: people register here.
    pub fn alone(environment: &[(&str, &str)]) -> Self {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let environment = environment.iter().map(own).collect();
        let data = tempfile::tempdir().unwrap();
        Self::spawn(data, environment, "127.0.0.1:0")
    }

    /// A server beside a site that signs tokens, with the limits as they are shipped.
    pub fn of_a_site(environment: &[(&str, &str)]) -> Self {
        let secret = ("TEAHOUSE_AUTH__JWT_SECRET", SITE_SECRET);
        Self::alone(&[&[secret], environment].concat())
    }

    /// The same with the limits out of the way.
    pub fn without_limits(environment: &[(&str, &str)]) -> Self {
        Self::of_a_site(&[NO_LIMITS, environment].concat())
    }

    fn spawn(data: TempDir, environment: Vec<(String, String)>, listen: &str) -> Self {
        let log = Arc::new(Log::default());
        let (child, address) = start(data.path(), &environment, listen, &log);
        let pid = Pid::from_child(&child);
        Self { child: Some(child), pid, address, environment, log, data }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A path as an address.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// Everything that it logged, over all of its lives.
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
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid.as_raw_nonzero())).unwrap().count()
    }

    /// Its memory in KiB.
    pub fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_nonzero())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Nothing of ours panicked, in any of its lives.
    pub fn assert_no_panic(&self) {
        let log = self.log();
        assert!(!log.contains("panicked"), "{log}");
    }

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

    /// Waits until it has ended.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("a running server");
        let pid = self.pid;
        let waiting = tokio::task::spawn_blocking(move || child.wait());
        match tokio::time::timeout(within, waiting).await {
            Ok(status) => status.unwrap().unwrap(),
            Err(_) => {
                kill_process(pid, Signal::KILL).unwrap();
                panic!("the server did not end within {within:?}: {}", self.log());
            }
        }
    }

    /// Stops it and waits for its end.
    pub async fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.ended(PATIENCE).await
    }

    /// Starts it again, on the same data and port.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "it is still running");
        let (child, address) = start(self.data.path(), &self.environment, &self.address.to_string(), &self.log);
        (self.pid, self.address, self.child) = (Pid::from_child(&child), address, Some(child));
    }

    /// Another command of the binary on the same data; what it printed.
    pub fn command(&self, arguments: &[&str]) -> String {
        let data = self.data.path().to_str().unwrap();
        let output = binary(&self.environment).args(arguments).args(["--data", data]).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
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

fn binary(environment: &[(String, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_teahouse"));
    command.env_clear().envs(environment.iter().map(|(key, value)| (key, value)));
    command
}

fn start(data: &Path, environment: &[(String, String)], listen: &str, log: &Arc<Log>) -> (Child, SocketAddr) {
    let mut child = binary(environment)
        .args(["serve", "--listen", listen, "--data", data.to_str().unwrap()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let errors = child.stderr.take().unwrap();
    let kept = Arc::clone(log);
    // It ends with the process, whose end of the pipe closes then.
    std::thread::spawn(move || keep(errors, &kept));
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
        panic!("the server did not start: {}", log.text.lock().unwrap());
    };
    (child, address.parse().unwrap())
}

fn keep(from: impl Read, log: &Log) {
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let mut text = log.text.lock().unwrap();
        text.push_str(&String::from_utf8_lossy(&line));
        text.push('\n');
        log.bell.notify_all();
    }
}
