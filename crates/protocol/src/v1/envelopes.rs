//! What the server sends to a v1 client over the socket.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use teahouse_core::{
    CloseCode, ErrorCode, Language, Message, MessageChange, Profile, RoomEntry, RoomId, Seq, SessionId, Timestamp,
    User, UserId, Version,
};

use super::bodies::{Beat, LimitsBody, MessageBody, OwnReactions, RoomBody};
use super::events::{self, OnlineCount};
use crate::envelope::{answer, envelope};
use crate::moment::Moment;
use crate::person::Person;
use crate::shape::ErrorWord;

/// The types of everything that a v1 client may be sent but for what backends publish. Nothing may be
/// published under one of these names, nor under one of the classic dialect's.
pub const EVENT_TYPES: &[&str] = &[
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

// ── Answers ──

/// `ack`: what was asked under this reference is done. `data` is one of the bodies of this dialect.
#[must_use]
pub fn ack<D: Serialize>(id: &str, data: &D) -> String {
    answer("ack", Some(id), data)
}

/// `ack` of a `heartbeat`, also of one without a reference: the answer is the point of it.
#[must_use]
pub fn heartbeat(id: Option<&str>, time: Timestamp) -> String {
    answer("ack", id, Beat { time })
}

/// What was refused, and why, as a v1 client is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Refusal")]
pub struct ErrorBody<'a> {
    /// The stable word.
    #[schemars(with = "ErrorWord")]
    pub code: &'a str,
    /// A sentence for a person.
    pub message: &'a str,
    /// What in the request it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'a str>,
    /// Nothing before this long will pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl<'a> ErrorBody<'a> {
    /// A code with its own sentence, and nothing else to say.
    #[must_use]
    pub fn new(code: ErrorCode, language: Language) -> Self {
        Self { code: code.as_str(), message: code.sentence(language), field: None, retry_after_ms: None }
    }
}

/// `error`: what was asked, under this reference if it had one, was refused. It never half-happened.
#[must_use]
pub fn error(id: Option<&str>, body: &ErrorBody<'_>) -> String {
    answer("error", id, body)
}

// ── Beginning and catching up ──

/// What a session begins with.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// The session.
    pub session: SessionId,
    /// The name of this history.
    pub epoch: &'a str,
    /// Oneself.
    pub user: &'a User,
    /// The server's time.
    pub time: Timestamp,
    /// After so long without other traffic the client sends a heartbeat.
    pub heartbeat_ms: u64,
    /// How long the token is still good.
    pub token_expires_in_ms: u64,
    /// The bounds here.
    pub limits: LimitsBody,
    /// Distinct users online.
    pub online: u64,
    /// Every room the user is in.
    pub rooms: &'a [RoomEntry],
}

/// `welcome`, with the reference of the `hello` that it answers.
#[must_use]
pub fn welcome(id: Option<&str>, welcome: &Welcome<'_>, is_online: impl Fn(UserId) -> bool) -> String {
    let body = events::Welcome {
        session: welcome.session.0,
        epoch: welcome.epoch,
        user: welcome.user.into(),
        time: Moment(welcome.time),
        heartbeat_ms: welcome.heartbeat_ms,
        token_expires_in_ms: welcome.token_expires_in_ms,
        limits: welcome.limits,
        online: OnlineCount { count: welcome.online },
        rooms: welcome.rooms.iter().map(|entry| RoomBody::new(entry, &is_online)).collect(),
    };
    answer("welcome", id, body)
}

/// `catch_up`: what follows of this room, up to `caught_up`, is what changed after version `from`; after a
/// `reset` it is all that there is to be held of the room.
#[must_use]
pub fn catch_up(room: RoomId, from: Version, reset: bool) -> String {
    envelope("catch_up", events::CatchUp { room: room.0, from: from.0, reset })
}

/// `caught_up`: the client holds the room as it was at this version, and live envelopes go on from there.
#[must_use]
pub fn caught_up(room: RoomId, version: Version, my_reactions: &OwnReactions) -> String {
    envelope("caught_up", events::CaughtUp { room: room.0, version: version.0, my_reactions })
}

// ── Events ──

/// `message`: insert or replace by id. Live envelopes say what happened; those in brackets do not.
#[must_use]
pub fn message(message: &Message, change: Option<&MessageChange>) -> String {
    envelope("message", MessageBody::new(message, change))
}

/// A live [`message`] as it is in a bracket: without what just happened.
#[must_use]
pub fn message_in_bracket(live: &[u8]) -> Vec<u8> {
    // It is the last field, and no text can look like it: a quotation mark in a text is escaped.
    const CHANGE: &[u8] = br#","change":{"kind":""#;
    match live.windows(CHANGE.len()).rposition(|bytes| bytes == CHANGE) {
        Some(place) => [&live[..place], b"}}"].concat(),
        None => live.to_vec(),
    }
}

/// `read`: somebody has read a room up to a seq.
#[must_use]
pub fn read(room: RoomId, user: UserId, seq: Seq) -> String {
    envelope("read", events::Read { room: room.0, user: user.0, seq: seq.0 })
}

/// `typing`: all who are typing in a room now.
#[must_use]
pub fn typing(room: RoomId, users: &[UserId]) -> String {
    envelope("typing", events::Typing { room: room.0, users: users.iter().map(|user| user.0).collect() })
}

/// Who came and who went in a room since the last time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PresenceDiff {
    /// Who is online now and was not.
    pub online: Vec<UserId>,
    /// Who was online and is not.
    pub offline: Vec<UserId>,
    /// Too much changed to be listed: ask again.
    pub refresh: bool,
    /// How many are online.
    pub count: u64,
}

/// `presence`: who came and went in a room whose presence one asked for.
#[must_use]
pub fn presence(room: RoomId, diff: &PresenceDiff) -> String {
    let ids = |users: &[UserId]| users.iter().map(|user| user.0).collect();
    let PresenceDiff { online, offline, refresh, count } = diff;
    let (online, offline) = (ids(online), ids(offline));
    envelope("presence", events::Presence { room: room.0, online, offline, refresh: *refresh, count: *count })
}

/// `room`: a room's entry is new or changed.
#[must_use]
pub fn room(entry: &RoomEntry, is_online: impl Fn(UserId) -> bool) -> String {
    envelope("room", RoomBody::new(entry, is_online))
}

/// `removed`: one is no longer in this room.
#[must_use]
pub fn removed(room: RoomId) -> String {
    envelope("removed", events::Removed { room: room.0 })
}

/// `user`: somebody's name or picture changed.
#[must_use]
pub fn user(profile: &Profile) -> String {
    envelope("user", Person::from(profile))
}

/// `system`: a notice of the server itself.
#[must_use]
pub fn system(code: &str, sentence: &str) -> String {
    envelope("system", events::System { code, message: sentence })
}

/// `system` with `events_missed`: more was to be told than is kept for a session that does not read.
#[must_use]
pub fn events_missed(language: Language) -> String {
    system("events_missed", crate::events_missed_sentence(language))
}

/// `goodbye`: the socket is about to be closed with this code and reason, since proxies swallow close frames.
/// `retry_ms` is 0 where nobody comes back.
#[must_use]
pub fn goodbye(code: CloseCode, reason: &str, retry_ms: u64) -> String {
    let reconnect = code.reconnects();
    let retry_ms = if reconnect { retry_ms } else { 0 };
    envelope("goodbye", events::Goodbye { code: code.code(), reason, reconnect, retry_ms })
}

/// What a backend published, as it is, but on one line: frames are split at their line breaks. It is the same
/// in both dialects.
#[must_use]
pub fn published(kind: &str, data: &RawValue) -> String {
    // Within JSON's strings a line break is always escaped: a raw one stands between tokens and means nothing.
    envelope(kind, data).replace(['\n', '\r'], " ")
}
