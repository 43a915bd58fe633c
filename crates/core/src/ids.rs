//! Identifiers and counters. All of them stay below 2^53, so that JavaScript reads them exactly.

use std::fmt;

/// The largest id or counter that may go onto the wire: 2^53 − 1, JavaScript's largest exact integer.
pub const ID_MAX: u64 = (1 << 53) - 1;

/// Where the ids of our own accounts start when a site's tokens are in use, so that they never meet
/// the site's own ids (PROTOCOL.md section 1).
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
    /// A person or a bot.
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
    /// One connection after authentication. Never reused while the process lives; leaving goes by
    /// this identity and never by user (promise 1).
    SessionId
}
number! {
    /// A message's place in its room: 1, 2, 3 … in order of commit, never reused.
    Seq
}
number! {
    /// A room's change counter: every change to one of its messages takes the next one.
    Version
}
number! {
    /// The order in which the first bytes of requests arrived. The highest one is the newest
    /// connection, whatever became of the handshakes in between.
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
