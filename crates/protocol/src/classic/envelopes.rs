//! What the server sends to a classic client over the socket.

use serde::Serialize;
use teahouse_core::{ErrorCode, Language, Message, MessageId, Profile, RoomId, Timestamp, UserId};

use super::bodies::{ChatMessage, PrivateMessage};
use crate::envelope::envelope;
use crate::person::Person;

/// `message`: something new in the lobby, for everybody, the sender included.
#[must_use]
pub fn message(message: &Message) -> String {
    envelope("message", ChatMessage::from(message))
}

/// `message_deleted`: a lobby message is gone.
#[must_use]
pub fn message_deleted(id: MessageId) -> String {
    #[derive(Serialize)]
    struct Deleted {
        id: u64,
    }
    envelope("message_deleted", Deleted { id: id.0 })
}

/// `online_count`: distinct users online.
#[must_use]
pub fn online_count(count: u64) -> String {
    #[derive(Serialize)]
    struct Count {
        count: u64,
    }
    envelope("online_count", Count { count })
}

/// `heartbeat`: the answer to one.
#[must_use]
pub fn heartbeat(now: Timestamp) -> String {
    #[derive(Serialize)]
    struct Beat {
        timestamp: i64,
    }
    envelope("heartbeat", Beat { timestamp: now.seconds() })
}

/// `private_message`: something new in a direct room, for the sessions of the receiver only.
#[must_use]
pub fn private_message(message: &Message, receiver: &Profile) -> String {
    #[derive(Serialize)]
    struct Private<'a> {
        message: PrivateMessage<'a>,
        sender_id: u64,
        message_id: u64,
    }
    envelope(
        "private_message",
        Private {
            message: PrivateMessage {
                id: message.id.0,
                conversation_id: message.room.0,
                sender: Person::from(&message.sender),
                receiver: Person::from(receiver),
                content: &message.content,
                is_read: false,
                is_self: false,
                created_at: message.sent_at,
            },
            sender_id: message.sender.id.0,
            message_id: message.id.0,
        },
    )
}

/// `message_read`: for the author of what was read only.
#[must_use]
pub fn message_read(conversation: RoomId, reader: UserId) -> String {
    #[derive(Serialize)]
    struct Read {
        conversation_id: u64,
        reader_id: u64,
    }
    envelope("message_read", Read { conversation_id: conversation.0, reader_id: reader.0 })
}

/// How a `notification` is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Something was refused.
    Error,
    /// Something happened.
    Warning,
}

/// `notification`: a refusal or a notice, which the front end shows as a toast.
#[must_use]
pub fn notification(level: Level, code: &str, sentence: &str) -> String {
    #[derive(Serialize)]
    struct Notification<'a> {
        level: &'a str,
        code: &'a str,
        message: &'a str,
    }
    let level = match level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    envelope("notification", Notification { level, code, message: sentence })
}

/// The `notification` of a refused request.
#[must_use]
pub fn refusal(code: ErrorCode, language: Language) -> String {
    notification(Level::Error, code.as_str(), code.sentence(language))
}

/// The `notification` before a displaced session is closed with 4501.
#[must_use]
pub fn displaced(language: Language) -> String {
    let sentence = match language {
        Language::En => "You are connected elsewhere now; this connection ends.",
        Language::Zh => "您的账号已在其他地方连接，此连接将断开。",
    };
    notification(Level::Warning, "displaced", sentence)
}

/// The `notification` when more was to be told than is kept for a session that does not read.
#[must_use]
pub fn events_missed(language: Language) -> String {
    notification(Level::Warning, "events_missed", crate::events_missed_sentence(language))
}
