//! What can go wrong with a crowd.

use std::io;
use std::time::Duration;

/// What can go wrong with a crowd.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The address is not of the form `http://host:port`, or nobody has it.
    #[error("{0:?} is no address such as http://127.0.0.1:8080")]
    Address(String),
    /// A token could not be signed.
    #[error("cannot sign a token: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
    /// The kernel would not.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The server would not let a client in.
    #[error("a handshake was refused: {0}")]
    Refused(String),
    /// The server said what it must not say.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// The server said no to what was asked of it.
    #[error("the server refused ({0}); raise its limits for this run, see `teahouse config --keys`")]
    Limit(String),
    /// It took too long.
    #[error("{what} took longer than {within:?}")]
    TimedOut {
        /// What was waited for, and how far it had come.
        what: String,
        /// How long that may take.
        within: Duration,
    },
    /// A client was disconnected and nobody had asked for that.
    #[error("{0} clients were disconnected, and nobody had asked for that")]
    Lost(u64),
    /// A helper's thread panicked.
    #[error("a thread of the load generator panicked")]
    Thread,
}
