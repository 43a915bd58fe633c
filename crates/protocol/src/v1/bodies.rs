//! The shapes that stand in v1 envelopes and, the same, in the answers under `/api/v1`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use teahouse_core::{
    Message, MessageChange, MessageId, Profile, Role, RoomCard, RoomEntry, Seq, Timestamp, User, UserId, Version,
};

use crate::moment::{self, Moment};
use crate::person::Person;
use crate::shape::{self, MessageKindWord, Numbers, RoleWord, RoomKindWord, UserRoleWord};

/// One's own reactions, by message id.
pub type OwnReactions = BTreeMap<u64, Vec<String>>;

// ── Messages ──

/// A message, wherever it appears: in its current state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Message")]
pub struct MessageBody<'a> {
    /// Unique over all rooms; the same number in both dialects.
    id: u64,
    /// Where it was said.
    room: u64,
    /// Its place in the room: 1, 2, 3 … in order of commit.
    seq: u64,
    /// The room's version that last changed it.
    version: u64,
    /// The sender's own reference.
    client_id: Option<&'a str>,
    /// Who said it, under the name that they have now.
    sender: Person<'a>,
    /// The text; empty once deleted.
    content: &'a str,
    /// What sort of message it is.
    #[schemars(with = "MessageKindWord")]
    kind: &'static str,
    /// The message of the same room that this one answers.
    reply_to: Option<u64>,
    /// The members whom it names with `@username`, in the order of their ids.
    #[serde(serialize_with = "user_ids")]
    #[schemars(with = "Vec<u64>")]
    mentions: &'a [UserId],
    /// How many reacted, by emoji.
    #[serde(serialize_with = "reaction_counts")]
    #[schemars(with = "Numbers")]
    reactions: &'a [(String, u32)],
    /// When it was last edited, if ever.
    edited_at: Option<Moment>,
    /// A deleted message keeps its place with empty content.
    deleted: bool,
    /// When it was committed; never decreases within a room.
    send_time: Moment,
    /// What just happened to it; in live envelopes only.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<ChangeBody<'a>>,
}

impl<'a> MessageBody<'a> {
    /// A message in its current state; live envelopes also say what just happened to it.
    #[must_use]
    pub fn new(message: &'a Message, change: Option<&'a MessageChange>) -> Self {
        Self {
            id: message.id.0,
            room: message.room.0,
            seq: message.seq.0,
            version: message.version.0,
            client_id: message.client_id.as_deref(),
            sender: (&message.sender).into(),
            content: &message.content,
            kind: message.kind.as_str(),
            reply_to: message.reply_to.map(|id| id.0),
            mentions: &message.mentions,
            reactions: &message.reactions,
            edited_at: message.edited_at.map(Moment),
            deleted: message.deleted,
            send_time: Moment(message.sent_at),
            change: change.map(ChangeBody::from),
        }
    }
}

/// What just happened to a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schemars(rename = "Change")]
enum ChangeBody<'a> {
    /// It is new.
    New,
    /// Its content is another.
    Edit {
        /// Who edited it.
        user: u64,
    },
    /// It was deleted.
    Delete {
        /// Who deleted it.
        user: u64,
    },
    /// Somebody reacted to it, or took a reaction back.
    React {
        /// Who.
        user: u64,
        /// With what.
        emoji: &'a str,
        /// Whether it is there now.
        on: bool,
    },
}

impl<'a> From<&'a MessageChange> for ChangeBody<'a> {
    fn from(change: &'a MessageChange) -> Self {
        match change {
            MessageChange::New => Self::New,
            MessageChange::Edit { by } => Self::Edit { user: by.0 },
            MessageChange::Delete { by } => Self::Delete { user: by.0 },
            MessageChange::React { by, emoji, on } => Self::React { user: by.0, emoji, on: *on },
        }
    }
}

/// `message`: where it came to lie. Sent only when that is durable.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Stored {
    /// Its id.
    pub id: u64,
    /// Its place in the room.
    pub seq: u64,
    /// The version that it took when it was first stored.
    pub version: u64,
    /// When it was stored.
    #[serde(serialize_with = "moment::serialize")]
    #[schemars(with = "Moment")]
    pub send_time: Timestamp,
    /// It had been stored before, by an earlier request with the same `client_id`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

/// `edit`, `delete`, `react`: the version that the change took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Changed {
    /// Of the room; a change that was so already has the version of the message as it is.
    version: u64,
}

impl Changed {
    /// This version.
    #[must_use]
    pub fn new(version: Version) -> Self {
        Self { version: version.0 }
    }
}

/// `read`: where the mark is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Marked {
    /// Up to here the room is read.
    read_seq: u64,
    /// Others' messages above that, not deleted, capped at 999.
    unread: u32,
}

impl Marked {
    /// Read up to `seq`, with so many unread above it.
    #[must_use]
    pub fn new(seq: Seq, unread: u32) -> Self {
        Self { read_seq: seq.0, unread }
    }
}

/// `history`: a page of a room, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct History<'a> {
    /// Oldest first, deleted ones too: they keep their places.
    messages: Vec<MessageBody<'a>>,
    /// Whether there are older ones.
    has_more_before: bool,
    /// Whether there are newer ones.
    has_more_after: bool,
    /// One's own reactions to these messages: the emoji, by message id.
    #[schemars(with = "shape::OwnReactions")]
    my_reactions: &'a OwnReactions,
}

impl<'a> History<'a> {
    /// These messages, and whether there are others on either side.
    #[must_use]
    pub fn new(messages: &'a [Message], more: (bool, bool), my_reactions: &'a OwnReactions) -> Self {
        let messages = messages.iter().map(|message| MessageBody::new(message, None)).collect();
        Self { messages, has_more_before: more.0, has_more_after: more.1, my_reactions }
    }
}

/// `GET …/changes`: what changed in a room since a version, all at once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Changes<'a> {
    /// The name of this history: what is held of another one is worth nothing here.
    epoch: &'a str,
    /// The room is begun anew: these are its newest messages, and what was held of it is to be dropped.
    reset: bool,
    /// In version order, each in its current state, deleted ones too.
    messages: Vec<MessageBody<'a>>,
    /// The room's version with these: what `since` is to be the next time.
    version: u64,
    /// One's own reactions to these messages: the emoji, by message id.
    #[schemars(with = "shape::OwnReactions")]
    my_reactions: &'a OwnReactions,
}

impl<'a> Changes<'a> {
    /// These messages, which bring a room to `version`.
    #[must_use]
    pub fn new(
        epoch: &'a str,
        reset: bool,
        messages: &'a [Message],
        version: Version,
        my_reactions: &'a OwnReactions,
    ) -> Self {
        let messages = messages.iter().map(|message| MessageBody::new(message, None)).collect();
        Self { epoch, reset, messages, version: version.0, my_reactions }
    }
}

// ── Rooms ──

/// A room as one of its members sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Room")]
pub struct RoomBody<'a> {
    /// The room. A direct room's id is the classic dialect's `conversation_id`.
    id: u64,
    /// Who may be in it.
    #[schemars(with = "RoomKindWord")]
    kind: &'static str,
    /// The unique name; direct rooms have none.
    name: Option<&'a str>,
    /// What is shown as its heading; may be empty.
    title: &'a str,
    /// Its version. Moves no cursor of a client that holds the room already.
    version: u64,
    /// The seq of its newest message.
    last_seq: u64,
    /// Up to where one has read it.
    read_seq: u64,
    /// Others' messages above that, not deleted, capped at 999.
    unread: u32,
    /// How many are in it.
    members: u32,
    /// What one may do in it.
    #[schemars(with = "RoleWord")]
    role: &'static str,
    /// One may not write here for the time being.
    muted: bool,
    /// In a direct room: the other one.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<PeerBody<'a>>,
    /// The newest message that is not deleted, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message: Option<MessageBody<'a>>,
    /// Up to where the others have read, by user id; in private rooms of at most 50 members.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Numbers>")]
    reads: Option<BTreeMap<u64, u64>>,
}

/// The other one of a direct room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Peer")]
struct PeerBody<'a> {
    #[serde(flatten)]
    person: Person<'a>,
    /// Whether they were online when this was written; `presence` keeps it true.
    online: bool,
    /// Up to where they have read.
    read_seq: u64,
}

impl<'a> RoomBody<'a> {
    /// This entry; whether a direct room's other one is online is asked of `is_online`.
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

/// `GET /api/v1/rooms`: every room that one is in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct OwnRooms<'a> {
    /// In the order of their ids.
    rooms: Vec<RoomBody<'a>>,
}

impl<'a> OwnRooms<'a> {
    /// These entries; whether a direct room's other one is online is asked of `is_online`.
    #[must_use]
    pub fn new(entries: &'a [RoomEntry], is_online: impl Fn(UserId) -> bool) -> Self {
        Self { rooms: entries.iter().map(|entry| RoomBody::new(entry, &is_online)).collect() }
    }
}

/// `rooms`: a page of public rooms that one could join.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "RoomCards")]
pub struct Cards<'a> {
    /// In the order of their ids.
    rooms: Vec<CardBody<'a>>,
    /// What `after` is to be for the next page; null at the end.
    next: Option<u64>,
}

/// A public room as somebody sees it who is not in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "RoomCard")]
struct CardBody<'a> {
    /// The room.
    id: u64,
    /// Its unique name.
    name: &'a str,
    /// Its heading; may be empty.
    title: &'a str,
    /// How many are in it.
    members: u32,
}

impl<'a> Cards<'a> {
    /// These rooms; `more` when others follow the last of them.
    #[must_use]
    pub fn new(cards: &'a [RoomCard], more: bool) -> Self {
        let body = |card: &'a RoomCard| CardBody {
            id: card.id.0,
            name: &card.name,
            title: &card.title,
            members: card.members,
        };
        Self { rooms: cards.iter().map(body).collect(), next: cards.last().filter(|_| more).map(|card| card.id.0) }
    }
}

// ── People ──

/// `members`: a page of who is in a room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Members<'a> {
    /// In the order of their ids.
    members: Vec<MemberBody<'a>>,
    /// What `after` is to be for the next page; null at the end.
    next: Option<u64>,
}

/// Somebody who is in a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Member")]
struct MemberBody<'a> {
    #[serde(flatten)]
    person: Person<'a>,
    /// What they may do in it.
    #[schemars(with = "RoleWord")]
    role: &'static str,
}

impl<'a> Members<'a> {
    /// These members; `more` when others follow the last of them.
    #[must_use]
    pub fn new(members: &'a [(Profile, Role)], more: bool) -> Self {
        let body = |(profile, role): &'a (Profile, Role)| MemberBody { person: profile.into(), role: role.as_str() };
        let next = members.last().filter(|_| more).map(|(profile, _)| profile.id.0);
        Self { members: members.iter().map(body).collect(), next }
    }
}

/// `users`: a page of people whose name begins so.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Users<'a> {
    /// In the order of their ids.
    users: Vec<Person<'a>>,
    /// What `after` is to be for the next page; null at the end.
    next: Option<u64>,
}

impl<'a> Users<'a> {
    /// These people; `more` when others follow the last of them.
    #[must_use]
    pub fn new(people: &'a [Profile], more: bool) -> Self {
        let next = people.last().filter(|_| more).map(|profile| profile.id.0);
        Self { users: people.iter().map(Person::from).collect(), next }
    }
}

/// Oneself, in `welcome`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Oneself<'a> {
    #[serde(flatten)]
    person: Person<'a>,
    /// What one may do on the whole server.
    #[schemars(with = "UserRoleWord")]
    role: &'static str,
}

impl<'a> From<&'a User> for Oneself<'a> {
    fn from(user: &'a User) -> Self {
        Self { person: (&user.profile).into(), role: user.role.as_str() }
    }
}

/// `presence`: who of a room is online now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct PresenceNow {
    /// Ids, in order; empty where presence only counts.
    pub online: Vec<u64>,
    /// How many are online.
    pub count: u64,
    /// Whether `online` leaves people out.
    pub truncated: bool,
}

// ── The session ──

/// `auth`: how long the fresh token is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Renewed {
    /// In milliseconds.
    pub expires_in_ms: u64,
}

/// `heartbeat`: the time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Beat {
    /// By the server's clock.
    #[serde(serialize_with = "moment::serialize")]
    #[schemars(with = "Moment")]
    pub time: Timestamp,
}

/// `typing`, and whatever else there is nothing to say about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Nothing {}

/// What a client should know of the bounds here, in `welcome`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Limits")]
pub struct LimitsBody {
    /// Characters (Unicode scalar values) of a message.
    pub content_chars_max: usize,
    /// Bytes of a frame.
    pub frame_bytes_max: usize,
    /// Messages a second.
    pub sends_per_second: u32,
    /// Messages at once.
    pub sends_burst: u32,
    /// Other envelopes a second.
    pub envelopes_per_second: u32,
    /// Other envelopes at once.
    pub envelopes_burst: u32,
    /// Messages in a page of history.
    pub history_messages_max: u32,
}

fn user_ids<S: Serializer>(users: &[UserId], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(users.iter().map(|user| user.0))
}

fn reaction_counts<S: Serializer>(reactions: &[(String, u32)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(reactions.iter().map(|(emoji, count)| (emoji, count)))
}

/// One's own reactions as they stand on the wire.
#[must_use]
pub fn own_reactions(reactions: impl IntoIterator<Item = (MessageId, String)>) -> OwnReactions {
    let mut own = OwnReactions::new();
    for (message, emoji) in reactions {
        own.entry(message.0).or_default().push(emoji);
    }
    own
}
