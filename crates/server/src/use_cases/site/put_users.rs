//! Creates or updates the accounts of a site's users, so that users who have never connected can receive messages.

use teahouse_core::User;
use teahouse_core::limits::NICKNAME_CHARS_MAX;
use teahouse_core::text::{inert, longer_than};
use teahouse_store::{SiteUser, SiteUserRecord, StoreError, Subject};

use crate::app::App;
use crate::tokens::site_subject;
use crate::validation::credentials::{InvalidEmail, check_email};
use crate::validation::profile::check_profile;
pub(crate) use crate::validation::profile::{InvalidProfile, ProfileUpdate};

pub(crate) use teahouse_core::limits::SITE_USERS_MAX as USERS_MAX;

/// A user, as the site sent it.
pub(crate) struct SiteUserDraft {
    /// The user's identity at the site.
    pub key: SiteUserKey,
    /// The name, as in the site's tokens.
    pub username: String,
    /// The e-mail address; an empty one means none.
    pub email: Option<String>,
    /// The rest of the profile.
    pub profile: ProfileUpdate,
}

/// A site's identifier of one of its users.
pub(crate) enum SiteUserKey {
    /// By number, in digits.
    Id(String),
    /// By the `sub` of its tokens.
    Subject(String),
}

/// Why one of the users is invalid.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidSiteUser {
    /// The id is not a positive integer below 2^40.
    #[error("the id must be a positive integer below 2^40")]
    Id,
    /// The subject is empty, too long or reserved.
    #[error("the subject is invalid")]
    Subject,
    /// The username is empty or too long.
    #[error("the username is empty or too long")]
    Username,
    /// The e-mail address is invalid.
    #[error(transparent)]
    Email(#[from] InvalidEmail),
    /// The profile is invalid.
    #[error(transparent)]
    Profile(#[from] InvalidProfile),
}

/// Why no user was created or updated.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PutUsersError {
    /// The server accepts no site tokens, so it has no site users.
    #[error("site tokens are not configured")]
    NoSite,
    /// The request has too many users.
    #[error("more than {USERS_MAX} users")]
    TooMany,
    /// The user at this index is invalid.
    #[error("user {0}: {1}")]
    User(usize, InvalidSiteUser),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Creates or updates all of the users or none, and returns them in the same order.
///
/// # Errors
/// No user was created or updated.
pub(crate) async fn put_users(app: &App, drafts: Vec<SiteUserDraft>) -> Result<Vec<User>, PutUsersError> {
    if !app.config.auth.site_tokens() {
        return Err(PutUsersError::NoSite);
    }
    if drafts.len() > USERS_MAX {
        return Err(PutUsersError::TooMany);
    }
    let check = |(index, draft)| check(app, draft).map_err(|error| PutUsersError::User(index, error));
    let records = drafts.into_iter().enumerate().map(check).collect::<Result<Vec<_>, _>>()?;
    Ok(app.store.put_site_users(records).await?)
}

fn check(app: &App, draft: SiteUserDraft) -> Result<SiteUserRecord, InvalidSiteUser> {
    let subject = match draft.key {
        SiteUserKey::Id(id) => match site_subject(&id) {
            Some(subject @ Subject::Id(_)) => subject,
            _ => return Err(InvalidSiteUser::Id),
        },
        SiteUserKey::Subject(name) => site_subject(&name).ok_or(InvalidSiteUser::Subject)?,
    };
    // Longer names in a site's tokens are cut, since nobody could be notified of an error there.
    let username = inert(&draft.username);
    if username.is_empty() || longer_than(&username, NICKNAME_CHARS_MAX) {
        return Err(InvalidSiteUser::Username);
    }
    let email = match draft.email.as_deref().map(str::trim) {
        None | Some("") => None,
        Some(email) => Some(check_email(email)?.to_owned()),
    };
    let profile = check_profile(&username, draft.profile)?;
    Ok(SiteUserRecord { user: SiteUser { subject, username, email, now: app.now() }, profile })
}
