//! The limits that both dialects share. Where an operator can configure a limit, this is its default.
//! docs/protocol.md, "Limits", lists them.

use std::time::Duration;

/// Characters (Unicode scalar values) of a classic lobby message; the limit of the old front end.
pub const CLASSIC_CONTENT_CHARS_MAX: usize = 500;
/// Characters of a classic private message.
pub const PRIVATE_CONTENT_CHARS_MAX: usize = 1000;
/// Characters of a v1 message.
pub const CONTENT_CHARS_MAX: usize = 4000;
/// Characters of a v1 envelope's `id`.
pub const REQUEST_ID_CHARS_MAX: usize = 64;
/// How long a v1 client may take to say hello.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a v1 client is silent before it sends a heartbeat: less than the idle timeout of common proxies (60 s).
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(25);
/// Changes that a returning client is caught up with one by one; beyond them the room is reset.
pub const CATCH_UP_CHANGES_MAX: u32 = 500;
/// Messages that a client receives when a room is reset.
pub const RESET_MESSAGES: u32 = 50;
/// Members up to which a room shows who is typing.
pub const TYPING_MEMBERS_MAX: u32 = 50;
/// How long `typing` is shown unless it is sent again.
pub const TYPING_EXPIRY: Duration = Duration::from_secs(5);
/// Members up to which a private room shares read marks.
pub const READS_MEMBERS_MAX: u32 = 50;
/// Members up to which presence lists who is online; beyond them it only counts.
pub const PRESENCE_MEMBERS_MAX: u32 = 500;
/// Members up to which every member is sent the room's entry when a member joins or leaves.
pub const ENTRY_MEMBERS_MAX: u32 = 500;
/// Ids in one `presence` event; after more changes in a tick the client is asked to refresh.
pub const PRESENCE_IDS_MAX: usize = 100;
/// Characters of a room's name.
pub const ROOM_NAME_CHARS: std::ops::RangeInclusive<usize> = 1..=50;
/// Characters of a room's title.
pub const ROOM_TITLE_CHARS_MAX: usize = 200;
/// Rooms of one user, direct rooms not counted: what a welcome can carry.
pub const ROOMS_PER_USER_MAX: u32 = 500;
/// Direct rooms that `welcome` lists, those with the newest messages. With the rooms above, the welcome of a user with
/// any number of conversations stays below a megabyte.
pub const DIRECTS_LISTED: u32 = 200;
/// Direct rooms, and requests among them, that `welcome` counts besides those that it lists: a client shows "1,000+".
pub const MORE_DIRECTS_MAX: u32 = 1000;
/// Characters of a room's `last_message`, beyond which it is cut: a line of preview in any client.
pub const PREVIEW_CHARS_MAX: usize = 200;
/// New strangers whom a user may invite or write to in a day, by default: more than anybody gets to know.
pub const STRANGERS_PER_DAY: usize = 20;
/// Invites from strangers that wait for one user. A further one replaces the oldest, so that nobody can keep out later
/// ones.
pub const INVITES_PER_USER_MAX: u32 = 100;
/// Invites from strangers to one room. A further one replaces the oldest.
pub const INVITES_PER_ROOM_MAX: u32 = 500;
/// Bytes of an emoji: the longest in Unicode's list of sequences has 35.
pub const EMOJI_BYTES_MAX: usize = 64;
/// Different emoji on one message.
pub const REACTIONS_PER_MESSAGE_MAX: u32 = 50;
/// Mentions in one message; further names stay plain text.
pub const MENTIONS_MAX: usize = 20;
/// Rooms, direct rooms, members or users in one page of a list.
pub const PAGE_ENTRIES: u32 = 50;
/// Characters of a query for rooms or users.
pub const QUERY_CHARS_MAX: usize = 50;
/// Characters of a `client_id` or `Idempotency-Key`.
pub const CLIENT_ID_CHARS_MAX: usize = 64;
/// Characters of a username, at registration.
pub const USERNAME_CHARS: std::ops::RangeInclusive<usize> = 3..=20;
/// Characters of the longest username: a site's name, and the suffix with the user's id that a taken one gets.
pub const STORED_USERNAME_CHARS_MAX: usize = 80;
/// Characters of a password, at registration.
pub const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 6..=50;
/// Characters of a nickname.
pub const NICKNAME_CHARS_MAX: usize = 50;
/// Characters of a `bio`.
pub const BIO_CHARS_MAX: usize = 500;
/// Characters of a picture's URL, and bytes: the length that all browsers accept.
pub const AVATAR_CHARS_MAX: usize = 2048;
/// Characters of an e-mail address (RFC 5321, section 4.5.3.1).
pub const EMAIL_CHARS_MAX: usize = 254;
/// Messages in one page of history.
pub const PAGE_MESSAGES_MAX: u32 = 100;
/// Messages in one page of history by default.
pub const PAGE_MESSAGES_DEFAULT: u32 = 50;
/// Approximate bytes of one page of messages, members or users: eight of the longest messages, or some hundred usual
/// ones. A page has fewer entries than requested rather than more bytes, and always one.
pub const PAGE_BYTES_MAX: usize = 128 * 1024;
/// Logins of one user that can be continued. A further one ends the one that was not used for longest.
pub const LOGINS_PER_USER_MAX: u32 = 100;
/// The maximum of an unread count.
pub const UNREAD_MAX: u32 = 999;
/// Rooms of a list, or members whose entries are read at once, beyond which it is a long list.
pub const LONG_LIST_ENTRIES: usize = 50;
/// The maximum of an unread count in a long list, so that a list of all rooms, with any number of unread messages, takes
/// a reader no longer than one of [`LONG_LIST_ENTRIES`]. A client shows "99+".
pub const LONG_LIST_UNREAD_MAX: u32 = 99;
/// Devices of one user with a live session: a phone, a laptop and a few browsers.
pub const DEVICES_PER_USER: usize = 8;
/// Payload bytes of one WebSocket message from a client.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// How long a user counts as online after the last session was lost: longer than repeated refreshes of a slow page take
/// (docs/internals/regressions.md, H7).
pub const PRESENCE_LINGER: Duration = Duration::from_secs(15);
/// The interval of presence updates.
pub const PRESENCE_TICK: Duration = Duration::from_millis(250);
/// How often the server pings a socket.
pub const PING_INTERVAL: Duration = Duration::from_secs(25);
/// How long after a ping a silent peer times out: 35 s after its last frame (docs/internals/regressions.md, H19).
pub const PONG_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a socket's send queue may make no progress while data waits in it.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a session outlives its token's `exp`.
pub const TOKEN_GRACE: Duration = Duration::from_secs(30);
/// Malformed envelopes within [`BAD_ENVELOPES_WINDOW`] that a session may send.
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
