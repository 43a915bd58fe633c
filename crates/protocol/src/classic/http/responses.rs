//! The `data` of responses.

use schemars::JsonSchema;
use serde::Serialize;
use teahouse_core::{Message, MessageId, Profile, RoomId, Seq, Timestamp, User};

use crate::classic::bodies::{ChatMessage, PrivateMessage};
use crate::person::PersonBody;
use crate::schema::UserRoleWord;
use crate::time::Rfc3339;

// ── Accounts ──

/// The caller's own account.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Account<'a> {
    id: u64,
    username: &'a str,
    email: &'a str,
    auth_status: u8,
    account_status: u8,
    avatar: &'a str,
    nickname: &'a str,
    bio: &'a str,
    #[schemars(with = "UserRoleWord")]
    role: &'a str,
}

impl<'a> From<&'a User> for Account<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            id: user.profile.id.0,
            username: &user.profile.username,
            // The front end needs a string, and a site's token need not carry an address.
            email: user.email.as_deref().unwrap_or_default(),
            // In the old server's tables, 1 means "may log in" and 1 means "in good standing". Both hold for a caller.
            auth_status: 1,
            account_status: 1,
            avatar: &user.profile.avatar,
            nickname: &user.profile.nickname,
            bio: &user.bio,
            role: user.role.as_str(),
        }
    }
}

/// `POST /api/auth/register` and `/api/auth/login`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LoggedIn<'a> {
    token: &'a str,
    user: Account<'a>,
}

impl<'a> LoggedIn<'a> {
    /// The user and a token of theirs.
    #[must_use]
    pub fn new(token: &'a str, user: &'a User) -> Self {
        Self { token, user: user.into() }
    }
}

/// `POST /api/auth/refresh`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Refreshed<'a> {
    token: &'a str,
    expires_at: Rfc3339,
}

impl<'a> Refreshed<'a> {
    /// A token and its expiry.
    #[must_use]
    pub fn new(token: &'a str, expires_at: Timestamp) -> Self {
        Self { token, expires_at: Rfc3339(expires_at) }
    }
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
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

/// `GET` and `PUT /api/auth/me`: the caller's account with its profile.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OwnAccount<'a> {
    #[serde(flatten)]
    account: Account<'a>,
    profile: ProfilePart<'a>,
    created_at: Rfc3339,
}

impl<'a> From<&'a User> for OwnAccount<'a> {
    fn from(user: &'a User) -> Self {
        Self { account: user.into(), profile: user.into(), created_at: Rfc3339(user.created_at) }
    }
}

/// `GET /api/user/:id`: what every user may see of another.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PublicUser<'a> {
    id: u64,
    username: &'a str,
    nickname: &'a str,
    avatar: &'a str,
    #[schemars(with = "UserRoleWord")]
    role: &'a str,
    profile: ProfilePart<'a>,
    created_at: Rfc3339,
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
            created_at: Rfc3339(user.created_at),
        }
    }
}

// ── The lobby ──

/// `POST /api/chat/send`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Sent {
    message_id: u64,
    send_time: Rfc3339,
}

impl Sent {
    /// The stored message.
    #[must_use]
    pub fn new(id: MessageId, sent_at: Timestamp) -> Self {
        Self { message_id: id.0, send_time: Rfc3339(sent_at) }
    }
}

/// `GET /api/chat/messages` and `/new`: a page of the lobby.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ChatPage<'a> {
    messages: Vec<ChatMessage<'a>>,
    has_more: bool,
}

impl<'a> ChatPage<'a> {
    /// Messages, oldest first; `has_more` counts in the direction of the request.
    #[must_use]
    pub fn new(messages: &'a [Message], has_more: bool) -> Self {
        Self { messages: messages.iter().map(ChatMessage::from).collect(), has_more }
    }
}

/// `GET /api/chat/online-count`.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(rename = "OnlineTotal")]
pub struct OnlineCount {
    /// Distinct users online.
    pub count: u64,
}

/// `GET /api/chat/online-users`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OnlineUsers<'a> {
    users: Vec<OnlineUser<'a>>,
    count: usize,
}

/// One of the users online.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct OnlineUser<'a> {
    user_id: u64,
    username: &'a str,
    nickname: &'a str,
    avatar: &'a str,
}

impl<'a> OnlineUsers<'a> {
    /// From profiles.
    #[must_use]
    pub fn new(profiles: &'a [Profile]) -> Self {
        Self { users: profiles.iter().map(OnlineUser::new).collect(), count: profiles.len() }
    }
}

impl<'a> OnlineUser<'a> {
    /// From a profile.
    #[must_use]
    pub fn new(profile: &'a Profile) -> Self {
        Self {
            user_id: profile.id.0,
            username: &profile.username,
            nickname: &profile.nickname,
            avatar: &profile.avatar,
        }
    }
}

// ── Conversations ──

/// `GET /api/conversations`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Conversations<'a> {
    conversations: Vec<ConversationBody<'a>>,
    total_unread: u32,
}

impl<'a> Conversations<'a> {
    /// `conversations` are newest first.
    #[must_use]
    pub fn new(conversations: Vec<ConversationBody<'a>>) -> Self {
        let total_unread = conversations.iter().map(|entry| entry.unread_count).sum();
        Self { conversations, total_unread }
    }
}

/// A conversation, as one of its two users sees it in their list.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Conversation")]
pub struct ConversationBody<'a> {
    id: u64,
    other_user: PersonBody<'a>,
    last_message: &'a str,
    last_message_time: Option<Rfc3339>,
    unread_count: u32,
    created_at: Rfc3339,
}

impl<'a> ConversationBody<'a> {
    /// `last` is the newest message; before the first one, the text is empty and the time null.
    #[must_use]
    pub fn new(
        room: RoomId,
        peer: &'a Profile,
        last: Option<(&'a str, Timestamp)>,
        unread_count: u32,
        created_at: Timestamp,
    ) -> Self {
        let (last_message, last_message_time) = last.map_or(("", None), |(text, time)| (text, Some(Rfc3339(time))));
        let created_at = Rfc3339(created_at);
        Self { id: room.0, other_user: peer.into(), last_message, last_message_time, unread_count, created_at }
    }
}

/// `GET /api/conversations/unread-count`.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct UnreadCount {
    /// The sum over all conversations.
    pub unread_count: u32,
}

/// `POST /api/conversations/start/:userId`.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Started {
    conversation_id: u64,
}

impl Started {
    /// From a direct room.
    #[must_use]
    pub fn new(room: RoomId) -> Self {
        Self { conversation_id: room.0 }
    }
}

/// `POST /api/messages/send`.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct PrivateSent {
    message_id: u64,
    conversation_id: u64,
}

impl PrivateSent {
    /// The stored message and its direct room.
    #[must_use]
    pub fn new(id: MessageId, room: RoomId) -> Self {
        Self { message_id: id.0, conversation_id: room.0 }
    }
}

/// A user who reads a conversation, their peer, and how far each has read.
#[derive(Clone, Copy, Debug)]
pub struct ConversationReader<'a> {
    /// The reader.
    pub own: &'a Profile,
    /// The other user.
    pub peer: &'a Profile,
    /// How far the reader has read, this request included.
    pub read_seq: Seq,
    /// How far the other user has read.
    pub peer_read_seq: Seq,
}

/// `GET /api/conversations/:id/messages`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ConversationPage<'a> {
    messages: Vec<PrivateMessage<'a>>,
    total: usize,
}

impl<'a> ConversationPage<'a> {
    /// Messages, oldest first, as `reader` sees them.
    #[must_use]
    pub fn new(messages: &'a [Message], reader: &ConversationReader<'a>) -> Self {
        let body = |message: &'a Message| {
            let is_self = message.sender.id == reader.own.id;
            PrivateMessage {
                id: message.id.0,
                conversation_id: message.room.0,
                sender: (&message.sender).into(),
                receiver: if is_self { reader.peer.into() } else { reader.own.into() },
                content: &message.content,
                is_read: message.seq <= if is_self { reader.peer_read_seq } else { reader.read_seq },
                is_self,
                created_at: Rfc3339(message.sent_at),
            }
        };
        Self { messages: messages.iter().map(body).collect(), total: messages.len() }
    }
}
