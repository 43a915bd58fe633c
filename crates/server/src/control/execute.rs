//! Runs a command through the use cases of `use_cases::admin` and words its result for the command line.

use std::path::Path;
use std::time::Duration;

use teahouse_core::{User, UserId, UserRole};
use teahouse_protocol::rfc3339;
use teahouse_store::{ApiKeyError, CreateUserError, StoreError};

use super::protocol::{UserPage, UserSummary, key_from_text};
use super::{ControlRequest, ControlResponse, PAGE_USERS, Progress};
use crate::config::Secret;
use crate::use_cases::admin::create_key::create_key;
use crate::use_cases::admin::create_user::{AccountDraft, create_user};
use crate::use_cases::admin::list_keys::list_keys;
use crate::use_cases::admin::list_users::list_users;
use crate::use_cases::admin::make_backup::{CreateBackupError, make_backup};
use crate::use_cases::admin::mute_user::mute_user;
use crate::use_cases::admin::revoke_key::revoke_key;
use crate::use_cases::admin::set_disabled::set_disabled;
use crate::use_cases::admin::set_password::set_password;
use crate::use_cases::admin::set_role::set_role;
use crate::use_cases::admin::{AdminContext, ChangeUserError};

type Outcome = Result<ControlResponse, StoreError>;

/// Runs one command.
pub(super) async fn execute(
    context: &AdminContext<'_>,
    request: ControlRequest,
    progress: Progress,
) -> ControlResponse {
    try_execute(context, request, progress).await.unwrap_or_else(|error| ControlResponse::Failed(error.to_string()))
}

async fn try_execute(context: &AdminContext<'_>, request: ControlRequest, progress: Progress) -> Outcome {
    match request {
        ControlRequest::UserCreate { name, email, role, password_hash } => {
            let Some(role) = UserRole::parse(&role) else { return Ok(no_such_role(&role)) };
            let draft = AccountDraft { username: name, email, role, password_hash: password_hash.expose().to_owned() };
            created(create_user(context, draft).await)
        }
        ControlRequest::UserList { after } => {
            let (users, has_more) = list_users(context, UserId(after), PAGE_USERS).await?;
            let users = users.iter().map(UserSummary::from).collect();
            Ok(ControlResponse::Users(UserPage { users, has_more }))
        }
        ControlRequest::UserPasswd { name, password_hash } => {
            let changed = set_password(context, &name, password_hash.expose()).await;
            user_changed(&name, changed, "has a new password; all logins with the old one have ended")
        }
        ControlRequest::UserRole { name, role } => {
            let Some(role) = UserRole::parse(&role) else { return Ok(no_such_role(&role)) };
            user_changed(&name, set_role(context, &name, role).await, &format!("is now {}", role.as_str()))
        }
        ControlRequest::UserDisable { name } => {
            user_changed(&name, set_disabled(context, &name, true).await, "is disabled")
        }
        ControlRequest::UserEnable { name } => {
            user_changed(&name, set_disabled(context, &name, false).await, "is enabled")
        }
        ControlRequest::UserMute { name, for_ms } => {
            let muted = mute_user(context, &name, for_ms.map(Duration::from_millis)).await;
            let until = muted.as_ref().ok().and_then(|(_, until)| *until);
            let what =
                until.map_or("may write again".to_owned(), |until| format!("may not write until {}", rfc3339(until)));
            user_changed(&name, muted.map(|(user, _)| user), &what)
        }
        ControlRequest::KeyCreate { name, key } => add_key(context, &name, &key).await,
        ControlRequest::KeyList => {
            let keys = list_keys(context).await?;
            let since = keys.into_iter().map(|(name, since)| (name, rfc3339(since)));
            Ok(ControlResponse::Keys(since.collect()))
        }
        ControlRequest::KeyRevoke { name } => Ok(match revoke_key(context, &name).await? {
            true => ControlResponse::Done(format!("the key {name:?} is revoked: requests with it get 401")),
            false => ControlResponse::Refused(format!("there is no key {name:?}; `teahouse key list` shows all")),
        }),
        ControlRequest::Backup { into } => Ok(back_up(context, into, progress).await),
    }
}

fn no_such_role(role: &str) -> ControlResponse {
    ControlResponse::BadRequest(format!("there is no role {role:?}"))
}

fn created(created: Result<User, CreateUserError>) -> Outcome {
    match created {
        Ok(User { profile, role, .. }) => Ok(ControlResponse::Done(format!(
            "{} is created, with the id {} and the role {}",
            profile.username,
            profile.id,
            role.as_str()
        ))),
        Err(CreateUserError::Store(error)) => Err(error),
        Err(taken) => Ok(ControlResponse::Refused(taken.to_string())),
    }
}

/// The store decides which user a name means, so the response has that user's own name.
fn user_changed(name: &str, changed: Result<User, ChangeUserError>, what: &str) -> Outcome {
    match changed {
        Ok(user) => Ok(ControlResponse::Done(format!("{} {what}", user.profile.username))),
        Err(ChangeUserError::NoSuchUser) => {
            Ok(ControlResponse::Refused(format!("there is no user {name:?}; `teahouse user list` shows all")))
        }
        Err(ChangeUserError::Store(error)) => Err(error),
    }
}

async fn add_key(context: &AdminContext<'_>, name: &str, key: &Secret) -> Outcome {
    let Some(key) = key_from_text(key) else {
        return Ok(ControlResponse::BadRequest("this is not the hash of a key".to_owned()));
    };
    match create_key(context, name, key).await {
        Ok(()) => Ok(ControlResponse::Done(format!("the key {name:?} is created"))),
        Err(ApiKeyError::NameTaken) => Ok(ControlResponse::Refused(format!(
            "there is a key {name:?} already; choose another name, or revoke it first: teahouse key revoke {name}"
        ))),
        Err(ApiKeyError::Store(error)) => Err(error),
    }
}

async fn back_up(context: &AdminContext<'_>, into: String, progress: Progress) -> ControlResponse {
    // The client may have disconnected.
    let report = move |done| _ = progress.send(done);
    match make_backup(context, Path::new(&into), report).await {
        Ok(()) => ControlResponse::Done(format!("the backup is in {into}")),
        Err(error @ (CreateBackupError::NotEmpty(_) | CreateBackupError::NoBackups)) => {
            ControlResponse::Refused(error.to_string())
        }
        Err(error) => ControlResponse::Failed(error.to_string()),
    }
}
