//! Users: the profile that others see, and the account that the server knows.

use crate::{Timestamp, UserId};

/// The part of a user that every user may see.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Profile {
    /// The user.
    pub id: UserId,
    /// The unique name that the user logs in with.
    pub username: String,
    /// The displayed name; never empty (by default the username).
    pub nickname: String,
    /// The URL of a picture, or empty.
    pub avatar: String,
}

impl Profile {
    /// Its approximate bytes in an answer.
    #[must_use]
    pub fn size(&self) -> usize {
        64 + self.username.len() + self.nickname.len() + self.avatar.len()
    }
}

/// Everything that the server knows about a user except the password's hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// The part that every user may see.
    pub profile: Profile,
    /// The e-mail address; only the user sees it. A site's token may lack one.
    pub email: Option<String>,
    /// A text about the user.
    pub bio: String,
    /// The role on the whole server.
    pub role: UserRole,
    /// Whether the account is disabled: the user cannot log in or connect, and all tokens are void.
    pub disabled: bool,
    /// Until when the user may not send.
    pub muted_until: Option<Timestamp>,
    /// When the account was created on this server.
    pub created_at: Timestamp,
}

/// A user's role on the whole server. Rooms have roles of their own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum UserRole {
    /// No special permissions.
    #[default]
    User,
    /// May delete messages of others.
    Moderator,
    /// May do everything that a moderator may, and assign roles.
    Admin,
}

impl UserRole {
    /// All roles, lowest first.
    pub const ALL: [Self; 3] = [Self::User, Self::Moderator, Self::Admin];

    /// The role's name on the wire, in the store and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Moderator => "moderator",
            Self::Admin => "admin",
        }
    }

    /// The role with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}
