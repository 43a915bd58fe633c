//! Handles the frames of live sessions for the hub, in both dialects, and reads the store for sessions that catch up. It
//! runs on the shards' threads, so it never blocks, and it knows nothing of HTTP.

use std::sync::Arc;

use teahouse_hub::{Caller, Door, Receipt};

use crate::app::App;
use crate::errors::ApiError;
use crate::limits::UserLimit;

mod classic;
mod history;
mod v1;

pub use history::StoreHistory;

/// Handles requests of both dialects.
pub struct SocketHandler {
    app: Arc<App>,
}

impl SocketHandler {
    /// A handler that runs this app's use cases.
    #[must_use]
    pub fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

impl Door for SocketHandler {
    fn receive(&self, caller: &Caller, text: &str) -> Receipt {
        classic::receive(&self.app, caller, text)
    }

    fn receive_v1(&self, caller: &Caller, greeted: bool, text: &str) -> Receipt {
        v1::receive(&self.app, caller, greeted, text)
    }
}

/// Counts an envelope against its sender's rate. A message counts in `send_message` instead.
fn check_rate(app: &App, caller: &Caller) -> Result<(), ApiError> {
    app.limits.user(UserLimit::Envelope, caller.user).map_err(ApiError::rate_limited)
}

#[cfg(test)]
mod tests;
