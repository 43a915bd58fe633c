//! What the server sends to a classic client over the socket.

use serde::Serialize;
use teahouse_core::{ErrorCode, Language, Message, MessageId, Profile, RoomId, Timestamp, UserId};

use super::bodies::{ChatMessage, PrivateMessage};
use crate::envelope::event;
use crate::person::PersonBody;
use crate::time::Rfc3339;

/// `message`: a new lobby message, for every session, the sender's included.
#[must_use]
pub fn message(message: &Message) -> String {
    event("message", ChatMessage::from(message))
}

/// `message_deleted`: a lobby message was deleted.
#[must_use]
pub fn message_deleted(id: MessageId) -> String {
    #[derive(Serialize)]
    struct Deleted {
        id: u64,
    }
    event("message_deleted", Deleted { id: id.0 })
}

/// `online_count`: distinct users online.
#[must_use]
pub fn online_count(count: u64) -> String {
    #[derive(Serialize)]
    struct Count {
        count: u64,
    }
    event("online_count", Count { count })
}

/// `heartbeat`: the response to a heartbeat.
#[must_use]
pub fn heartbeat(now: Timestamp) -> String {
    #[derive(Serialize)]
    struct Beat {
        timestamp: i64,
    }
    event("heartbeat", Beat { timestamp: now.seconds() })
}

/// `private_message`: a new message in a direct room, for the receiver's sessions only.
#[must_use]
pub fn private_message(message: &Message, receiver: &Profile) -> String {
    #[derive(Serialize)]
    struct Private<'a> {
        message: PrivateMessage<'a>,
        sender_id: u64,
        message_id: u64,
    }
    event(
        "private_message",
        Private {
            message: PrivateMessage {
                id: message.id.0,
                conversation_id: message.room.0,
                sender: PersonBody::from(&message.sender),
                receiver: PersonBody::from(receiver),
                content: &message.content,
                is_read: false,
                is_self: false,
                created_at: Rfc3339(message.sent_at),
            },
            sender_id: message.sender.id.0,
            message_id: message.id.0,
        },
    )
}

/// `message_read`: for the author of the read messages only.
#[must_use]
pub fn message_read(conversation: RoomId, reader: UserId) -> String {
    #[derive(Serialize)]
    struct Read {
        conversation_id: u64,
        reader_id: u64,
    }
    event("message_read", Read { conversation_id: conversation.0, reader_id: reader.0 })
}

/// How the front end shows a `notification`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// The server refused a request.
    Error,
    /// Something happened without a request.
    Warning,
}

/// `notification`: an error or a notice, which the front end shows as a toast.
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
    event("notification", Notification { level, code, message: sentence })
}

/// The `notification` of a refused request.
#[must_use]
pub fn refusal(code: ErrorCode, language: Language) -> String {
    notification(Level::Error, code.as_str(), code.sentence(language))
}

/// The `notification` before the server closes a displaced session with 4501.
#[must_use]
pub fn displaced(language: Language) -> String {
    let sentence = match language {
        Language::En => "You are connected elsewhere now; this connection ends.",
        Language::Zh => "您的账号已在其他地方连接，此连接将断开。",
    };
    notification(Level::Warning, "displaced", sentence)
}

/// The `notification` for a session whose queue of events overflowed.
#[must_use]
pub fn events_missed(language: Language) -> String {
    notification(Level::Warning, "events_missed", crate::events_missed_sentence(language))
}
