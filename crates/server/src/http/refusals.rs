//! How what can go wrong in each use case looks from outside: one conversion each, and nothing else.

use teahouse_core::ErrorCode;
use teahouse_core::limits::{
    AVATAR_CHARS_MAX, BIO_CHARS_MAX, CLIENT_ID_CHARS_MAX, NICKNAME_CHARS_MAX, PASSWORD_CHARS, USERNAME_CHARS,
};
use teahouse_core::text::TextError;
use teahouse_store::{AppendError, CreateUserError, DeleteError, DirectRoomError, OpenDirectError};

use super::refusal::Refusal;
use super::sentence;
use crate::passwords::PasswordError;
use crate::use_cases::authenticate::AuthenticateError;
use crate::use_cases::change_password::ChangePasswordError;
use crate::use_cases::log_in::LogInError;
use crate::use_cases::log_out::LogOutError;
use crate::use_cases::read_profile::ReadProfileError;
use crate::use_cases::refresh_login::RefreshError;
use crate::use_cases::register::{PasswordFault, RegisterError, UsernameFault};
use crate::use_cases::send_message::SendError;
use crate::use_cases::update_profile::UpdateProfileError;

/// What a header that names a message's `client_id` is called.
pub(super) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

fn unauthorized() -> Refusal {
    Refusal::new(ErrorCode::Unauthorized)
}

fn not_found() -> Refusal {
    Refusal::new(ErrorCode::NotFound)
}

fn too_long(field: &'static str, chars_max: usize) -> Refusal {
    Refusal::new(ErrorCode::TooLong).naming(field).saying(sentence::too_long(chars_max))
}

fn weak(field: &'static str, fault: PasswordFault) -> Refusal {
    Refusal::field(field).saying(match fault {
        PasswordFault::Length => sentence::length(["password", "密码"], PASSWORD_CHARS.start(), PASSWORD_CHARS.end()),
        PasswordFault::NeedsLetterAndDigit => sentence::weak_password(),
    })
}

impl From<PasswordError> for Refusal {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Overloaded => Self::new(ErrorCode::Overloaded),
            PasswordError::Internal(_) => Self::failure(error),
        }
    }
}

impl From<AuthenticateError> for Refusal {
    fn from(error: AuthenticateError) -> Self {
        match error {
            AuthenticateError::Token(_) => unauthorized(),
            AuthenticateError::Revoked | AuthenticateError::Unknown => unauthorized().saying(sentence::token_void()),
            AuthenticateError::Disabled => unauthorized().saying(sentence::disabled()),
            AuthenticateError::Store(error) => error.into(),
        }
    }
}

impl From<RegisterError> for Refusal {
    fn from(error: RegisterError) -> Self {
        let taken = |field| Self::new(ErrorCode::Conflict).naming(field);
        match error {
            RegisterError::Closed => Self::new(ErrorCode::Forbidden).saying(sentence::registration_closed()),
            RegisterError::Username(UsernameFault::Length) => Self::field("username").saying(sentence::length(
                ["username", "用户名"],
                USERNAME_CHARS.start(),
                USERNAME_CHARS.end(),
            )),
            RegisterError::Username(UsernameFault::Characters) => {
                Self::field("username").saying(sentence::username_characters())
            }
            RegisterError::Password(fault) => weak("password", fault),
            RegisterError::Email(_) => Self::field("email").saying(sentence::not_an_email()),
            RegisterError::TooFast(retry_after) => Self::too_fast(retry_after),
            RegisterError::Create(CreateUserError::UsernameTaken) => {
                taken("username").saying(sentence::username_taken())
            }
            RegisterError::Create(CreateUserError::EmailTaken) => taken("email").saying(sentence::email_taken()),
            RegisterError::Create(CreateUserError::Store(error)) => error.into(),
            RegisterError::Hashing(error) => error.into(),
        }
    }
}

impl From<LogInError> for Refusal {
    fn from(error: LogInError) -> Self {
        match error {
            LogInError::TooFast(retry_after) => Self::too_fast(retry_after),
            LogInError::Wrong => unauthorized().saying(sentence::wrong_login()),
            LogInError::Disabled => unauthorized().saying(sentence::disabled()),
            LogInError::Hashing(error) => error.into(),
            LogInError::Store(error) => error.into(),
        }
    }
}

impl From<RefreshError> for Refusal {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Void => unauthorized().saying(sentence::token_void()),
            RefreshError::TooFast(retry_after) => Self::too_fast(retry_after),
            RefreshError::Store(error) => error.into(),
        }
    }
}

impl From<LogOutError> for Refusal {
    fn from(error: LogOutError) -> Self {
        match error {
            LogOutError::NoLogin => unauthorized(),
            LogOutError::Store(error) => error.into(),
        }
    }
}

impl From<ChangePasswordError> for Refusal {
    fn from(error: ChangePasswordError) -> Self {
        match error {
            ChangePasswordError::New(fault) => weak("newPassword", fault),
            ChangePasswordError::Current => Self::field("currentPassword").saying(sentence::wrong_current_password()),
            ChangePasswordError::TooFast(retry_after) => Self::too_fast(retry_after),
            ChangePasswordError::Hashing(error) => error.into(),
            ChangePasswordError::Store(error) => error.into(),
        }
    }
}

impl From<ReadProfileError> for Refusal {
    fn from(error: ReadProfileError) -> Self {
        match error {
            ReadProfileError::NotFound => not_found().saying(sentence::no_such_user()),
            ReadProfileError::Store(error) => error.into(),
        }
    }
}

impl From<UpdateProfileError> for Refusal {
    fn from(error: UpdateProfileError) -> Self {
        match error {
            UpdateProfileError::Nickname => too_long("profile.nickname", NICKNAME_CHARS_MAX),
            UpdateProfileError::Bio => too_long("profile.bio", BIO_CHARS_MAX),
            UpdateProfileError::Avatar => too_long("avatar", AVATAR_CHARS_MAX),
            UpdateProfileError::AvatarScheme => Self::field("avatar").saying(sentence::not_a_picture()),
            UpdateProfileError::NotFound => unauthorized(),
            UpdateProfileError::Store(error) => error.into(),
        }
    }
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Text(TextError::Empty) => Self::new(ErrorCode::Empty).naming("content"),
            SendError::Text(TextError::TooLong { chars_max }) => too_long("content", chars_max),
            SendError::ClientId => Self::new(ErrorCode::BadRequest)
                .naming(IDEMPOTENCY_KEY)
                .saying(sentence::not_a_client_id(CLIENT_ID_CHARS_MAX)),
            SendError::TooFast(retry_after) => Self::too_fast(retry_after),
            SendError::Append(error) => error.into(),
        }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict => {
                Self::new(ErrorCode::Conflict).naming(IDEMPOTENCY_KEY).saying(sentence::said_otherwise())
            }
            AppendError::NotFound => not_found().saying(sentence::no_such_user()),
            AppendError::Forbidden => Self::new(ErrorCode::Forbidden),
            AppendError::Muted => Self::new(ErrorCode::Muted),
            AppendError::Oneself => Self::field("receiver_id").saying(sentence::oneself()),
            AppendError::Store(error) => error.into(),
        }
    }
}

impl From<DeleteError> for Refusal {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::NotFound => not_found().saying(sentence::no_such_message()),
            DeleteError::Forbidden => Self::new(ErrorCode::Forbidden).saying(sentence::not_your_message()),
            DeleteError::Store(error) => error.into(),
        }
    }
}

impl From<OpenDirectError> for Refusal {
    fn from(error: OpenDirectError) -> Self {
        match error {
            OpenDirectError::Oneself => Self::field("userId").saying(sentence::oneself()),
            OpenDirectError::NotFound => not_found().saying(sentence::no_such_user()),
            OpenDirectError::Store(error) => error.into(),
        }
    }
}

impl From<DirectRoomError> for Refusal {
    fn from(error: DirectRoomError) -> Self {
        match error {
            DirectRoomError::NotFound => not_found().saying(sentence::no_such_conversation()),
            DirectRoomError::Forbidden => Self::new(ErrorCode::Forbidden).saying(sentence::not_your_conversation()),
            DirectRoomError::Store(error) => error.into(),
        }
    }
}
