//! Envelopes to v1 clients.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use teahouse_core::{
    CloseCode, ErrorCode, Invite, Language, Message, MessageChange, Profile, RoomEntry, RoomId, RoomList, Seq,
    SessionId, Timestamp, User, UserId, Version,
};

use super::bodies::{Beat, InviteBody, LimitsBody, MessageBody, OwnReactions, OwnRooms, ReactionsChange, RoomBody};
use super::events::{self, OnlineCount};
use crate::envelope::{event, response};
use crate::person::PersonBody;
use crate::schema::ErrorWord;
use crate::time::Rfc3339;

// ── Responses ──

/// `ack`: the request of this reference succeeded. `data` is one of the bodies of this dialect.
#[must_use]
pub fn ack<D: Serialize>(id: &str, data: &D) -> String {
    response("ack", Some(id), data)
}

/// `ack` of a `heartbeat`, which needs no reference to get one.
#[must_use]
pub fn heartbeat(id: Option<&str>, time: Timestamp) -> String {
    response("ack", id, Beat { time })
}

/// Why the server refused a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Refusal")]
pub struct ErrorBody<'a> {
    /// The stable code.
    #[schemars(with = "ErrorWord")]
    pub code: &'a str,
    /// A sentence for a person.
    pub message: &'a str,
    /// The field of the request that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'a str>,
    /// The shortest delay after which a retry can succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl<'a> ErrorBody<'a> {
    /// A code with its own sentence.
    #[must_use]
    pub fn new(code: ErrorCode, language: Language) -> Self {
        Self { code: code.as_str(), message: code.sentence(language), field: None, retry_after_ms: None }
    }
}

/// `error`: the server refused the request of this reference, and did nothing of it.
#[must_use]
pub fn error(id: Option<&str>, body: &ErrorBody<'_>) -> String {
    response("error", id, body)
}

// ── Hello and catching up ──

/// What a `welcome` says.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// The session.
    pub session: SessionId,
    /// The epoch: the name of this history.
    pub epoch: &'a str,
    /// The caller.
    pub user: &'a User,
    /// The server's time.
    pub time: Timestamp,
    /// After this time without other traffic, the client sends a heartbeat.
    pub heartbeat_ms: u64,
    /// The rest of the token's life.
    pub token_expires_in_ms: u64,
    /// The limits of this server.
    pub limits: LimitsBody,
    /// The number of users online.
    pub online: u64,
    /// The user's rooms.
    pub rooms: &'a RoomList,
}

/// `welcome`: the response to the `hello` of this reference.
#[must_use]
pub fn welcome(id: Option<&str>, welcome: &Welcome<'_>, is_online: impl Fn(UserId) -> bool) -> String {
    let body = events::Welcome {
        session: welcome.session.0,
        epoch: welcome.epoch,
        user: welcome.user.into(),
        time: Rfc3339(welcome.time),
        heartbeat_ms: welcome.heartbeat_ms,
        token_expires_in_ms: welcome.token_expires_in_ms,
        limits: welcome.limits,
        online: OnlineCount { count: welcome.online },
        rooms: OwnRooms::new(welcome.rooms, is_online),
    };
    response("welcome", id, body)
}

/// `catch_up`: the room's messages that follow, up to `caught_up`, changed after version `from`. After a `reset` they
/// replace everything that the client holds of the room.
#[must_use]
pub fn catch_up(room: RoomId, from: Version, reset: bool) -> String {
    event("catch_up", events::CatchUp { room: room.0, from: from.0, reset })
}

/// `caught_up`: the client holds the room at this version, and live envelopes continue from there.
#[must_use]
pub fn caught_up(room: RoomId, version: Version, my_reactions: &OwnReactions) -> String {
    event("caught_up", events::CaughtUp { room: room.0, version: version.0, my_reactions })
}

// ── Events ──

/// `message`: insert or replace by id. Live envelopes name the change; those of a catch-up do not. A live reaction is
/// a [`change`] instead.
#[must_use]
pub fn message(message: &Message, change: Option<&MessageChange>) -> String {
    event("message", MessageBody::new(message, change))
}

/// The bytes of a live [`message`] without its `change`, as a catch-up sends it.
#[must_use]
pub fn without_change(live: &[u8]) -> Vec<u8> {
    // It is the last field, and no text contains these bytes: JSON escapes a quotation mark in a text.
    const CHANGE: &[u8] = br#","change":{"kind":""#;
    match live.windows(CHANGE.len()).rposition(|bytes| bytes == CHANGE) {
        Some(place) => [&live[..place], b"}}"].concat(),
        None => live.to_vec(),
    }
}

/// `change`: this user added a reaction (`on`) or removed it. `message` is the message after that.
#[must_use]
pub fn change(message: &Message, by: UserId, emoji: &str, on: bool) -> String {
    event("change", ReactionsChange::new(message, by, emoji, on))
}

/// `read`: a user has read a room up to a seq.
#[must_use]
pub fn read(room: RoomId, user: UserId, seq: Seq) -> String {
    event("read", events::Read { room: room.0, user: user.0, seq: seq.0 })
}

/// `typing`: all users who are typing in a room.
#[must_use]
pub fn typing(room: RoomId, users: &[UserId]) -> String {
    event("typing", events::Typing { room: room.0, users: users.iter().map(|user| user.0).collect() })
}

/// Who came online and who went offline in a room since the last event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PresenceDiff {
    /// Users who came online.
    pub online: Vec<UserId>,
    /// Users who went offline.
    pub offline: Vec<UserId>,
    /// Too many changes to list: the client asks again.
    pub refresh: bool,
    /// The number of members online.
    pub count: u64,
}

/// `presence`: who came online and went offline in a room whose presence the client subscribed to.
#[must_use]
pub fn presence(room: RoomId, diff: &PresenceDiff) -> String {
    let ids = |users: &[UserId]| users.iter().map(|user| user.0).collect();
    let PresenceDiff { online, offline, refresh, count } = diff;
    let (online, offline) = (ids(online), ids(offline));
    event("presence", events::Presence { room: room.0, online, offline, refresh: *refresh, count: *count })
}

/// `room`: the caller's view of a room is new or changed.
#[must_use]
pub fn room(entry: &RoomEntry, is_online: impl Fn(UserId) -> bool) -> String {
    event("room", RoomBody::new(entry, is_online))
}

/// `removed`: the caller is no longer in this room.
#[must_use]
pub fn removed(room: RoomId) -> String {
    event("removed", events::Removed { room: room.0 })
}

/// `invited`: a stranger invites the caller to a room.
#[must_use]
pub fn invited(invite: &Invite) -> String {
    event("invited", InviteBody::from(invite))
}

/// `user`: a user's name or picture changed.
#[must_use]
pub fn user(profile: &Profile) -> String {
    event("user", PersonBody::from(profile))
}

/// `system`: a notice of the server itself.
#[must_use]
pub fn system(code: &str, sentence: &str) -> String {
    event("system", events::System { code, message: sentence })
}

/// `system` with `events_missed`: the session's queue of events overflowed.
#[must_use]
pub fn events_missed(language: Language) -> String {
    system("events_missed", crate::events_missed_sentence(language))
}

/// `goodbye`: precedes a close frame with this code and reason, since proxies swallow close frames. `retry_ms` is 0
/// where clients do not come back.
#[must_use]
pub fn goodbye(code: CloseCode, reason: &str, retry_ms: u64) -> String {
    let reconnect = code.reconnects();
    let retry_ms = if reconnect { retry_ms } else { 0 };
    event("goodbye", events::Goodbye { code: code.code(), reason, reconnect, retry_ms })
}

/// An event of a site's backend, in both dialects: `data` as the backend wrote it, on one line, since clients split
/// frames at line breaks.
#[must_use]
pub fn published(kind: &str, data: &RawValue) -> String {
    // JSON escapes line breaks in strings: a raw one is between tokens and means nothing.
    event(kind, data).replace(['\n', '\r'], " ")
}
