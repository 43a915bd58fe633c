//! Writing to one other user. Their direct room is made in the same transaction when there is none.

use std::sync::Arc;

use teahouse_store::Appended;

use super::send_message::send_message;
pub use super::send_message::{Draft, SendError};
use crate::app::App;

/// Says it and waits until it is durable.
///
/// # Errors
/// It was not said; all of it or nothing (ANCESTOR.md P2).
pub async fn send_private(app: &Arc<App>, draft: Draft) -> Result<Appended, SendError> {
    send_message(app, draft).await
}
