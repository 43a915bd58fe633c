//! Rooms. Every message belongs to one.

use crate::{Message, Profile, RoomId, Seq, Timestamp, UserId, Version};

/// The room of every user, from the creation of the account.
pub const LOBBY: RoomId = RoomId(1);

/// The kind of a room, which decides who may be in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RoomKind {
    /// Every user may join.
    Public,
    /// Members invite others.
    Private,
    /// Two users who never change; the classic dialect calls it a conversation.
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

    /// The kind with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A member's role in one room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Role {
    /// May read and write.
    #[default]
    Member,
    /// May also delete messages of others and remove members.
    Moderator,
    /// May also change the room and assign roles.
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

    /// The role with this name.
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
    /// Its kind.
    pub kind: RoomKind,
    /// The unique name; direct rooms have none.
    pub name: Option<String>,
    /// The displayed heading; may be empty.
    pub title: String,
    /// Its version.
    pub version: Version,
    /// The seq of its newest message.
    pub last_seq: Seq,
    /// The number of members.
    pub members: u32,
    /// This member's role.
    pub role: Role,
    /// The seq up to which this member has read it.
    pub read_seq: Seq,
    /// Messages of others after that which are not deleted, capped at 999; in a long list of entries at 99.
    pub unread: u32,
    /// Whether this member is muted.
    pub muted: bool,
    /// In a direct room: the other user, and the seq up to which they have read it.
    pub peer: Option<(Profile, Seq)>,
    /// The newest message that is not deleted, without its reactions. A content of more than 200 characters is cut: it
    /// has 201.
    pub last_message: Option<Message>,
    /// Up to which seq the others have read it, in small private rooms.
    pub reads: Vec<(UserId, Seq)>,
    /// A direct room: it is a stranger's request that waits for this member's answer.
    pub request: bool,
}

/// The rooms that a user starts with: all but the direct rooms beyond a bound.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RoomList {
    /// The rooms, in the order of their ids.
    pub rooms: Vec<RoomEntry>,
    /// The direct rooms that are not among them; `None` when there are none.
    pub more_directs: Option<MoreDirects>,
    /// Invites that wait for an answer, the newest first.
    pub invites: Vec<Invite>,
}

/// The direct rooms of a user that a list leaves out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MoreDirects {
    /// Their number, counted up to 1,000.
    pub rooms: u32,
    /// The unread messages of the 1,000 newest of them without those of requests, capped at 999 in all.
    pub unread: u32,
    /// How many of them are requests, counted up to 1,000.
    pub requests: u32,
}

/// A stranger's invite to a room, which waits for an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invite {
    /// The room as the invited user may see it.
    pub room: RoomCard,
    /// Its kind.
    pub kind: RoomKind,
    /// The member who invites.
    pub inviter: Profile,
    /// The time of the invite.
    pub time: Timestamp,
}

/// A position in the list of a user's direct rooms: first those that are no requests, then requests, and of both those
/// with the newest messages first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirectsPosition {
    /// Whether the room is a request.
    pub request: bool,
    /// The time of the room's newest message, or of its creation.
    pub time: Timestamp,
    /// The room.
    pub room: RoomId,
}

/// A public room as a user sees it who is not in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomCard {
    /// The room.
    pub id: RoomId,
    /// Its unique name.
    pub name: String,
    /// The displayed heading; may be empty.
    pub title: String,
    /// The number of members.
    pub members: u32,
}
