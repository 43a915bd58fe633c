//! The socket's door: what clients send becomes use cases, and refusals become envelopes, in the dialect of
//! the session. Its HTTP sister is in `http/`; both lead to the same use cases.

use std::sync::Arc;

use teahouse_hub::{RequestHandler, RequestOutcome, SessionContext};

use crate::app::App;
use crate::http::refusal::Refusal;
use crate::limits::UserLimit;

mod classic;
mod history;
pub mod perform;
mod v1;

pub use history::StoredHistory;

/// Answers clients of both dialects.
pub struct SocketDoor {
    app: Arc<App>,
}

impl SocketDoor {
    /// The door of this app.
    #[must_use]
    pub fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

impl RequestHandler for SocketDoor {
    fn handle_classic(&self, caller: &SessionContext, text: &str) -> RequestOutcome {
        classic::receive(&self.app, caller, text)
    }

    fn handle_v1(&self, caller: &SessionContext, greeted: bool, text: &str) -> RequestOutcome {
        v1::receive(&self.app, caller, greeted, text)
    }
}

/// Every envelope counts: messages at the rate of sending (the use case counts them), all others at this one.
fn within_rate(app: &App, caller: &SessionContext) -> Result<(), Refusal> {
    app.limits.user(UserLimit::Envelope, caller.user).map_err(Refusal::too_fast)
}

#[cfg(test)]
mod tests;
