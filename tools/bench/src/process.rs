//! Starts the server or the baseline for one measurement on fresh data, and ends it afterwards.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use teahouse_load::Target;
use tempfile::TempDir;

use crate::cores::{Cores, Placement};
use crate::error::BenchError;

const SECRET: &str = "a secret of the bench, longer than thirty-two characters";
/// Read timeout of HTTP requests.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The load generator is one client per user, each as active as thousands.
const LIMITS: &[(&str, &str)] = &[
    ("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "1000000"),
    ("TEAHOUSE_LIMITS__SENDS_BURST", "1000000"),
    ("TEAHOUSE_LIMITS__ENVELOPES_PER_SECOND", "1000000"),
    ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "1000000"),
    ("TEAHOUSE_LIMITS__READS_PER_SECOND", "1000000"),
    ("TEAHOUSE_LIMITS__READS_BURST", "1000000"),
    // The load, and the separate clients.
    ("TEAHOUSE_SERVER__CONNECTIONS_MAX", "19500"),
];

/// The binaries to measure, and where they run.
pub(crate) struct TestBed {
    pub teahouse: PathBuf,
    pub baseline: PathBuf,
    /// Must be on a real disk, since fsync is free in memory.
    pub data: PathBuf,
    pub cores: Cores,
}

/// How the baseline sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BaselineSend {
    /// One call per frame.
    Frames,
    /// One call for all frames that arrived together.
    Batches,
}

/// A started process.
pub(crate) struct Process {
    child: Child,
    pub target: Target,
    metrics: SocketAddr,
    _stdout: BufReader<ChildStdout>,
    /// Removed when the process ends.
    data: Option<TempDir>,
}

impl TestBed {
    /// Starts a server on a new data directory.
    pub(crate) fn server(&self, placement: Placement, environment: &[(&str, &str)]) -> Result<Process, BenchError> {
        let data = tempfile::tempdir_in(&self.data)?;
        let path = data.path().to_owned();
        let mut process = self.server_on(&path, placement, environment)?;
        process.data = Some(data);
        Ok(process)
    }

    /// Starts a server on an existing data directory.
    pub(crate) fn server_on(
        &self,
        data: &Path,
        placement: Placement,
        environment: &[(&str, &str)],
    ) -> Result<Process, BenchError> {
        let metrics = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new(&self.teahouse);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        command.env_clear().env("TEAHOUSE_AUTH__JWT_SECRET", SECRET).envs(LIMITS.iter().copied());
        command.env("TEAHOUSE_METRICS__LISTEN", metrics.to_string()).envs(environment.iter().copied());
        command.stderr(File::create(data.join("log"))?);
        self.start(command, "teahouse", placement, Some(metrics))
    }

    /// Starts the baseline.
    pub(crate) fn baseline(&self, sends: BaselineSend) -> Result<Process, BenchError> {
        let mut command = Command::new(&self.baseline);
        let word = match sends {
            BaselineSend::Frames => "frame",
            BaselineSend::Batches => "batch",
        };
        command.args(["--listen", "127.0.0.1:0", "--send", word]).env_clear();
        self.start(command, "baseline", Placement::Server, None)
    }

    fn start(
        &self,
        mut command: Command,
        name: &str,
        placement: Placement,
        metrics: Option<SocketAddr>,
    ) -> Result<Process, BenchError> {
        let failed = |why: String| BenchError::Start(name.to_owned(), why);
        self.cores.pin(placement)?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let stays = if placement == Placement::Anywhere { Placement::Anywhere } else { Placement::Load };
        self.cores.pin(stays)?;
        let mut child = child.map_err(|error| failed(error.to_string()))?;
        let stdout = child.stdout.take().ok_or_else(|| failed("no standard output".to_owned()))?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let read = stdout.read_line(&mut line);
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        match (read, url) {
            (Ok(_), Some(url)) => {
                // Busy polling would take the server's time where both share their cores.
                let target = Target::new(url, SECRET)?.with_busy_poll(stays == Placement::Load);
                let metrics = metrics.unwrap_or(target.address);
                Ok(Process { child, target, metrics, _stdout: stdout, data: None })
            }
            (read, _) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(failed(format!("{read:?} {line:?}")))
            }
        }
    }
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Number of socket writes so far.
    pub(crate) fn writes(&self) -> Result<u64, BenchError> {
        let body = get(self.metrics, "/metrics", None)?;
        let line = body.lines().find_map(|line| line.strip_prefix("teahouse_writes_total "));
        line.and_then(|number| number.trim().parse().ok()).ok_or(BenchError::Missing("the number of writes"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a GET on a new connection and returns head and body.
pub(crate) fn get(address: SocketAddr, path: &str, token: Option<&str>) -> Result<String, BenchError> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let token = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{token}Connection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
