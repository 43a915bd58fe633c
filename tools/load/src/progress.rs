//! Progress on standard error: one line that is overwritten on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Update interval on a terminal.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(100);
/// Update interval elsewhere.
const OTHER_INTERVAL: Duration = Duration::from_secs(2);
/// A longer line would wrap and could not be overwritten.
const CHARS_MAX: usize = 110;

/// Prints progress.
#[derive(Debug)]
pub struct Progress {
    last: Option<Instant>,
    every: Duration,
    on_terminal: bool,
    is_shown: bool,
    prefix: String,
}

impl Progress {
    /// Prints to standard error.
    #[must_use]
    pub fn on_stderr() -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        let every = if on_terminal { TERMINAL_INTERVAL } else { OTHER_INTERVAL };
        Self { last: Some(Instant::now()), every, on_terminal, is_shown: false, prefix: String::new() }
    }

    /// Prints nothing; for tests.
    #[must_use]
    pub fn silent() -> Self {
        Self { last: None, every: OTHER_INTERVAL, on_terminal: false, is_shown: false, prefix: String::new() }
    }

    /// Sets the prefix of every following line.
    pub fn set_prefix(&mut self, prefix: &str) {
        prefix.clone_into(&mut self.prefix);
    }

    /// Prints the line if the update interval has passed.
    pub fn report(&mut self, line: impl FnOnce() -> String) {
        if let Some(last) = &mut self.last
            && last.elapsed() >= self.every
        {
            *last = Instant::now();
            let line: String = format!("{}{}", self.prefix, line()).chars().take(CHARS_MAX).collect();
            // A failure to write progress cannot be reported anywhere.
            let _ = if self.on_terminal {
                write!(std::io::stderr(), "\r\x1b[2K{line}")
            } else {
                writeln!(std::io::stderr(), "{line}")
            };
            self.is_shown = self.on_terminal;
        }
    }

    /// Erases the line before something else is printed.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
