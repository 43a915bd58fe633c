//! Health checks: `/live` (the process answers), `/health` (the store and the hub work) and `/ready` (a load balancer
//! may send traffic here). A result is cached for a second, so that probes cost nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use teahouse_protocol::http::HealthBody;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::app::App;
use crate::clock;

/// How long a result is cached, and the timeout of the store and of the hub.
const SECOND: Duration = Duration::from_secs(1);

/// The status of a failed check.
const UNAVAILABLE: &str = "unavailable";

/// The last result. A check holds the lock, for a bounded time, so that concurrent probes share one check.
#[derive(Default)]
pub(super) struct HealthCache(Mutex<Option<(Instant, Health)>>);

#[derive(Clone, Copy)]
struct Health {
    store: bool,
    hub: bool,
}

impl Health {
    fn is_ok(self) -> bool {
        self.store && self.hub
    }
}

impl HealthCache {
    async fn get(&self, app: &App) -> Health {
        let mut last = self.0.lock().await;
        match *last {
            Some((at, health)) if at.elapsed() < SECOND => health,
            _ => {
                let health = check(app).await;
                *last = Some((clock::monotonic(), health));
                health
            }
        }
    }
}

async fn check(app: &App) -> Health {
    let (store, hub) = tokio::join!(timeout(SECOND, app.store.check()), timeout(2 * SECOND, app.live.probe(SECOND)));
    let store = match store {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(%error, "store health check failed");
            false
        }
        Err(_) => {
            tracing::warn!("store health check timed out");
            false
        }
    };
    Health { store, hub: hub.unwrap_or(false) }
}

pub(super) async fn live() -> Response {
    Json(serde_json::json!({ "status": "ok" })).into_response()
}

pub(super) async fn health(State(app): State<Arc<App>>, Extension(cache): Extension<Arc<HealthCache>>) -> Response {
    let health = cache.get(&app).await;
    // A draining server is healthy.
    answer(if health.is_ok() { "ok" } else { UNAVAILABLE }, health, &app)
}

pub(super) async fn ready(State(app): State<Arc<App>>, Extension(cache): Extension<Arc<HealthCache>>) -> Response {
    let health = cache.get(&app).await;
    answer(if health.is_ok() && !app.is_draining() { "ready" } else { UNAVAILABLE }, health, &app)
}

fn answer(status: &'static str, health: Health, app: &App) -> Response {
    let word = |is_ok| if is_ok { "ok" } else { "failing" };
    let body = HealthBody { status, store: word(health.store), hub: word(health.hub), draining: app.is_draining() };
    let code = if status == UNAVAILABLE { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json(body)).into_response()
}
