//! The shapes that stand in classic envelopes and in the bodies of the classic HTTP routes.

use serde::Serialize;
use teahouse_core::{Message, Timestamp};

use crate::moment;
use crate::person::Person;

/// A lobby message, live or from history. It has no place for an IP address (ANCESTOR.md H11).
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ChatMessage<'a> {
    id: u64,
    user_id: u64,
    username: &'a str,
    nickname: &'a str,
    avatar: &'a str,
    content: &'a str,
    message_type: u8,
    #[serde(serialize_with = "moment::serialize")]
    send_time: Timestamp,
    status: u8,
    #[serde(serialize_with = "moment::serialize")]
    created_at: Timestamp,
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
            // 1 is "text" and 1 is "shown" in the ancestor's tables; the classic dialect has no other.
            message_type: 1,
            send_time: message.sent_at,
            status: 1,
            created_at: message.sent_at,
        }
    }
}

/// A message of a conversation, as one of its two people sees it, live or from history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct PrivateMessage<'a> {
    pub(super) id: u64,
    pub(super) conversation_id: u64,
    pub(super) sender: Person<'a>,
    pub(super) receiver: Person<'a>,
    pub(super) content: &'a str,
    pub(super) is_read: bool,
    pub(super) is_self: bool,
    #[serde(serialize_with = "moment::serialize")]
    pub(super) created_at: Timestamp,
}
