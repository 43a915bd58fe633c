//! Posts a message for a site: as one of its users (a bot), or as the site itself (a notice). It differs from other
//! messages only in that no rate limit applies.

use std::sync::Arc;

use teahouse_core::limits::CONTENT_CHARS_MAX;
use teahouse_core::text::{TextError, check_content};
use teahouse_core::{MessageKind, RoomId, UserId};
use teahouse_store::{
    Append, AppendError, Appended, Destination, Membership, MembershipChange, RoomError, SiteUser, StoreError, Subject,
};

use crate::app::App;
use crate::tokens::RESERVED_SUBJECT_PREFIX;
use crate::validation::client_id::{InvalidClientId, check_client_id};

/// The account that posts a site's notices. It is created with the first one, and nobody can log in to it.
const SYSTEM: &str = "system";

/// A message to post, as the site sent it.
pub(crate) struct SiteMessage {
    /// The room.
    pub room: RoomId,
    /// The user who sends it; `None` for a notice of the site.
    pub sender: Option<UserId>,
    /// The text.
    pub content: String,
    /// The key under which a repeat is stored only once.
    pub client_id: String,
}

/// Why the message was not posted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PostError {
    /// The content is empty or too long.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The `client_id` is invalid.
    #[error(transparent)]
    ClientId(#[from] InvalidClientId),
    /// The sender does not exist.
    #[error("no such user")]
    NoSuchSender,
    /// The store refused the message.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl From<StoreError> for PostError {
    fn from(error: StoreError) -> Self {
        Self::Append(error.into())
    }
}

/// Posts the message and waits until it is durable.
///
/// # Errors
/// The message was not posted.
pub(crate) async fn post_message(app: &Arc<App>, message: SiteMessage) -> Result<Appended, PostError> {
    let content = check_content(&message.content, CONTENT_CHARS_MAX)?.to_owned();
    check_client_id(&message.client_id)?;
    let own = Arc::clone(app);
    app.run_to_end(async move {
        let (sender, kind) = match message.sender {
            Some(user) => (user, MessageKind::Text),
            None => (system_user(&own).await?, MessageKind::System),
        };
        let append = Append {
            destination: Destination::Room(message.room),
            sender,
            client_id: Some(message.client_id),
            content,
            kind,
            reply_to: None,
            from_site: true,
            address: None,
            now: own.now(),
        };
        match own.store.append(append.clone()).await {
            // A refused append does not say why, since users must not learn of rooms that they may not see. A site may.
            Err(AppendError::Forbidden | AppendError::NotFound) if kind == MessageKind::Text => {
                join_and_append(&own, append).await
            }
            appended => Ok(appended?),
        }
    })
    .await
}

/// Lets the sender join the room first, which succeeds for public rooms only.
async fn join_and_append(app: &App, append: Append) -> Result<Appended, PostError> {
    let Destination::Room(room) = append.destination else { return Err(AppendError::Forbidden.into()) };
    if app.store.room_head(room).await?.is_none() {
        return Err(AppendError::NotFound.into());
    }
    let Some(sender) = app.store.user(append.sender).await? else { return Err(PostError::NoSuchSender) };
    if sender.disabled {
        return Err(AppendError::Forbidden.into());
    }
    let join = MembershipChange { room, actor: append.sender, what: Membership::Join, now: app.now(), requester: None };
    match app.store.change_membership(join).await {
        Ok(_) => Ok(app.store.append(append).await?),
        Err(RoomError::Store(error)) => Err(error.into()),
        Err(_) => Err(AppendError::Forbidden.into()),
    }
}

async fn system_user(app: &App) -> Result<UserId, StoreError> {
    let subject = format!("{RESERVED_SUBJECT_PREFIX}{SYSTEM}");
    if let Some(known) = app.store.user_by_subject(&subject).await? {
        return Ok(known);
    }
    let account =
        SiteUser { subject: Subject::Name(subject), username: SYSTEM.to_owned(), email: None, now: app.now() };
    Ok(app.store.ensure_site_user(account).await?.profile.id)
}
