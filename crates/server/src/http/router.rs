//! Every route, in one list, and what stands around them.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post};
use axum::{Extension, Router, middleware};

use super::health::Findings;
use super::{account, chat, context, conversations, cors, health, page, panics, server_api, v1};
use crate::app::App;

/// The HTTP door, with the routes of others (the page, the WebSocket) beside its own.
pub fn router(app: Arc<App>, others: Router<Arc<App>>) -> Router {
    let routes = Router::new()
        .route("/api/auth/register", post(account::sign_up))
        .route("/api/auth/login", post(account::sign_in))
        .route("/api/auth/refresh", post(account::refresh))
        .route("/api/auth/logout", post(account::sign_out))
        .route("/api/auth/me", get(account::me).put(account::update_me))
        .route("/api/auth/change-password", post(account::new_password))
        .route("/api/user/{id}", get(account::user))
        .route("/api/chat/send", post(chat::send))
        .route("/api/chat/messages", get(chat::messages))
        .route("/api/chat/messages/new", get(chat::new_messages))
        .route("/api/chat/messages/{id}", delete(chat::delete))
        .route("/api/chat/online-count", get(chat::online_count))
        .route("/api/chat/online-users", get(chat::online_users))
        .route("/api/conversations", get(conversations::list))
        .route("/api/conversations/unread-count", get(conversations::unread))
        .route("/api/conversations/start/{userId}", post(conversations::start))
        .route("/api/conversations/{id}/messages", get(conversations::messages))
        .route("/api/conversations/{id}/mark-read", post(conversations::read))
        .route("/api/messages/send", post(conversations::send))
        .route("/health", get(health::health))
        .route("/live", get(health::live))
        .route("/ready", get(health::ready))
        .merge(server_api::routes())
        .merge(v1::routes())
        .merge(page::routes())
        .layer(Extension(Arc::<Findings>::default()))
        .merge(others);
    surrounded(routes, app)
}

/// What stands around every route, outermost last. The old socket is outside of all of it.
fn surrounded(routes: Router<Arc<App>>, app: Arc<App>) -> Router {
    routes
        .layer(middleware::from_fn(panics::caught))
        .layer(cors::layer(&app.config.server.allowed_origins))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), context::surround))
        .route("/api/ws", any(old_socket))
        .with_state(app)
}

/// An old script of the front end knocks here without a token, again and again: the same few bytes each
/// time, and nothing else is done for it, not even a line in the log.
async fn old_socket() -> Response {
    const BODY: &str = r#"{"code":404,"message":"Not found.","error_code":"not_found","data":null,"request_id":"-"}"#;
    (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "application/json")], BODY).into_response()
}

#[cfg(test)]
pub(super) mod testing {
    //! Routes that only tests have.

    use super::*;

    /// What stands around every route, around one that panics.
    pub fn router_that_panics(app: Arc<App>) -> Router {
        async fn panics() -> StatusCode {
            panic!("a bug of ours")
        }
        surrounded(Router::new().route("/api/panics", get(panics)), app)
    }
}
