//! The hub's ports: what it needs from the server, as two traits, and the types that cross them.
//!
//! [`RequestHandler`] performs what clients request; [`HistoryReader`] reads the past for sessions that the tails no
//! longer serve. The hub knows neither HTTP nor SQL.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use teahouse_core::{
    AcceptOrder, Language, Message, MessageId, Profile, RoomEntry, RoomId, RoomKind, RoomList, Seq, SessionId,
    Timestamp, TokenMark, User, UserId, Version,
};
use teahouse_protocol::v1::LimitsBody;
use tokio::sync::OwnedSemaphorePermit;

use crate::answers::AnswerPermit;

/// A future that the hub awaits on a shard.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The dialect that a session speaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Dialect {
    /// The dialect of the old server's Vue front end.
    Classic,
    /// The dialect of every other client.
    V1,
}

// ── Connections ──

/// The owner of a session, as the handshake established it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The user.
    pub user: UserId,
    /// The token that the session was opened, or last renewed, with.
    pub token: TokenMark,
    /// The language of errors.
    pub language: Language,
    /// The peer's address; for moderators only, never sent to other users.
    pub address: IpAddr,
}

/// An authenticated, upgraded connection on its way to its user's shard.
pub struct NewConnection<S = std::net::TcpStream> {
    /// Its owner.
    pub identity: Identity,
    /// When its request's first byte arrived; the highest is the newest.
    pub accepted: AcceptOrder,
    /// The dialect it speaks.
    pub dialect: Dialect,
    /// The name that the handshake gives its device. It counts in v1 only (`registry::Device`).
    pub device: Option<String>,
    /// When the check of its token began. The check may not have seen a revocation after that.
    pub checked_at: Instant,
    /// The lobby's position before the upgrade was answered: the session receives everything after it.
    pub lobby: (Version, Seq),
    /// The nonblocking socket.
    pub stream: S,
    /// The response to the upgrade, to be written before anything else; empty when it was written already.
    pub handshake_response: Bytes,
    /// WebSocket frames that the client sent right after its upgrade request.
    pub early_bytes: Bytes,
    /// Counts the connection against the server's maximum; dropped when its socket is closed.
    pub permit: Option<OwnedSemaphorePermit>,
}

// ── Requests ──

/// Performs the requests of sessions. Implemented by the server.
pub trait RequestHandler: Send + Sync + 'static {
    /// Handles one classic frame. Runs on a shard's thread and must not block: work that takes time goes into
    /// [`RequestOutcome::Pending`]. The shard polls that future once immediately, so that the requests of a session
    /// reach their queue in the order in which they arrived.
    fn handle_classic(&self, session: &SessionContext, text: &str) -> RequestOutcome;

    /// Handles one v1 envelope in the same way. `has_said_hello` is whether the session said hello; until then only
    /// hello is a valid request.
    fn handle_v1(&self, session: &SessionContext, has_said_hello: bool, text: &str) -> RequestOutcome;
}

/// The session that a request came through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionContext {
    /// The session.
    pub session: SessionId,
    /// Its user.
    pub user: UserId,
    /// The language of errors.
    pub language: Language,
    /// The peer's address; for moderators only, never sent to other users.
    pub address: IpAddr,
}

/// The outcome of a request, as its handler returns it.
pub enum RequestOutcome {
    /// Nothing is sent.
    NoReply,
    /// This envelope is the reply.
    Reply(String),
    /// The frame was no valid request. This envelope says so, and the session is closed after too many of them.
    Malformed(String),
    /// The work takes time; its response may carry an envelope. Dropping the future must not undo or halve the work.
    Pending(BoxFuture<Response>),
    /// A v1 client reads a room's past. Until it has the page the session is sent nothing newer of that room: a change
    /// delivered before an older page would never be corrected.
    ReadingHistory {
        /// The room.
        room: RoomId,
        /// The request's reference.
        id: Option<String>,
        /// Reads the page. It must not look at the store before it is polled.
        work: BoxFuture<Response>,
    },
    /// A v1 client said hello. The future reads its welcome and must not look at the store before it is polled: the
    /// hub starts to record changes first, so that none is lost between the two.
    Hello(BoxFuture<Response>),
    /// The hub itself performs this request; v1 only.
    Hub {
        /// The request's reference.
        id: Option<String>,
        /// The request.
        request: HubRequest,
    },
}

/// A v1 request that the hub performs itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HubRequest {
    /// Send a room's changes since a version again.
    Sync(RoomId, Version),
    /// Send who is online in a room, and later changes; or stop that.
    Presence(RoomId, bool),
    /// The user is typing in a room, or no longer.
    Typing(RoomId, bool),
}

/// The response to a request that took time.
#[derive(Default)]
pub struct Response {
    /// The envelope to send. A classic request that succeeds has none.
    pub envelope: Option<String>,
    /// The other effect on the session, if any.
    pub effect: Option<SessionEffect>,
    /// The permit of a large envelope, or of the welcome; held until it is written.
    pub permit: Option<AnswerPermit>,
}

impl Response {
    /// A response that only sends an envelope.
    #[must_use]
    pub fn with_envelope(envelope: String) -> Self {
        Self { envelope: Some(envelope), ..Self::default() }
    }
}

/// The effect of a response on its session.
pub enum SessionEffect {
    /// Welcomes the session and catches it up.
    Welcome(Box<WelcomeData>),
    /// The welcome could not be read; the client may say hello again.
    AbortHello,
    /// The session has a fresh token, which is valid for this long.
    RenewToken(TokenMark, Duration),
    /// A page of a room's past was read, and the room's changes go out again. Only the hub itself sets this.
    FinishReading {
        /// The room.
        room: RoomId,
        /// The request's reference.
        id: Option<String>,
        /// Whether the session was in the room when the read began, so that the room was held back.
        held: bool,
    },
    /// The request brought its user into a room, or changed the user's view of it. The envelope carries the room's
    /// entry; later changes of the room go out after it.
    EnterRoom(Entered),
}

/// A room that a request entered, as the request's response shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entered {
    /// The room.
    pub room: RoomId,
    /// Its position in the response.
    pub at: (Version, Seq),
    /// Whether it is a direct room, whose two members never change.
    pub direct: bool,
}

impl From<&RoomEntry> for Entered {
    fn from(entry: &RoomEntry) -> Self {
        let direct = entry.kind == RoomKind::Direct;
        Self { room: entry.id, at: (entry.version, entry.last_seq), direct }
    }
}

/// The initial state of a v1 session, read in one snapshot after the hello arrived.
pub struct WelcomeData {
    /// The hello's reference.
    pub id: Option<String>,
    /// The session's user as of now.
    pub user: User,
    /// The name of this history.
    pub epoch: String,
    /// The server's time.
    pub time: Timestamp,
    /// The limits of this server.
    pub limits: LimitsBody,
    /// The user's rooms, and how many direct rooms are not among them.
    pub rooms: RoomList,
    /// The rooms that the client holds, and up to which version; without versions if its epoch is another.
    pub held: Vec<(RoomId, Option<Version>)>,
}

// ── Reads ──

/// Reads for sessions whose cursor is older than a room's tail. Implemented by the server over the store. `None` means
/// that the read failed; the hub retries it.
pub trait HistoryReader: Send + Sync + 'static {
    /// The next page for a classic session at this position of a room.
    fn classic_page(&self, room: RoomId, after: (Version, Seq)) -> BoxFuture<Option<ClassicPage>>;

    /// The next changes for v1 sessions.
    fn changes(&self, room: RoomId, from: CatchUpFrom) -> BoxFuture<Option<ChangesPage>>;

    /// A user's own reactions to these messages.
    fn own_reactions(&self, user: UserId, messages: Vec<MessageId>) -> BoxFuture<Option<Vec<(MessageId, String)>>>;

    /// A room's entry as each of these members sees it.
    fn entries(&self, room: RoomId, users: Vec<UserId>) -> BoxFuture<Option<Vec<(UserId, RoomEntry)>>>;

    /// The members of a room.
    fn members(&self, room: RoomId) -> BoxFuture<Option<Vec<UserId>>>;
}

/// The start of a v1 session's catch-up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CatchUpFrom {
    /// Every change after this version, however many.
    Since(Version),
    /// The same, but the room is reset if there are too many changes or the version is in the room's future.
    Held(Version),
    /// The room is reset: the client drops what it holds and starts with the newest messages.
    Reset,
}

/// A page for v1 sessions that are behind, from one snapshot of the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangesPage {
    /// The client drops what it holds of the room.
    pub reset: bool,
    /// In version order, each in its current state.
    pub messages: Vec<Message>,
    /// A session's position after this page.
    pub reached: (Version, Seq),
    /// Whether that is the snapshot's version. If not, another page follows from there.
    pub complete: bool,
}

/// A page for a classic session that is behind, from one snapshot of the store. It is ordered by seq and not by
/// version, since this dialect cannot show a message twice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassicPage {
    /// Messages at or below the requested seq that were deleted after the requested version.
    pub deleted: Vec<MessageId>,
    /// Messages above the requested seq that are not deleted, ordered by seq.
    pub messages: Vec<Message>,
    /// The session's position after this page: the snapshot's version, and the seq up to which the page is complete.
    pub reached: (Version, Seq),
    /// Whether that is the snapshot's last seq. If not, another page follows from there.
    pub complete: bool,
    /// The two users of a direct room.
    pub pair: Option<Box<[Profile; 2]>>,
}

// ── Events of a site's backend ──

/// An event that a site's backend publishes: it is delivered once to the sessions that are connected, and not stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publication {
    /// The recipients.
    pub to: PublishTo,
    /// The whole envelope; the same in both dialects.
    pub envelope: String,
}

/// The recipients of a publication.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PublishTo {
    /// Every session.
    All,
    /// The sessions of these users.
    Users(Vec<UserId>),
}
