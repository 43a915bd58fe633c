//! The contract that every store passes; the conformance suite is its other half.

use std::path::Path;

use async_trait::async_trait;
use teahouse_core::{
    Commit, MessageId, Profile, Role, RoomCard, RoomEntry, RoomId, Seq, SessionId, Timestamp, TokenKey, TokenMark,
    User, UserId, UserRole, Version,
};

use crate::model::*;

/// Where commits go, in the order of commit, from the thread that commits.
///
/// It must return at once: whoever is behind it that cannot keep up reads the store instead.
pub trait CommitSink: Send {
    /// These changes are durable now.
    fn committed(&mut self, commits: Vec<Commit>);

    /// Whoever asked for them has been answered as well. Who passes both on to the same people does well to wait
    /// for this, and tells them in one go.
    fn answered(&mut self) {}
}

/// The durable half, in the language of the domain.
///
/// Every write is durable when its future resolves, and runs to its end even when the future is
/// dropped. A write waits in a bounded queue; when that is full it is refused with
/// [`StoreError::Overloaded`] at once, and nothing of it happens.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    // ── Accounts ──

    /// Makes an account. Usernames and e-mail addresses are unique, whatever their case.
    /// Every user is a member of the lobby from here on, with the lobby's head as read.
    async fn create_user(&self, user: NewUser) -> Result<User, CreateUserError>;

    /// The user that a site's token speaks of, made from its claims when unknown. Calling it again,
    /// also at the same moment, gives the same user; a username that is taken gets a suffix.
    async fn ensure_site_user(&self, user: SiteUser) -> Result<User, StoreError>;

    /// One user.
    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError>;

    /// The user of this username or, where `login` contains `@`, this e-mail address; with the
    /// password's hash, if there is one.
    async fn user_by_login(&self, login: &str) -> Result<Option<(User, Option<String>)>, StoreError>;

    /// The profiles of these users, in the order of their ids; unknown ones are left out. A constant
    /// number of queries.
    async fn profiles(&self, ids: &[UserId]) -> Result<Vec<Profile>, StoreError>;

    /// Changes what is `Some`. `None` when there is no such user.
    async fn update_profile(&self, user: UserId, change: ProfileChange) -> Result<Option<User>, StoreError>;

    /// The password's hash of a user, if it has one.
    async fn password_hash(&self, user: UserId) -> Result<Option<String>, StoreError>;

    /// Puts a new hash in the place of `expected`, and only there (a login that renews an old hash must
    /// not undo a password that was changed meanwhile). Says whether it did. Revokes nothing.
    async fn renew_password_hash(&self, user: UserId, expected: &str, hash: &str) -> Result<bool, StoreError>;

    /// Sets a password and, in the same transaction, ends every token issued up to and including
    /// second `now` and every refresh token, but for those of `except` (a login's or a token's key).
    async fn change_password(
        &self,
        user: UserId,
        hash: &str,
        now: Timestamp,
        except: Option<TokenKey>,
    ) -> Result<(), StoreError>;

    /// Sets a user's role, by username. `None` when there is no such user.
    async fn set_role(&self, username: &str, role: UserRole) -> Result<Option<User>, StoreError>;

    /// Disables or enables a user, by username. Disabling also removes all refresh tokens.
    async fn set_disabled(&self, username: &str, disabled: bool) -> Result<Option<User>, StoreError>;

    /// Mutes a user until then, by username, or lets them speak again with `None`. They are told at once, by
    /// the entries of all their rooms.
    async fn set_muted(
        &self,
        username: &str,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<User>, StoreError>;

    // ── Tokens ──

    /// Whether a token with this mark still lets this user in, with the user as it is now.
    /// `mark.expires_at` is not looked at: whoever verified the token did that.
    async fn standing(&self, user: UserId, mark: &TokenMark) -> Result<Standing, StoreError>;

    /// The same for a site's own name of a user (`sub` that is no number).
    async fn user_by_subject(&self, subject: &str) -> Result<Option<UserId>, StoreError>;

    /// Remembers until `until` that tokens with this key (as token or as login) are void, and removes
    /// the refresh tokens of that login.
    async fn revoke(&self, user: UserId, key: TokenKey, until: Timestamp) -> Result<(), StoreError>;

    /// The first second at which a token for this user may be issued so that no past revocation covers it.
    async fn issue_not_before(&self, user: UserId) -> Result<i64, StoreError>;

    /// Keeps a refresh token (hashed).
    async fn add_refresh(&self, refresh: Refresh) -> Result<(), StoreError>;

    /// Takes the refresh token `old` out and puts `new` in with the same user and login, in one
    /// transaction. `None` (and nothing changes) when `old` is unknown or expired at `now`, or its
    /// user is disabled.
    async fn rotate_refresh(
        &self,
        old: TokenKey,
        new: TokenKey,
        new_expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Refresh>, StoreError>;

    /// A refresh token that is still good at `now`.
    async fn refresh(&self, key: TokenKey, now: Timestamp) -> Result<Option<Refresh>, StoreError>;

    /// Forgets refresh tokens and revocations that expired so long before `now` that nothing can ask for
    /// them any more. To be called now and then: people who never refresh leave theirs behind.
    async fn forget_expired(&self, now: Timestamp) -> Result<(), StoreError>;

    // ── What is said ──

    /// Stores a message: seq, version and id are taken in the writing transaction, and the commit goes
    /// to the sink. The same (sender, `client_id`) again gives the first answer with `duplicate` set;
    /// with another room, content or `reply_to` it is a conflict.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// What an earlier `append` with this sender and `client_id` answered, if there was one. `place`,
    /// `content` and `reply_to` must be the same, else it is a conflict. For looking before limits.
    async fn appended(&self, append: &Append) -> Result<Option<Appended>, AppendError>;

    /// Puts another content in the place of an own message's, with the mentions of the new one. The same
    /// content again changes nothing and answers the version that the message has.
    async fn edit_message(&self, edit: Edit) -> Result<Version, ChangeError>;

    /// Deletes a message, wherever it is (in `room` alone, where one is named), and says which version that
    /// took. Deleting again changes nothing and answers the version that the message has.
    async fn delete_message(
        &self,
        room: Option<RoomId>,
        message: MessageId,
        actor: UserId,
    ) -> Result<Version, ChangeError>;

    /// Reacts to a message, or takes the reaction back. What is so already changes nothing and answers the
    /// version that the message has.
    async fn react(&self, reaction: Reaction) -> Result<Version, ChangeError>;

    /// A page of a room's messages, oldest first, deleted ones left out.
    async fn history(&self, room: RoomId, query: HistoryQuery) -> Result<HistoryPage, StoreError>;

    /// A page of a room's messages by seq, oldest first, deleted ones too (they keep their places), with the
    /// reader's own reactions to them. Reading a public room takes no membership.
    async fn room_history(&self, user: UserId, query: RoomHistoryQuery) -> Result<RoomHistoryPage, RoomError>;

    /// What a client that holds a room as it was at `since` begins its catching up with: the first changes
    /// since then, at most `limit`; or, when there are more than `changes_max`, or `since` is `None` or lies
    /// in the room's future, the newest `reset_messages` messages. In version order, from one snapshot.
    async fn catch_up(
        &self,
        room: RoomId,
        since: Option<Version>,
        bounds: CatchUpBounds,
    ) -> Result<CatchUpPage, StoreError>;

    /// A user's own reactions to these messages.
    async fn own_reactions(&self, user: UserId, messages: &[MessageId])
    -> Result<Vec<(MessageId, String)>, StoreError>;

    /// What a reader that cannot show a message twice needs next, from one snapshot: the messages above
    /// `after` that are not deleted, in the order of seq, at most `limit`; and those at or below `after`
    /// that were deleted after version `since`.
    async fn page_by_seq(&self, room: RoomId, since: Version, after: Seq, limit: u32) -> Result<SeqPage, StoreError>;

    /// A room's version and last seq.
    async fn room_head(&self, room: RoomId) -> Result<Option<RoomHead>, StoreError>;

    // ── Rooms and who is in them ──

    /// Every room that a user is in, as this user sees it, in the order of their ids; direct ones when they
    /// have a message or this user opened them. From one snapshot, in a constant number of queries. `now`
    /// decides whether a mute is still in force.
    async fn rooms_of(&self, user: UserId, now: Timestamp) -> Result<Vec<RoomEntry>, StoreError>;

    /// What a session begins with, from one snapshot: the user, and what [`Store::rooms_of`] says. Nothing for an
    /// unknown one.
    async fn welcome(&self, user: UserId, now: Timestamp) -> Result<Option<(User, Vec<RoomEntry>)>, StoreError>;

    /// One room as a member sees it. A public room that one is not in is `Forbidden`.
    async fn room_entry(&self, room: RoomId, user: UserId, now: Timestamp) -> Result<RoomEntry, RoomError>;

    /// One room as these of its members see it, in the order of their ids, from one snapshot and in a constant
    /// number of queries; whoever is not in it is left out.
    async fn room_entries(
        &self,
        room: RoomId,
        users: &[UserId],
        now: Timestamp,
    ) -> Result<Vec<(UserId, RoomEntry)>, StoreError>;

    /// Public rooms that a user is not in, whose name or title contains the query (any, when empty), after
    /// this room, in the order of their ids: at most `limit`, and whether there are more.
    async fn browse_rooms(
        &self,
        user: UserId,
        query: &str,
        after: RoomId,
        limit: u32,
    ) -> Result<(Vec<RoomCard>, bool), StoreError>;

    /// Makes a public or private room with its owner in it. Names are unique, whatever their case.
    async fn create_room(&self, room: NewRoom) -> Result<RoomEntry, RoomError>;

    /// Changes what is `Some` of a room's name and title.
    async fn update_room(
        &self,
        room: RoomId,
        actor: UserId,
        name: Option<String>,
        title: Option<String>,
        now: Timestamp,
    ) -> Result<RoomEntry, RoomError>;

    /// Changes who is in a room, or as what. The answer is the room as the actor sees it then; to whoever
    /// just left it, as they saw it last. What is so already changes nothing and succeeds. When the last owner
    /// leaves, the highest of the others becomes it; whoever comes into an empty room owns it. Leaving a room
    /// that one is not in is `NotFound`.
    async fn change_membership(&self, change: MembershipChange) -> Result<RoomEntry, RoomError>;

    /// Who is in a room, after this user, in the order of their ids: at most `limit`, and whether there are
    /// more. Members alone see it, and everybody that of a public room.
    async fn members(
        &self,
        room: RoomId,
        actor: UserId,
        after: UserId,
        limit: u32,
    ) -> Result<(Vec<(Profile, Role)>, bool), RoomError>;

    /// The ids of all who are in a room.
    async fn member_ids(&self, room: RoomId) -> Result<Vec<UserId>, StoreError>;

    /// Users whose username or nickname begins so, whatever its case, after this user, in the order of their
    /// ids: at most `limit`, and whether there are more. Disabled ones are left out. Where very many begin so
    /// (2,000 usernames, or as many nicknames), these are the first ones in the order of the names.
    async fn search_users(&self, prefix: &str, after: UserId, limit: u32) -> Result<(Vec<Profile>, bool), StoreError>;

    /// The direct room of two users, made when there is none: the same from either side, also when both
    /// ask at once. It is listed for a user when it has a message or that user opened it; `asker` as in
    /// [`teahouse_core::Change::Entry`].
    async fn open_direct(
        &self,
        user: UserId,
        peer: UserId,
        now: Timestamp,
        asker: Option<SessionId>,
    ) -> Result<RoomEntry, OpenDirectError>;

    /// A user's direct rooms, newest first, in a constant number of queries.
    async fn conversations(&self, user: UserId) -> Result<Vec<Conversation>, StoreError>;

    /// The direct room as `user` sees it; `None` when it does not exist.
    async fn direct_room(&self, room: RoomId, user: UserId) -> Result<DirectRoom, DirectRoomError>;

    /// Moves a user's read mark in a room forward to `seq` (or to the room's head when `None`), never
    /// back and never beyond the head, and tells the sink when it moved. Who is not in the room has no mark:
    /// nothing moves, and the answer is 0.
    async fn mark_read(&self, room: RoomId, user: UserId, seq: Option<Seq>) -> Result<ReadMark, StoreError>;

    /// Unread messages over all direct rooms of a user, each capped at 999.
    async fn unread_total(&self, user: UserId) -> Result<u32, StoreError>;

    // ── A site's backend ──

    /// Keeps a key of a site's backend (hashed) under a name that no other has.
    async fn add_api_key(&self, name: &str, key: TokenKey, now: Timestamp) -> Result<(), ApiKeyError>;

    /// The name of the key, if it is good.
    async fn api_key(&self, key: TokenKey) -> Result<Option<String>, StoreError>;

    /// All keys: their names, and when they were made.
    async fn api_keys(&self) -> Result<Vec<(String, Timestamp)>, StoreError>;

    /// Makes the key of this name worthless. Says whether there was one.
    async fn revoke_api_key(&self, name: &str) -> Result<bool, StoreError>;

    /// Makes accounts that a site keeps itself, or updates what is given of them; all or none, and the users in
    /// the order of the records. A new user's name that is taken gets a suffix; a name or address that another
    /// has changes nothing of a known one. A nickname that was never chosen goes with the username.
    async fn put_site_users(&self, users: Vec<SiteUserRecord>) -> Result<Vec<User>, StoreError>;

    /// Users after this one, in the order of their ids, at most `limit`; for the operator.
    async fn list_users(&self, after: UserId, limit: u32) -> Result<Vec<User>, StoreError>;

    // ── The store itself ──

    /// Copies the store, as it is at one moment, into a new directory, beside whatever else goes on. The
    /// first start from a copy takes a new epoch. `progress` hears how much of it is done, from 0 to 1.
    async fn backup(&self, into: &Path, progress: BackupProgress) -> Result<(), BackupError>;

    /// The name of this history: another one after a restore.
    fn epoch(&self) -> &str;

    /// Whether the store can be written to now: a real transaction of the writer, down to the disk, that
    /// changes nothing anybody sees.
    async fn check(&self) -> Result<(), StoreError>;

    /// Commits what is waiting, and stops. Later calls are refused with [`StoreError::Closed`].
    async fn close(&self);
}
