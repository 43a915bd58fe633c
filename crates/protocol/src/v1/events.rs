//! The `data` of everything that goes to a v1 client and is no body of an answer.

use schemars::JsonSchema;
use serde::Serialize;

use super::bodies::{LimitsBody, Oneself, OwnReactions, RoomBody};
use crate::moment::Moment;
use crate::shape;

/// What a session begins with: the answer to `hello`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Welcome<'a> {
    /// The session; another one after each reconnect.
    pub session: u64,
    /// The name of this history; another one after a restore.
    pub epoch: &'a str,
    /// Oneself.
    pub user: Oneself<'a>,
    /// The server's time.
    pub time: Moment,
    /// After so long without other traffic the client sends a heartbeat.
    pub heartbeat_ms: u64,
    /// How long the token is still good.
    pub token_expires_in_ms: u64,
    /// The bounds here.
    pub limits: LimitsBody,
    /// Who is online, all in all.
    pub online: OnlineCount,
    /// Every room that one is in. One that `hello` did not name is live from its `version` on.
    pub rooms: Vec<RoomBody<'a>>,
}

/// Distinct users online.
#[derive(Serialize, JsonSchema)]
pub(crate) struct OnlineCount {
    /// How many.
    pub count: u64,
}

/// The bracket opens: what follows of this room, up to `caught_up`, is what changed after version `from`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct CatchUp {
    /// Which room.
    pub room: u64,
    /// The version after which the changes follow.
    pub from: u64,
    /// The room is begun anew: what was held of it is dropped, and its newest messages follow.
    pub reset: bool,
}

/// The bracket closes: the client holds the room as it was at this version, and live envelopes go on from there.
#[derive(Serialize, JsonSchema)]
pub(crate) struct CaughtUp<'a> {
    /// Which room.
    pub room: u64,
    /// Where the client's cursor stands now.
    pub version: u64,
    /// One's own reactions to the messages of this bracket: the emoji, by message id.
    #[schemars(with = "shape::OwnReactions")]
    pub my_reactions: &'a OwnReactions,
}

/// Somebody has read a room up to a seq.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Read {
    /// Which room.
    pub room: u64,
    /// Who.
    pub user: u64,
    /// Up to which message's place.
    pub seq: u64,
}

/// All who are typing in a room now.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Typing {
    /// Which room.
    pub room: u64,
    /// Their ids; empty when nobody is any more.
    pub users: Vec<u64>,
}

/// Who came and went in a room whose presence one asked for.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Presence {
    /// Which room.
    pub room: u64,
    /// Who is online now and was not.
    pub online: Vec<u64>,
    /// Who was online and is not.
    pub offline: Vec<u64>,
    /// Too much changed to be listed: ask again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub refresh: bool,
    /// How many are online.
    pub count: u64,
}

/// One is no longer in this room.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Removed {
    /// Which room.
    pub room: u64,
}

/// A notice of the server itself.
#[derive(Serialize, JsonSchema)]
pub(crate) struct System<'a> {
    /// A stable word, such as `events_missed`.
    pub code: &'a str,
    /// A sentence for a person.
    pub message: &'a str,
}

/// The socket is about to be closed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Goodbye<'a> {
    /// The code of the close frame that follows.
    pub code: u16,
    /// Its reason.
    pub reason: &'a str,
    /// Whether the client is to come back by itself.
    pub reconnect: bool,
    /// After how long; this client's own. 0 where it is not to come back.
    pub retry_ms: u64,
}
