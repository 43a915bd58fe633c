//! Rooms: everything said is said in one.

use crate::{Message, Profile, RoomId, Seq, UserId, Version};

/// The room that everybody is in, from the creation of the account.
pub const LOBBY: RoomId = RoomId(1);

/// Who may be in a room.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RoomKind {
    /// Anyone may join.
    Public,
    /// Members only; one is invited.
    Private,
    /// Two users, for ever; the classic dialect calls it a conversation.
    Direct,
}

impl RoomKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Public, Self::Private, Self::Direct];

    /// The kind's name on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Direct => "direct",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// What a member may do in one room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Role {
    /// May read and write.
    #[default]
    Member,
    /// May also delete what others said there and remove members.
    Moderator,
    /// May also change the room and its roles.
    Owner,
}

impl Role {
    /// All roles, lowest first.
    pub const ALL: [Self; 3] = [Self::Member, Self::Moderator, Self::Owner];

    /// The role's name on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Moderator => "moderator",
            Self::Owner => "owner",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// A room as one of its members sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomEntry {
    /// The room.
    pub id: RoomId,
    /// Who may be in it.
    pub kind: RoomKind,
    /// The unique name by which public rooms are found; direct rooms have none.
    pub name: Option<String>,
    /// What is shown as its heading; may be empty.
    pub title: String,
    /// Its version.
    pub version: Version,
    /// The seq of its newest message.
    pub last_seq: Seq,
    /// How many are in it.
    pub members: u32,
    /// What this member may do in it.
    pub role: Role,
    /// Up to where this member has read it.
    pub read_seq: Seq,
    /// Others' messages above that, not deleted, capped at 999.
    pub unread: u32,
    /// This member may not write for the time being.
    pub muted: bool,
    /// In a direct room: the other one, and up to where they have read.
    pub peer: Option<(Profile, Seq)>,
    /// The newest message that is not deleted.
    pub last_message: Option<Message>,
    /// Up to where the others have read, in private rooms that are small enough for it.
    pub reads: Vec<(UserId, Seq)>,
}

/// A public room as somebody sees it who is not in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomCard {
    /// The room.
    pub id: RoomId,
    /// Its unique name.
    pub name: String,
    /// Its heading; may be empty.
    pub title: String,
    /// How many are in it.
    pub members: u32,
}
