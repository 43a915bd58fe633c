//! What clients ask and hear, spelled from PROTOCOL.md and not from the server's code: of each envelope only what
//! some rule looks at. The same types are what the clients of a run send, and what is kept of a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a client asks, with its own reference.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Answered once, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What.
    #[serde(flatten)]
    pub ask: Ask,
}

/// What can be asked.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are those of PROTOCOL.md, section 4")]
pub enum Ask {
    /// The first envelope.
    Hello {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epoch: Option<String>,
        #[serde(default)]
        rooms: Vec<Held>,
    },
    /// Says something. Classic names no room on the wire and has no `client_id` over its socket.
    Message {
        room: u64,
        content: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<u64>,
    },
    /// Says something to one other, through the classic door. The answer names no seq and no version.
    Private { receiver: u64, content: String, client_id: Option<String> },
    /// Another content.
    Edit { message: u64, content: String },
    /// No content.
    Delete { message: u64 },
    /// A reaction.
    React { message: u64, emoji: String, on: bool },
    /// A read mark.
    Read { room: u64, seq: u64 },
    /// A page of the past.
    History {
        room: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u64>,
    },
    /// A bracket.
    Sync { room: u64, since: u64 },
    /// Who is online in a room.
    Presence { room: u64, on: bool },
    /// Who is online at all; over HTTP only.
    OnlineUsers {},
    /// Types.
    Typing { room: u64, on: bool },
    /// Makes a room.
    Create { kind: String, name: String },
    /// Comes in.
    Join { room: u64 },
    /// Goes out.
    Leave { room: u64 },
    /// Brings somebody in.
    Invite { room: u64, user: u64 },
    /// Another title.
    Update { room: u64, title: String },
    /// Takes somebody out.
    Remove { room: u64, user: u64 },
    /// The direct room with somebody.
    Open { user: u64 },
    /// A fresh token, which is not kept.
    Auth { token: String },
    /// All tokens of this user are void from now on; over HTTP only.
    Revoke {},
    /// A sign of life.
    Heartbeat {},
}

/// A room that a client holds, and up to which version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Held {
    /// Which.
    pub room: u64,
    /// The last version that was applied.
    pub version: u64,
}

/// An envelope that came over v1.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Heard {
    /// Of the request that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it says.
    #[serde(flatten)]
    pub said: Said,
}

/// What the server says in v1.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are those of PROTOCOL.md, section 4")]
pub enum Said {
    /// The answer to `hello`.
    Welcome(Welcome),
    /// A bracket opens.
    CatchUp { room: u64, from: u64, reset: bool },
    /// It closes.
    CaughtUp {
        room: u64,
        version: u64,
        #[serde(with = "by_id")]
        my_reactions: BTreeMap<u64, Vec<String>>,
    },
    /// A message is new or changed.
    Message(Message),
    /// A mark moved.
    Read { room: u64, user: u64, seq: u64 },
    /// Who types.
    Typing { room: u64, users: Vec<u64> },
    /// Who came and went.
    Presence {
        room: u64,
        online: Vec<u64>,
        offline: Vec<u64>,
        #[serde(default)]
        refresh: bool,
        count: u64,
    },
    /// How many are online.
    OnlineCount { count: u64 },
    /// A room's entry.
    Room(Entry),
    /// One is no longer in it.
    Removed { room: u64 },
    /// Done. What it says depends on what was asked.
    Ack(Value),
    /// Refused.
    Error { code: String },
    /// A notice.
    System { code: String },
    /// The socket is about to be closed.
    Goodbye { code: u16, reason: String, reconnect: bool, retry_ms: u64 },
    /// A profile changed.
    User(Person),
    /// What a backend published, or what is newer than this.
    Published { kind: String },
}

/// What a session begins with.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of PROTOCOL.md, section 4")]
pub struct Welcome {
    pub session: u64,
    pub epoch: String,
    pub user: Person,
    pub online: Count,
    pub rooms: Vec<Entry>,
}

/// A number of people.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Count {
    /// How many.
    pub count: u64,
}

/// Somebody.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Person {
    /// Who.
    pub id: u64,
}

/// A room as one member sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of PROTOCOL.md, section 4")]
pub struct Entry {
    pub id: u64,
    pub kind: String,
    #[serde(default)]
    pub title: String,
    pub version: u64,
    pub last_seq: u64,
    pub read_seq: u64,
    pub unread: u64,
    pub members: u64,
    #[serde(default)]
    pub role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
    #[serde(default, with = "by_id", skip_serializing_if = "BTreeMap::is_empty")]
    pub reads: BTreeMap<u64, u64>,
}

/// The other one of a direct room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of PROTOCOL.md, section 4")]
pub struct Peer {
    pub id: u64,
    pub online: bool,
    pub read_seq: u64,
}

/// A message, wherever it appears.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of PROTOCOL.md, section 4")]
pub struct Message {
    pub id: u64,
    pub room: u64,
    pub seq: u64,
    pub version: u64,
    #[serde(default)]
    pub client_id: Option<String>,
    pub sender: Person,
    pub content: String,
    #[serde(default)]
    pub reply_to: Option<u64>,
    #[serde(default)]
    pub reactions: BTreeMap<String, u64>,
    #[serde(default)]
    pub edited_at: Option<String>,
    pub deleted: bool,
    pub send_time: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

/// What just happened to a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are those of PROTOCOL.md, section 4")]
pub enum Change {
    /// It is new.
    New,
    /// Another content.
    Edit { user: u64 },
    /// No content.
    Delete { user: u64 },
    /// A reaction.
    React { user: u64, emoji: String, on: bool },
}

/// `message`'s ack. Through the classic door it names no seq and no version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of PROTOCOL.md, section 4")]
pub struct Stored {
    pub id: u64,
    #[serde(default)]
    pub seq: Option<u64>,
    #[serde(default)]
    pub version: Option<u64>,
    #[serde(default)]
    pub duplicate: bool,
}

/// `edit`'s, `delete`'s and `react`'s ack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of PROTOCOL.md, section 4")]
pub struct Changed {
    pub version: u64,
}

/// `read`'s ack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of PROTOCOL.md, section 4")]
pub struct Marked {
    pub read_seq: u64,
    pub unread: u64,
}

/// `history`'s ack.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of PROTOCOL.md, section 4")]
pub struct Page {
    pub messages: Vec<Message>,
    pub has_more_before: bool,
    #[serde(with = "by_id")]
    pub my_reactions: BTreeMap<u64, Vec<String>>,
}

/// `presence`'s ack, and that of `online_users`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of PROTOCOL.md, section 4")]
pub struct Online {
    pub online: Vec<u64>,
    pub count: u64,
    #[serde(default)]
    pub truncated: bool,
}

/// An envelope that came in the classic dialect.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are those of PROTOCOL.md, section 3")]
pub enum Classic {
    /// A new lobby message.
    Message { id: u64, user_id: u64, content: String },
    /// How many are online.
    OnlineCount { count: u64 },
    /// Something for oneself alone.
    PrivateMessage { message: ClassicPrivate },
    /// Somebody read what one wrote.
    MessageRead { conversation_id: u64, reader_id: u64 },
    /// A lobby message is gone.
    MessageDeleted { id: u64 },
    /// A notice or a refusal.
    Notification {
        #[serde(default)]
        code: Option<String>,
    },
    /// The answer to one's own.
    Heartbeat { timestamp: u64 },
    /// What a backend published.
    Published { kind: String },
}

/// A message of a direct room as the classic dialect says it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of PROTOCOL.md, section 3")]
pub struct ClassicPrivate {
    pub id: u64,
    pub conversation_id: u64,
    pub sender: Person,
    pub content: String,
}

const V1_TYPES: &[&str] = &[
    "welcome",
    "catch_up",
    "caught_up",
    "message",
    "read",
    "typing",
    "presence",
    "online_count",
    "room",
    "removed",
    "user",
    "system",
    "ack",
    "error",
    "goodbye",
];

const CLASSIC_TYPES: &[&str] =
    &["message", "online_count", "private_message", "message_read", "message_deleted", "notification", "heartbeat"];

#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "type")]
    kind: String,
}

/// Reads an envelope as it came over v1.
///
/// # Errors
/// It is none, or lacks something that a client needs.
pub fn read_v1(text: &str) -> Result<Heard, serde_json::Error> {
    let Typed { kind } = serde_json::from_str(text)?;
    if V1_TYPES.contains(&kind.as_str()) {
        serde_json::from_str(text)
    } else {
        Ok(Heard { id: None, said: Said::Published { kind } })
    }
}

/// Reads an envelope as it came in the classic dialect.
///
/// # Errors
/// It is none, or lacks something that a client needs.
pub fn read_classic(text: &str) -> Result<Classic, serde_json::Error> {
    let Typed { kind } = serde_json::from_str(text)?;
    if CLASSIC_TYPES.contains(&kind.as_str()) { serde_json::from_str(text) } else { Ok(Classic::Published { kind }) }
}

/// Maps by number: JSON's keys are strings, and serde reads them back as numbers only where it does not look ahead.
mod by_id {
    use std::collections::BTreeMap;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<V: Serialize, S: Serializer>(map: &BTreeMap<u64, V>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(map)
    }

    pub fn deserialize<'de, V: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<u64, V>, D::Error> {
        let map = BTreeMap::<String, V>::deserialize(from)?;
        map.into_iter().map(|(key, value)| Ok((key.parse().map_err(Error::custom)?, value))).collect()
    }
}
