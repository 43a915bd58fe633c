//! Edits the user's own message. Every edit counts as a send, also one that changes nothing: it costs as much as a
//! message, to check and to deliver. Clients learn of it from the commit.

use teahouse_core::limits::CONTENT_CHARS_MAX;
use teahouse_core::text::{TextError, check_content};
use teahouse_core::{MessageId, UserId, Version};
use teahouse_store::{ChangeError, Edit};

use crate::app::App;
use crate::limits::RetryAfter;

/// Why the message was not edited.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EditError {
    /// The content is empty or too long.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The author exceeded the rate of sending.
    #[error("rate limited")]
    RateLimited(RetryAfter),
    /// The store refused the edit.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Replaces the content and returns the room's version with the edit.
///
/// # Errors
/// The message was not edited.
pub(crate) async fn edit_message(
    app: &App,
    actor: UserId,
    message: MessageId,
    content: &str,
) -> Result<Version, EditError> {
    let checked = check_content(content, CONTENT_CHARS_MAX);
    app.take_send_token(actor, checked.is_ok()).map_err(EditError::RateLimited)?;
    let content = checked?.to_owned();
    Ok(app.store.edit_message(Edit { message, actor, content, now: app.now() }).await?)
}
