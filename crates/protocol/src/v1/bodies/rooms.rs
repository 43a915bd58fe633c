//! Rooms, as members and others see them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use teahouse_core::{RoomCard, RoomEntry, RoomId, UserId};

use super::MessageBody;
use crate::person::PersonBody;
use crate::schema::{Numbers, RoleWord, RoomKindWord};

/// A room as one of its members sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Room")]
pub struct RoomBody<'a> {
    /// The room. A direct room's id is the classic dialect's `conversation_id`.
    id: u64,
    /// Who may join it.
    #[schemars(with = "RoomKindWord")]
    kind: &'static str,
    /// The unique name; direct rooms have none.
    name: Option<&'a str>,
    /// The heading; may be empty.
    title: &'a str,
    /// Its version. It moves no cursor of a client that holds the room.
    version: u64,
    /// The seq of its newest message.
    last_seq: u64,
    /// The seq of the last message that the caller read.
    read_seq: u64,
    /// Messages of others above it, without deleted ones, capped at 999.
    unread: u32,
    /// The number of members.
    members: u32,
    /// The caller's role in it.
    #[schemars(with = "RoleWord")]
    role: &'static str,
    /// The caller may not write here at present.
    muted: bool,
    /// The other user of a direct room.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<PeerBody<'a>>,
    /// The newest message that is not deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message: Option<MessageBody<'a>>,
    /// The read marks of the others, by user id; in private rooms of at most 50 members.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Numbers>")]
    reads: Option<BTreeMap<u64, u64>>,
}

/// The other user of a direct room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Peer")]
struct PeerBody<'a> {
    #[serde(flatten)]
    person: PersonBody<'a>,
    /// Whether they were online at this moment; `presence` reports changes.
    online: bool,
    /// The seq of the last message that they read.
    read_seq: u64,
}

impl<'a> RoomBody<'a> {
    /// `is_online` decides about the other user of a direct room.
    #[must_use]
    pub fn new(entry: &'a RoomEntry, is_online: impl Fn(UserId) -> bool) -> Self {
        let peer = entry.peer.as_ref().map(|(profile, read_seq)| PeerBody {
            person: profile.into(),
            online: is_online(profile.id),
            read_seq: read_seq.0,
        });
        let reads = || entry.reads.iter().map(|(user, seq)| (user.0, seq.0)).collect();
        Self {
            id: entry.id.0,
            kind: entry.kind.as_str(),
            name: entry.name.as_deref(),
            title: &entry.title,
            version: entry.version.0,
            last_seq: entry.last_seq.0,
            read_seq: entry.read_seq.0,
            unread: entry.unread,
            members: entry.members,
            role: entry.role.as_str(),
            muted: entry.muted,
            peer,
            last_message: entry.last_message.as_ref().map(|message| MessageBody::new(message, None)),
            reads: (!entry.reads.is_empty()).then(reads),
        }
    }
}

/// `GET /api/v1/rooms`: every room of the caller.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct OwnRooms<'a> {
    /// In the order of their ids.
    rooms: Vec<RoomBody<'a>>,
}

impl<'a> OwnRooms<'a> {
    /// `is_online` decides about the other users of direct rooms.
    #[must_use]
    pub fn new(entries: &'a [RoomEntry], is_online: impl Fn(UserId) -> bool) -> Self {
        Self { rooms: entries.iter().map(|entry| RoomBody::new(entry, &is_online)).collect() }
    }
}

/// `rooms`: a page of public rooms that the caller could join.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "RoomCards")]
pub struct Cards<'a> {
    /// In the order of their ids.
    rooms: Vec<CardBody<'a>>,
    /// `after` of the next page; null on the last page. A page before it may be short or empty.
    next: Option<u64>,
}

/// A public room as users outside of it see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "RoomCard")]
struct CardBody<'a> {
    /// The room.
    id: u64,
    /// Its unique name.
    name: &'a str,
    /// The heading; may be empty.
    title: &'a str,
    /// The number of members.
    members: u32,
}

impl<'a> Cards<'a> {
    /// `next` is the room after which the next page begins, if there may be one.
    #[must_use]
    pub fn new(cards: &'a [RoomCard], next: Option<RoomId>) -> Self {
        let body = |card: &'a RoomCard| CardBody {
            id: card.id.0,
            name: &card.name,
            title: &card.title,
            members: card.members,
        };
        Self { rooms: cards.iter().map(body).collect(), next: next.map(|room| room.0) }
    }
}
