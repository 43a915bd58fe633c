//! How far things have come, on standard error: one line that is written anew on a terminal, a line now
//! and then anywhere else.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a terminal's line is written anew.
const ON_TERMINAL: Duration = Duration::from_millis(100);
/// How often a line is written elsewhere.
const ELSEWHERE: Duration = Duration::from_secs(2);
/// A line longer than this would wrap, and could not be written anew.
const CHARS_MAX: usize = 110;

/// Says how far things have come.
#[derive(Debug)]
pub struct Progress {
    told: Option<Instant>,
    every: Duration,
    on_terminal: bool,
    is_shown: bool,
    prefix: String,
}

impl Progress {
    /// One that speaks.
    #[must_use]
    pub fn on_stderr() -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        let every = if on_terminal { ON_TERMINAL } else { ELSEWHERE };
        Self { told: Some(Instant::now()), every, on_terminal, is_shown: false, prefix: String::new() }
    }

    /// One that keeps silent, for tests.
    #[must_use]
    pub fn silent() -> Self {
        Self { told: None, every: ELSEWHERE, on_terminal: false, is_shown: false, prefix: String::new() }
    }

    /// What stands before every line from now on.
    pub fn begin(&mut self, prefix: &str) {
        prefix.clone_into(&mut self.prefix);
    }

    /// Says this, if it is time to say something again.
    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(told) = &mut self.told
            && told.elapsed() >= self.every
        {
            *told = Instant::now();
            let line: String = format!("{}{}", self.prefix, line()).chars().take(CHARS_MAX).collect();
            // Nobody is left to be told when even this cannot be written.
            let _ = if self.on_terminal {
                write!(std::io::stderr(), "\r\x1b[2K{line}")
            } else {
                writeln!(std::io::stderr(), "{line}")
            };
            self.is_shown = self.on_terminal;
        }
    }

    /// Takes the line away, before something else is printed.
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
