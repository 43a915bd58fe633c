//! Rooms, as members and others see them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use teahouse_core::{DirectsPosition, Invite, MoreDirects, RoomCard, RoomEntry, RoomId, RoomList, Timestamp, UserId};

use super::MessageBody;
use crate::person::PersonBody;
use crate::schema::{Numbers, RoleWord, RoomKindWord};
use crate::time::Rfc3339;

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
    /// The newest message that is not deleted; its text is cut after 200 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message: Option<MessageBody<'a>>,
    /// The read marks of the others, by user id; in private rooms of at most 50 members.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Numbers>")]
    reads: Option<BTreeMap<u64, u64>>,
    /// A direct room that is a stranger's request, until the caller writes there, accepts or declines it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    request: bool,
    /// Only in the answer to `invite`: the caller is a stranger to the user, and the invite waits for an answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pending: bool,
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
            last_message: entry.last_message.as_ref().map(MessageBody::preview),
            reads: (!entry.reads.is_empty()).then(reads),
            request: entry.request,
            pending: false,
        }
    }

    /// The same as the answer to an invite.
    #[must_use]
    pub fn with_pending(self, pending: bool) -> Self {
        Self { pending, ..self }
    }
}

/// A stranger's invite to a room, which waits for an answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Invite")]
pub struct InviteBody<'a> {
    /// The room.
    room: InvitedRoomBody<'a>,
    /// The member who invites.
    inviter: PersonBody<'a>,
    /// The time of the invite.
    time: Rfc3339,
}

/// A room as a user sees it who is invited to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "InvitedRoom")]
struct InvitedRoomBody<'a> {
    /// The room.
    id: u64,
    /// Who may join it.
    #[schemars(with = "RoomKindWord")]
    kind: &'static str,
    /// Its unique name.
    name: &'a str,
    /// The heading; may be empty.
    title: &'a str,
    /// The number of members.
    members: u32,
}

impl<'a> From<&'a Invite> for InviteBody<'a> {
    fn from(invite: &'a Invite) -> Self {
        let Invite { room, kind, inviter, time } = invite;
        Self {
            room: InvitedRoomBody {
                id: room.id.0,
                kind: kind.as_str(),
                name: &room.name,
                title: &room.title,
                members: room.members,
            },
            inviter: inviter.into(),
            time: Rfc3339(*time),
        }
    }
}

/// `GET /api/v1/rooms`, and a part of `welcome`: the rooms of the caller.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct OwnRooms<'a> {
    /// All public and private rooms, and of the direct ones the 200 with the newest messages and those that `hello`
    /// named; in the order of their ids. A room that `hello` did not name is live from its `version` on.
    rooms: Vec<RoomBody<'a>>,
    /// The direct rooms that are not listed, which `directs` pages; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    more_directs: Option<MoreDirectsBody>,
    /// Invites of strangers that wait for an answer, the newest first, at most 100; absent when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    invites: Vec<InviteBody<'a>>,
}

/// The direct rooms that a list leaves out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "MoreDirects")]
struct MoreDirectsBody {
    /// Their number, counted up to 1,000.
    rooms: u32,
    /// The unread messages of the 1,000 newest of them without those of requests, capped at 999 in all.
    unread: u32,
    /// How many of them are requests, counted up to 1,000; absent when none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<u32>,
}

impl<'a> OwnRooms<'a> {
    /// `is_online` decides about the other users of direct rooms.
    #[must_use]
    pub fn new(list: &'a RoomList, is_online: impl Fn(UserId) -> bool) -> Self {
        let more = |more: MoreDirects| MoreDirectsBody {
            rooms: more.rooms,
            unread: more.unread,
            requests: (more.requests > 0).then_some(more.requests),
        };
        Self {
            rooms: list.rooms.iter().map(|entry| RoomBody::new(entry, &is_online)).collect(),
            more_directs: list.more_directs.map(more),
            invites: list.invites.iter().map(InviteBody::from).collect(),
        }
    }
}

/// `directs`: a page of the caller's direct rooms.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Directs<'a> {
    /// Requests last, and the newest message first.
    rooms: Vec<RoomBody<'a>>,
    /// `after` of the next page; null on the last page.
    #[serde(serialize_with = "position")]
    #[schemars(with = "Option<String>")]
    next: Option<DirectsPosition>,
}

impl<'a> Directs<'a> {
    /// `is_online` decides about the other users.
    #[must_use]
    pub fn new(entries: &'a [RoomEntry], next: Option<DirectsPosition>, is_online: impl Fn(UserId) -> bool) -> Self {
        Self { rooms: entries.iter().map(|entry| RoomBody::new(entry, &is_online)).collect(), next }
    }
}

fn position<S: Serializer>(position: &Option<DirectsPosition>, serializer: S) -> Result<S::Ok, S::Error> {
    match position {
        Some(DirectsPosition { request, time, room }) => {
            serializer.collect_str(&format_args!("{}-{}-{}", u8::from(*request), time.0, room.0))
        }
        None => serializer.serialize_none(),
    }
}

/// Reads the `next` of a page of [`Directs`].
pub(in crate::v1) fn read_position(text: &str) -> Option<DirectsPosition> {
    let (request, place) = text.split_once('-')?;
    let (time, room) = place.split_once('-')?;
    Some(DirectsPosition {
        request: request != "0",
        time: Timestamp(time.parse().ok()?),
        room: RoomId(room.parse().ok()?),
    })
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
