//! The asking half of the control socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::{ANSWER_BYTES_MAX, ControlAnswer, ControlRequest, Line, open_directory, short_path};

/// How long the server may be silent: longer than any store's queue, and than it lets pass between two lines
/// of progress. An operator would rather know than wait.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Why the running server did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// No server runs on this data directory: whoever asks may open the store itself.
    #[error("no server is running on this data directory")]
    NotRunning,
    /// It ended before it answered.
    #[error("the running server ended before it answered; it may be done or not, please look")]
    Ended,
    /// Something is there that cannot be spoken to.
    #[error("the running server cannot be reached: {0}")]
    Io(#[from] io::Error),
}

/// Connects to the server that runs on this data directory.
///
/// # Errors
/// There is none, or it cannot be spoken to.
pub async fn connect(directory: &Path) -> Result<UnixStream, ReachError> {
    let connecting = async {
        match open_directory(directory) {
            Ok(descriptor) => UnixStream::connect(short_path(&descriptor)).await,
            Err(error) => Err(error),
        }
    };
    connecting.await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ReachError::NotRunning,
        _ => ReachError::Io(error),
    })
}

/// Asks the server that runs on this data directory; `progress` hears how much is done, from 0 to 1.
///
/// # Errors
/// There is none, or it does not answer.
pub async fn ask(
    directory: &Path,
    request: &ControlRequest,
    progress: &mut dyn FnMut(f64),
) -> Result<ControlAnswer, ReachError> {
    let (reading, mut writing) = connect(directory).await?.into_split();
    let mut line = serde_json::to_vec(request).map_err(io::Error::from)?;
    line.push(b'\n');
    in_time(writing.write_all(&line)).await?;
    let mut reader = BufReader::new(reading);
    loop {
        match next(&mut reader).await? {
            Line::Progress { progress: done } => progress(done),
            Line::Answer(answer) => return Ok(answer),
        }
    }
}

async fn next(reader: &mut (impl AsyncBufRead + Unpin)) -> Result<Line, ReachError> {
    let mut line = String::new();
    let bytes = in_time(reader.take(ANSWER_BYTES_MAX).read_line(&mut line)).await?;
    if bytes == 0 {
        return Err(ReachError::Ended);
    }
    Ok(serde_json::from_str(&line).map_err(io::Error::from)?)
}

async fn in_time<T>(what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(SILENCE_MAX, what).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
