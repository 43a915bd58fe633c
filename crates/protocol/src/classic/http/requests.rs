//! The bodies of requests. Texts are neither trimmed nor measured yet.

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use teahouse_core::ids::ID_MAX;
use teahouse_core::limits::{
    AVATAR_CHARS_MAX, BIO_CHARS_MAX, CLASSIC_CONTENT_CHARS_MAX, EMAIL_CHARS_MAX, NICKNAME_CHARS_MAX, PASSWORD_CHARS,
    PRIVATE_CONTENT_CHARS_MAX, USERNAME_CHARS,
};

use crate::object::optional_object;
use crate::schema::{EMAIL, NOT_BLANK, PASSWORD, USERNAME, WEB_ADDRESS};

/// `POST /api/auth/register`.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Register")]
pub struct RegisterBody {
    /// The unique name: letters and digits of any script, `_`, `-` and `.`.
    #[schemars(extend("minLength" = USERNAME_CHARS.start(), "maxLength" = USERNAME_CHARS.end(), "pattern" = USERNAME))]
    pub username: String,
    /// At least one letter and one digit.
    #[schemars(extend("minLength" = PASSWORD_CHARS.start(), "maxLength" = PASSWORD_CHARS.end(), "pattern" = PASSWORD))]
    pub password: String,
    /// The e-mail address.
    #[schemars(extend("maxLength" = EMAIL_CHARS_MAX, "pattern" = EMAIL))]
    pub email: String,
}

/// `POST /api/auth/login`.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Login")]
pub struct LoginBody {
    /// The username or the e-mail address.
    pub username: String,
    /// The password.
    pub password: String,
}

/// `PUT /api/auth/me`; what is absent or null stays as it is.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(rename = "ProfileUpdate")]
pub struct ProfileBody {
    /// A picture's address, or empty.
    #[schemars(extend("maxLength" = AVATAR_CHARS_MAX, "pattern" = WEB_ADDRESS))]
    pub avatar: Option<String>,
    /// The rest of the profile.
    #[serde(default, deserialize_with = "optional_object")]
    pub profile: Option<ProfileFields>,
}

/// The inner part of [`ProfileBody`].
#[derive(Default, Deserialize, JsonSchema)]
pub struct ProfileFields {
    /// The display name; empty means the username again.
    #[schemars(extend("maxLength" = NICKNAME_CHARS_MAX))]
    pub nickname: Option<String>,
    /// A few words about the user, or empty.
    #[schemars(extend("maxLength" = BIO_CHARS_MAX))]
    pub bio: Option<String>,
}

/// `POST /api/auth/change-password`.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ChangePassword")]
pub struct ChangePasswordBody {
    /// The password that is valid now.
    #[serde(rename = "currentPassword")]
    pub current: String,
    /// The new password: at least one letter and one digit.
    #[serde(rename = "newPassword")]
    #[schemars(extend("minLength" = PASSWORD_CHARS.start(), "maxLength" = PASSWORD_CHARS.end(), "pattern" = PASSWORD))]
    pub new: String,
}

/// `POST /api/chat/send`.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "LobbyMessage")]
pub struct SendBody {
    /// The text, measured after trimming.
    #[schemars(extend("minLength" = 1, "maxLength" = CLASSIC_CONTENT_CHARS_MAX, "pattern" = NOT_BLANK))]
    pub content: String,
}

/// `POST /api/messages/send`.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "PrivateMessageDraft")]
pub struct PrivateBody {
    /// The receiver's user id.
    #[serde(deserialize_with = "id")]
    pub receiver_id: u64,
    /// The text, measured after trimming.
    #[schemars(extend("minLength" = 1, "maxLength" = PRIVATE_CONTENT_CHARS_MAX, "pattern" = NOT_BLANK))]
    pub content: String,
}

/// The classic dialect takes no `7.0` for an integer.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(deserializer)?;
    if number <= ID_MAX { Ok(number) } else { Err(D::Error::custom("not below 2^53")) }
}
