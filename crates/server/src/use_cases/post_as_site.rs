//! Saying something on behalf of a site: as one of its users (a bot), or as the site itself (a notice). It is
//! a message like any other, but for the limits that are there against people who type too fast.

use std::sync::Arc;

use teahouse_core::limits::{CLIENT_ID_CHARS_MAX, CONTENT_CHARS_MAX};
use teahouse_core::text::{TextError, check_content, longer_than};
use teahouse_core::{MessageKind, RoomId, UserId};
use teahouse_store::{
    Append, AppendError, Appended, Destination, Membership, MembershipChange, RoomError, SiteUser, StoreError, Subject,
};

use crate::app::App;
use crate::tokens::OWN_SUBJECTS;

/// The account under which the site itself speaks; made when it speaks first, and not to be logged in to.
const SYSTEM: &str = "system";

/// What a site wants to say.
pub struct SiteDraft {
    /// Where.
    pub room: RoomId,
    /// Who says it; nobody: the site itself.
    pub speaker: Option<UserId>,
    /// What, as it came.
    pub content: String,
    /// Under which saying it again stores nothing twice.
    pub client_id: String,
}

/// Why it was not said.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PostError {
    /// Empty or too long.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The `client_id` is empty or too long.
    #[error("a client_id has 1 to 64 characters")]
    ClientId,
    /// There is no user who could say it.
    #[error("no such user")]
    NoSuchSpeaker,
    /// The store refused it.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl From<StoreError> for PostError {
    fn from(error: StoreError) -> Self {
        Self::Append(error.into())
    }
}

/// Says it and waits until it is durable.
///
/// # Errors
/// It was not said.
pub async fn post_as_site(app: &Arc<App>, draft: SiteDraft) -> Result<Appended, PostError> {
    let content = check_content(&draft.content, CONTENT_CHARS_MAX)?.to_owned();
    if draft.client_id.is_empty() || longer_than(&draft.client_id, CLIENT_ID_CHARS_MAX) {
        return Err(PostError::ClientId);
    }
    let own = Arc::clone(app);
    app.run_to_end(async move {
        let (sender, kind) = match draft.speaker {
            Some(user) => (user, MessageKind::Text),
            None => (system_user(&own).await?, MessageKind::System),
        };
        let append = Append {
            destination: Destination::Room(draft.room),
            sender,
            client_id: Some(draft.client_id),
            content,
            kind,
            reply_to: None,
            address: None,
            now: own.now(),
        };
        match own.store.append(append.clone()).await {
            // What is wrong with room or speaker is asked only when something is. People are not told of rooms
            // that they are not in; whoever has a key is.
            Err(AppendError::Forbidden | AppendError::NotFound) if kind == MessageKind::Text => {
                come_in_and_say(&own, append).await
            }
            said => Ok(said?),
        }
    })
    .await
}

/// Into a public room everybody may come: whoever speaks there comes in first. Nobody comes into others.
async fn come_in_and_say(app: &App, append: Append) -> Result<Appended, PostError> {
    let Destination::Room(room) = append.destination else { return Err(AppendError::Forbidden.into()) };
    if app.store.room_head(room).await?.is_none() {
        return Err(AppendError::NotFound.into());
    }
    let Some(speaker) = app.store.user(append.sender).await? else { return Err(PostError::NoSuchSpeaker) };
    if speaker.disabled {
        return Err(AppendError::Forbidden.into());
    }
    let join = MembershipChange { room, actor: append.sender, what: Membership::Join, now: app.now(), asker: None };
    match app.store.change_membership(join).await {
        Ok(_) => Ok(app.store.append(append).await?),
        Err(RoomError::Store(error)) => Err(error.into()),
        Err(_) => Err(AppendError::Forbidden.into()),
    }
}

async fn system_user(app: &App) -> Result<UserId, StoreError> {
    let subject = format!("{OWN_SUBJECTS}{SYSTEM}");
    if let Some(known) = app.store.user_by_subject(&subject).await? {
        return Ok(known);
    }
    let account =
        SiteUser { subject: Subject::Name(subject), username: SYSTEM.to_owned(), email: None, now: app.now() };
    Ok(app.store.ensure_site_user(account).await?.profile.id)
}
