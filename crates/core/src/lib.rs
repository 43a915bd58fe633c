//! The nouns and rules of Teahouse: who, where, what was said, what is allowed, how much.
//!
//! Everything here is plain data and plain functions. There is no async, no I/O, no serde, no clock:
//! time comes in as an argument. This crate knows no other crate of the workspace.

pub mod close;
pub mod commit;
pub mod error;
pub mod ids;
pub mod limits;
pub mod message;
pub mod permission;
pub mod room;
pub mod text;
pub mod time;
pub mod token;
pub mod user;

pub use close::CloseCode;
pub use commit::{Audience, Change, Commit, MessageChange};
pub use error::{ErrorCode, Language};
pub use ids::{AcceptOrder, MessageId, RoomId, Seq, SessionId, UserId, Version};
pub use message::{Message, MessageKind};
pub use room::{LOBBY, Role, RoomCard, RoomEntry, RoomKind};
pub use time::Timestamp;
pub use token::{Revocation, TokenKey, TokenMark};
pub use user::{Profile, User, UserRole};
