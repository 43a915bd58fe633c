//! The resident memory of the server during one phase, as the kernel counts it.

use serde::Serialize;
use teahouse_load::process;

/// Resident memory in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Memory {
    /// When the phase began.
    pub before: u64,
    /// Its highest value in the phase.
    pub peak: u64,
    /// When the phase had ended and its connections were closed.
    pub after: u64,
}

impl Memory {
    /// Begins a phase of this process.
    #[must_use]
    pub fn begin(pid: u32) -> Self {
        process::reset_peak(pid).unwrap();
        Self { before: process::resident_bytes(pid).unwrap(), ..Self::default() }
    }

    /// Records the peak.
    pub fn note_peak(&mut self, pid: u32) {
        self.peak = process::peak_bytes(pid).unwrap();
    }

    /// Records what is left.
    pub fn note_after(&mut self, pid: u32) {
        self.after = process::resident_bytes(pid).unwrap();
    }

    /// How much the phase took at most, in MiB.
    #[must_use]
    pub fn grown_mib(&self) -> f64 {
        mib(self.peak.saturating_sub(self.before))
    }
}

/// Bytes as MiB.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "memory of a process fits")]
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
