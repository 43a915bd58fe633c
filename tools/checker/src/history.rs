//! What a run recorded: who did and heard what, in the order in which it was noticed. It is kept as JSON lines, so
//! that a run which failed can be judged again. It judges nothing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::wire::{Classic, Heard, Request};

/// Everything that was recorded. Events stand in the order of their times.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct History {
    /// The events.
    pub events: Vec<Event>,
}

/// One thing that happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// When, in microseconds of a monotonic clock. What somebody does is noted before they do it, what they hear
    /// after they heard it.
    pub at_us: u64,
    /// On which socket; none when it happened to the server or to everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<Socket>,
    /// What.
    pub fact: Fact,
}

/// One connection of a device. An HTTP request is one as well, with a single question on it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Socket {
    /// Whose.
    pub user: u64,
    /// What the person calls this device. What it holds outlives its sockets; of several sockets at once it
    /// believes the one that began last.
    #[serde(with = "shared_text")]
    pub device: Arc<str>,
    /// Through which door it came.
    pub dialect: Dialect,
    /// Another number for each socket of the run.
    pub number: u64,
}

/// Through which door a socket came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `teahouse.v1`.
    V1,
    /// The old front end's.
    Classic,
    /// One HTTP request.
    Http,
}

/// What happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// The first byte of the handshake is about to be sent. A `device` that the handshake names takes the place
    /// of the session that named it before.
    Begun {
        /// The name in the handshake.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<String>,
    },
    /// The handshake was answered: 101 opened the socket.
    Answered {
        /// The HTTP status.
        status: u16,
    },
    /// A request is about to be sent.
    Asked(Request),
    /// An envelope came, over v1, or the answer to an HTTP request in the words of v1.
    Heard(Heard),
    /// An envelope came, in the classic dialect.
    HeardClassic(Classic),
    /// Something came that is no envelope.
    Garbled {
        /// It.
        text: String,
    },
    /// The socket ended, or its owner turned away from it for good.
    Ended(End),
    /// This device is at rest: caught up, with every room loaded from its beginning, and its socket stays open.
    Rested,
    /// From here on nobody asks for anything that changes something.
    Quiet,
    /// Something befell the server.
    Server(Server),
}

/// How a socket ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The server closed it.
    Closed {
        /// The code of the close frame.
        code: u16,
        /// Its reason.
        reason: String,
    },
    /// Its owner said goodbye with a close frame.
    Left {
        /// The code of that.
        code: u16,
    },
    /// Its owner cut it.
    Cut,
    /// It ended without a close frame, or was never opened.
    Lost,
}

/// What befell the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Server {
    /// It takes connections.
    Started,
    /// It is about to be asked to stop.
    Stopping,
    /// It is about to be killed with -9, or dies by itself.
    Killed,
    /// It has ended.
    Ended,
}

/// A line of a kept history is no event.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is no event: {error}")]
pub struct HistoryError {
    /// Counted from one.
    line: usize,
    error: serde_json::Error,
}

impl History {
    /// Reads JSON lines.
    ///
    /// # Errors
    /// A line is no event.
    pub fn from_lines(text: &str) -> Result<Self, HistoryError> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let events = lines
            .map(|(index, line)| serde_json::from_str(line).map_err(|error| HistoryError { line: index + 1, error }));
        Ok(Self { events: events.collect::<Result<_, _>>()? })
    }

    /// Writes them.
    #[must_use]
    pub fn to_lines(&self) -> String {
        self.events.iter().map(|event| event.to_string() + "\n").collect()
    }

    /// Adds what happened now.
    pub fn note(&mut self, at_us: u64, socket: Option<&Socket>, fact: Fact) {
        self.events.push(Event { at_us, socket: socket.cloned(), fact });
    }
}

impl std::fmt::Display for Event {
    /// As it stands in a line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| std::fmt::Error)?)
    }
}

/// A text that many events share.
mod shared_text {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
        Ok(String::deserialize(from)?.into())
    }
}
