//! How what can go wrong in each use case looks from outside, by HTTP and over sockets: one conversion each,
//! and nothing else. Fields are named as v1 names them.

use teahouse_core::ErrorCode;
use teahouse_core::limits::{
    AVATAR_CHARS_MAX, BIO_CHARS_MAX, CLIENT_ID_CHARS_MAX, NICKNAME_CHARS_MAX, PASSWORD_CHARS, QUERY_CHARS_MAX,
    REACTIONS_PER_MESSAGE_MAX, ROOM_TITLE_CHARS_MAX, ROOMS_PER_USER_MAX, USERNAME_CHARS,
};
use teahouse_core::text::TextError;
use teahouse_protocol::classic::RequestError;
use teahouse_protocol::v1::RequestFault;
use teahouse_store::{AppendError, ChangeError, CreateUserError, DirectRoomError, OpenDirectError, RoomError};

use super::refusal::Refusal;
use super::sentence;
use crate::passwords::PasswordError;
use crate::use_cases::authenticate::AuthenticateError;
use crate::use_cases::browse_rooms::{BrowseError, QueryFault};
use crate::use_cases::change_password::ChangePasswordError;
use crate::use_cases::create_room::{CreateRoomError, RoomWordsFault};
use crate::use_cases::edit_message::EditError;
use crate::use_cases::greet::GreetError;
use crate::use_cases::log_in::LogInError;
use crate::use_cases::log_out::LogOutError;
use crate::use_cases::react::ReactError;
use crate::use_cases::read_profile::ReadProfileError;
use crate::use_cases::read_room_history::ReadHistoryError;
use crate::use_cases::refresh_login::RefreshError;
use crate::use_cases::register::{PasswordFault, RegisterError, UsernameFault};
use crate::use_cases::renew_token::RenewError;
use crate::use_cases::search_users::SearchError;
use crate::use_cases::send_message::SendError;
use crate::use_cases::update_profile::UpdateProfileError;
use crate::use_cases::update_room::UpdateRoomError;

/// What the header is called that carries a message's `client_id`.
pub(super) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

impl Refusal {
    /// The same where the `client_id` came as a header.
    #[must_use]
    pub(super) fn with_key_in_a_header(self) -> Self {
        self.renaming("client_id", IDEMPOTENCY_KEY).outside_the_body(|field| field == IDEMPOTENCY_KEY)
    }
}

fn unauthorized() -> Refusal {
    Refusal::new(ErrorCode::Unauthorized)
}

fn not_found() -> Refusal {
    Refusal::new(ErrorCode::NotFound)
}

fn too_long(field: &'static str, chars_max: usize) -> Refusal {
    Refusal::new(ErrorCode::TooLong).naming(field).saying(sentence::too_long(chars_max))
}

fn text(field: &'static str, error: TextError) -> Refusal {
    match error {
        TextError::Empty => Refusal::new(ErrorCode::Empty).naming(field),
        TextError::TooLong { chars_max } => too_long(field, chars_max),
    }
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
            AuthenticateError::TooFast(retry_after) => Self::too_fast(retry_after),
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

/// A content that cannot be said.
impl From<TextError> for Refusal {
    fn from(error: TextError) -> Self {
        text("content", error)
    }
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Text(error) => error.into(),
            SendError::ClientId => Self::field("client_id").saying(sentence::not_a_client_id(CLIENT_ID_CHARS_MAX)),
            SendError::TooFast(retry_after) => Self::too_fast(retry_after),
            SendError::Append(error) => error.into(),
        }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict => {
                Self::new(ErrorCode::Conflict).naming("client_id").saying(sentence::said_otherwise())
            }
            AppendError::NotFound => not_found().saying(sentence::nowhere_to_say_it()),
            AppendError::Forbidden => Self::new(ErrorCode::Forbidden).saying(sentence::not_a_member()),
            AppendError::Muted(time) => Self::muted(time),
            AppendError::Oneself => Self::field("user").saying(sentence::oneself()),
            AppendError::Store(error) => error.into(),
        }
    }
}

impl From<EditError> for Refusal {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Text(error) => error.into(),
            EditError::Change(error) => error.into(),
        }
    }
}

impl From<ReactError> for Refusal {
    fn from(error: ReactError) -> Self {
        match error {
            ReactError::Emoji => Self::field("emoji").saying(sentence::not_an_emoji()),
            ReactError::Change(error) => error.into(),
        }
    }
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::NotFound => not_found().saying(sentence::no_such_message()),
            ChangeError::Forbidden => Self::new(ErrorCode::Forbidden).saying(sentence::not_your_message()),
            ChangeError::Muted(time) => Self::muted(time),
            ChangeError::TooMany => {
                Self::new(ErrorCode::Conflict).saying(sentence::too_many_reactions(REACTIONS_PER_MESSAGE_MAX))
            }
            ChangeError::Store(error) => error.into(),
        }
    }
}

// ── Rooms ──

impl From<RoomError> for Refusal {
    fn from(error: RoomError) -> Self {
        match error {
            RoomError::NotFound => not_found().saying(sentence::no_such_room()),
            RoomError::Forbidden => Self::new(ErrorCode::Forbidden),
            RoomError::NameTaken => Self::new(ErrorCode::Conflict).naming("name").saying(sentence::room_name_taken()),
            RoomError::TooMany => Self::new(ErrorCode::Conflict).saying(sentence::too_many_rooms(ROOMS_PER_USER_MAX)),
            RoomError::Store(error) => error.into(),
        }
    }
}

impl From<RoomWordsFault> for Refusal {
    fn from(fault: RoomWordsFault) -> Self {
        match fault {
            RoomWordsFault::Name(error) => text("name", error),
            RoomWordsFault::Title => too_long("title", ROOM_TITLE_CHARS_MAX),
        }
    }
}

impl From<CreateRoomError> for Refusal {
    fn from(error: CreateRoomError) -> Self {
        match error {
            CreateRoomError::Kind => Self::field("kind").saying(sentence::not_made_so()),
            CreateRoomError::NoName => Self::field("name").saying(sentence::missing_field("name")),
            CreateRoomError::Words(fault) => fault.into(),
            CreateRoomError::Room(error) => error.into(),
        }
    }
}

impl From<UpdateRoomError> for Refusal {
    fn from(error: UpdateRoomError) -> Self {
        match error {
            UpdateRoomError::Words(fault) => fault.into(),
            UpdateRoomError::Room(error) => error.into(),
        }
    }
}

impl From<ReadHistoryError> for Refusal {
    fn from(error: ReadHistoryError) -> Self {
        match error {
            ReadHistoryError::Limit => Self::field("limit").saying(sentence::not_a_limit("limit")),
            ReadHistoryError::Room(error) => error.into(),
        }
    }
}

impl From<QueryFault> for Refusal {
    fn from(_: QueryFault) -> Self {
        too_long("query", QUERY_CHARS_MAX)
    }
}

impl From<BrowseError> for Refusal {
    fn from(error: BrowseError) -> Self {
        match error {
            BrowseError::Query(fault) => fault.into(),
            BrowseError::Store(error) => error.into(),
        }
    }
}

impl From<SearchError> for Refusal {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Query(fault) => fault.into(),
            SearchError::Store(error) => error.into(),
        }
    }
}

// ── Sessions ──

/// What is no request of the classic dialect.
impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::UnknownType => Self::new(ErrorCode::UnknownType),
            RequestError::Malformed { .. } => Self::new(ErrorCode::BadRequest),
        }
    }
}

/// What is no request of v1.
impl From<RequestFault> for Refusal {
    fn from(fault: RequestFault) -> Self {
        match fault {
            RequestFault::UnknownType => Self::new(ErrorCode::UnknownType),
            RequestFault::Malformed { field: None } => Self::new(ErrorCode::BadRequest),
            RequestFault::Malformed { field: Some(field) } => {
                let sentence = sentence::missing_or_wrong(&field);
                Self::field(field).saying(sentence)
            }
        }
    }
}

impl From<GreetError> for Refusal {
    fn from(error: GreetError) -> Self {
        match error {
            GreetError::Gone => unauthorized().saying(sentence::token_void()),
            GreetError::Store(error) => error.into(),
        }
    }
}

impl From<RenewError> for Refusal {
    fn from(error: RenewError) -> Self {
        match error {
            RenewError::Authenticate(error) => error.into(),
            RenewError::OtherUser => Self::new(ErrorCode::Forbidden).naming("token").saying(sentence::another_users()),
        }
    }
}

// ── Conversations ──

impl From<OpenDirectError> for Refusal {
    fn from(error: OpenDirectError) -> Self {
        match error {
            OpenDirectError::Oneself => Self::field("user").saying(sentence::oneself()),
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
