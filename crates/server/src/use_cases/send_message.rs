//! Saying something, whichever door it came through (ANCESTOR.md P1): trimmed and measured, looked up
//! in case it was said before, held to the sender's rate, stored. Whoever is to hear it does by the commit.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use teahouse_core::limits::{
    CLASSIC_CONTENT_CHARS_MAX, CLIENT_ID_CHARS_MAX, CONTENT_CHARS_MAX, PRIVATE_CONTENT_CHARS_MAX,
};
use teahouse_core::text::{TextError, check_content, longer_than};
use teahouse_core::{LOBBY, MessageId, MessageKind, RoomId, UserId};
use teahouse_store::{Append, AppendError, Appended, Destination};

use crate::app::App;
use crate::limits::{RetryAfter, UserLimit};

/// What somebody wants to say.
pub struct Draft {
    /// Where.
    pub destination: Destination,
    /// Who.
    pub sender: UserId,
    /// What, as it was typed.
    pub content: String,
    /// Characters that it may have.
    pub content_chars_max: usize,
    /// Under which saying it again stores nothing twice.
    pub client_id: Option<String>,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// Where the sender is; kept for moderators only.
    pub address: IpAddr,
}

impl Draft {
    /// Something for a room, as v1 says it.
    #[must_use]
    pub fn room(sender: UserId, room: RoomId, content: String, client_id: String, address: IpAddr) -> Self {
        Self::new(Destination::Room(room), CONTENT_CHARS_MAX, sender, content, Some(client_id), address)
    }

    /// Something for the lobby, as the classic dialect says it.
    #[must_use]
    pub fn lobby(sender: UserId, content: String, client_id: Option<String>, address: IpAddr) -> Self {
        Self::new(Destination::Room(LOBBY), CLASSIC_CONTENT_CHARS_MAX, sender, content, client_id, address)
    }

    /// Something for one other user, as the classic dialect says it.
    #[must_use]
    pub fn private(
        sender: UserId,
        receiver: UserId,
        content: String,
        client_id: Option<String>,
        address: IpAddr,
    ) -> Self {
        Self::new(Destination::Direct(receiver), PRIVATE_CONTENT_CHARS_MAX, sender, content, client_id, address)
    }

    fn new(
        destination: Destination,
        content_chars_max: usize,
        sender: UserId,
        content: String,
        client_id: Option<String>,
        address: IpAddr,
    ) -> Self {
        Self { destination, sender, content, content_chars_max, client_id, reply_to: None, address }
    }

    /// And it answers this message.
    #[must_use]
    pub fn replying_to(self, reply_to: Option<MessageId>) -> Self {
        Self { reply_to, ..self }
    }
}

/// Why it was not said.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// Empty or too long.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The `client_id` is empty or too long.
    #[error("a client_id has 1 to 64 characters")]
    ClientId,
    /// The sender is too fast.
    #[error("too fast")]
    TooFast(RetryAfter),
    /// The store refused it.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Checks what can be checked at once, and gives the rest as a future. The first poll of it puts the
/// message into the store's queue, so whoever polls in order says in order; from then on it is stored
/// even when the future is dropped.
///
/// # Errors
/// Refused at once; nothing was stored.
pub fn begin_send(
    app: &Arc<App>,
    draft: Draft,
) -> Result<impl Future<Output = Result<Appended, SendError>> + Send + use<>, SendError> {
    let sender = draft.sender;
    let checked = check(app, draft);
    // Every try counts (ANCESTOR.md H15): one that is refused for what it says as any other envelope, so
    // that a slip costs no turn of sending.
    if checked.is_err() {
        app.limits.user(UserLimit::Envelope, sender).map_err(SendError::TooFast)?;
    }
    let append = checked?;
    let turn = app.limits.user(UserLimit::Send, sender).map_err(SendError::TooFast);
    if append.client_id.is_none() {
        turn.clone()?;
    }
    let app = Arc::clone(app);
    Ok(async move {
        if let Err(too_fast) = turn {
            // It may be a repeat: that is answered as the first time, however fast the sender is by now.
            // Looking is bounded like any other reading.
            app.limits.user(UserLimit::Read, sender).map_err(SendError::TooFast)?;
            return app.store.appended(&append).await?.ok_or(too_fast);
        }
        let stored = app.store.append(append).await?;
        // A repeat costs no turn, but a reading: who comes back and sends again what was not answered has
        // not used up what comes after it.
        if stored.duplicate && app.limits.user(UserLimit::Read, sender).is_ok() {
            app.limits.user_back(UserLimit::Send, sender);
        }
        Ok(stored)
    })
}

/// Says something and waits until it is durable.
///
/// # Errors
/// It was not said.
pub async fn send_message(app: &Arc<App>, draft: Draft) -> Result<Appended, SendError> {
    let sending = begin_send(app, draft)?;
    app.run_to_end(sending).await
}

fn check(app: &App, draft: Draft) -> Result<Append, SendError> {
    let content = check_content(&draft.content, draft.content_chars_max)?.to_owned();
    if draft.client_id.as_deref().is_some_and(|id| id.is_empty() || longer_than(id, CLIENT_ID_CHARS_MAX)) {
        return Err(SendError::ClientId);
    }
    Ok(Append {
        destination: draft.destination,
        sender: draft.sender,
        client_id: draft.client_id,
        content,
        kind: MessageKind::Text,
        reply_to: draft.reply_to,
        address: Some(draft.address),
        now: app.now(),
    })
}
