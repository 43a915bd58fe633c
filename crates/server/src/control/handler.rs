//! Runs the control socket's commands in a running server.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::execute::execute;
use super::{ControlHandler, ControlRequest, ControlResponse, Progress};
use crate::app::App;
use crate::use_cases::admin::AdminContext;

/// Runs commands on an app.
pub(crate) struct AppHandler {
    app: Arc<App>,
    closing: CancellationToken,
}

impl AppHandler {
    /// A handler for this app, which shuts down when `closing` is cancelled.
    #[must_use]
    pub(crate) fn new(app: Arc<App>, closing: CancellationToken) -> Self {
        Self { app, closing }
    }
}

#[async_trait]
impl ControlHandler for AppHandler {
    async fn handle(&self, request: ControlRequest, progress: Progress) -> ControlResponse {
        let app = Arc::clone(&self.app);
        if !matches!(request, ControlRequest::Backup { .. }) {
            // A command may consist of several writes, and its client may leave after the first.
            let work = async move { execute(&AdminContext::from(&*app), request, progress).await };
            return self.app.run_to_end(work).await;
        }
        let context = AdminContext::from(&*app);
        tokio::select! {
            biased;
            // A backup may take longer than the shutdown may, and can be made again. All other commands are short.
            () = self.closing.cancelled() => {
                ControlResponse::Failed("the server is shutting down; there is no backup".to_owned())
            }
            response = execute(&context, request, progress) => response,
        }
    }
}
