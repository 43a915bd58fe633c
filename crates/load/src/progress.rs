//! One line on standard error for whatever takes longer than a second.

use std::io::Write;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(1);

/// Says once a second how far things have come.
#[derive(Debug)]
pub struct Progress {
    told: Option<Instant>,
}

impl Progress {
    /// One that speaks.
    #[must_use]
    pub fn on_stderr() -> Self {
        Self { told: Some(Instant::now()) }
    }

    /// One that keeps silent, for tests.
    #[must_use]
    pub fn silent() -> Self {
        Self { told: None }
    }

    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(told) = &mut self.told
            && told.elapsed() >= EVERY
        {
            *told = Instant::now();
            // Nobody is left to be told when even this cannot be written.
            let _ = writeln!(std::io::stderr(), "{}", line());
        }
    }
}
