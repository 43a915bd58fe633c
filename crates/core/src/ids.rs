//! Identifiers and counters. All of them stay below 2^53, which JavaScript reads exactly.

use std::fmt;

/// The largest id or counter on the wire: 2^53 − 1, JavaScript's largest exact integer.
pub const ID_MAX: u64 = (1 << 53) - 1;

/// The first id of this server's own accounts when a site's tokens are in use. It is above every id of the site.
pub const OWN_IDS_START: u64 = 1 << 40;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

number! {
    /// A user: a person or a bot.
    UserId
}
number! {
    /// A room; the room of a direct conversation is the classic dialect's `conversation_id`.
    RoomId
}
number! {
    /// A message, unique over all rooms and growing in the order of commit.
    MessageId
}
number! {
    /// One connection after authentication. Never reused while the process lives. A session leaves by this identity and
    /// never by its user.
    SessionId
}
number! {
    /// A message's position in its room: 1, 2, 3 … in the order of commit, never reused.
    Seq
}
number! {
    /// A room's change counter: every change of one of its messages takes the next number.
    Version
}
number! {
    /// The order in which the first bytes of requests arrived. The highest is the newest connection, however long the
    /// handshakes took.
    AcceptOrder
}

impl Version {
    /// The version that the next change will take.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Seq {
    /// The seq that the next message will take.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
