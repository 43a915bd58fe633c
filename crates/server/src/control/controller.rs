//! A running server's side of the control socket: what is asked is applied to its store, and its live
//! sessions feel it.

use std::sync::Arc;

use async_trait::async_trait;
use teahouse_store_sqlite::Backups;
use tokio_util::sync::CancellationToken;

use super::apply::{Desk, apply};
use super::{ControlAnswer, ControlRequest, Handler, Progress};
use crate::app::App;

/// Does what the command line asks of a running server.
pub struct Controller {
    app: Arc<App>,
    backups: Option<Backups>,
    closing: CancellationToken,
}

impl Controller {
    /// Of this server, which goes down when `closing` is cancelled.
    #[must_use]
    pub fn new(app: Arc<App>, backups: Option<Backups>, closing: CancellationToken) -> Self {
        Self { app, backups, closing }
    }
}

#[async_trait]
impl Handler for Controller {
    async fn handle(&self, request: ControlRequest, progress: Progress) -> ControlAnswer {
        let app = &self.app;
        let backups = self.backups.as_ref();
        let desk = Desk { store: app.store.as_ref(), backups, config: &app.config, now: app.now() };
        let copies = matches!(request, ControlRequest::Backup { .. });
        let applied = tokio::select! {
            biased;
            // A copy may take longer than going down may, and can be made again; the rest is a moment's work.
            () = self.closing.cancelled(), if copies => {
                ControlAnswer::Failed("the server goes down; there is no backup".to_owned()).into()
            }
            applied = apply(&desk, request, progress) => applied,
        };
        if let Some(revoked) = applied.revoked {
            app.live.revoke(revoked).await;
        }
        applied.answer
    }
}
