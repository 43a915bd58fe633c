//! Sends a message, whichever transport and dialect it came through: validates it, holds the sender to their rate, and
//! stores it (P1 in docs/internals/regressions.md). Recipients get it from the commit. A message whose `client_id` is
//! already stored is a repeat: it gets the response of the first one.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use teahouse_core::limits::{CLASSIC_CONTENT_CHARS_MAX, CONTENT_CHARS_MAX, PRIVATE_CONTENT_CHARS_MAX};
use teahouse_core::text::{TextError, check_content};
use teahouse_core::{LOBBY, MessageId, MessageKind, RoomId, UserId};
use teahouse_store::{Append, AppendError, Appended, Destination};

use crate::app::App;
use crate::limits::{RetryAfter, UserLimit};
use crate::validation::client_id::{InvalidClientId, check_client_id};

/// A message to send, as it was typed.
pub(crate) struct MessageDraft {
    destination: Destination,
    sender: UserId,
    content: String,
    content_chars_max: usize,
    client_id: Option<String>,
    reply_to: Option<MessageId>,
    address: IpAddr,
}

impl MessageDraft {
    /// A v1 message to a room. `address` is kept for moderators only, here and below.
    #[must_use]
    pub(crate) fn room(sender: UserId, room: RoomId, content: String, client_id: String, address: IpAddr) -> Self {
        Self::new(Destination::Room(room), CONTENT_CHARS_MAX, sender, content, Some(client_id), address)
    }

    /// A classic message to the lobby.
    #[must_use]
    pub(crate) fn lobby(sender: UserId, content: String, client_id: Option<String>, address: IpAddr) -> Self {
        Self::new(Destination::Room(LOBBY), CLASSIC_CONTENT_CHARS_MAX, sender, content, client_id, address)
    }

    /// A classic private message. The store creates the direct room with the first one, in the same transaction (P2 in
    /// docs/internals/regressions.md).
    #[must_use]
    pub(crate) fn private(
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

    /// Makes it a reply to this message.
    #[must_use]
    pub(crate) fn replying_to(self, reply_to: Option<MessageId>) -> Self {
        Self { reply_to, ..self }
    }
}

/// Why the message was not sent.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// The content is empty or too long.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The `client_id` is invalid.
    #[error(transparent)]
    ClientId(#[from] InvalidClientId),
    /// The sender exceeded the rate of sending.
    #[error("rate limited")]
    RateLimited(RetryAfter),
    /// The store refused the message.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Validates the draft and takes its turn at once; the returned future stores it. Its first poll puts the message into
/// the store's queue, so messages are stored in the order of first polls, and once polled it may be dropped: the message
/// is stored all the same.
///
/// # Errors
/// The message was refused at once; nothing was stored.
pub(crate) fn begin_send(
    app: &Arc<App>,
    draft: MessageDraft,
) -> Result<impl Future<Output = Result<Appended, SendError>> + Send + use<>, SendError> {
    let sender = draft.sender;
    let checked = check(app, draft);
    // Every attempt counts (H15 in docs/internals/regressions.md), an invalid one as any other envelope, so that a
    // mistake does not cost a token of sending.
    if checked.is_err() {
        app.take_rate_token(UserLimit::Envelope, sender).map_err(SendError::RateLimited)?;
    }
    let append = checked?;
    let taken = app.take_rate_token(UserLimit::Send, sender).map_err(SendError::RateLimited);
    if append.client_id.is_none() {
        taken.clone()?;
    }
    let app = Arc::clone(app);
    Ok(async move {
        if let Err(rate_limited) = taken {
            // A repeat is answered at any rate of sending. Looking it up counts as a read.
            app.take_rate_token(UserLimit::Read, sender).map_err(SendError::RateLimited)?;
            return app.store.appended(&append).await?.ok_or(rate_limited);
        }
        let stored = app.store.append(append).await.inspect_err(|error| {
            if let AppendError::TooManyStrangers(_) = error {
                app.record_too_many_strangers();
            }
        })?;
        // A repeat costs a read instead of a send: a client that reconnects and sends its unacknowledged messages again
        // keeps its tokens for new ones.
        if stored.duplicate && app.take_rate_token(UserLimit::Read, sender).is_ok() {
            app.limits.refund_user(UserLimit::Send, sender);
        }
        Ok(stored)
    })
}

/// Sends a message and waits until it is durable.
///
/// # Errors
/// The message was not sent.
pub(crate) async fn send_message(app: &Arc<App>, draft: MessageDraft) -> Result<Appended, SendError> {
    let sending = begin_send(app, draft)?;
    app.run_to_end(sending).await
}

fn check(app: &App, draft: MessageDraft) -> Result<Append, SendError> {
    let content = check_content(&draft.content, draft.content_chars_max)?.to_owned();
    draft.client_id.as_deref().map(check_client_id).transpose()?;
    Ok(Append {
        destination: draft.destination,
        sender: draft.sender,
        client_id: draft.client_id,
        content,
        kind: MessageKind::Text,
        reply_to: draft.reply_to,
        from_site: false,
        address: Some(draft.address),
        now: app.now(),
    })
}
