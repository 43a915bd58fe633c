//! Rooms, their members, and the beginning of a session.

use teahouse_core::ErrorCode;
use teahouse_core::limits::{ROOM_TITLE_CHARS_MAX, ROOMS_PER_USER_MAX};
use teahouse_core::text::TextError;
use teahouse_store::{OpenDirectError, RoomError};

use super::super::{ApiError, messages as texts};
use super::{conflict, forbidden, invalid_text, not_found, too_long, too_many_strangers, unauthorized};
use crate::use_cases::rooms::browse_rooms::BrowseError;
use crate::use_cases::rooms::create_room::CreateRoomError;
use crate::use_cases::rooms::load_welcome::LoadWelcomeError;
use crate::use_cases::rooms::update_room::UpdateRoomError;
use crate::validation::room_name::InvalidRoomName;

impl From<RoomError> for ApiError {
    fn from(error: RoomError) -> Self {
        match error {
            RoomError::NotFound => not_found().with_message(texts::room_or_user_not_found()),
            RoomError::Forbidden => forbidden(),
            RoomError::NameTaken => conflict().with_field("name").with_message(texts::room_name_taken()),
            RoomError::TooMany => conflict().with_message(texts::too_many_rooms(ROOMS_PER_USER_MAX)),
            RoomError::TooManyStrangers(wait) => too_many_strangers(wait),
            RoomError::Store(error) => error.into(),
        }
    }
}

impl From<InvalidRoomName> for ApiError {
    fn from(error: InvalidRoomName) -> Self {
        match error {
            InvalidRoomName::Name(TextError::Empty) => {
                Self::new(ErrorCode::Empty).with_field("name").with_message(texts::empty_room_name())
            }
            InvalidRoomName::Name(error) => invalid_text("name", error),
            InvalidRoomName::Title => too_long("title", ROOM_TITLE_CHARS_MAX),
        }
    }
}

impl From<CreateRoomError> for ApiError {
    fn from(error: CreateRoomError) -> Self {
        match error {
            CreateRoomError::Kind => Self::invalid_field("kind").with_message(texts::direct_room_not_creatable()),
            CreateRoomError::NoName => Self::invalid_field("name").with_message(texts::missing_field("name")),
            CreateRoomError::Name(error) => error.into(),
            CreateRoomError::Room(error) => error.into(),
        }
    }
}

impl From<UpdateRoomError> for ApiError {
    fn from(error: UpdateRoomError) -> Self {
        match error {
            UpdateRoomError::Name(error) => error.into(),
            UpdateRoomError::RateLimited(retry_after) => Self::rate_limited(retry_after),
            UpdateRoomError::Room(error) => error.into(),
        }
    }
}

impl From<BrowseError> for ApiError {
    fn from(error: BrowseError) -> Self {
        match error {
            BrowseError::Query(error) => error.into(),
            BrowseError::Store(error) => error.into(),
        }
    }
}

impl From<OpenDirectError> for ApiError {
    fn from(error: OpenDirectError) -> Self {
        match error {
            OpenDirectError::Oneself => Self::invalid_field("user").with_message(texts::message_to_oneself()),
            OpenDirectError::NotFound => not_found().with_message(texts::user_not_found()),
            OpenDirectError::TooManyStrangers(wait) => too_many_strangers(wait),
            OpenDirectError::Store(error) => error.into(),
        }
    }
}

impl From<LoadWelcomeError> for ApiError {
    fn from(error: LoadWelcomeError) -> Self {
        match error {
            LoadWelcomeError::NoSuchUser => unauthorized().with_message(texts::invalid_login()),
            LoadWelcomeError::Store(error) => error.into(),
        }
    }
}
