//! Messages, in their current state. The sender's IP address is kept by the store for moderators and
//! has no place here, so that it cannot reach anybody else by mistake (ANCESTOR.md H11).

use crate::{MessageId, Profile, RoomId, Seq, Timestamp, UserId, Version};

/// One message of a room, as it stands now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Unique over all rooms; the same number in both dialects.
    pub id: MessageId,
    /// Where it was said.
    pub room: RoomId,
    /// Its place in the room.
    pub seq: Seq,
    /// The room's version that last changed it.
    pub version: Version,
    /// Who said it, under the name that they have now.
    pub sender: Profile,
    /// The sender's own reference, under which sending again stores nothing twice.
    pub client_id: Option<String>,
    /// The text; empty once deleted.
    pub content: String,
    /// What sort of message it is.
    pub kind: MessageKind,
    /// The message that this one answers.
    pub reply_to: Option<MessageId>,
    /// The members whom it names with `@username`, in the order of their ids.
    pub mentions: Vec<UserId>,
    /// How many reacted with what, in the order of the emoji's code points.
    pub reactions: Vec<(String, u32)>,
    /// When it was last edited, if ever.
    pub edited_at: Option<Timestamp>,
    /// A deleted message keeps its place with empty content.
    pub deleted: bool,
    /// When it was committed. Never decreases within a room.
    pub sent_at: Timestamp,
}

/// What sort of message it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum MessageKind {
    /// Said by a user.
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

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}
