//! The domain of Teahouse: users, rooms, messages, permissions, limits, and the tables of error and close codes.
//!
//! Everything here is plain data and plain functions, without async, I/O, serde or clocks: time is an argument. This
//! crate depends on no other crate of the workspace.

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
pub use room::{DirectsPosition, Invite, LOBBY, MoreDirects, Role, RoomCard, RoomEntry, RoomKind, RoomList};
pub use time::Timestamp;
pub use token::{Revocation, TokenKey, TokenMark};
pub use user::{Profile, User, UserRole};
