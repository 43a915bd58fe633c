//! Messages and conversations.

use teahouse_core::limits::{CLIENT_ID_CHARS_MAX, REACTIONS_PER_MESSAGE_MAX};
use teahouse_store::{AppendError, ChangeError, DirectRoomError};

use super::super::{ApiError, messages as texts};
use super::{conflict, forbidden, not_found, too_many_strangers};
use crate::use_cases::messages::edit_message::EditError;
use crate::use_cases::messages::react::ReactError;
use crate::use_cases::messages::read_history::ReadHistoryError;
use crate::use_cases::messages::send_message::SendError;
use crate::validation::client_id::InvalidClientId;

impl From<InvalidClientId> for ApiError {
    fn from(_: InvalidClientId) -> Self {
        Self::invalid_field("client_id").with_message(texts::invalid_client_id(CLIENT_ID_CHARS_MAX))
    }
}

impl From<SendError> for ApiError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Text(error) => error.into(),
            SendError::ClientId(error) => error.into(),
            SendError::RateLimited(retry_after) => Self::rate_limited(retry_after),
            SendError::Append(error) => error.into(),
        }
    }
}

impl From<AppendError> for ApiError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict => conflict().with_field("client_id").with_message(texts::client_id_reused()),
            AppendError::NotFound => not_found().with_message(texts::room_or_reply_not_found()),
            AppendError::Forbidden => forbidden().with_message(texts::not_a_member()),
            AppendError::Muted(time) => Self::muted(time),
            AppendError::Oneself => Self::invalid_field("user").with_message(texts::message_to_oneself()),
            AppendError::TooManyStrangers(wait) => too_many_strangers(wait),
            AppendError::Store(error) => error.into(),
        }
    }
}

impl From<EditError> for ApiError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Text(error) => error.into(),
            EditError::RateLimited(retry_after) => Self::rate_limited(retry_after),
            EditError::Change(error) => error.into(),
        }
    }
}

impl From<ReactError> for ApiError {
    fn from(error: ReactError) -> Self {
        match error {
            ReactError::Emoji => Self::invalid_field("emoji").with_message(texts::invalid_emoji()),
            ReactError::Change(error) => error.into(),
        }
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::NotFound => not_found().with_message(texts::message_not_found()),
            ChangeError::Forbidden => forbidden().with_message(texts::not_your_message()),
            ChangeError::Muted(time) => Self::muted(time),
            ChangeError::TooMany => conflict().with_message(texts::too_many_reactions(REACTIONS_PER_MESSAGE_MAX)),
            ChangeError::Store(error) => error.into(),
        }
    }
}

impl From<ReadHistoryError> for ApiError {
    fn from(error: ReadHistoryError) -> Self {
        match error {
            ReadHistoryError::Limit => Self::invalid_field("limit").with_message(texts::invalid_limit("limit")),
            ReadHistoryError::Room(error) => error.into(),
        }
    }
}

impl From<DirectRoomError> for ApiError {
    fn from(error: DirectRoomError) -> Self {
        match error {
            DirectRoomError::NotFound => not_found().with_message(texts::conversation_not_found()),
            DirectRoomError::Forbidden => forbidden().with_message(texts::not_your_conversation()),
            DirectRoomError::Store(error) => error.into(),
        }
    }
}
