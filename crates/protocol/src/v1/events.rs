//! The table of v1 events, and the `data` of each.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::bodies::{InviteBody, LimitsBody, MessageBody, OwnReactions, OwnRooms, OwnUser, ReactionsChange, RoomBody};
use crate::person::PersonBody;
use crate::schema;
use crate::time::Rfc3339;

macro_rules! events {
    ($( $word:literal => $Data:ty, )+) => {
        /// The types of everything that the server itself sends to a v1 client. Backends publish under none of these
        /// names.
        pub const EVENT_TYPES: &[&str] = &[$( $word, )+ "ack", "error"];

        /// Every event's type, with the schema of its `data`.
        pub(crate) fn data_schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
            vec![$( ($word, generator.subschema_for::<$Data>()) ),+]
        }
    };
}

events! {
    "welcome" => Welcome<'static>,
    "catch_up" => CatchUp,
    "caught_up" => CaughtUp<'static>,
    "message" => MessageBody<'static>,
    "change" => ReactionsChange<'static>,
    "read" => Read,
    "typing" => Typing,
    "presence" => Presence,
    "online_count" => OnlineCount,
    "room" => RoomBody<'static>,
    "removed" => Removed,
    "invited" => InviteBody<'static>,
    "user" => PersonBody<'static>,
    "system" => System<'static>,
    "goodbye" => Goodbye<'static>,
}

/// The response to `hello`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Welcome<'a> {
    /// The session; it changes with each reconnect.
    pub session: u64,
    /// The epoch: the name of this history, which changes with a restore.
    pub epoch: &'a str,
    /// The caller.
    pub user: OwnUser<'a>,
    /// The server's time.
    pub time: Rfc3339,
    /// After this time without other traffic, the client sends a heartbeat.
    pub heartbeat_ms: u64,
    /// The rest of the token's life.
    pub token_expires_in_ms: u64,
    /// The limits of this server.
    pub limits: LimitsBody,
    /// The number of users online.
    pub online: OnlineCount,
    /// The rooms of the caller.
    #[serde(flatten)]
    pub rooms: OwnRooms<'a>,
}

/// Distinct users online.
#[derive(Serialize, JsonSchema)]
pub(crate) struct OnlineCount {
    /// The number of users.
    pub count: u64,
}

/// Catching up starts: the room's messages that follow, up to `caught_up`, changed after version `from`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct CatchUp {
    /// The room.
    pub room: u64,
    /// The version before the changes that follow.
    pub from: u64,
    /// The client drops what it holds of the room; the newest messages follow.
    pub reset: bool,
}

/// Catching up ends: the client holds the room at this version, and live envelopes continue from there.
#[derive(Serialize, JsonSchema)]
pub(crate) struct CaughtUp<'a> {
    /// The room.
    pub room: u64,
    /// The client's cursor.
    pub version: u64,
    /// The caller's own reactions to these messages: the emoji, by message id.
    #[schemars(with = "schema::OwnReactions")]
    pub my_reactions: &'a OwnReactions,
}

/// A user has read a room up to a seq.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Read {
    /// The room.
    pub room: u64,
    /// The user.
    pub user: u64,
    /// The seq of the last message that the user read.
    pub seq: u64,
}

/// All users who are typing in a room.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Typing {
    /// The room.
    pub room: u64,
    /// Their ids; empty when the last one stops.
    pub users: Vec<u64>,
}

/// Who came online and went offline in a room whose presence the client subscribed to.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Presence {
    /// The room.
    pub room: u64,
    /// Users who came online.
    pub online: Vec<u64>,
    /// Users who went offline.
    pub offline: Vec<u64>,
    /// Too many changes to list: the client asks again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub refresh: bool,
    /// The number of members online.
    pub count: u64,
}

/// The caller is no longer in this room.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Removed {
    /// The room.
    pub room: u64,
}

/// A notice of the server itself.
#[derive(Serialize, JsonSchema)]
pub(crate) struct System<'a> {
    /// A stable code, such as `events_missed`.
    pub code: &'a str,
    /// A sentence for a person.
    pub message: &'a str,
}

/// The server is about to close the socket.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Goodbye<'a> {
    /// The code of the close frame that follows.
    pub code: u16,
    /// Its reason.
    pub reason: &'a str,
    /// Whether the client should reconnect by itself.
    pub reconnect: bool,
    /// The delay before this client reconnects; 0 when it should not.
    pub retry_ms: u64,
}
