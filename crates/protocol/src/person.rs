//! Somebody, as shown beside their words; the same in both dialects.

use schemars::JsonSchema;
use serde::Serialize;
use teahouse_core::Profile;

/// Somebody, as shown beside their words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Person<'a> {
    /// The user's id.
    pub id: u64,
    /// The unique name.
    pub username: &'a str,
    /// The name that is shown.
    pub nickname: &'a str,
    /// A picture's address, or empty.
    pub avatar: &'a str,
}

impl<'a> From<&'a Profile> for Person<'a> {
    fn from(profile: &'a Profile) -> Self {
        Self { id: profile.id.0, username: &profile.username, nickname: &profile.nickname, avatar: &profile.avatar }
    }
}
