//! Why a socket is closed by us: one table, from which the frames, the metrics and the documents come.
//! Codes are never renumbered or reused; 4000–4499 ask the client to come back, 4500–4999 do not.

macro_rules! close_codes {
    ($( $name:ident = $code:literal, $reason:literal, $doc:literal; )*) => {
        /// Why a socket is closed by us.
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
    Done = 1000, "done", "The peer said goodbye and we answered.";
    ProtocolError = 1002, "protocol error", "A frame that breaks RFC 6455.";
    Binary = 1003, "binary frames are not spoken here", "A binary frame.";
    NotUtf8 = 1007, "text is not UTF-8", "A text frame that is not UTF-8.";
    Policy = 1008, "refused by policy", "Classic: revoked, expired, banned, or too many bad envelopes.";
    TooLarge = 1009, "frame over 64 KiB", "A message larger than the limit.";
    Internal = 1011, "an error of ours", "A bug of ours ended this session.";
    Restart = 1012, "restart: come back", "Restart or drain.";
    Overloaded = 1013, "overloaded: come back later", "The server cannot take the session now.";
    Stalled = 4000, "nothing could be sent for too long", "The kernel's queue did not shrink for the stall time.";
    NoSignOfLife = 4001, "no sign of life after a ping", "Nothing came after a ping.";
    NoHello = 4002, "no hello in time", "v1: the client did not say hello in time.";
    Expired = 4101, "token expired: get a new one, then come back", "v1: the token expired and no fresh one came.";
    // The classic front end reconnects unless the reason contains `Unauthorized` (PROTOCOL.md section 3).
    Displaced = 4501, "Unauthorized: connected elsewhere", "A newer connection of the same user took over.";
    Banned = 4502, "disconnected by the site", "Disabled, or disconnected by a moderator or the site's backend.";
    Revoked = 4503, "token revoked: log in again", "Logged out, or the password was changed.";
    Malformed = 4504, "too many bad envelopes", "v1: too many envelopes that were no request.";
}

impl CloseCode {
    /// The code for a session of the classic dialect, which knows one word for all that it is not to come
    /// back from.
    #[must_use]
    pub fn for_classic(self) -> Self {
        match self {
            Self::NoHello | Self::Expired | Self::Banned | Self::Revoked | Self::Malformed => Self::Policy,
            code => code,
        }
    }

    /// Whether a v1 client comes back by itself, perhaps with a new token.
    #[must_use]
    pub fn comes_back(self) -> bool {
        matches!(self.code(), 1011..=1013 | 4000..=4499)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_once_and_its_reason_fits_a_control_frame() {
        let mut codes: Vec<u16> = CloseCode::ALL.iter().map(|c| c.code()).collect();
        codes.dedup();
        assert_eq!(codes.len(), CloseCode::ALL.len());
        assert!(CloseCode::ALL.iter().all(|c| c.reason().len() <= 123));
    }
}
