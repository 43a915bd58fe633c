//! Rooms: everything said is said in one.

use crate::RoomId;

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
        [Self::Public, Self::Private, Self::Direct].into_iter().find(|kind| kind.as_str() == name)
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
        [Self::Member, Self::Moderator, Self::Owner].into_iter().find(|role| role.as_str() == name)
    }
}
