//! The record of a run: what clients sent and received, in the order in which it was noticed. It is stored as JSON
//! lines, so that a failed run can be judged again. It judges nothing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::wire::{Classic, Request, ServerEnvelope};

/// A recorded run. Events are sorted by time.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct History {
    /// The events.
    pub events: Vec<Event>,
}

/// A recorded event.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Microseconds of a monotonic clock. A client records what it does before it does it, and what it receives after
    /// it received it.
    pub at_us: u64,
    /// The socket; none for events of the server or of the whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<Socket>,
    /// What happened.
    pub fact: Fact,
}

/// One connection of a device. An HTTP request counts as a connection with a single request.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Socket {
    /// The user id.
    pub user: u64,
    /// The device's name. A device's state outlives its sockets; of several sockets at once, only the one that sent
    /// hello last counts.
    #[serde(with = "shared_text")]
    pub device: Arc<str>,
    /// The protocol dialect.
    pub dialect: Dialect,
    /// Unique within the run.
    pub number: u64,
}

/// The protocol dialect.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `teahouse.v1`.
    V1,
    /// The dialect of the old front end.
    Classic,
    /// One HTTP request.
    Http,
}

/// What happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// The first byte of the handshake is about to be sent. In v1, a handshake that names a device displaces the session
    /// that named it before; all classic sessions of a user are one device.
    HandshakeSent {
        /// The device that the handshake names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<String>,
    },
    /// The handshake was answered; 101 opened the socket.
    HandshakeAnswered {
        /// The HTTP status.
        status: u16,
    },
    /// A request is about to be sent.
    RequestSent(Request),
    /// An envelope was received over v1, or an HTTP response, translated to v1.
    EnvelopeReceived(ServerEnvelope),
    /// An envelope was received in the classic dialect.
    ClassicReceived(Classic),
    /// Something was received that is not an envelope.
    MalformedReceived {
        /// The received text.
        text: String,
    },
    /// The socket ended, or its client abandoned it.
    Ended(End),
    /// The device quiesced: it is caught up, has loaded every room from its beginning, and its socket stays open.
    Quiesced,
    /// No client changes anything from here on.
    ChangesEnded,
    /// An event of the server's process.
    Server(ServerEvent),
}

/// How a socket ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The server closed it.
    Closed {
        /// The code of the close frame.
        code: u16,
        /// The reason of the close frame.
        reason: String,
    },
    /// The client closed it with a close frame.
    Left {
        /// The code of the close frame.
        code: u16,
    },
    /// The client cut the connection.
    Cut,
    /// It ended without a close frame, or never opened.
    Lost,
}

/// An event of the server's process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerEvent {
    /// It accepts connections.
    Started,
    /// It is about to receive SIGTERM.
    Stopping,
    /// It is about to be killed with SIGKILL, or dies by itself.
    Killed,
    /// The process is gone.
    Ended,
}

/// A line of a stored history is not an event.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is not an event: {error}")]
pub struct HistoryError {
    /// Counted from one.
    line: usize,
    error: serde_json::Error,
}

impl History {
    /// Reads JSON lines.
    ///
    /// # Errors
    /// A line is not an event.
    pub fn from_lines(text: &str) -> Result<Self, HistoryError> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let events = lines
            .map(|(index, line)| serde_json::from_str(line).map_err(|error| HistoryError { line: index + 1, error }));
        Ok(Self { events: events.collect::<Result<_, _>>()? })
    }

    /// Writes JSON lines.
    #[must_use]
    pub fn to_lines(&self) -> String {
        self.events.iter().map(|event| event.to_string() + "\n").collect()
    }

    /// Appends an event.
    pub fn record(&mut self, at_us: u64, socket: Option<&Socket>, fact: Fact) {
        self.events.push(Event { at_us, socket: socket.cloned(), fact });
    }
}

impl std::fmt::Display for Event {
    /// The event as a JSON line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| std::fmt::Error)?)
    }
}

/// Serialises a text that many events share.
mod shared_text {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
        Ok(String::deserialize(from)?.into())
    }
}
