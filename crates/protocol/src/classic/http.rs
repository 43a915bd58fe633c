//! The bodies of the classic HTTP routes: what is asked, what is answered, and the envelope around every
//! answer. Nothing here has a place for an IP address or for somebody else's e-mail address.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use teahouse_core::ids::ID_MAX;
use teahouse_core::{ErrorCode, Message, MessageId, Profile, RoomId, Seq, Timestamp, User};

use super::bodies::{ChatMessage, PrivateMessage};
use crate::moment::{self, rfc3339};
use crate::person::Person;

// ── The envelope ──

/// What stands around every answer under `/api`.
#[derive(Serialize)]
struct Envelope<'a> {
    code: u16,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    data: &'a RawValue,
    request_id: &'a str,
}

/// The body of an answer that went well; `data` is its JSON.
#[must_use]
pub fn http_success(status: u16, sentence: &str, data: &RawValue, request_id: &str) -> String {
    json(&Envelope { code: status, message: sentence, error_code: None, data, request_id })
}

/// The body of a refusal; a refusal about one field of the request names it.
#[must_use]
pub fn http_refusal(status: u16, code: ErrorCode, sentence: &str, field: Option<&str>, request_id: &str) -> String {
    #[derive(Serialize)]
    struct Named<'a> {
        field: &'a str,
    }
    let data = http_data(&field.map(|field| Named { field }));
    json(&Envelope { code: status, message: sentence, error_code: Some(code.as_str()), data: &data, request_id })
}

/// An answer's `data` as JSON, for [`http_success`].
#[must_use]
pub fn http_data<T: Serialize>(data: &T) -> Box<RawValue> {
    // Serializing our own structs into memory has no way to fail: string keys, no custom errors.
    serde_json::value::to_raw_value(data).unwrap_or_default()
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

// ── What is asked ──

/// `POST /api/auth/register`.
#[derive(Deserialize)]
pub struct RegisterBody {
    /// Not yet checked.
    pub username: String,
    /// Not yet checked.
    pub password: String,
    /// Not yet checked.
    pub email: String,
}

/// `POST /api/auth/login`.
#[derive(Deserialize)]
pub struct LoginBody {
    /// The username or the e-mail address.
    pub username: String,
    /// As it was typed.
    pub password: String,
}

/// `PUT /api/auth/me`; what is absent or null stays as it is.
#[derive(Default, Deserialize)]
pub struct ProfileBody {
    /// A picture's address, or empty.
    pub avatar: Option<String>,
    /// The rest of the profile.
    pub profile: Option<ProfileFields>,
}

/// The inner part of [`ProfileBody`].
#[derive(Default, Deserialize)]
pub struct ProfileFields {
    /// The name that is shown; empty means the username again.
    pub nickname: Option<String>,
    /// A few words, or empty.
    pub bio: Option<String>,
}

/// `POST /api/auth/change-password`.
#[derive(Deserialize)]
pub struct ChangePasswordBody {
    /// The password that holds now.
    #[serde(rename = "currentPassword")]
    pub current: String,
    /// The one to hold from now on.
    #[serde(rename = "newPassword")]
    pub new: String,
}

/// `POST /api/chat/send`.
#[derive(Deserialize)]
pub struct SendBody {
    /// Not yet trimmed or measured.
    pub content: String,
}

/// `POST /api/messages/send`.
#[derive(Deserialize)]
pub struct PrivateBody {
    /// To whom.
    #[serde(deserialize_with = "id")]
    pub receiver_id: u64,
    /// Not yet trimmed or measured.
    pub content: String,
}

/// A number that JavaScript reads exactly.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(deserializer)?;
    if number <= ID_MAX { Ok(number) } else { Err(D::Error::custom("not below 2^53")) }
}

// ── Accounts ──

/// The answer when all there is to say is that it was done.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Done {
    ok: bool,
}

impl Done {
    /// `{"ok":true}`.
    pub const OK: Self = Self { ok: true };
}

/// One's own account.
#[derive(Clone, Debug, Serialize)]
pub struct Account<'a> {
    id: u64,
    username: &'a str,
    email: &'a str,
    auth_status: u8,
    account_status: u8,
    avatar: &'a str,
    nickname: &'a str,
    bio: &'a str,
    role: &'a str,
}

impl<'a> From<&'a User> for Account<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            id: user.profile.id.0,
            username: &user.profile.username,
            // The front end reads a string; a site's token need not carry an address.
            email: user.email.as_deref().unwrap_or_default(),
            // In the ancestor's tables 1 is "may log in" and 1 is "in good standing"; whoever gets this answer is both.
            auth_status: 1,
            account_status: 1,
            avatar: &user.profile.avatar,
            nickname: &user.profile.nickname,
            bio: &user.bio,
            role: user.role.as_str(),
        }
    }
}

/// The answer to registering and logging in.
#[derive(Clone, Debug, Serialize)]
pub struct LoggedIn<'a> {
    token: &'a str,
    user: Account<'a>,
}

impl<'a> LoggedIn<'a> {
    /// A token of this user.
    #[must_use]
    pub fn new(token: &'a str, user: &'a User) -> Self {
        Self { token, user: user.into() }
    }
}

/// The answer to refreshing.
#[derive(Clone, Debug, Serialize)]
pub struct Refreshed<'a> {
    token: &'a str,
    #[serde(serialize_with = "moment::serialize")]
    expires_at: Timestamp,
}

impl<'a> Refreshed<'a> {
    /// A token and until when it is good.
    #[must_use]
    pub fn new(token: &'a str, expires_at: Timestamp) -> Self {
        Self { token, expires_at }
    }
}

#[derive(Clone, Debug, Serialize)]
struct ProfilePart<'a> {
    nickname: &'a str,
    bio: &'a str,
    avatar_url: &'a str,
}

impl<'a> From<&'a User> for ProfilePart<'a> {
    fn from(user: &'a User) -> Self {
        Self { nickname: &user.profile.nickname, bio: &user.bio, avatar_url: &user.profile.avatar }
    }
}

/// `GET` and `PUT /api/auth/me`: one's own account with its profile.
#[derive(Clone, Debug, Serialize)]
pub struct OwnAccount<'a> {
    #[serde(flatten)]
    account: Account<'a>,
    profile: ProfilePart<'a>,
    #[serde(serialize_with = "moment::serialize")]
    created_at: Timestamp,
}

impl<'a> From<&'a User> for OwnAccount<'a> {
    fn from(user: &'a User) -> Self {
        Self { account: user.into(), profile: user.into(), created_at: user.created_at }
    }
}

/// `GET /api/user/:id`: what anybody may see of a user.
#[derive(Clone, Debug, Serialize)]
pub struct PublicUser<'a> {
    id: u64,
    username: &'a str,
    nickname: &'a str,
    avatar: &'a str,
    role: &'a str,
    profile: ProfilePart<'a>,
    #[serde(serialize_with = "moment::serialize")]
    created_at: Timestamp,
}

impl<'a> From<&'a User> for PublicUser<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            id: user.profile.id.0,
            username: &user.profile.username,
            nickname: &user.profile.nickname,
            avatar: &user.profile.avatar,
            role: user.role.as_str(),
            profile: user.into(),
            created_at: user.created_at,
        }
    }
}

// ── The lobby ──

/// `POST /api/chat/send`.
#[derive(Clone, Debug, Serialize)]
pub struct Sent {
    message_id: u64,
    #[serde(serialize_with = "moment::serialize")]
    send_time: Timestamp,
}

impl Sent {
    /// Where the message came to lie, and when.
    #[must_use]
    pub fn new(id: MessageId, sent_at: Timestamp) -> Self {
        Self { message_id: id.0, send_time: sent_at }
    }
}

/// `GET /api/chat/messages` and `/new`: a page of the lobby.
#[derive(Clone, Debug, Serialize)]
pub struct ChatPage<'a> {
    messages: Vec<ChatMessage<'a>>,
    has_more: bool,
}

impl<'a> ChatPage<'a> {
    /// Messages, oldest first, and whether there are more in the direction that was asked for.
    #[must_use]
    pub fn new(messages: &'a [Message], has_more: bool) -> Self {
        Self { messages: messages.iter().map(ChatMessage::from).collect(), has_more }
    }
}

/// `GET /api/chat/online-count`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OnlineCount {
    /// Distinct users online.
    pub count: u64,
}

/// `GET /api/chat/online-users`.
#[derive(Clone, Debug, Serialize)]
pub struct OnlineUsers<'a> {
    users: Vec<OnlineUser<'a>>,
    count: usize,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct OnlineUser<'a> {
    user_id: u64,
    username: &'a str,
    nickname: &'a str,
    avatar: &'a str,
}

impl<'a> OnlineUsers<'a> {
    /// These users.
    #[must_use]
    pub fn new(profiles: &'a [Profile]) -> Self {
        let one = |profile: &'a Profile| OnlineUser {
            user_id: profile.id.0,
            username: &profile.username,
            nickname: &profile.nickname,
            avatar: &profile.avatar,
        };
        Self { users: profiles.iter().map(one).collect(), count: profiles.len() }
    }
}

// ── Conversations ──

/// `GET /api/conversations`.
#[derive(Clone, Debug, Serialize)]
pub struct Conversations<'a> {
    conversations: Vec<ConversationEntry<'a>>,
    total_unread: u32,
}

impl<'a> Conversations<'a> {
    /// These, newest first.
    #[must_use]
    pub fn new(conversations: Vec<ConversationEntry<'a>>) -> Self {
        let total_unread = conversations.iter().map(|entry| entry.unread_count).sum();
        Self { conversations, total_unread }
    }
}

/// One conversation in the list of one of its two people.
#[derive(Clone, Debug, Serialize)]
pub struct ConversationEntry<'a> {
    id: u64,
    other_user: Person<'a>,
    last_message: &'a str,
    last_message_time: Option<String>,
    unread_count: u32,
    #[serde(serialize_with = "moment::serialize")]
    created_at: Timestamp,
}

impl<'a> ConversationEntry<'a> {
    /// A direct room; before its first message the text is empty and the time null.
    #[must_use]
    pub fn new(
        room: RoomId,
        peer: &'a Profile,
        last: Option<(&'a str, Timestamp)>,
        unread_count: u32,
        created_at: Timestamp,
    ) -> Self {
        let (last_message, last_message_time) = last.map_or(("", None), |(text, time)| (text, Some(rfc3339(time))));
        Self { id: room.0, other_user: peer.into(), last_message, last_message_time, unread_count, created_at }
    }
}

/// `GET /api/conversations/unread-count`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct UnreadCount {
    /// Over all conversations.
    pub unread_count: u32,
}

/// `POST /api/conversations/start/:userId`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Started {
    conversation_id: u64,
}

impl Started {
    /// This direct room.
    #[must_use]
    pub fn new(room: RoomId) -> Self {
        Self { conversation_id: room.0 }
    }
}

/// `POST /api/messages/send`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PrivateSent {
    message_id: u64,
    conversation_id: u64,
}

impl PrivateSent {
    /// Where the message came to lie.
    #[must_use]
    pub fn new(id: MessageId, room: RoomId) -> Self {
        Self { message_id: id.0, conversation_id: room.0 }
    }
}

/// Who looks at a conversation, at whom, and what each has read.
#[derive(Clone, Copy, Debug)]
pub struct Glance<'a> {
    /// Who looks.
    pub own: &'a Profile,
    /// The other one.
    pub peer: &'a Profile,
    /// Up to where the one who looks has read, with this glance.
    pub read_seq: Seq,
    /// Up to where the other one has read.
    pub peer_read_seq: Seq,
}

/// `GET /api/conversations/:id/messages`.
#[derive(Clone, Debug, Serialize)]
pub struct ConversationPage<'a> {
    messages: Vec<PrivateMessage<'a>>,
    total: usize,
}

impl<'a> ConversationPage<'a> {
    /// These messages, oldest first, as the one who looks sees them.
    #[must_use]
    pub fn new(messages: &'a [Message], glance: &Glance<'a>) -> Self {
        let one = |message: &'a Message| {
            let is_self = message.sender.id == glance.own.id;
            PrivateMessage {
                id: message.id.0,
                conversation_id: message.room.0,
                sender: (&message.sender).into(),
                receiver: if is_self { glance.peer.into() } else { glance.own.into() },
                content: &message.content,
                // One's own words are read when the other one has; the other one's when oneself has.
                is_read: message.seq <= if is_self { glance.peer_read_seq } else { glance.read_seq },
                is_self,
                created_at: message.sent_at,
            }
        };
        Self { messages: messages.iter().map(one).collect(), total: messages.len() }
    }
}

// ── Whether the server is well ──

/// `GET /health` and `/ready`: what is well, by name.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Wellness {
    /// One word for all of it.
    pub status: &'static str,
    /// Whether the store takes writes.
    pub store: &'static str,
    /// Whether every shard of the live half answers.
    pub hub: &'static str,
    /// Whether the server is on its way down.
    pub draining: bool,
}

#[cfg(test)]
mod tests;
