//! Requests and envelopes as docs/protocol.md specifies them, independent of the server's code, with only the fields
//! that a rule checks. Clients of a run send these types, and histories store them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A client's request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Request {
    /// The request id; a request with an id is answered once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The content.
    #[serde(flatten)]
    pub body: RequestBody,
}

/// The content of a request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are those of docs/protocol.md#the-v1-dialect")]
pub enum RequestBody {
    /// The first request on a socket.
    Hello {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epoch: Option<String>,
        #[serde(default)]
        rooms: Vec<Held>,
    },
    /// Sends a message. Over its socket, classic names neither room nor `client_id`.
    Message {
        room: u64,
        content: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<u64>,
    },
    /// Sends a private message in classic, whose answer names neither seq nor version.
    Private { receiver: u64, content: String, client_id: Option<String> },
    /// Edits a message.
    Edit { message: u64, content: String },
    /// Deletes a message.
    Delete { message: u64 },
    /// Adds or removes a reaction.
    React { message: u64, emoji: String, on: bool },
    /// Moves a read mark.
    Read { room: u64, seq: u64 },
    /// Requests a page of history.
    History {
        room: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u64>,
    },
    /// Requests a catch-up.
    Sync { room: u64, since: u64 },
    /// Watches a room's presence, or stops watching.
    Presence { room: u64, on: bool },
    /// Lists all online users; over HTTP only.
    OnlineUsers {},
    /// Starts or stops typing.
    Typing { room: u64, on: bool },
    /// Creates a room.
    Create { kind: String, name: String },
    /// Joins a room.
    Join { room: u64 },
    /// Leaves a room.
    Leave { room: u64 },
    /// Adds a user to a room.
    Invite { room: u64, user: u64 },
    /// Accepts an invite, or the request of a direct room.
    Accept { room: u64 },
    /// Declines an invite, or the request of a direct room.
    Decline { room: u64 },
    /// Changes a room's title.
    Update { room: u64, title: String },
    /// Removes a user from a room.
    Remove { room: u64, user: u64 },
    /// Opens the direct room with a user.
    Open { user: u64 },
    /// Presents a new token, which the history does not store.
    Auth { token: String },
    /// Revokes all tokens of the user; over HTTP only.
    Revoke {},
    /// Keeps the connection alive.
    Heartbeat {},
}

/// A room that a client holds, and its version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Held {
    /// The room id.
    pub room: u64,
    /// The last version that the client applied.
    pub version: u64,
}

/// A v1 envelope from the server.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ServerEnvelope {
    /// The id of the request that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The content.
    #[serde(flatten)]
    pub body: ServerBody,
}

/// The content of a v1 envelope from the server.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are those of docs/protocol.md#the-v1-dialect")]
pub enum ServerBody {
    /// Answers `hello`.
    Welcome(Welcome),
    /// Begins a catch-up.
    CatchUp { room: u64, from: u64, reset: bool },
    /// Ends a catch-up.
    CaughtUp {
        room: u64,
        version: u64,
        #[serde(with = "by_id")]
        my_reactions: BTreeMap<u64, Vec<String>>,
    },
    /// A message that is new, or whose content changed.
    Message(Message),
    /// A message's reactions changed.
    Change(ReactionsChange),
    /// A read mark moved.
    Read { room: u64, user: u64, seq: u64 },
    /// Users that are typing.
    Typing { room: u64, users: Vec<u64> },
    /// Users that came online or went offline.
    Presence {
        room: u64,
        online: Vec<u64>,
        offline: Vec<u64>,
        #[serde(default)]
        refresh: bool,
        count: u64,
    },
    /// The online count.
    OnlineCount { count: u64 },
    /// A new or changed room entry.
    Room(Entry),
    /// The user is no longer a member, or declined an invite.
    Removed { room: u64 },
    /// A stranger invites the user to a room.
    Invited { inviter: UserRef },
    /// The request succeeded. The content depends on the request.
    Ack(Value),
    /// The request was refused.
    Error { code: String },
    /// A notice.
    System { code: String },
    /// The server is about to close the socket.
    Goodbye { code: u16, reason: String, reconnect: bool, retry_ms: u64 },
    /// A user's profile changed.
    User(UserRef),
    /// A backend's event, or a type that is newer than this code.
    Published { kind: String },
}

/// The state that a session begins with.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of docs/protocol.md#the-v1-dialect")]
pub struct Welcome {
    pub session: u64,
    pub epoch: String,
    pub user: UserRef,
    pub online: Count,
    pub rooms: Vec<Entry>,
}

/// A number of users.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Count {
    /// The number.
    pub count: u64,
}

/// A reference to a user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UserRef {
    /// The user id.
    pub id: u64,
}

/// A room, as one member sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of docs/protocol.md#the-v1-dialect")]
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

/// The other member of a direct room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of docs/protocol.md#the-v1-dialect")]
pub struct Peer {
    pub id: u64,
    pub online: bool,
    pub read_seq: u64,
}

/// A message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of docs/protocol.md#the-v1-dialect")]
pub struct Message {
    pub id: u64,
    pub room: u64,
    pub seq: u64,
    pub version: u64,
    #[serde(default)]
    pub client_id: Option<String>,
    pub sender: UserRef,
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

/// A live change of a message's reactions, without the rest of the message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of docs/protocol.md#the-v1-dialect")]
pub struct ReactionsChange {
    pub id: u64,
    pub room: u64,
    pub version: u64,
    pub reactions: BTreeMap<String, u64>,
    pub change: Change,
}

/// The change that a live envelope reports.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are those of docs/protocol.md#the-v1-dialect")]
pub enum Change {
    /// The message is new.
    New,
    /// The content was edited.
    Edit { user: u64 },
    /// The message was deleted.
    Delete { user: u64 },
    /// A reaction was added or removed; only in `change`.
    React { user: u64, emoji: String, on: bool },
}

/// The ack of `message`. In classic, it names neither seq nor version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of docs/protocol.md#the-v1-dialect")]
pub struct Stored {
    pub id: u64,
    #[serde(default)]
    pub seq: Option<u64>,
    #[serde(default)]
    pub version: Option<u64>,
    #[serde(default)]
    pub duplicate: bool,
}

/// The ack of `edit`, `delete` and `react`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of docs/protocol.md#the-v1-dialect")]
pub struct Changed {
    pub version: u64,
}

/// The ack of `read`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of docs/protocol.md#the-v1-dialect")]
pub struct Marked {
    pub read_seq: u64,
    pub unread: u64,
}

/// The ack of `history`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of docs/protocol.md#the-v1-dialect")]
pub struct Page {
    pub messages: Vec<Message>,
    pub has_more_before: bool,
    #[serde(with = "by_id")]
    pub my_reactions: BTreeMap<u64, Vec<String>>,
}

/// The ack of `presence`, and the answer to `online_users`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of docs/protocol.md#the-v1-dialect")]
pub struct Online {
    pub online: Vec<u64>,
    pub count: u64,
    #[serde(default)]
    pub truncated: bool,
}

/// A classic envelope from the server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are those of docs/protocol.md#the-classic-dialect")]
pub enum Classic {
    /// A new lobby message.
    Message { id: u64, user_id: u64, content: String },
    /// The online count.
    OnlineCount { count: u64 },
    /// A private message to this user.
    PrivateMessage { message: ClassicPrivate },
    /// A peer read this user's messages.
    MessageRead { conversation_id: u64, reader_id: u64 },
    /// A lobby message was deleted.
    MessageDeleted { id: u64 },
    /// A notice or an error.
    Notification {
        #[serde(default)]
        code: Option<String>,
    },
    /// Answers a heartbeat.
    Heartbeat { timestamp: u64 },
    /// A backend's event.
    Published { kind: String },
}

/// A private message in the classic dialect.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of docs/protocol.md#the-classic-dialect")]
pub struct ClassicPrivate {
    pub id: u64,
    pub conversation_id: u64,
    pub sender: UserRef,
    pub content: String,
}

const V1_TYPES: &[&str] = &[
    "welcome",
    "catch_up",
    "caught_up",
    "message",
    "change",
    "read",
    "typing",
    "presence",
    "online_count",
    "room",
    "removed",
    "invited",
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

/// Parses a v1 envelope.
///
/// # Errors
/// The text is not an envelope, or lacks a field that a client needs.
pub fn read_v1(text: &str) -> Result<ServerEnvelope, serde_json::Error> {
    let Typed { kind } = serde_json::from_str(text)?;
    if V1_TYPES.contains(&kind.as_str()) {
        serde_json::from_str(text)
    } else {
        Ok(ServerEnvelope { id: None, body: ServerBody::Published { kind } })
    }
}

/// Parses a classic envelope.
///
/// # Errors
/// The text is not an envelope, or lacks a field that a client needs.
pub fn read_classic(text: &str) -> Result<Classic, serde_json::Error> {
    let Typed { kind } = serde_json::from_str(text)?;
    if CLASSIC_TYPES.contains(&kind.as_str()) { serde_json::from_str(text) } else { Ok(Classic::Published { kind }) }
}

/// Serialises maps with numeric keys. JSON keys are strings, and serde does not parse them as numbers in flattened or
/// tagged content.
mod by_id {
    use std::collections::BTreeMap;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<V: Serialize, S: Serializer>(
        map: &BTreeMap<u64, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(map)
    }

    pub(super) fn deserialize<'de, V: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<u64, V>, D::Error> {
        let map = BTreeMap::<String, V>::deserialize(from)?;
        map.into_iter().map(|(key, value)| Ok((key.parse().map_err(Error::custom)?, value))).collect()
    }
}
