//! Why the server closes a socket: one table for frames, metrics and documents. Codes are never renumbered or reused.
//! 4000–4499 ask the client to reconnect, 4500–4999 do not.

macro_rules! close_codes {
    ($( $name:ident = $code:literal, $reason:literal, $doc:literal; )*) => {
        /// Why the server closes a socket.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum CloseCode {
            $(#[doc = $doc] $name,)*
        }

        impl CloseCode {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The number in the close frame.
            #[must_use]
            pub fn code(self) -> u16 {
                match self { $(Self::$name => $code,)* }
            }

            /// The reason in the close frame; at most 123 bytes.
            #[must_use]
            pub fn reason(self) -> &'static str {
                match self { $(Self::$name => $reason,)* }
            }
        }
    };
}

close_codes! {
    Done = 1000, "done", "The response to the client's own close.";
    ProtocolError = 1002, "protocol error", "The client violated RFC 6455.";
    Binary = 1003, "binary frames are not supported", "The client sent a binary frame.";
    NotUtf8 = 1007, "text is not UTF-8", "The client sent text that is not UTF-8.";
    Policy = 1008, "policy violation", "Classic: revoked, expired, banned, too many malformed envelopes, or a frame that took too long to arrive.";
    TooLarge = 1009, "message over 64 KiB", "A message larger than the limit.";
    Internal = 1011, "internal error", "A bug of the server ended this session.";
    Restart = 1012, "server restart", "The server restarts or drains.";
    Overloaded = 1013, "server overloaded: try again later", "The server cannot accept or keep the session now.";
    Stalled = 4000, "write timeout", "The socket's send queue made no progress for the stall timeout.";
    NoSignOfLife = 4001, "ping timeout", "The client sent nothing after a ping; in v1 also a frame that took too long to arrive.";
    NoHello = 4002, "hello timeout", "v1: the client did not say hello in time.";
    Expired = 4101, "token expired: get a new one, then reconnect", "v1: the token expired, and the client sent no fresh one.";
    // The classic front end reconnects unless the reason contains `Unauthorized` (docs/protocol.md, "Closing").
    Displaced = 4501, "Unauthorized: connected elsewhere", "A newer connection of the same device took over, or newer devices of the user did.";
    Banned = 4502, "disconnected by the site", "The account was disabled, or a moderator or the site's backend disconnected it.";
    Revoked = 4503, "token revoked: log in again", "The user logged out or changed the password.";
    Malformed = 4504, "too many malformed envelopes", "v1: too many malformed envelopes.";
}

impl CloseCode {
    /// The code for a classic session. That dialect has one code for everything after which it must not reconnect.
    #[must_use]
    pub fn for_classic(self) -> Self {
        match self {
            Self::NoHello | Self::Expired | Self::Banned | Self::Revoked | Self::Malformed => Self::Policy,
            code => code,
        }
    }

    /// Whether a v1 client reconnects by itself, perhaps with a new token.
    #[must_use]
    pub fn reconnects(self) -> bool {
        matches!(self.code(), 1011..=1013 | 4000..=4499)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_reasons_fit_a_control_frame() {
        let mut codes: Vec<u16> = CloseCode::ALL.iter().map(|c| c.code()).collect();
        codes.dedup();
        assert_eq!(codes.len(), CloseCode::ALL.len());
        assert!(CloseCode::ALL.iter().all(|c| c.reason().len() <= 123));
    }
}
