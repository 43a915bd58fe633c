//! Messages, in their current state. The store keeps the sender's IP address for moderators. It is no field here, so it
//! cannot reach clients by mistake (docs/internals/regressions.md, H11).

use crate::{MessageId, Profile, RoomId, Seq, Timestamp, UserId, Version};

/// One message of a room, in its current state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Unique over all rooms; the same number in both dialects.
    pub id: MessageId,
    /// Its room.
    pub room: RoomId,
    /// Its position in the room.
    pub seq: Seq,
    /// The room's version that last changed it.
    pub version: Version,
    /// The sender, under the current name.
    pub sender: Profile,
    /// The sender's idempotency key: sending with the same key again stores nothing.
    pub client_id: Option<String>,
    /// The text; empty once deleted.
    pub content: String,
    /// The kind of message.
    pub kind: MessageKind,
    /// The message that it replies to.
    pub reply_to: Option<MessageId>,
    /// The members that it mentions with `@username`, ordered by id.
    pub mentions: Vec<UserId>,
    /// The count of each emoji, ordered by the emoji's code points.
    pub reactions: Vec<(String, u32)>,
    /// When it was last edited.
    pub edited_at: Option<Timestamp>,
    /// Whether it was deleted. A deleted message keeps its position with empty content.
    pub deleted: bool,
    /// When it was committed. Never decreases within a room.
    pub sent_at: Timestamp,
}

impl Message {
    /// Its approximate bytes in an answer: its texts, and a usual amount for names and numbers.
    #[must_use]
    pub fn size(&self) -> usize {
        // Each emoji may come a second time, among the reader's own.
        let reactions: usize = self.reactions.iter().map(|(emoji, _)| 2 * (emoji.len() + 8)).sum();
        let client_id = self.client_id.as_ref().map_or(0, String::len);
        256 + self.content.len() + self.sender.size() + client_id + 16 * self.mentions.len() + reactions
    }
}

/// The kind of a message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum MessageKind {
    /// Sent by a user.
    #[default]
    Text,
    /// A notice of the site.
    System,
}

impl MessageKind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Text, Self::System];

    /// The kind's name on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::System => "system",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}
