//! Saying an own message in other words. Whoever sees it hears of it by the commit.

use teahouse_core::limits::CONTENT_CHARS_MAX;
use teahouse_core::text::{TextError, check_content};
use teahouse_core::{MessageId, UserId, Version};
use teahouse_store::{ChangeError, Edit};

use crate::app::App;

/// Why it says what it said.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EditError {
    /// Empty or too long.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The store refused it.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Puts another content in its place.
///
/// # Errors
/// Nothing was changed.
pub async fn edit_message(app: &App, actor: UserId, message: MessageId, content: &str) -> Result<Version, EditError> {
    let content = check_content(content, CONTENT_CHARS_MAX)?.to_owned();
    Ok(app.store.edit_message(Edit { message, actor, content, now: app.now() }).await?)
}
