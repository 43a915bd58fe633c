//! Requests of a site's backend.

use teahouse_core::ErrorCode;
use teahouse_core::limits::{FRAME_BYTES_MAX, NICKNAME_CHARS_MAX};
use teahouse_protocol::server_api::{DataFault, PUBLISHED_TYPE_CHARS_MAX, TypeFault};
use teahouse_store::AppendError;

use super::super::{ApiError, messages as texts};
use super::{forbidden, not_found};
use crate::use_cases::site::disconnect_user::{DisconnectError, REASON_BYTES_MAX};
use crate::use_cases::site::post_message::PostError;
use crate::use_cases::site::publish::{self, PublishError};
use crate::use_cases::site::put_users::{self, InvalidSiteUser, PutUsersError};

impl From<PublishError> for ApiError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Type(_, TypeFault::Spelling) => {
                Self::invalid_field("type").with_message(texts::invalid_event_type(PUBLISHED_TYPE_CHARS_MAX))
            }
            PublishError::Type(kind, TypeFault::Own) => {
                Self::invalid_field("type").with_message(texts::reserved_event_type(&kind))
            }
            PublishError::Data(DataFault::NotReadable) => {
                Self::invalid_field("data").with_message(texts::invalid_event_data())
            }
            PublishError::Data(DataFault::NumberTooLarge) => {
                Self::invalid_field("data").with_message(texts::number_too_large())
            }
            PublishError::TooLarge => {
                let message = texts::envelope_too_large(FRAME_BYTES_MAX);
                Self::new(ErrorCode::TooLong).with_field("data").with_message(message)
            }
            PublishError::TooManyUsers => {
                Self::invalid_field("to.users").with_message(texts::too_many_users(publish::USERS_MAX))
            }
            PublishError::NoSuchRoom => not_found().with_message(texts::room_not_found()),
            PublishError::Store(error) => error.into(),
        }
    }
}

impl From<PostError> for ApiError {
    fn from(error: PostError) -> Self {
        match error {
            PostError::Text(error) => error.into(),
            PostError::ClientId(error) => error.into(),
            PostError::NoSuchSender => Self::invalid_field("as").with_message(texts::user_not_found()),
            PostError::Append(AppendError::NotFound) => not_found().with_message(texts::room_not_found()),
            PostError::Append(AppendError::Forbidden) => forbidden().with_message(texts::sender_not_allowed()),
            PostError::Append(error) => error.into(),
        }
    }
}

impl From<PutUsersError> for ApiError {
    fn from(error: PutUsersError) -> Self {
        match error {
            PutUsersError::NoSite => forbidden().with_message(texts::site_users_disabled()),
            PutUsersError::TooMany => {
                Self::invalid_field("users").with_message(texts::too_many_users(put_users::USERS_MAX))
            }
            PutUsersError::User(_, error) => error.into(),
            PutUsersError::Store(error) => error.into(),
        }
    }
}

impl From<InvalidSiteUser> for ApiError {
    fn from(error: InvalidSiteUser) -> Self {
        match error {
            InvalidSiteUser::Id => Self::invalid_field("id").with_message(texts::invalid_site_id()),
            InvalidSiteUser::Subject => Self::invalid_field("subject").with_message(texts::invalid_subject()),
            InvalidSiteUser::Username => {
                let message = texts::wrong_length(["username", "用户名"], 1, NICKNAME_CHARS_MAX);
                Self::invalid_field("username").with_message(message)
            }
            InvalidSiteUser::Email(_) => Self::invalid_field("email").with_message(texts::invalid_email()),
            // The server API has these fields beside the avatar, not in a `profile`.
            InvalidSiteUser::Profile(error) => {
                Self::from(error).rename_field("profile.nickname", "nickname").rename_field("profile.bio", "bio")
            }
        }
    }
}

impl From<DisconnectError> for ApiError {
    fn from(error: DisconnectError) -> Self {
        match error {
            DisconnectError::Reason => {
                let message = texts::reason_too_long(REASON_BYTES_MAX);
                Self::new(ErrorCode::TooLong).with_field("reason").with_message(message)
            }
            DisconnectError::NoSuchUser => not_found().with_message(texts::user_not_found()),
            DisconnectError::Store(error) => error.into(),
        }
    }
}
