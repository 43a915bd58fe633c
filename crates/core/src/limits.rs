//! The bounds that both dialects share: a name, a default, a reason. Those that an operator may change
//! are read from the configuration; these are their defaults. PROTOCOL.md is the source unless said otherwise.

use std::time::Duration;

/// Characters (Unicode scalar values) of a classic lobby message; the old front end's own limit.
pub const CLASSIC_CONTENT_CHARS_MAX: usize = 500;
/// Characters of a classic private message.
pub const PRIVATE_CONTENT_CHARS_MAX: usize = 1000;
/// Characters of a `client_id` or `Idempotency-Key`.
pub const CLIENT_ID_CHARS_MAX: usize = 64;
/// Characters of a username, at registration.
pub const USERNAME_CHARS: std::ops::RangeInclusive<usize> = 3..=20;
/// Characters of a password, at registration.
pub const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 6..=50;
/// Characters of a nickname; enough for any real name.
pub const NICKNAME_CHARS_MAX: usize = 50;
/// Characters of a `bio`.
pub const BIO_CHARS_MAX: usize = 500;
/// Characters of a picture's address; what browsers agree to.
pub const AVATAR_CHARS_MAX: usize = 2048;
/// Characters of an e-mail address (RFC 5321, section 4.5.3.1).
pub const EMAIL_CHARS_MAX: usize = 254;
/// Messages in one page of history.
pub const PAGE_MESSAGES_MAX: u32 = 100;
/// Messages in one page of history when the client does not say.
pub const PAGE_MESSAGES_DEFAULT: u32 = 50;
/// Unread messages are counted up to here; no one reads a larger number.
pub const UNREAD_MAX: u32 = 999;
/// Live sessions of one user; 1 is what the ancestor did.
pub const SESSIONS_PER_USER: usize = 1;
/// Payload bytes of one WebSocket message from a client.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// For how long a user still counts as online after the last session went without a goodbye.
pub const PRESENCE_LINGER: Duration = Duration::from_secs(5);
/// How often presence changes are told: at most four times a second.
pub const PRESENCE_TICK: Duration = Duration::from_millis(250);
/// How often the server pings a socket.
pub const PING_INTERVAL: Duration = Duration::from_secs(25);
/// How long after a ping a silent peer is given up; with the interval this makes the 35 s of H19.
pub const PONG_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the kernel's queue of a socket may stand still while data waits in it.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long after its token's `exp` a socket lives on.
pub const TOKEN_GRACE: Duration = Duration::from_secs(30);
/// Malformed or unknown envelopes within [`BAD_ENVELOPES_WINDOW`] before a session is closed.
pub const BAD_ENVELOPES_MAX: usize = 20;
/// The time in which [`BAD_ENVELOPES_MAX`] is counted.
pub const BAD_ENVELOPES_WINDOW: Duration = Duration::from_secs(10);
