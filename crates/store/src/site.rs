//! The site that Teahouse belongs to: its API keys, and the users whose accounts it keeps.

use async_trait::async_trait;
use teahouse_core::{Timestamp, TokenKey, User, UserId};

use crate::{ProfileChange, StoreError};

/// Users and API keys of a site.
#[async_trait]
pub trait Site: Send + Sync {
    /// The user of a site's token, created from its claims when unknown. Every call with the same subject returns
    /// the same user, concurrent ones too. A username that is taken gets a suffix.
    async fn ensure_site_user(&self, user: SiteUser) -> Result<User, StoreError>;

    /// Creates or updates accounts that a site keeps: all of them or none. Returns the users in the order of the
    /// records. A new user whose name is taken gets a suffix; a known user keeps their name or address when another
    /// user has the given one. A nickname that was never set follows the username.
    async fn put_site_users(&self, users: Vec<SiteUserRecord>) -> Result<Vec<User>, StoreError>;

    /// Adds a hashed API key under a name that no other key has.
    async fn add_api_key(&self, name: &str, key: TokenKey, now: Timestamp) -> Result<(), ApiKeyError>;

    /// The name of an API key, if it is valid.
    async fn api_key(&self, key: TokenKey) -> Result<Option<String>, StoreError>;

    /// The names and creation times of all API keys.
    async fn api_keys(&self) -> Result<Vec<(String, Timestamp)>, StoreError>;

    /// Revokes the API key with this name, and returns whether there was one.
    async fn revoke_api_key(&self, name: &str) -> Result<bool, StoreError>;
}

/// The user that a site's token names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SiteUser {
    /// The user's id on the site, or the site's name for them.
    pub subject: Subject,
    /// From the claims; no rule applies to it here. A name that is taken gets a suffix.
    pub username: String,
    /// From the claims; left out when another user has it.
    pub email: Option<String>,
    /// The time of creation.
    pub now: Timestamp,
}

/// A token's `sub`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Subject {
    /// The site's decimal user id below 2^40, which is the id here too.
    Id(UserId),
    /// Any other name; its user gets an id from 2^40 on.
    Name(String),
}

/// A site user as the site's backend describes them. The caller checks and sanitises the texts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SiteUserRecord {
    /// The user, and the time.
    pub user: SiteUser,
    /// Their profile.
    pub profile: ProfileChange,
}

/// Why an API key was not added.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ApiKeyError {
    /// Another key has this name.
    #[error("there is a key of this name")]
    NameTaken,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
