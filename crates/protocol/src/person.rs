//! A user as others see them; the same in both dialects.

use schemars::JsonSchema;
use serde::Serialize;
use teahouse_core::Profile;

/// A user as others see them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Person")]
pub struct PersonBody<'a> {
    /// The user's id.
    pub id: u64,
    /// The unique name.
    pub username: &'a str,
    /// The display name.
    pub nickname: &'a str,
    /// A picture's address, or empty.
    pub avatar: &'a str,
}

impl<'a> From<&'a Profile> for PersonBody<'a> {
    fn from(profile: &'a Profile) -> Self {
        Self { id: profile.id.0, username: &profile.username, nickname: &profile.nickname, avatar: &profile.avatar }
    }
}
