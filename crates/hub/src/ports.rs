//! What the hub needs from the rest of the house, as two traits: the door answers requests, the history
//! serves readers that the tails no longer can. The hub knows neither HTTP nor SQL.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use teahouse_core::{
    AcceptOrder, Language, Message, MessageId, Profile, RoomEntry, RoomId, Seq, SessionId, Timestamp, TokenMark, User,
    UserId, Version,
};
use teahouse_protocol::v1::LimitsBody;
use tokio::sync::OwnedSemaphorePermit;

/// A future that the hub awaits on a shard.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Who sent a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionContext {
    /// The session that it came through.
    pub session: SessionId,
    /// Whose session.
    pub user: UserId,
    /// What refusals are written in.
    pub language: Language,
    /// Where the socket comes from; kept for moderators, never told to others.
    pub address: IpAddr,
}

/// What becomes of an envelope.
pub enum RequestOutcome {
    /// Nothing is to be said now.
    NoReply,
    /// This envelope is the answer.
    Reply(String),
    /// It was no request: this envelope says so, and it counts towards closing the session.
    Malformed(String),
    /// The work goes on; at its end there may be an envelope for the session. Dropping the future
    /// must not undo or halve the work.
    Pending(BoxFuture<Response>),
    /// A v1 client reads a room's past. Nothing of the room goes out to it meanwhile: what was read would else
    /// be older than what it knows by then, and nothing would ever tell it.
    ReadingHistory {
        /// Which room.
        room: RoomId,
        /// The request's reference.
        id: Option<String>,
        /// The answer; it must not look before it is polled.
        work: BoxFuture<Response>,
    },
    /// A v1 client said hello. What it is to be welcomed with is read by this future, which must not look
    /// before it is polled: the hub has to listen first, so that nothing falls between.
    Hello(BoxFuture<Response>),
    /// The hub itself knows the answer: v1 only.
    Hub {
        /// The request's reference.
        id: Option<String>,
        /// What is asked.
        request: HubRequest,
    },
}

/// What a v1 client asks of the hub itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HubRequest {
    /// Bring a room's changes since a version once more.
    Sync(RoomId, Version),
    /// Tell who is online in a room, and who comes and goes; or no longer.
    Presence(RoomId, bool),
    /// Say that one is typing in a room, or no longer.
    Typing(RoomId, bool),
}

/// What came of a request.
#[derive(Default)]
pub struct Response {
    /// What the session is sent; nothing is said where a classic request succeeds.
    pub envelope: Option<String>,
    /// What else becomes of the session.
    pub effect: Option<SessionEffect>,
}

impl Response {
    /// Only an envelope.
    #[must_use]
    pub fn with_envelope(envelope: String) -> Self {
        Self { envelope: Some(envelope), effect: None }
    }
}

/// What becomes of a session with an answer.
pub enum SessionEffect {
    /// It said hello: it is welcomed and caught up.
    Welcome(Box<WelcomeData>),
    /// It said hello and cannot be welcomed now; it may say hello again.
    AbortHello,
    /// It showed a fresh token, which is good for so long.
    RenewToken(TokenMark, Duration),
    /// It has read a room's past, and hears of the room again; the hub itself sets this. `held` is whether the
    /// room waited for it.
    FinishReading {
        /// Which room.
        room: RoomId,
        /// The request's reference.
        id: Option<String>,
        /// Whether the session was in the room, which waited for it.
        held: bool,
    },
    /// Its request brought its user into a room, or changed what they see of it: the answer was the entry,
    /// as the room was at this version, and what is said in the room comes behind it.
    EnterRoom(RoomId, Version),
}

/// What a session that said hello begins with, read in one snapshot after the hello came.
pub struct WelcomeData {
    /// The hello's reference.
    pub id: Option<String>,
    /// Whose session it is, as they are now.
    pub user: User,
    /// The name of this history.
    pub epoch: String,
    /// The time.
    pub time: Timestamp,
    /// The bounds here.
    pub limits: LimitsBody,
    /// Every room the user is in.
    pub rooms: Vec<RoomEntry>,
    /// The rooms that the client holds, and up to which version; none where its epoch is another.
    pub held: Vec<(RoomId, Option<Version>)>,
}

/// Answers what clients ask over a socket. Implemented by the server.
pub trait RequestHandler: Send + Sync + 'static {
    /// Takes one classic frame. Called on a shard's thread, so it must not block; what takes time
    /// goes into [`RequestOutcome::Pending`], whose future is polled once at once, so that a session's requests
    /// reach their queue in the order in which they came.
    fn handle_classic(&self, caller: &SessionContext, text: &str) -> RequestOutcome;

    /// Takes one v1 envelope, in the same way. `greeted` is whether the session has said hello; until then
    /// nothing else is a request.
    fn handle_v1(&self, caller: &SessionContext, greeted: bool, text: &str) -> RequestOutcome;
}

/// Reads for sessions whose cursor is older than a room's tail. Implemented by the server over the store.
/// `None` means that it cannot be read now; the hub asks again a little later.
pub trait HistoryReader: Send + Sync + 'static {
    /// The next page for a classic session that stands at this version and seq of a room.
    fn classic_page(&self, room: RoomId, after: (Version, Seq)) -> BoxFuture<Option<ClassicPage>>;

    /// The next changes for v1 sessions.
    fn changes(&self, room: RoomId, from: CatchUpFrom) -> BoxFuture<Option<ChangesPage>>;

    /// A user's own reactions to these messages.
    fn own_reactions(&self, user: UserId, messages: Vec<MessageId>) -> BoxFuture<Option<Vec<(MessageId, String)>>>;

    /// A room as these of its members see it.
    fn entries(&self, room: RoomId, users: Vec<UserId>) -> BoxFuture<Option<Vec<(UserId, RoomEntry)>>>;

    /// Who is in a room.
    fn members(&self, room: RoomId) -> BoxFuture<Option<Vec<UserId>>>;
}

/// From where a v1 session is caught up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CatchUpFrom {
    /// Everything changed after this version, however much.
    Since(Version),
    /// The same, unless it is too much or lies in the room's future: then the room is begun anew.
    Held(Version),
    /// The room is begun anew.
    Reset,
}

/// What v1 sessions that are behind are served, from one snapshot of the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangesPage {
    /// The room is begun anew.
    pub reset: bool,
    /// In version order, each in its current state.
    pub messages: Vec<Message>,
    /// Where a session stands when it was sent this page.
    pub reached: (Version, Seq),
    /// Whether that is the snapshot's version. If not, another page follows from there.
    pub complete: bool,
}

/// What a classic session that fell behind is served, from one snapshot of the store. It goes by seq and
/// not by version, since this dialect cannot show a message twice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassicPage {
    /// Messages at or below the asked seq that were deleted after the asked version.
    pub deleted: Vec<MessageId>,
    /// Messages above the asked seq that are not deleted, in the order of seq.
    pub messages: Vec<Message>,
    /// Where the session stands when it was sent this page: the snapshot's version, and the seq up to which the page is complete.
    pub reached: (Version, Seq),
    /// Whether that is the snapshot's last seq. If not, another page follows from there.
    pub complete: bool,
    /// The two people of a direct room.
    pub pair: Option<Box<[Profile; 2]>>,
}

/// What a session speaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Dialect {
    /// What the Vue front end of the old server speaks.
    Classic,
    /// What every client of a new site speaks.
    V1,
}

/// What a site's backend publishes: delivered once to whom it concerns, and not stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publication {
    /// To whom.
    pub to: PublishTo,
    /// The whole envelope; the same in both dialects.
    pub envelope: String,
}

/// To whom something is published.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PublishTo {
    /// Everybody who is connected.
    All,
    /// These users.
    Users(Vec<UserId>),
}

/// An authenticated, upgraded connection on its way to its user's shard.
pub struct NewConnection<S = std::net::TcpStream> {
    /// Whose it is.
    pub user: UserId,
    /// When its request's first byte came; the highest is the newest.
    pub accepted: AcceptOrder,
    /// What it speaks.
    pub dialect: Dialect,
    /// The client's own name for the device; a newer session of the same one replaces the older.
    pub device: Option<String>,
    /// What is remembered of its token.
    pub mark: TokenMark,
    /// When the look at whether its token is good began: of revocations from then on it may not have known.
    pub checked_at: Instant,
    /// Where the lobby stood before the upgrade was answered: the session hears all that comes after.
    pub lobby: (Version, Seq),
    /// What refusals are written in.
    pub language: Language,
    /// Where it comes from.
    pub address: IpAddr,
    /// The socket, nonblocking.
    pub stream: S,
    /// The answer to the upgrade, which is to go out before all else; empty when it was written.
    pub handshake_response: Bytes,
    /// What the client sent behind its upgrade request: frames already.
    pub early_bytes: Bytes,
    /// The connection's place among all that the server allows, given back when its socket is closed.
    pub permit: Option<OwnedSemaphorePermit>,
}
