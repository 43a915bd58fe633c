//! Accounts and logins.

use teahouse_core::ErrorCode;
use teahouse_core::limits::{
    AVATAR_CHARS_MAX, BIO_CHARS_MAX, NICKNAME_CHARS_MAX, PASSWORD_CHARS, QUERY_CHARS_MAX, USERNAME_CHARS,
};
use teahouse_store::CreateUserError;

use super::super::{ApiError, messages as texts};
use super::{conflict, forbidden, not_found, too_long, unauthorized};
use crate::passwords::PasswordError;
use crate::use_cases::accounts::authenticate::AuthenticateError;
use crate::use_cases::accounts::change_password::ChangePasswordError;
use crate::use_cases::accounts::log_in::LogInError;
use crate::use_cases::accounts::log_out::LogOutError;
use crate::use_cases::accounts::read_profile::ReadProfileError;
use crate::use_cases::accounts::refresh_login::RefreshError;
use crate::use_cases::accounts::register::RegisterError;
use crate::use_cases::accounts::renew_token::RenewError;
use crate::use_cases::accounts::search_users::SearchError;
use crate::use_cases::accounts::update_profile::UpdateProfileError;
use crate::validation::credentials::{InvalidPassword, InvalidUsername};
use crate::validation::profile::InvalidProfile;
use crate::validation::search_query::InvalidQuery;

fn invalid_password(field: &'static str, error: InvalidPassword) -> ApiError {
    ApiError::invalid_field(field).with_message(match error {
        InvalidPassword::Length => {
            texts::wrong_length(["password", "密码"], PASSWORD_CHARS.start(), PASSWORD_CHARS.end())
        }
        InvalidPassword::NeedsLetterAndDigit => texts::weak_password(),
    })
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Overloaded => Self::new(ErrorCode::Overloaded),
            PasswordError::Internal(_) => Self::internal(error),
        }
    }
}

impl From<AuthenticateError> for ApiError {
    fn from(error: AuthenticateError) -> Self {
        match error {
            AuthenticateError::Missing | AuthenticateError::Token(_) => unauthorized(),
            AuthenticateError::Revoked | AuthenticateError::Unknown => {
                unauthorized().with_message(texts::invalid_login())
            }
            AuthenticateError::Disabled => unauthorized().with_message(texts::account_disabled()),
            AuthenticateError::RateLimited(retry_after) => Self::rate_limited(retry_after),
            AuthenticateError::Store(error) => error.into(),
        }
    }
}

impl From<InvalidUsername> for ApiError {
    fn from(error: InvalidUsername) -> Self {
        Self::invalid_field("username").with_message(match error {
            InvalidUsername::Length => {
                texts::wrong_length(["username", "用户名"], USERNAME_CHARS.start(), USERNAME_CHARS.end())
            }
            InvalidUsername::Characters => texts::username_characters(),
        })
    }
}

impl From<RegisterError> for ApiError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Closed => forbidden().with_message(texts::registration_closed()),
            RegisterError::Username(error) => error.into(),
            RegisterError::Password(error) => invalid_password("password", error),
            RegisterError::Email(_) => Self::invalid_field("email").with_message(texts::invalid_email()),
            RegisterError::RateLimited(retry_after) => Self::rate_limited(retry_after),
            RegisterError::Create(CreateUserError::UsernameTaken) => {
                conflict().with_field("username").with_message(texts::username_taken())
            }
            RegisterError::Create(CreateUserError::EmailTaken) => {
                conflict().with_field("email").with_message(texts::email_taken())
            }
            RegisterError::Create(CreateUserError::Store(error)) => error.into(),
            RegisterError::Hashing(error) => error.into(),
        }
    }
}

impl From<LogInError> for ApiError {
    fn from(error: LogInError) -> Self {
        match error {
            LogInError::RateLimited(retry_after) => Self::rate_limited(retry_after),
            LogInError::Wrong => unauthorized().with_message(texts::wrong_credentials()),
            LogInError::Disabled => unauthorized().with_message(texts::account_disabled()),
            LogInError::Hashing(error) => error.into(),
            LogInError::Store(error) => error.into(),
        }
    }
}

impl From<RefreshError> for ApiError {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Invalid => unauthorized().with_message(texts::invalid_login()),
            RefreshError::RateLimited(retry_after) => Self::rate_limited(retry_after),
            RefreshError::Store(error) => error.into(),
        }
    }
}

impl From<RenewError> for ApiError {
    fn from(error: RenewError) -> Self {
        match error {
            RenewError::Authenticate(error) => error.into(),
            RenewError::OtherUser => forbidden().with_field("token").with_message(texts::other_users_token()),
        }
    }
}

impl From<LogOutError> for ApiError {
    fn from(error: LogOutError) -> Self {
        match error {
            LogOutError::NoLogin => unauthorized(),
            LogOutError::Store(error) => error.into(),
        }
    }
}

impl From<ChangePasswordError> for ApiError {
    fn from(error: ChangePasswordError) -> Self {
        match error {
            ChangePasswordError::New(error) => invalid_password("newPassword", error),
            ChangePasswordError::Current => {
                Self::invalid_field("currentPassword").with_message(texts::wrong_current_password())
            }
            ChangePasswordError::RateLimited(retry_after) => Self::rate_limited(retry_after),
            ChangePasswordError::Hashing(error) => error.into(),
            ChangePasswordError::Store(error) => error.into(),
        }
    }
}

impl From<ReadProfileError> for ApiError {
    fn from(error: ReadProfileError) -> Self {
        match error {
            ReadProfileError::NotFound => not_found().with_message(texts::user_not_found()),
            ReadProfileError::Store(error) => error.into(),
        }
    }
}

impl From<InvalidProfile> for ApiError {
    fn from(error: InvalidProfile) -> Self {
        match error {
            InvalidProfile::Nickname => too_long("profile.nickname", NICKNAME_CHARS_MAX),
            InvalidProfile::Bio => too_long("profile.bio", BIO_CHARS_MAX),
            InvalidProfile::Avatar => too_long("avatar", AVATAR_CHARS_MAX),
            InvalidProfile::AvatarUrl => Self::invalid_field("avatar").with_message(texts::invalid_avatar()),
        }
    }
}

impl From<UpdateProfileError> for ApiError {
    fn from(error: UpdateProfileError) -> Self {
        match error {
            UpdateProfileError::Invalid(error) => error.into(),
            UpdateProfileError::RateLimited(retry_after) => Self::rate_limited(retry_after),
            UpdateProfileError::NotFound => unauthorized(),
            UpdateProfileError::Store(error) => error.into(),
        }
    }
}

impl From<InvalidQuery> for ApiError {
    fn from(_: InvalidQuery) -> Self {
        too_long("query", QUERY_CHARS_MAX)
    }
}

impl From<SearchError> for ApiError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Query(error) => error.into(),
            SearchError::Store(error) => error.into(),
        }
    }
}
