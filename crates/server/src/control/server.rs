//! The answering half of the control socket. One request at a time: an operator types them.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::{ControlAnswer, Handler, LINE_BYTES_MAX, open_directory, short_path};

/// How long a peer may take for its line, and for reading the answer; the next one waits meanwhile.
const LINE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long accepting rests after it failed, for want of descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another server answers there.
    #[error("another server is running on this data directory")]
    AlreadyRunning,
    /// The directory cannot be written to.
    #[error("the control socket cannot be made: {0}")]
    Io(#[from] io::Error),
}

/// A control socket that is bound, for as long as this lives.
#[derive(Debug)]
pub struct ControlServer {
    listener: UnixListener,
    directory: OwnedFd,
}

impl ControlServer {
    /// Binds the socket in this data directory; the file that a crashed server left there is replaced.
    /// Call it with the store's lock held: that, not the socket, keeps two servers apart.
    ///
    /// # Errors
    /// Another server answers there, or the directory cannot be written to.
    pub async fn bind(directory: &Path) -> Result<Self, BindError> {
        let directory = open_directory(directory)?;
        let path = short_path(&directory);
        match UnixStream::connect(&path).await {
            Ok(_) => return Err(BindError::AlreadyRunning),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(&path)?,
            Err(_) => {}
        }
        let listener = UnixListener::bind(&path)?;
        // Until here only the directory's mode (0700) keeps others out, which is enough.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, directory })
    }

    /// Answers until `shutdown`; a request that has begun is answered first. The socket's file goes with it.
    pub async fn serve(self, handler: &dyn Handler, shutdown: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let answered = match accepted {
                Ok((stream, _)) => answer(stream, handler).await,
                Err(error) => {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    Err(error)
                }
            };
            if let Err(error) = answered {
                tracing::warn!(%error, "a control request was not answered");
            }
        }
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(short_path(&self.directory)) {
            tracing::warn!(%error, "the control socket was not removed");
        }
    }
}

async fn answer(stream: UnixStream, handler: &dyn Handler) -> io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reading.take(LINE_BYTES_MAX));
    tokio::time::timeout(LINE_TIMEOUT, reader.read_line(&mut line)).await??;
    if line.is_empty() {
        return Ok(()); // Somebody looked whether we are here.
    }
    let answer = match serde_json::from_str(&line) {
        Ok(request) => handler.handle(request).await,
        Err(error) => ControlAnswer::BadRequest(format!("the server does not understand this: {error}")),
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    tokio::time::timeout(LINE_TIMEOUT, writing.write_all(&line)).await?
}
