//! Reads a password from standard input: from a terminal twice and without echo, from a pipe as one line. A password is
//! never an argument, since every user of the machine can read those.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// No password is longer.
const LINE_BYTES_MAX: u64 = 4096;

/// Why no password was read.
#[derive(Debug, thiserror::Error)]
pub(super) enum StdinError {
    /// Standard input is empty.
    #[error("no password on standard input; type one, pipe one in, or use --generate")]
    Nothing,
    /// The two inputs differ.
    #[error("the passwords do not match; nothing was changed")]
    Different,
    /// Ctrl-C.
    #[error("interrupted; nothing was changed")]
    Interrupted,
    /// Standard input cannot be read.
    #[error("cannot read standard input: {0}")]
    Io(#[from] io::Error),
}

/// Reads the password for a user.
///
/// # Errors
/// No password was read.
pub(super) async fn read_password(name: &str) -> Result<String, StdinError> {
    if !io::stdin().is_terminal() {
        return line().await;
    }
    // Restores the echo when this function returns, after Ctrl-C too.
    let _no_echo = NoEcho::begin()?;
    let first = prompt(&format!("Password for {name}: ")).await?;
    if first != prompt("Repeat the password: ").await? {
        return Err(StdinError::Different);
    }
    Ok(first)
}

async fn prompt(text: &str) -> Result<String, StdinError> {
    let mut err = io::stderr().lock();
    write!(err, "{text}").and_then(|()| err.flush())?;
    drop(err);
    let typed = tokio::select! {
        typed = line() => typed,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            Err(StdinError::Interrupted)
        }
    };
    // The terminal did not echo the newline either.
    eprintln!();
    typed
}

async fn line() -> Result<String, StdinError> {
    let reading = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line).map(|_| line)
    });
    let line = reading.await.map_err(io::Error::other)??;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() { Err(StdinError::Nothing) } else { Ok(line.to_owned()) }
}

/// Turns the terminal's echo off until it is dropped.
struct NoEcho(Termios);

impl NoEcho {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        // The terminal may have been closed.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
