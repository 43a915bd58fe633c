//! What goes into the store and comes out of it, and what can go wrong.

use std::net::IpAddr;
use std::time::Duration;

use teahouse_core::{
    Message, MessageId, MessageKind, Profile, Role, RoomId, RoomKind, Seq, SessionId, Timestamp, TokenKey, User,
    UserId, Version,
};

/// What any operation may run into.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// The queue is full, or the disk refuses for now; nothing happened, trying again can help.
    #[error("the store cannot take this now: {0}")]
    Overloaded(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A bug of ours, or a damaged database.
    #[error("the store failed: {0}")]
    Internal(String),
}

/// An account to be made here.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// 3 to 20 characters; checked by the caller.
    pub username: String,
    /// Unique, whatever its case.
    pub email: Option<String>,
    /// An argon2id or bcrypt hash in PHC or crypt format; never the password.
    pub password_hash: String,
    /// The time of creation.
    pub now: Timestamp,
    /// The id is taken from this number on.
    pub ids_start: u64,
}

/// Why an account was not made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CreateUserError {
    /// The username is taken.
    #[error("this username is taken")]
    UsernameTaken,
    /// The e-mail address is taken.
    #[error("this e-mail address is taken")]
    EmailTaken,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who a site's token speaks of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SiteUser {
    /// Its id on the site, or the site's name for it when that is no number below 2^40 (it then gets an id from 2^40 on).
    pub subject: Subject,
    /// From the claims; held to no rules here. One that is taken gets a suffix.
    pub username: String,
    /// From the claims; left out when another user has it.
    pub email: Option<String>,
    /// The time of creation.
    pub now: Timestamp,
}

/// A token's `sub`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Subject {
    /// The site's decimal user id, which is the id here too.
    Id(UserId),
    /// Any other name; mapped to an internal id.
    Name(String),
}

/// A change of one's own profile; `None` leaves a field as it is. Checked and made inert by the caller.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ProfileChange {
    /// The name that is shown.
    pub nickname: Option<String>,
    /// A picture's address, or empty.
    pub avatar: Option<String>,
    /// A few words, or empty.
    pub bio: Option<String>,
}

/// What a token is worth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It lets this user in.
    Good(Box<User>),
    /// It was revoked (logged out, password changed).
    Revoked,
    /// The user is disabled.
    Disabled,
    /// There is no such user.
    Unknown,
}

/// A refresh token, hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refresh {
    /// The token's key.
    pub key: TokenKey,
    /// Whose it is.
    pub user: UserId,
    /// The login that it continues.
    pub login: TokenKey,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// A message to be stored. The content is trimmed and measured by the caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Append {
    /// Where it goes.
    pub place: Place,
    /// Who says it.
    pub sender: UserId,
    /// Under which sending again stores nothing twice.
    pub client_id: Option<String>,
    /// What is said.
    pub content: String,
    /// What sort of message it is. A notice of the site takes no membership, and has no place between two people.
    pub kind: MessageKind,
    /// The message that it answers; must be in the same room.
    pub reply_to: Option<MessageId>,
    /// Where the sender was; kept for moderators only.
    pub address: Option<IpAddr>,
    /// The time; the room's last time is used when that is later, so that times never decrease.
    pub now: Timestamp,
}

/// Where a message goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Into a room that the sender is a member of.
    Room(RoomId),
    /// To another user, into their direct room, which is made in the same transaction when there is none.
    Direct(UserId),
}

/// Where a message came to lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Its id.
    pub id: MessageId,
    /// Its room.
    pub room: RoomId,
    /// Its place.
    pub seq: Seq,
    /// The version that it took when it was first stored.
    pub version: Version,
    /// When it was stored.
    pub sent_at: Timestamp,
    /// It had been stored before, by an earlier request with the same `client_id`.
    pub duplicate: bool,
}

/// Why a message was not stored.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AppendError {
    /// The `client_id` was used before, for something else.
    #[error("this client_id was used for something else")]
    Conflict,
    /// No such room, receiver, or message to answer.
    #[error("no such room, receiver or message to answer")]
    NotFound,
    /// The sender is not a member of the room, or is disabled.
    #[error("the sender is not a member of this room")]
    Forbidden,
    /// The sender is muted, for so long from now.
    #[error("the sender is muted")]
    Muted(Duration),
    /// A direct room with oneself.
    #[error("one cannot write to oneself")]
    Oneself,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Another content for a message. It is trimmed and measured by the caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edit {
    /// Which one.
    pub message: MessageId,
    /// Who edits; only one's own.
    pub actor: UserId,
    /// What it says from now on.
    pub content: String,
    /// The time.
    pub now: Timestamp,
}

/// A reaction that comes or goes. The emoji is checked by the caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reaction {
    /// To which message.
    pub message: MessageId,
    /// Who.
    pub actor: UserId,
    /// With what.
    pub emoji: String,
    /// Whether it is to be there.
    pub on: bool,
    /// The time; a muted user may not react.
    pub now: Timestamp,
}

/// Why a message was not changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChangeError {
    /// No such message, or it is deleted and can no longer be edited or reacted to; or in a room that the
    /// actor is not in and cannot see.
    #[error("no such message")]
    NotFound,
    /// The actor may not do this to it.
    #[error("the actor may not do this to this message")]
    Forbidden,
    /// The actor is muted, for so long from now.
    #[error("the actor is muted")]
    Muted(Duration),
    /// There are as many different reactions as a message can have.
    #[error("too many different reactions")]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A room to be made. Name and title are checked by the caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewRoom {
    /// Who makes and owns it.
    pub owner: UserId,
    /// Public or private.
    pub kind: RoomKind,
    /// Unique, whatever its case.
    pub name: String,
    /// May be empty.
    pub title: String,
    /// The time.
    pub now: Timestamp,
    /// The session that asked; see [`teahouse_core::Change::Entry`].
    pub asker: Option<SessionId>,
}

/// Who is to be in a room, or as what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MembershipChange {
    /// Which room.
    pub room: RoomId,
    /// Who does it.
    pub actor: UserId,
    /// What.
    pub what: Membership,
    /// The time.
    pub now: Timestamp,
    /// The session that asked; see [`teahouse_core::Change::Entry`].
    pub asker: Option<SessionId>,
}

/// What is done to a membership.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Membership {
    /// The actor comes in; public rooms only. Reading starts at the room's head.
    Join,
    /// The actor goes. Nobody leaves the lobby or a direct room.
    Leave,
    /// A user is brought in.
    Invite(UserId),
    /// A member is taken out.
    Remove(UserId),
    /// A member gets a role.
    Role(UserId, Role),
}

/// Why nothing was done about a room.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RoomError {
    /// No such room or user; or a private or direct room of others, which look the same from outside.
    #[error("no such room or user")]
    NotFound,
    /// The actor may not do this.
    #[error("the actor may not do this")]
    Forbidden,
    /// The name is taken.
    #[error("this name is taken")]
    NameTaken,
    /// The user is in as many rooms as one can be.
    #[error("in too many rooms")]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which page of a room's history, by seq.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoomHistoryQuery {
    /// Which room.
    pub room: RoomId,
    /// From where.
    pub from: SeqFrom,
    /// At most this many messages.
    pub limit: u32,
}

/// From where a page of history goes, by seq.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SeqFrom {
    /// The newest ones.
    Newest,
    /// The newest ones below this.
    Before(Seq),
    /// The oldest ones above this.
    After(Seq),
    /// About half of them at or below this, the rest above.
    Around(Seq),
}

/// A page of a room's history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomHistoryPage {
    /// Oldest first, deleted ones too.
    pub messages: Vec<Message>,
    /// There are older ones.
    pub has_more_before: bool,
    /// There are newer ones.
    pub has_more_after: bool,
    /// The reader's own reactions to them.
    pub own_reactions: Vec<(MessageId, String)>,
}

/// How far catching up goes before it begins anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CatchUpBounds {
    /// Changes in one page.
    pub limit: u32,
    /// With more changes than this the room is begun anew; `None`: never.
    pub changes_max: Option<u32>,
    /// With so many messages.
    pub reset_messages: u32,
}

/// How catching up begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CatchUpPage {
    /// The room is begun anew: these are the newest messages, not the changes.
    pub reset: bool,
    /// In version order, each in its current state, deleted ones too.
    pub messages: Vec<Message>,
    /// Up to which version this page is complete.
    pub through: Version,
    /// The seq of the room's newest message in the snapshot.
    pub last_seq: Seq,
    /// Whether that is the room's version in the snapshot; if not, more changes follow.
    pub complete: bool,
}

/// Why a key was not kept.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ApiKeyError {
    /// There is a key of this name.
    #[error("there is a key of this name")]
    NameTaken,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a site's backend says of one of its users. Checked and made inert by the caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SiteUserRecord {
    /// Who, and the time.
    pub user: SiteUser,
    /// What else is said of it.
    pub profile: ProfileChange,
}

/// Hears how much of a backup is done, from 0 to 1.
pub type BackupProgress = Box<dyn FnMut(f64) + Send>;

/// Why there is no backup.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BackupError {
    /// Something is there already, and is left as it is.
    #[error("there is something at {0} already")]
    Exists(String),
    /// The copy could not be written.
    #[error("the copy could not be written: {0}")]
    Write(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which page of history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HistoryQuery {
    /// From where.
    pub from: HistoryFrom,
    /// At most this many messages.
    pub limit: u32,
}

/// From where a page of history goes. A message id that is unknown (or deleted) still is a place: ids
/// grow with seq in a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HistoryFrom {
    /// The newest ones.
    Newest,
    /// The newest ones before this message.
    Before(MessageId),
    /// The oldest ones after this message.
    After(MessageId),
}

/// A page of history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryPage {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// There are more in the direction of the query (older for `Newest` and `Before`, newer for `After`).
    pub has_more: bool,
}

/// What comes after a place in a room, by seq.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeqPage {
    /// Messages at or below the asked seq that were deleted after the asked version.
    pub deleted: Vec<MessageId>,
    /// Messages above the asked seq that are not deleted, in the order of seq.
    pub messages: Vec<Message>,
    /// The room's version in the snapshot that was read.
    pub version: Version,
    /// Up to which seq this page is complete: the last message's, or the room's when nothing is left.
    pub seq: Seq,
    /// Whether nothing was left behind this page.
    pub complete: bool,
    /// The two people of a direct room, in the order of their ids.
    pub pair: Option<Box<[Profile; 2]>>,
}

/// Where a room stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoomHead {
    /// Its version.
    pub version: Version,
    /// The seq of its newest message.
    pub last_seq: Seq,
}

/// Why no direct room was opened.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenDirectError {
    /// With oneself.
    #[error("one cannot write to oneself")]
    Oneself,
    /// No such user.
    #[error("no such user")]
    NotFound,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A direct room, as one of its two people sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirectRoom {
    /// The other one.
    pub peer: Profile,
    /// The asking one's profile.
    pub own: Profile,
    /// Up to where the asking one has read.
    pub read_seq: Seq,
    /// Up to where the other one has read.
    pub peer_read_seq: Seq,
}

/// Why a direct room cannot be looked at.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DirectRoomError {
    /// No such direct room.
    #[error("no such conversation")]
    NotFound,
    /// Somebody else's.
    #[error("somebody else's conversation")]
    Forbidden,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A direct room in the list of one of its people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conversation {
    /// The room.
    pub room: RoomId,
    /// The other one.
    pub peer: Profile,
    /// The newest message that is not deleted: its text and time.
    pub last_message: Option<(String, Timestamp)>,
    /// Others' messages above the read mark, not deleted, capped at 999.
    pub unread: u32,
    /// When the room was made.
    pub created_at: Timestamp,
}

/// Where a read mark is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadMark {
    /// Up to here it is read.
    pub read_seq: Seq,
    /// What is still unread, capped at 999.
    pub unread: u32,
    /// Whether this call moved it.
    pub moved: bool,
}
