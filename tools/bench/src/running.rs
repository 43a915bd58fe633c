//! A server or the floor, started for one measurement on fresh data and ended after it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use teahouse_load::Target;
use tempfile::TempDir;

use crate::cores::{Cores, Place};
use crate::error::BenchError;

const SECRET: &str = "a secret of the bench, longer than thirty-two characters";
/// How long a connection to ask for metrics may wait.
const PATIENCE: Duration = Duration::from_secs(5);
/// Everybody is one person with one connection each, and does what a thousand do.
const LIMITS: &[(&str, &str)] = &[
    ("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "1000000"),
    ("TEAHOUSE_LIMITS__SENDS_BURST", "1000000"),
    ("TEAHOUSE_LIMITS__ENVELOPES_PER_SECOND", "1000000"),
    ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "1000000"),
    ("TEAHOUSE_LIMITS__READS_PER_SECOND", "1000000"),
    ("TEAHOUSE_LIMITS__READS_BURST", "1000000"),
    // The crowd, and who watches it.
    ("TEAHOUSE_SERVER__CONNECTIONS_MAX", "19500"),
];

/// What is measured, and where.
pub struct House {
    pub teahouse: PathBuf,
    pub floor: PathBuf,
    /// On a real disk: a directory in memory would make every fsync free.
    pub data: PathBuf,
    pub cores: Cores,
}

/// How the floor sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FloorSends {
    /// One send for each frame.
    Frames,
    /// One for all frames that came in together.
    Batches,
}

/// A process that listens.
pub struct Running {
    child: Child,
    pub target: Target,
    metrics: SocketAddr,
    _greeting: BufReader<ChildStdout>,
    /// Removed with it.
    data: Option<TempDir>,
}

impl House {
    /// A server on data of its own.
    pub fn server(&self, place: Place, environment: &[(&str, &str)]) -> Result<Running, BenchError> {
        let data = tempfile::tempdir_in(&self.data)?;
        let path = data.path().to_owned();
        let mut running = self.server_on(&path, place, environment)?;
        running.data = Some(data);
        Ok(running)
    }

    /// A server on data that is there.
    pub fn server_on(&self, data: &Path, place: Place, environment: &[(&str, &str)]) -> Result<Running, BenchError> {
        let metrics = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new(&self.teahouse);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        command.env_clear().env("TEAHOUSE_AUTH__JWT_SECRET", SECRET).envs(LIMITS.iter().copied());
        command.env("TEAHOUSE_METRICS__LISTEN", metrics.to_string()).envs(environment.iter().copied());
        command.stderr(File::create(data.join("log"))?);
        self.start(command, "teahouse", place, Some(metrics))
    }

    /// The floor.
    pub fn floor(&self, sends: FloorSends) -> Result<Running, BenchError> {
        let mut command = Command::new(&self.floor);
        let word = match sends {
            FloorSends::Frames => "frame",
            FloorSends::Batches => "batch",
        };
        command.args(["--listen", "127.0.0.1:0", "--send", word]).env_clear();
        self.start(command, "the floor", Place::Server, None)
    }

    fn start(
        &self,
        mut command: Command,
        name: &str,
        place: Place,
        metrics: Option<SocketAddr>,
    ) -> Result<Running, BenchError> {
        let failed = |why: String| BenchError::Start(name.to_owned(), why);
        self.cores.go(place)?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let stays = if place == Place::Anywhere { Place::Anywhere } else { Place::Load };
        self.cores.go(stays)?;
        let mut child = child.map_err(|error| failed(error.to_string()))?;
        let stdout = child.stdout.take().ok_or_else(|| failed("it has no output".to_owned()))?;
        let mut greeting = BufReader::new(stdout);
        let mut line = String::new();
        let read = greeting.read_line(&mut line);
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        match (read, url) {
            (Ok(_), Some(url)) => {
                // Where server and crowd share their cores, one that never sleeps takes what the other needs.
                let target = Target::new(url, SECRET)?.visited_awake(stays == Place::Load);
                let metrics = metrics.unwrap_or(target.address);
                Ok(Running { child, target, metrics, _greeting: greeting, data: None })
            }
            (read, _) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(failed(format!("{read:?} {line:?}")))
            }
        }
    }
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes to sockets so far.
    pub fn writes(&self) -> Result<u64, BenchError> {
        let body = get(self.metrics, "/metrics", None)?;
        let line = body.lines().find_map(|line| line.strip_prefix("teahouse_writes_total "));
        line.and_then(|number| number.trim().parse().ok()).ok_or(BenchError::Untold("the number of writes"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A GET on a connection of its own: head and body as they come.
pub fn get(address: SocketAddr, path: &str, token: Option<&str>) -> Result<String, BenchError> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let token = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{token}Connection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
