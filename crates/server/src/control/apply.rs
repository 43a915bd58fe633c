//! What each request does to the store: all there is to do when no server runs, and the first half of it when
//! one does (live sessions are the hub's, so what is revoked comes with the answer).

use std::path::Path;
use std::time::Duration;

use teahouse_core::ids::OWN_IDS_START;
use teahouse_core::token::Revoked;
use teahouse_core::{Revocation, Timestamp, User, UserId, UserRole};
use teahouse_protocol::rfc3339;
use teahouse_store::{ApiKeyError, CreateUserError, NewUser, Store, StoreError};
use teahouse_store_sqlite::Backups;

use super::{ControlAnswer, ControlRequest, PAGE_USERS, Progress, UserLine, UserPage, key_of_text};
use crate::backup::{BackUpError, back_up};
use crate::config::Config;

/// What requests are applied to.
pub struct Desk<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// What copies it, where it can be copied into a directory.
    pub backups: Option<&'a Backups>,
    /// The operator's configuration.
    pub config: &'a Config,
    /// The time.
    pub now: Timestamp,
}

/// What came of a request.
pub struct Applied {
    /// What the operator is told.
    pub answer: ControlAnswer,
    /// Whose tokens are void from now on, which live sessions are to feel.
    pub revoked: Option<Revoked>,
}

impl From<ControlAnswer> for Applied {
    fn from(answer: ControlAnswer) -> Self {
        Self { answer, revoked: None }
    }
}

impl From<StoreError> for ControlAnswer {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Does what is asked.
pub async fn apply(desk: &Desk<'_>, request: ControlRequest, progress: Progress) -> Applied {
    match try_apply(desk, request, progress).await {
        Ok(applied) => applied,
        Err(error) => ControlAnswer::from(error).into(),
    }
}

async fn try_apply(desk: &Desk<'_>, request: ControlRequest, progress: Progress) -> Result<Applied, StoreError> {
    let store = desk.store;
    Ok(match request {
        ControlRequest::UserCreate { name, email, role, password_hash } => {
            let Some(role) = UserRole::parse(&role) else { return Ok(no_such_role(&role)) };
            create_user(desk, (name, email), role, password_hash.0).await?.into()
        }
        ControlRequest::UserList { after } => {
            let users = store.list_users(UserId(after), PAGE_USERS).await?;
            let has_more = u32::try_from(users.len()) == Ok(PAGE_USERS);
            ControlAnswer::Users(UserPage { users: users.iter().map(UserLine::from).collect(), has_more }).into()
        }
        ControlRequest::UserPasswd { name, password_hash } => set_password(desk, &name, &password_hash.0).await?,
        ControlRequest::UserRole { name, role } => {
            let Some(role) = UserRole::parse(&role) else { return Ok(no_such_role(&role)) };
            let changed = store.set_role(&name, role).await?;
            changed_to(&name, changed.as_ref(), &format!("is now {}", role.as_str())).into()
        }
        ControlRequest::UserDisable { name } => {
            let changed = store.set_disabled(&name, true).await?;
            let revoked = changed.as_ref().map(|user| Revoked { user: user.profile.id, what: Revocation::All });
            Applied { answer: changed_to(&name, changed.as_ref(), "is disabled"), revoked }
        }
        ControlRequest::UserEnable { name } => {
            let changed = store.set_disabled(&name, false).await?;
            changed_to(&name, changed.as_ref(), "is enabled").into()
        }
        ControlRequest::UserMute { name, for_ms } => {
            let until = for_ms.map(|for_ms| desk.now.plus(Duration::from_millis(for_ms)));
            let changed = store.set_muted(&name, until, desk.now).await?;
            let what =
                until.map_or("may write again".to_owned(), |until| format!("may not write until {}", rfc3339(until)));
            changed_to(&name, changed.as_ref(), &what).into()
        }
        ControlRequest::KeyCreate { name, key } => create_key(desk, &name, &key).await?.into(),
        ControlRequest::KeyList => {
            let keys = store.api_keys().await?;
            ControlAnswer::Keys(keys.into_iter().map(|(name, since)| (name, rfc3339(since))).collect()).into()
        }
        ControlRequest::KeyRevoke { name } => match store.revoke_api_key(&name).await? {
            true => ControlAnswer::Done(format!("the key {name:?} is revoked: whoever still uses it gets 401")).into(),
            false => ControlAnswer::Refused(format!("there is no key {name:?}; `teahouse key list` shows all")).into(),
        },
        ControlRequest::Backup { into } => {
            // Nobody may be listening any more.
            let tell = move |done| _ = progress.send(done);
            let copied = back_up(desk.backups, &desk.config.server.data, Path::new(&into), tell).await;
            match copied {
                Ok(()) => ControlAnswer::Done(format!("everything is in {into}")),
                Err(error @ (BackUpError::NotEmpty(_) | BackUpError::NoBackups)) => {
                    ControlAnswer::Refused(error.to_string())
                }
                Err(error) => ControlAnswer::Failed(error.to_string()),
            }
            .into()
        }
    })
}

fn no_such_role(role: &str) -> Applied {
    ControlAnswer::BadRequest(format!("there is no role {role:?}")).into()
}

fn changed_to(name: &str, user: Option<&User>, what: &str) -> ControlAnswer {
    match user {
        Some(user) => ControlAnswer::Done(format!("{} {what}", user.profile.username)),
        None => ControlAnswer::Refused(format!("there is no user {name:?}; `teahouse user list` shows all")),
    }
}

async fn create_user(
    desk: &Desk<'_>,
    (username, email): (String, Option<String>),
    role: UserRole,
    password_hash: String,
) -> Result<ControlAnswer, StoreError> {
    // As for whoever registers: beside a site's tokens ids of our own stay out of the site's way.
    let ids_start = if desk.config.auth.site_tokens() { OWN_IDS_START } else { 1 };
    let new = NewUser { username, email, password_hash, now: desk.now, ids_start };
    let user = match desk.store.create_user(new).await {
        Ok(user) => user,
        Err(CreateUserError::Store(error)) => return Err(error),
        Err(taken) => return Ok(ControlAnswer::Refused(taken.to_string())),
    };
    let name = &user.profile.username;
    if role != user.role {
        desk.store.set_role(name, role).await?;
    }
    Ok(ControlAnswer::Done(format!("{name} is made, with the id {} and the role {}", user.profile.id, role.as_str())))
}

async fn set_password(desk: &Desk<'_>, name: &str, hash: &str) -> Result<Applied, StoreError> {
    // A name with an @ may be somebody else's e-mail address, by which people log in as well.
    let found = desk.store.user_by_login(name).await?.map(|(user, _)| user);
    let found = found.filter(|user| user.profile.username.to_lowercase() == name.to_lowercase());
    let Some(user) = found else { return Ok(changed_to(name, None, "").into()) };
    let id = user.profile.id;
    // Tokens may be issued a second ahead, right after another change: those are void as well.
    let second = desk.now.seconds().max(desk.store.issue_not_before(id).await?);
    desk.store.change_password(id, hash, Timestamp(second.saturating_mul(1000)), None).await?;
    let answer =
        changed_to(name, Some(&user), "has a new password; whoever was logged in with the old one is not any more");
    let what = Revocation::IssuedUpTo { second, except: None };
    Ok(Applied { answer, revoked: Some(Revoked { user: id, what }) })
}

async fn create_key(desk: &Desk<'_>, name: &str, key: &super::Hidden) -> Result<ControlAnswer, StoreError> {
    let Some(key) = key_of_text(key) else {
        return Ok(ControlAnswer::BadRequest("this is no key's hash".to_owned()));
    };
    match desk.store.add_api_key(name, key, desk.now).await {
        Ok(()) => Ok(ControlAnswer::Done(format!("the key {name:?} is made"))),
        Err(ApiKeyError::NameTaken) => Ok(ControlAnswer::Refused(format!(
            "there is a key {name:?} already; choose another name, or revoke it first: teahouse key revoke {name}"
        ))),
        Err(ApiKeyError::Store(error)) => Err(error),
    }
}
