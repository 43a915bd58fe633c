//! The server's end of the control socket. It serves a few connections at a time: a long backup must not keep an
//! administrator from disabling an account.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::protocol::Line;
use super::{ControlHandler, ControlResponse, REQUEST_BYTES_MAX, open_directory, short_path};

/// Connections served at once; further ones wait in the listener's queue.
const CONNECTIONS_MAX: usize = 8;
/// How long a client may take to send its line and to read a line.
const LINE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long accepting pauses after an error, such as a lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often a waiting client gets a line of progress, even when there is none.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// Another server listens on the socket.
    #[error("another server is running on this data directory")]
    AlreadyRunning,
    /// The directory is not writable.
    #[error("cannot create the control socket: {0}")]
    Io(#[from] io::Error),
}

/// A bound control socket. Dropping it removes the socket's file.
#[derive(Debug)]
pub(crate) struct ControlServer {
    listener: UnixListener,
    directory: OwnedFd,
}

impl ControlServer {
    /// Binds the socket in this data directory and replaces the file of a crashed server. The caller holds the store's
    /// lock: the lock, not the socket, keeps two servers apart.
    ///
    /// # Errors
    /// Another server listens on the socket, or the directory is not writable.
    pub(crate) async fn bind(directory: &Path) -> Result<Self, BindError> {
        let directory = open_directory(directory)?;
        let path = short_path(&directory);
        match UnixStream::connect(&path).await {
            Ok(_) => return Err(BindError::AlreadyRunning),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(&path)?,
            Err(_) => {}
        }
        let listener = UnixListener::bind(&path)?;
        // Until now the directory's mode (0700) alone keeps other users out, which suffices.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, directory })
    }

    /// Serves until `shutdown`, and finishes the requests that it has received.
    pub(crate) async fn serve(self, handler: Arc<dyn ControlHandler>, shutdown: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(serve_connection(stream, Arc::clone(&handler), shutdown.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "control socket accept failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        while connections.join_next().await.is_some() {}
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(short_path(&self.directory)) {
            tracing::warn!(%error, "control socket not removed");
        }
    }
}

async fn serve_connection(stream: UnixStream, handler: Arc<dyn ControlHandler>, shutdown: CancellationToken) {
    if let Err(error) = respond(stream, &*handler, &shutdown).await {
        tracing::warn!(%error, "control request failed");
    }
}

async fn respond(stream: UnixStream, handler: &dyn ControlHandler, shutdown: &CancellationToken) -> io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reading.take(REQUEST_BYTES_MAX));
    let reading = tokio::time::timeout(LINE_TIMEOUT, reader.read_line(&mut line));
    tokio::select! {
        // A shutdown does not wait for a client that has sent nothing.
        () = shutdown.cancelled() => return Ok(()),
        read = reading => read??,
    };
    if line.is_empty() {
        return Ok(()); // `connect` only checks whether a server runs.
    }
    let request = match serde_json::from_str(&line) {
        Ok(request) => request,
        Err(error) => {
            let message = format!("the running server does not know this command (is it another version?): {error}");
            return write_line(&mut writing, &Line::Response(ControlResponse::BadRequest(message))).await;
        }
    };
    let (progress, mut done) = watch::channel(0.0);
    let mut handling = std::pin::pin!(handler.handle(request, progress));
    // The command runs to its end even when the client disconnects.
    let mut written = Ok(());
    let mut reported = 0;
    let response = loop {
        tokio::select! {
            // Progress is written before the response.
            biased;
            Ok(()) = done.changed() => {
                let progress = *done.borrow_and_update();
                if written.is_ok() && reported != percent(progress) {
                    reported = percent(progress);
                    written = write_line(&mut writing, &Line::Progress { progress }).await;
                }
            }
            response = &mut handling => break response,
            () = tokio::time::sleep(KEEPALIVE_INTERVAL), if written.is_ok() => {
                let progress = *done.borrow();
                written = write_line(&mut writing, &Line::Progress { progress }).await;
            }
        }
    };
    written?;
    write_line(&mut writing, &Line::Response(response)).await
}

/// Progress is reported in whole percents.
fn percent(progress: f64) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float saturates")]
    let percent = (progress * 100.0) as u8;
    percent
}

async fn write_line(writing: &mut OwnedWriteHalf, line: &Line) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    tokio::time::timeout(LINE_TIMEOUT, writing.write_all(&bytes)).await?
}
