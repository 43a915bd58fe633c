//! Why something could not be measured.

use teahouse_load::LoadError;

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The crowd met something.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The kernel would not.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A server or the floor did not start.
    #[error("{0} did not start: {1}")]
    Start(String, String),
    /// What was to be measured is not told.
    #[error("{0} was not told")]
    Untold(&'static str),
    /// The store would not.
    #[error("the store: {0}")]
    Store(String),
}
