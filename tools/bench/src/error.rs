//! The error type of the bench.

use teahouse_load::LoadError;

/// Why a measurement failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// A load scenario failed.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The server or the baseline did not start.
    #[error("{0} did not start: {1}")]
    Start(String, String),
    /// A measurement is not available.
    #[error("no measurement of {0}")]
    Missing(&'static str),
    /// The store failed.
    #[error("the store: {0}")]
    Store(String),
}
