//! Accounts that a site keeps itself: made or updated by its backend, so that people who never came here can
//! be written to. What the site says of them is made inert, as what they would say of themselves.

use teahouse_core::User;
use teahouse_core::limits::NICKNAME_CHARS_MAX;
use teahouse_core::text::{inert, longer_than};
use teahouse_store::{SiteUser, SiteUserRecord, StoreError, Subject};

use super::credentials::check_email;
use super::update_profile::{self, ProfileWish, UpdateProfileError};
use crate::app::App;
use crate::tokens::site_subject;

/// Users in one request: more are sent in several, each of which happens whole or not at all.
pub const USERS_MAX: usize = 1000;

/// What a site says of one of its users, as it came.
pub struct SiteUserDraft {
    /// Which one.
    pub who: Whose,
    /// The name in the site's tokens.
    pub username: String,
    /// The e-mail address; empty is none.
    pub email: Option<String>,
    /// What else there is to say.
    pub profile: ProfileWish,
}

/// How a site names one of its users.
pub enum Whose {
    /// By number, in digits.
    Id(String),
    /// As its tokens' `sub` does.
    Subject(String),
}

/// What is wrong with one of the users.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SiteUserFault {
    /// The id is no number below 2^40.
    #[error("the id is no number below 2^40")]
    Id,
    /// The subject is empty, too long, or one of ours.
    #[error("the subject cannot be one")]
    Subject,
    /// The username is empty or too long.
    #[error("the username is empty or too long")]
    Username,
    /// The e-mail address cannot be one.
    #[error("this is no e-mail address")]
    Email,
    /// Something else that is shown.
    #[error(transparent)]
    Profile(UpdateProfileError),
}

/// Why nothing was made or updated.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PutUsersError {
    /// This server keeps its accounts itself.
    #[error("a site's tokens are not in use")]
    NoSite,
    /// Too many at once.
    #[error("more than {USERS_MAX} users")]
    TooMany,
    /// One of them, by its place in the list.
    #[error("user {0}: {1}")]
    User(usize, SiteUserFault),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes or updates them, all or none; gives them as they are then, in the order in which they came.
///
/// # Errors
/// None of them was made or updated.
pub async fn put_site_users(app: &App, drafts: Vec<SiteUserDraft>) -> Result<Vec<User>, PutUsersError> {
    if !app.config.auth.site_tokens() {
        return Err(PutUsersError::NoSite);
    }
    if drafts.len() > USERS_MAX {
        return Err(PutUsersError::TooMany);
    }
    let check = |(place, draft)| check(app, draft).map_err(|fault| PutUsersError::User(place, fault));
    let records = drafts.into_iter().enumerate().map(check).collect::<Result<Vec<_>, _>>()?;
    Ok(app.store.put_site_users(records).await?)
}

fn check(app: &App, draft: SiteUserDraft) -> Result<SiteUserRecord, SiteUserFault> {
    let subject = match draft.who {
        Whose::Id(id) => match site_subject(&id) {
            Some(subject @ Subject::Id(_)) => subject,
            _ => return Err(SiteUserFault::Id),
        },
        Whose::Subject(name) => site_subject(&name).ok_or(SiteUserFault::Subject)?,
    };
    // Names in a site's claims are cut to this length; whoever sends a longer one here can be told.
    let username = inert(&draft.username);
    if username.is_empty() || longer_than(&username, NICKNAME_CHARS_MAX) {
        return Err(SiteUserFault::Username);
    }
    let email = match draft.email.as_deref().map(str::trim) {
        None | Some("") => None,
        Some(email) => Some(check_email(email).map_err(|_| SiteUserFault::Email)?.to_owned()),
    };
    let profile = update_profile::check(&username, draft.profile).map_err(SiteUserFault::Profile)?;
    Ok(SiteUserRecord { user: SiteUser { subject, username, email, now: app.now() }, profile })
}
