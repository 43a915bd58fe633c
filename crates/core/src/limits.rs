//! The bounds that both dialects share: a name, a default, a reason. Those that an operator may change
//! are read from the configuration; these are their defaults. PROTOCOL.md is the source unless said otherwise.

use std::time::Duration;

/// Characters (Unicode scalar values) of a classic lobby message; the old front end's own limit.
pub const CLASSIC_CONTENT_CHARS_MAX: usize = 500;
/// Characters of a classic private message.
pub const PRIVATE_CONTENT_CHARS_MAX: usize = 1000;
/// Characters of a v1 message.
pub const CONTENT_CHARS_MAX: usize = 4000;
/// Characters of a v1 envelope's `id`.
pub const REQUEST_ID_CHARS_MAX: usize = 64;
/// How long a v1 client may take to say hello.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a v1 client is quiet before it sends a heartbeat: under the idle limit of common proxies (60 s).
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(25);
/// Changes that a returning client is brought one by one; beyond them it begins the room anew.
pub const CATCH_UP_CHANGES_MAX: u32 = 500;
/// Messages with which a room is begun anew.
pub const RESET_MESSAGES: u32 = 50;
/// Members up to which one sees who is typing.
pub const TYPING_MEMBERS_MAX: u32 = 50;
/// For how long somebody is typing who does not say so again.
pub const TYPING_EXPIRY: Duration = Duration::from_secs(5);
/// Members up to which a private room's read marks are told to each other.
pub const READS_MEMBERS_MAX: u32 = 50;
/// Members up to which presence names who is online; above it, it counts.
pub const PRESENCE_MEMBERS_MAX: u32 = 500;
/// Members up to which everybody is told when one comes or goes; in larger rooms one sees it on return.
pub const ENTRY_MEMBERS_MAX: u32 = 500;
/// Ids in one `presence` event; a tick with more asks the client to look again.
pub const PRESENCE_IDS_MAX: usize = 100;
/// Characters of a room's name.
pub const ROOM_NAME_CHARS: std::ops::RangeInclusive<usize> = 1..=50;
/// Characters of a room's title.
pub const ROOM_TITLE_CHARS_MAX: usize = 200;
/// Rooms that one user may be in, direct ones left out: what a welcome can carry and a person can follow.
pub const ROOMS_PER_USER_MAX: u32 = 500;
/// Bytes of an emoji: the longest in Unicode's list of sequences has 35.
pub const EMOJI_BYTES_MAX: usize = 64;
/// Different emoji on one message; more could not be shown.
pub const REACTIONS_PER_MESSAGE_MAX: u32 = 50;
/// Names of which one message tells; more is a flood, and stays plain text.
pub const MENTIONS_MAX: usize = 20;
/// Rooms, members or users in one page of a list.
pub const PAGE_ENTRIES: u32 = 50;
/// Characters of a query for rooms or users.
pub const QUERY_CHARS_MAX: usize = 50;
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
/// Users that one publication of a site's backend names.
pub const PUBLISH_USERS_MAX: usize = 10_000;
/// Users that a site's backend creates or updates in one request; all of them or none.
pub const SITE_USERS_MAX: usize = 1000;
/// Users whose presence a site's backend asks for in one request.
pub const PRESENCE_USERS_MAX: usize = 1000;
/// Bytes of the reason with which a site's backend disconnects a user; a close frame has room for 123.
pub const DISCONNECT_REASON_BYTES_MAX: usize = 100;
/// Characters of a site's name for a user.
pub const SUBJECT_CHARS_MAX: usize = 255;
