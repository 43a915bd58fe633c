//! The asking half of the control socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::{ControlAnswer, ControlRequest, LINE_BYTES_MAX, open_directory, short_path};

/// Longer than any store's queue; an operator would rather know than wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the running server did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// No server runs on this data directory: whoever asks may open the store itself.
    #[error("no server is running on this data directory")]
    NotRunning,
    /// Something is there that cannot be spoken to.
    #[error("the running server cannot be reached: {0}")]
    Io(#[from] io::Error),
}

/// Asks the server that runs on this data directory.
///
/// # Errors
/// There is none, or it does not answer.
pub async fn ask(directory: &Path, request: &ControlRequest) -> Result<ControlAnswer, ReachError> {
    let exchange = async {
        let mut stream = match open_directory(directory) {
            Ok(descriptor) => UnixStream::connect(short_path(&descriptor)).await,
            Err(error) => Err(error),
        }
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ReachError::NotRunning,
            _ => ReachError::Io(error),
        })?;
        let mut line = serde_json::to_vec(request).map_err(io::Error::from)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        let mut answer = String::new();
        BufReader::new(stream.take(LINE_BYTES_MAX)).read_line(&mut answer).await?;
        Ok(serde_json::from_str(&answer).map_err(io::Error::from)?)
    };
    tokio::time::timeout(ANSWER_TIMEOUT, exchange).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
