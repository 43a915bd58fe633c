//! Handles the frames of live sessions for the hub, in both dialects, and reads the store for sessions that catch up. It
//! runs on the shards' threads, so it never blocks, and it knows nothing of HTTP.

use std::sync::Arc;

use teahouse_hub::{RequestHandler, RequestOutcome, SessionContext};

use crate::app::App;
use crate::errors::ApiError;
use crate::limits::UserLimit;

mod classic;
mod history;
mod v1;

pub(crate) use history::StoreHistory;

/// Handles requests of both dialects.
pub(crate) struct SocketHandler {
    app: Arc<App>,
}

impl SocketHandler {
    /// A handler that runs this app's use cases.
    #[must_use]
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

impl RequestHandler for SocketHandler {
    fn handle_classic(&self, session: &SessionContext, text: &str) -> RequestOutcome {
        classic::receive(&self.app, session, text)
    }

    fn handle_v1(&self, session: &SessionContext, greeted: bool, text: &str) -> RequestOutcome {
        v1::receive(&self.app, session, greeted, text)
    }
}

/// Counts an envelope against its sender's rate. A use case counts sends itself.
fn check_rate(app: &App, session: &SessionContext) -> Result<(), ApiError> {
    app.take_rate_token(UserLimit::Envelope, session.user).map_err(ApiError::rate_limited)
}

#[cfg(test)]
mod tests;
