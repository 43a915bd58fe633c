//! What the hub needs from the rest of the house, as two traits: the door answers requests, the history
//! serves readers that the tails no longer can. The hub knows neither HTTP nor SQL.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Instant;

use bytes::Bytes;
use teahouse_core::{
    AcceptOrder, Language, Message, MessageId, Profile, RoomId, Seq, SessionId, TokenMark, UserId, Version,
};
use tokio::sync::OwnedSemaphorePermit;

/// A future that the hub awaits on a shard.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Who sent a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The session that it came through.
    pub session: SessionId,
    /// Whose session.
    pub user: UserId,
    /// What refusals are written in.
    pub language: Language,
    /// Where the socket comes from; kept for moderators, never told to others.
    pub address: IpAddr,
}

/// What becomes of a frame.
pub enum Receipt {
    /// Nothing is to be said now.
    Silent,
    /// This envelope is the answer.
    Reply(String),
    /// It was no request: this envelope says so, and it counts towards closing the session.
    Malformed(String),
    /// The work goes on; at its end there may be an envelope for the session. Dropping the future
    /// must not undo or halve the work.
    Later(BoxFuture<Option<String>>),
}

/// Answers what clients ask over a socket. Implemented by the server.
pub trait Door: Send + Sync + 'static {
    /// Takes one classic frame. Called on a shard's thread, so it must not block; what takes time
    /// goes into [`Receipt::Later`], whose future is polled once at once, so that a session's requests
    /// reach their queue in the order in which they came.
    fn receive(&self, caller: &Caller, text: &str) -> Receipt;
}

/// Reads for sessions whose cursor is older than a room's tail. Implemented by the server over the store.
pub trait History: Send + Sync + 'static {
    /// The next page for a classic session that stands at this version and seq of a room. `None` when
    /// it cannot be read now; the hub asks again a little later.
    fn classic_page(&self, room: RoomId, after: (Version, Seq)) -> BoxFuture<Option<ClassicPage>>;
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

/// An authenticated, upgraded connection on its way to its user's shard.
pub struct Arrival {
    /// Whose it is.
    pub user: UserId,
    /// When its request's first byte came; the highest is the newest.
    pub accepted: AcceptOrder,
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
    /// The socket, nonblocking, after the upgrade's answer was written.
    pub stream: std::net::TcpStream,
    /// What the client sent behind its upgrade request: frames already.
    pub early: Bytes,
    /// The connection's place among all that the server allows, given back when its socket is closed.
    pub place: Option<OwnedSemaphorePermit>,
}
