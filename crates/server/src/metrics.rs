//! Serves all metrics to Prometheus on a listener of its own, and counts rejected requests.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use teahouse_core::ErrorCode;

/// The content type of OpenMetrics 1.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

/// Rejected requests by error code, over HTTP and WebSocket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rejections(Family<CodeLabel, Counter>);

impl Rejections {
    /// Counts a rejected request.
    pub(crate) fn count(&self, code: ErrorCode) {
        self.0.get_or_create(&CodeLabel { code: code.as_str() }).inc();
    }

    /// Registers the metric.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("rejections", "Rejected requests by error code, over HTTP and WebSocket", self.0.clone());
    }
}

/// The only route of the metrics listener.
pub(crate) fn router(registry: Registry) -> Router {
    let registry = Arc::new(registry);
    Router::new().route("/metrics", get(move || async move { text(&registry) }))
}

fn text(registry: &Registry) -> Response {
    let mut text = String::new();
    match encode(&mut text, registry) {
        Ok(()) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
