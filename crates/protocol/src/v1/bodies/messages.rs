//! Messages, pages of them, and responses to requests that change them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use teahouse_core::limits::PREVIEW_CHARS_MAX;
use teahouse_core::{Message, MessageChange, MessageId, Seq, Timestamp, UserId, Version};

use crate::person::PersonBody;
use crate::schema::{self, MessageKindWord, Numbers};
use crate::time::{self, Rfc3339};

/// The caller's own reactions: the emoji, by message id.
pub type OwnReactions = BTreeMap<u64, Vec<String>>;

/// A message in its current state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Message")]
pub struct MessageBody<'a> {
    /// Unique over all rooms; the same number in both dialects.
    id: u64,
    /// The room.
    room: u64,
    /// Its place in the room: 1, 2, 3 … in order of commit.
    seq: u64,
    /// The version of the room with its last change.
    version: u64,
    /// The sender's own reference.
    client_id: Option<&'a str>,
    /// The sender, with the current name.
    sender: PersonBody<'a>,
    /// The text; empty in a deleted message.
    content: &'a str,
    /// Only in a room's `last_message`: the text goes on, and `history` has all of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
    /// Whether it comes from a user or is a notice of the site.
    #[schemars(with = "MessageKindWord")]
    kind: &'static str,
    /// The message of the same room to which this one replies.
    reply_to: Option<u64>,
    /// The members that it mentions with `@username`, in the order of their ids.
    #[serde(serialize_with = "user_ids")]
    #[schemars(with = "Vec<u64>")]
    mentions: &'a [UserId],
    /// The number of reactions, by emoji.
    #[serde(serialize_with = "reaction_counts")]
    #[schemars(with = "Numbers")]
    reactions: &'a [(String, u32)],
    /// The time of the last edit.
    edited_at: Option<Rfc3339>,
    /// A deleted message keeps its seq, with empty content.
    deleted: bool,
    /// The time of the commit; never decreases within a room.
    send_time: Rfc3339,
    /// The change that this envelope reports; in live envelopes only.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<ChangeBody>,
}

impl<'a> MessageBody<'a> {
    /// `change` is what a live envelope reports. A reaction has an envelope of its own, [`ReactionsChange`].
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
            cut: false,
            kind: message.kind.as_str(),
            reply_to: message.reply_to.map(|id| id.0),
            mentions: &message.mentions,
            reactions: &message.reactions,
            edited_at: message.edited_at.map(Rfc3339),
            deleted: message.deleted,
            send_time: Rfc3339(message.sent_at),
            change: change.and_then(ChangeBody::of_message),
        }
    }

    /// The message as a room's `last_message`: a long text is cut.
    pub(super) fn preview(message: &'a Message) -> Self {
        let end = message.content.char_indices().nth(PREVIEW_CHARS_MAX).map(|(end, _)| end);
        let content = &message.content[..end.unwrap_or(message.content.len())];
        Self { content, cut: end.is_some(), ..Self::new(message, None) }
    }
}

/// A change that brings the whole message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schemars(rename = "Change")]
enum ChangeBody {
    /// It is new.
    New,
    /// Its content changed.
    Edit {
        /// The user who edited it.
        user: u64,
    },
    /// It was deleted.
    Delete {
        /// The user who deleted it.
        user: u64,
    },
}

impl ChangeBody {
    fn of_message(change: &MessageChange) -> Option<Self> {
        match change {
            MessageChange::New => Some(Self::New),
            MessageChange::Edit { by } => Some(Self::Edit { user: by.0 }),
            MessageChange::Delete { by } => Some(Self::Delete { user: by.0 }),
            MessageChange::React { .. } => None,
        }
    }
}

/// A message's reactions changed. The message itself is not repeated, since it can be many times as long.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(crate) struct ReactionsChange<'a> {
    /// The message.
    id: u64,
    /// Its room.
    room: u64,
    /// The version of the room with this change.
    version: u64,
    /// The number of reactions after it, by emoji.
    #[serde(serialize_with = "reaction_counts")]
    #[schemars(with = "Numbers")]
    reactions: &'a [(String, u32)],
    /// The change.
    change: ReactionChange<'a>,
}

/// A change of a message's reactions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum ReactionChange<'a> {
    /// A user added or removed a reaction.
    React {
        /// The user.
        user: u64,
        /// The emoji.
        emoji: &'a str,
        /// Whether the reaction was added.
        on: bool,
    },
}

impl<'a> ReactionsChange<'a> {
    pub(crate) fn new(message: &'a Message, by: UserId, emoji: &'a str, on: bool) -> Self {
        Self {
            id: message.id.0,
            room: message.room.0,
            version: message.version.0,
            reactions: &message.reactions,
            change: ReactionChange::React { user: by.0, emoji, on },
        }
    }
}

/// `message`: the stored message. The server sends this only when it is durable.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Stored {
    /// Its id.
    pub id: u64,
    /// Its place in the room.
    pub seq: u64,
    /// The version that it took when the server stored it.
    pub version: u64,
    /// The time of the commit.
    #[serde(serialize_with = "time::serialize")]
    #[schemars(with = "Rfc3339")]
    pub send_time: Timestamp,
    /// An earlier request with the same `client_id` stored it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

/// `edit`, `delete`, `react`: the version that the change took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Changed {
    /// A version of the room. A request that changes nothing gets the current version of the message.
    version: u64,
}

impl Changed {
    /// From a version.
    #[must_use]
    pub fn new(version: Version) -> Self {
        Self { version: version.0 }
    }
}

/// `read`: the read mark after the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Marked {
    /// The seq of the last message that the caller read.
    read_seq: u64,
    /// Messages of others above it, without deleted ones, capped at 999.
    unread: u32,
}

impl Marked {
    /// A read mark at `seq`.
    #[must_use]
    pub fn new(seq: Seq, unread: u32) -> Self {
        Self { read_seq: seq.0, unread }
    }
}

/// `history`: a page of a room, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct History<'a> {
    /// Oldest first, with deleted ones.
    messages: Vec<MessageBody<'a>>,
    /// Whether there are older messages.
    has_more_before: bool,
    /// Whether there are newer messages.
    has_more_after: bool,
    /// The caller's own reactions to these messages: the emoji, by message id.
    #[schemars(with = "schema::OwnReactions")]
    my_reactions: &'a OwnReactions,
}

impl<'a> History<'a> {
    /// `more` tells whether there are messages before and after these.
    #[must_use]
    pub fn new(messages: &'a [Message], more: (bool, bool), my_reactions: &'a OwnReactions) -> Self {
        let messages = messages.iter().map(|message| MessageBody::new(message, None)).collect();
        Self { messages, has_more_before: more.0, has_more_after: more.1, my_reactions }
    }
}

/// `GET …/changes`: a room's changes since a version, as many as fit into one response.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Changes<'a> {
    /// The epoch: the name of this history. State of another epoch is worthless.
    epoch: &'a str,
    /// The client drops what it holds of the room; these are its newest messages.
    reset: bool,
    /// In the order of versions, each in its current state, with deleted ones.
    messages: Vec<MessageBody<'a>>,
    /// The room's version after these changes: `since` of the next request.
    version: u64,
    /// Whether there are more: the client requests again. Never after a reset, which is whole.
    more: bool,
    /// The caller's own reactions to these messages: the emoji, by message id.
    #[schemars(with = "schema::OwnReactions")]
    my_reactions: &'a OwnReactions,
}

impl<'a> Changes<'a> {
    /// Messages that bring a room to `version`, and whether `more` follow.
    #[must_use]
    pub fn new(
        epoch: &'a str,
        reset: bool,
        messages: &'a [Message],
        (version, more): (Version, bool),
        my_reactions: &'a OwnReactions,
    ) -> Self {
        let messages = messages.iter().map(|message| MessageBody::new(message, None)).collect();
        Self { epoch, reset, messages, version: version.0, more, my_reactions }
    }
}

/// Groups the caller's own reactions by message.
#[must_use]
pub fn own_reactions(reactions: impl IntoIterator<Item = (MessageId, String)>) -> OwnReactions {
    let mut own = OwnReactions::new();
    for (message, emoji) in reactions {
        own.entry(message.0).or_default().push(emoji);
    }
    own
}

fn user_ids<S: Serializer>(users: &[UserId], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(users.iter().map(|user| user.0))
}

fn reaction_counts<S: Serializer>(reactions: &[(String, u32)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(reactions.iter().map(|(emoji, count)| (emoji, count)))
}
