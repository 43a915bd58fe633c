//! The error type of the load generator.

use std::io;
use std::time::Duration;

/// Why a scenario could not be run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The address is not of the form `http://host:port`, or the host does not resolve.
    #[error("invalid server address {0:?}: expected something like http://127.0.0.1:8080")]
    Address(String),
    /// A token could not be signed.
    #[error("cannot sign a token: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The server refused a handshake.
    #[error("handshake refused: {0}")]
    Refused(String),
    /// The server sent something that the protocol does not allow.
    #[error("protocol violation by the server: {0}")]
    Protocol(String),
    /// The server answered a request with an error.
    #[error("the server refused a request ({0}); raise its limits for this run, see `teahouse config --keys`")]
    Limit(String),
    /// A step took too long.
    #[error("{what} took longer than {within:?}")]
    TimedOut {
        /// The step, and how far it had come.
        what: String,
        /// The time limit.
        within: Duration,
    },
    /// The server ended connections that were to stay.
    #[error("the server ended {0} connections that were to stay")]
    Lost(u64),
    /// A helper thread panicked.
    #[error("a thread of the load generator panicked")]
    Thread,
}
