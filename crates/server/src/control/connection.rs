//! The client's end of the control socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::protocol::Line;
use super::{ControlRequest, ControlResponse, RESPONSE_BYTES_MAX, open_directory, short_path};

/// How long the client waits for the next line. It exceeds the wait in any store's queue and the interval between two
/// lines of progress.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    /// No server runs on this data directory, so the client may open the store itself.
    #[error("no server is running on this data directory")]
    NotRunning,
    /// The server stopped before it responded.
    #[error("the running server stopped before it responded; please check whether the command took effect")]
    Ended,
    /// The connection failed.
    #[error("cannot reach the running server: {0}")]
    Io(#[from] io::Error),
}

/// Connects to the server that runs on this data directory.
///
/// # Errors
/// No server runs, or the connection failed.
pub(super) async fn connect(directory: &Path) -> Result<UnixStream, ConnectionError> {
    let connecting = async {
        match open_directory(directory) {
            Ok(descriptor) => UnixStream::connect(short_path(&descriptor)).await,
            Err(error) => Err(error),
        }
    };
    connecting.await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ConnectionError::NotRunning,
        _ => ConnectionError::Io(error),
    })
}

/// Sends a command to the server that runs on this data directory. `progress` is called with the share that is done,
/// from 0 to 1.
///
/// # Errors
/// No server runs, or there is no response.
pub(super) async fn send_command(
    directory: &Path,
    command: &ControlRequest,
    progress: &mut dyn FnMut(f64),
) -> Result<ControlResponse, ConnectionError> {
    let (reading, mut writing) = connect(directory).await?.into_split();
    let mut line = serde_json::to_vec(command).map_err(io::Error::from)?;
    line.push(b'\n');
    with_timeout(writing.write_all(&line)).await?;
    let mut reader = BufReader::new(reading);
    loop {
        match read_line(&mut reader).await? {
            Line::Progress { progress: done } => progress(done),
            Line::Response(response) => return Ok(response),
        }
    }
}

async fn read_line(reader: &mut (impl AsyncBufRead + Unpin)) -> Result<Line, ConnectionError> {
    let mut line = String::new();
    let bytes = with_timeout(reader.take(RESPONSE_BYTES_MAX).read_line(&mut line)).await?;
    if bytes == 0 {
        return Err(ConnectionError::Ended);
    }
    Ok(serde_json::from_str(&line).map_err(io::Error::from)?)
}

async fn with_timeout<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(READ_TIMEOUT, work).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
