//! Users: what others may see of one (a profile), and what the server knows of one (a user).

use crate::{Timestamp, UserId};

/// What stands beside a user's words, everywhere and for everybody.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Profile {
    /// Who it is.
    pub id: UserId,
    /// The unique name that a user logs in with.
    pub username: String,
    /// The name that is shown; never empty (it starts as the username).
    pub nickname: String,
    /// The address of a picture, or empty.
    pub avatar: String,
}

/// Everything that the server knows of a user, but for the password's hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// What others see beside this user's words.
    pub profile: Profile,
    /// The e-mail address; shown to the user alone. A site's token need not carry one.
    pub email: Option<String>,
    /// A few words about oneself.
    pub bio: String,
    /// What this user may do on the whole server.
    pub role: UserRole,
    /// A disabled user cannot log in or connect, and no token of theirs is worth anything.
    pub disabled: bool,
    /// Until when this user may not send, if at all.
    pub muted_until: Option<Timestamp>,
    /// When the account was made here.
    pub created_at: Timestamp,
}

/// What a user may do on the whole server. A room has roles of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum UserRole {
    /// An ordinary member of the community.
    #[default]
    User,
    /// May delete what others said.
    Moderator,
    /// May do everything that a moderator may, and change roles.
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

    /// The role of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}
