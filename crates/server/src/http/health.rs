//! Whether the server is well, for machines: `/live` (it answers at all), `/health` (its parts work) and
//! `/ready` (send people here). What was found out is used again for a second, so that asking costs nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use teahouse_protocol::classic::http::Wellness;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::app::App;

/// For how long a finding is used again; also how long the parts have to answer.
const SECOND: Duration = Duration::from_secs(1);

/// The status when somebody should look.
const NOT_WELL: &str = "unavailable";

/// What was found out last. The lock is held while it is found out anew, which the deadlines bound, so
/// that any number of probes at once are one check.
#[derive(Default)]
pub(super) struct Findings(Mutex<Option<(Instant, Finding)>>);

#[derive(Clone, Copy)]
struct Finding {
    store: bool,
    hub: bool,
}

impl Finding {
    fn well(self) -> bool {
        self.store && self.hub
    }
}

impl Findings {
    async fn now(&self, app: &App) -> Finding {
        let mut last = self.0.lock().await;
        match *last {
            Some((at, finding)) if at.elapsed() < SECOND => finding,
            _ => {
                let finding = look(app).await;
                *last = Some((Instant::now(), finding));
                finding
            }
        }
    }
}

async fn look(app: &App) -> Finding {
    let (store, hub) = tokio::join!(timeout(SECOND, app.store.check()), timeout(2 * SECOND, app.live.probe(SECOND)));
    let store = match store {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the store does not take writes");
            false
        }
        Err(_) => {
            tracing::warn!("the store did not answer within a second");
            false
        }
    };
    Finding { store, hub: hub.unwrap_or(false) }
}

pub(super) async fn live() -> Response {
    Json(serde_json::json!({ "status": "ok" })).into_response()
}

pub(super) async fn health(State(app): State<Arc<App>>, Extension(findings): Extension<Arc<Findings>>) -> Response {
    let finding = findings.now(&app).await;
    // A server on its way down is still well.
    answer(if finding.well() { "ok" } else { NOT_WELL }, finding, &app)
}

pub(super) async fn ready(State(app): State<Arc<App>>, Extension(findings): Extension<Arc<Findings>>) -> Response {
    let finding = findings.now(&app).await;
    answer(if finding.well() && !app.is_draining() { "ready" } else { NOT_WELL }, finding, &app)
}

fn answer(status: &'static str, finding: Finding, app: &App) -> Response {
    let word = |well| if well { "ok" } else { "failing" };
    let body = Wellness { status, store: word(finding.store), hub: word(finding.hub), draining: app.is_draining() };
    let code = if status == NOT_WELL { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json(body)).into_response()
}
