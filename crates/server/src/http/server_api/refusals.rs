//! How what can go wrong looks to a site's backend: one conversion each, and nothing else.

use teahouse_core::ErrorCode;
use teahouse_core::limits::{CLIENT_ID_CHARS_MAX, FRAME_BYTES_MAX, NICKNAME_CHARS_MAX};
use teahouse_protocol::server_api::{DataFault, PUBLISHED_TYPE_CHARS_MAX, TypeFault};
use teahouse_store::AppendError;

use super::sentences;
use crate::http::refusal::Refusal;
use crate::http::sentence;
use crate::use_cases::disconnect_user::{DisconnectError, REASON_BYTES_MAX};
use crate::use_cases::post_as_site::PostError;
use crate::use_cases::publish::{self, PublishError};
use crate::use_cases::put_site_users::{self, PutUsersError, SiteUserFault};
use crate::use_cases::update_profile::UpdateProfileError;

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Type(TypeFault::Spelling) => {
                Self::field("type").saying(sentences::not_a_type(PUBLISHED_TYPE_CHARS_MAX))
            }
            PublishError::Type(TypeFault::Own) => Self::field("type").saying(sentences::own_type()),
            PublishError::Data(DataFault::NotReadable) => Self::field("data").saying(sentences::not_data()),
            PublishError::Data(DataFault::NumberTooLarge) => Self::field("data").saying(sentences::number_too_large()),
            PublishError::TooLarge => {
                Self::new(ErrorCode::TooLong).naming("data").saying(sentences::envelope_too_large(FRAME_BYTES_MAX))
            }
            PublishError::TooManyUsers => Self::field("to.users").saying(sentences::too_many(publish::USERS_MAX)),
            PublishError::NoSuchRoom => no_such_room(),
            PublishError::Store(error) => error.into(),
        }
    }
}

impl From<PostError> for Refusal {
    fn from(error: PostError) -> Self {
        match error {
            PostError::Text(error) => error.into(),
            PostError::ClientId => Self::field("client_id").saying(sentence::not_a_client_id(CLIENT_ID_CHARS_MAX)),
            PostError::NoSuchSpeaker => Self::field("as").saying(sentence::no_such_user()),
            PostError::Append(AppendError::NotFound) => no_such_room(),
            PostError::Append(AppendError::Forbidden) => {
                Self::new(ErrorCode::Forbidden).saying(sentences::may_not_speak())
            }
            PostError::Append(error) => error.into(),
        }
    }
}

impl From<PutUsersError> for Refusal {
    fn from(error: PutUsersError) -> Self {
        match error {
            PutUsersError::NoSite => Self::new(ErrorCode::Forbidden).saying(sentences::no_site()),
            PutUsersError::TooMany => Self::field("users").saying(sentences::too_many(put_site_users::USERS_MAX)),
            PutUsersError::User(_, fault) => fault.into(),
            PutUsersError::Store(error) => error.into(),
        }
    }
}

impl From<SiteUserFault> for Refusal {
    fn from(fault: SiteUserFault) -> Self {
        match fault {
            SiteUserFault::Id => Self::field("id").saying(sentences::not_a_site_id()),
            SiteUserFault::Subject => Self::field("subject").saying(sentences::not_a_subject()),
            SiteUserFault::Username => {
                Self::field("username").saying(sentence::length(["username", "用户名"], 1, NICKNAME_CHARS_MAX))
            }
            SiteUserFault::Email => Self::field("email").saying(sentence::not_an_email()),
            // Here it stands beside the picture, not in a profile of its own.
            SiteUserFault::Profile(error @ UpdateProfileError::Nickname) => Self::from(error).naming("nickname"),
            SiteUserFault::Profile(error @ UpdateProfileError::Bio) => Self::from(error).naming("bio"),
            SiteUserFault::Profile(error) => error.into(),
        }
    }
}

impl From<DisconnectError> for Refusal {
    fn from(error: DisconnectError) -> Self {
        match error {
            DisconnectError::Reason => {
                Self::new(ErrorCode::TooLong).naming("reason").saying(sentences::reason_too_long(REASON_BYTES_MAX))
            }
            DisconnectError::NoSuchUser => Self::new(ErrorCode::NotFound).saying(sentence::no_such_user()),
            DisconnectError::Store(error) => error.into(),
        }
    }
}

impl Refusal {
    /// The same about a field of one thing of a list.
    #[must_use]
    pub(super) fn within(self, place: &str) -> Self {
        match self.field.clone() {
            Some(field) => self.naming(format!("{place}.{field}")),
            None => self,
        }
    }
}

fn no_such_room() -> Refusal {
    Refusal::new(ErrorCode::NotFound).saying(sentences::no_such_room())
}
