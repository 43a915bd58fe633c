//! The live half: who is connected, who is online, what each session was sent. It knows neither HTTP nor SQL.
//!
//! A [`Hub`] is a set of shards, one thread each; a user always lives on the same one. See ARCHITECTURE.md.

mod answers;
mod bounds;
pub mod clock;
mod feed;
mod hub;
mod inbox;
mod maps;
mod metrics;
mod online;
mod options;
mod ports;
pub mod registry;
mod ring;
mod send_queue;
mod session;
mod shard;
pub mod tail;
pub mod websocket;

pub use answers::{AnswerOptions, AnswerPermit, AnswerRefusal, Answers};
pub use bounds::Bounds;
pub use feed::Feed;
pub use hub::{Hub, HubClosed, PreparedHub};
pub use metrics::HubMetrics;
pub use options::HubOptions;
pub use ports::{
    BoxFuture, CatchUpFrom, ChangesPage, ClassicPage, Dialect, Entered, HistoryReader, HubRequest, Identity,
    NewConnection, Publication, PublishTo, RequestHandler, RequestOutcome, Response, SessionContext, SessionEffect,
    WelcomeData,
};

use teahouse_core::UserId;

/// The index of the shard on which a user lives. SplitMix64's finalizer spreads neighbouring ids.
fn shard_of(user: UserId, shards: usize) -> usize {
    let mut mixed = user.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    usize::try_from(mixed % shards as u64).unwrap_or(0)
}
