//! The answering half of the control socket. A few conversations at a time: a long backup must not keep an
//! operator from disabling somebody.

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

use super::{ControlAnswer, Handler, Line, REQUEST_BYTES_MAX, open_directory, short_path};

/// Conversations at once; operators type them, so more than these wait in the listener's queue.
const CONVERSATIONS_MAX: usize = 8;
/// How long a peer may take for its line, and for reading the answer.
const LINE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long accepting rests after it failed, for want of descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often a peer that waits is shown that we are alive, however slowly the work goes on.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

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

    /// Answers until `shutdown`; requests that have begun are answered first. The socket's file goes with it.
    pub async fn serve(self, handler: Arc<dyn Handler>, shutdown: CancellationToken) {
        let mut conversations = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(_) = conversations.join_next() => {}
                accepted = self.listener.accept(), if conversations.len() < CONVERSATIONS_MAX => match accepted {
                    Ok((stream, _)) => {
                        conversations.spawn(converse(stream, Arc::clone(&handler), shutdown.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "no control request can be taken");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        while conversations.join_next().await.is_some() {}
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(short_path(&self.directory)) {
            tracing::warn!(%error, "the control socket was not removed");
        }
    }
}

async fn converse(stream: UnixStream, handler: Arc<dyn Handler>, shutdown: CancellationToken) {
    if let Err(error) = answer(stream, &*handler, &shutdown).await {
        tracing::warn!(%error, "a control request was not answered");
    }
}

async fn answer(stream: UnixStream, handler: &dyn Handler, shutdown: &CancellationToken) -> io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reading.take(REQUEST_BYTES_MAX));
    let reading = tokio::time::timeout(LINE_TIMEOUT, reader.read_line(&mut line));
    tokio::select! {
        // Whoever has not asked yet is not waited for.
        () = shutdown.cancelled() => return Ok(()),
        read = reading => read??,
    };
    if line.is_empty() {
        return Ok(()); // Somebody looked whether we are here.
    }
    let request = match serde_json::from_str(&line) {
        Ok(request) => request,
        Err(error) => {
            let sentence = format!("the running server does not understand this (is it of another version?): {error}");
            return say(&mut writing, &Line::Answer(ControlAnswer::BadRequest(sentence))).await;
        }
    };
    let (progress, mut done) = watch::channel(0.0);
    let mut handling = std::pin::pin!(handler.handle(request, progress));
    // What was begun is done to its end, also when whoever asked for it has gone.
    let mut listening = Ok(());
    let mut told = 0;
    let answer = loop {
        tokio::select! {
            // How far it is goes out before what comes next, and before the answer.
            biased;
            Ok(()) = done.changed() => {
                let progress = *done.borrow_and_update();
                if listening.is_ok() && told != percent(progress) {
                    told = percent(progress);
                    listening = say(&mut writing, &Line::Progress { progress }).await;
                }
            }
            answer = &mut handling => break answer,
            () = tokio::time::sleep(SIGN_OF_LIFE), if listening.is_ok() => {
                let progress = *done.borrow();
                listening = say(&mut writing, &Line::Progress { progress }).await;
            }
        }
    };
    listening?;
    say(&mut writing, &Line::Answer(answer)).await
}

/// Whole percents: as often as it is worth a line.
fn percent(progress: f64) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float saturates")]
    let percent = (progress * 100.0) as u8;
    percent
}

async fn say(writing: &mut OwnedWriteHalf, line: &Line) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    tokio::time::timeout(LINE_TIMEOUT, writing.write_all(&bytes)).await?
}
