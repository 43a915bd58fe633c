//! Bodies that classic envelopes and the classic HTTP routes have in common.

use schemars::JsonSchema;
use serde::Serialize;
use teahouse_core::Message;

use crate::person::PersonBody;
use crate::time::Rfc3339;

/// A lobby message, live or from history. It has no place for an IP address (docs/internals/regressions.md, H11).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct ChatMessage<'a> {
    id: u64,
    user_id: u64,
    username: &'a str,
    nickname: &'a str,
    avatar: &'a str,
    content: &'a str,
    message_type: u8,
    send_time: Rfc3339,
    status: u8,
    created_at: Rfc3339,
}

impl<'a> From<&'a Message> for ChatMessage<'a> {
    fn from(message: &'a Message) -> Self {
        let sender = &message.sender;
        Self {
            id: message.id.0,
            user_id: sender.id.0,
            username: &sender.username,
            nickname: &sender.nickname,
            avatar: &sender.avatar,
            content: &message.content,
            // In the old server's tables, 1 means "text" and 1 means "shown". The classic dialect has no other value.
            message_type: 1,
            send_time: Rfc3339(message.sent_at),
            status: 1,
            created_at: Rfc3339(message.sent_at),
        }
    }
}

/// A message of a conversation, as one of its two users sees it, live or from history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(super) struct PrivateMessage<'a> {
    pub(super) id: u64,
    pub(super) conversation_id: u64,
    pub(super) sender: PersonBody<'a>,
    pub(super) receiver: PersonBody<'a>,
    pub(super) content: &'a str,
    pub(super) is_read: bool,
    pub(super) is_self: bool,
    pub(super) created_at: Rfc3339,
}
