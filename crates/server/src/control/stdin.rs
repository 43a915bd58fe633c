//! A password from standard input: asked for twice and not shown where a person types, one line where a
//! program does. Never from the command line, which every user of the machine can read.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// More is no password of anybody's.
const LINE_BYTES_MAX: u64 = 4096;

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum StdinError {
    /// Nothing came.
    #[error("no password came on standard input; type one, pipe one in, or let --generate make one")]
    Nothing,
    /// The two that were typed are not the same.
    #[error("these two are not the same; nothing was changed")]
    Different,
    /// Ctrl-C.
    #[error("interrupted; nothing was changed")]
    Interrupted,
    /// Standard input cannot be read.
    #[error("standard input cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Reads the password for a user.
///
/// # Errors
/// There is none.
pub async fn read_password(name: &str) -> Result<String, StdinError> {
    if !io::stdin().is_terminal() {
        return line().await;
    }
    // Held until this returns, also when Ctrl-C ends it.
    let _quiet = NoEcho::begin()?;
    let first = asked(&format!("Password for {name}: ")).await?;
    if first != asked("Once more: ").await? {
        return Err(StdinError::Different);
    }
    Ok(first)
}

async fn asked(prompt: &str) -> Result<String, StdinError> {
    let mut err = io::stderr().lock();
    write!(err, "{prompt}").and_then(|()| err.flush())?;
    drop(err);
    let typed = tokio::select! {
        typed = line() => typed,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            Err(StdinError::Interrupted)
        }
    };
    // The newline that was typed was not shown either.
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

/// A terminal that does not show what is typed; it shows it again when this is gone.
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
        // The terminal may be gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
