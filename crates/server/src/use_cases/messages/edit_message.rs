//! Edits the user's own message. Clients learn of it from the commit.

use teahouse_core::limits::CONTENT_CHARS_MAX;
use teahouse_core::text::{TextError, check_content};
use teahouse_core::{MessageId, UserId, Version};
use teahouse_store::{ChangeError, Edit};

use crate::app::App;

/// Why the message was not edited.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EditError {
    /// The content is empty or too long.
    #[error(transparent)]
    Text(#[from] TextError),
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
    let content = check_content(content, CONTENT_CHARS_MAX)?.to_owned();
    Ok(app.store.edit_message(Edit { message, actor, content, now: app.now() }).await?)
}
