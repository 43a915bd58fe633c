//! Accounts: registration, profiles, passwords, roles, sanctions, and the search for users. It never sees a
//! password, only hashes.

use std::time::Duration;

use async_trait::async_trait;
use teahouse_core::{Profile, Timestamp, TokenKey, User, UserId, UserRole};

use crate::{PageLimit, StoreError};

/// The users of this server.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Creates an account. Usernames and e-mail addresses are unique, regardless of case. From then on the user is
    /// a member of the lobby, with the lobby's head as their read mark.
    async fn create_user(&self, user: NewUser) -> Result<User, CreateUserError>;

    /// One user.
    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError>;

    /// The user with this username or, where `login` contains `@`, this e-mail address; with the password's hash
    /// if there is one.
    async fn user_by_login(&self, login: &str) -> Result<Option<(User, Option<String>)>, StoreError>;

    /// The profiles of these users, ordered by id, without unknown users. A constant number of queries.
    async fn profiles(&self, ids: &[UserId]) -> Result<Vec<Profile>, StoreError>;

    /// Users whose username or nickname starts with `prefix`, regardless of case: those with ids above `after`,
    /// ordered by id, within `limit`, and whether there are more. Disabled users are left out. Where more than
    /// 2,000 usernames or 2,000 nicknames match, the search sees the first 2,000 of each in name order.
    async fn search_users(
        &self,
        prefix: &str,
        after: UserId,
        limit: PageLimit,
    ) -> Result<(Vec<Profile>, bool), StoreError>;

    /// Users with ids above `after`, ordered by id, at most `limit`. For the operator.
    async fn list_users(&self, after: UserId, limit: u32) -> Result<Vec<User>, StoreError>;

    /// Changes the fields that are `Some`. `None` when there is no such user.
    async fn update_profile(&self, user: UserId, change: ProfileChange) -> Result<Option<User>, StoreError>;

    /// The hash of a user's password, if the user has one.
    async fn password_hash(&self, user: UserId) -> Result<Option<String>, StoreError>;

    /// Replaces the hash if it is still `expected`, and returns whether it was: a login that renews an old hash must
    /// not undo a password change that happened meanwhile. Revokes nothing.
    async fn renew_password_hash(&self, user: UserId, expected: &str, hash: &str) -> Result<bool, StoreError>;

    /// Sets a password. In the same transaction it revokes all refresh tokens and all tokens issued up to and
    /// including second `now`, except those of `except` (the key of a login or of a token).
    async fn change_password(
        &self,
        user: UserId,
        hash: &str,
        now: Timestamp,
        except: Option<TokenKey>,
    ) -> Result<(), StoreError>;

    /// When a login of this user last came from the addresses of this key, if the store remembers one.
    async fn login_prefix_seen(&self, user: UserId, prefix: TokenKey) -> Result<Option<Timestamp>, StoreError>;

    /// Remembers a login of this user from these addresses. Of each user only the newest
    /// [`LOGIN_PREFIXES_PER_USER_MAX`] are kept, and none longer than [`LOGIN_PREFIXES_KEPT`].
    async fn remember_login_prefix(&self, user: UserId, prefix: TokenKey, now: Timestamp) -> Result<(), StoreError>;

    /// Sets the role of the user with this name. `None` when there is no such user.
    async fn set_role(&self, username: &str, role: UserRole) -> Result<Option<User>, StoreError>;

    /// Disables or enables the user with this name. Disabling also removes all refresh tokens.
    async fn set_disabled(&self, username: &str, disabled: bool) -> Result<Option<User>, StoreError>;

    /// Mutes the user with this name until then, or unmutes them with `None`. The entries of all their rooms,
    /// which the sink receives, show it at once.
    async fn set_muted(
        &self,
        username: &str,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<User>, StoreError>;
}

/// How many addresses the store remembers of a user's logins: home, work, and what a phone passes through.
pub const LOGIN_PREFIXES_PER_USER_MAX: u32 = 16;
/// How long the store remembers one.
pub const LOGIN_PREFIXES_KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// An account to create.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// 3 to 20 characters; the caller checks that.
    pub username: String,
    /// Unique, regardless of case.
    pub email: Option<String>,
    /// An argon2id or bcrypt hash in PHC or crypt format, never the password.
    pub password_hash: String,
    /// The time of creation.
    pub now: Timestamp,
    /// The lowest id that the account may get.
    pub ids_start: u64,
}

/// Why an account was not created.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CreateUserError {
    /// Another user has this username.
    #[error("this username is taken")]
    UsernameTaken,
    /// Another user has this e-mail address.
    #[error("this e-mail address is taken")]
    EmailTaken,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A change of a profile; `None` leaves a field as it is. The caller checks and sanitises the texts.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ProfileChange {
    /// The displayed name.
    pub nickname: Option<String>,
    /// A picture's address, or empty.
    pub avatar: Option<String>,
    /// A short text, or empty.
    pub bio: Option<String>,
}
