//! Every route of the protocol's table with its handler, and the layers around all of them. Handlers are elsewhere.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, any, get, on};
use axum::{Extension, Router, middleware};
use teahouse_core::ErrorCode;
use teahouse_protocol::routes::{Endpoint, Handler, Method, ROUTES, Route};

use super::health::HealthCache;
use super::{account, chat, context, conversations, cors, health, online_users, page, panics, server_api, v1};
use crate::app::App;
use crate::errors::ApiError;

/// The routes of the table and of the page, with `others` beside them.
pub(crate) fn router(app: Arc<App>, others: Router<Arc<App>>) -> Router {
    let mount = |router: Router<Arc<App>>, route: &'static Route| match handler(route) {
        Some(handler) => router.route(route.path, handler),
        None => router,
    };
    let routes = ROUTES
        .iter()
        .fold(Router::new(), mount)
        .merge(page::routes())
        .layer(Extension(Arc::<HealthCache>::default()))
        .merge(others);
    with_layers(routes, app)
}

/// The routes of connections for which there is no place: whether the server lives and is ready.
pub(crate) fn router_when_full(app: Arc<App>) -> Router {
    let routes = Router::new()
        .route("/live", get(health::live))
        .route("/ready", get(health::ready))
        .fallback(async || ApiError::new(ErrorCode::Overloaded))
        .layer(Extension(Arc::<HealthCache>::default()));
    with_layers(routes, app)
}

/// The handler of a route; none for routes that `serve` mounts itself, since they need more than the app.
fn handler(route: &'static Route) -> Option<MethodRouter<Arc<App>>> {
    let method = filter(route.method);
    let endpoint = match route.handler {
        Handler::Request => {
            let handle = move |State(app): State<Arc<App>>, request: Request| v1::handle_request(app, route, request);
            return Some(on(method, handle));
        }
        Handler::Endpoint(endpoint) => endpoint,
    };
    Some(match endpoint {
        Endpoint::Connect | Endpoint::Metrics => return None,

        Endpoint::Register => on(method, account::sign_up),
        Endpoint::LogIn => on(method, account::sign_in),
        Endpoint::RefreshToken => on(method, account::refresh),
        Endpoint::LogOut => on(method, account::sign_out),
        Endpoint::GetOwnAccount => on(method, account::me),
        Endpoint::UpdateOwnAccount => on(method, account::update_me),
        Endpoint::ChangePassword => on(method, account::new_password),
        Endpoint::GetUser => on(method, account::user),
        Endpoint::SendLobbyMessage => on(method, chat::send),
        Endpoint::ReadLobby => on(method, chat::messages),
        Endpoint::ReadLobbyForward => on(method, chat::new_messages),
        Endpoint::DeleteLobbyMessage => on(method, chat::delete),
        Endpoint::CountOnline => on(method, chat::online_count),
        Endpoint::ListOnline => on(method, online_users::list),
        Endpoint::ListConversations => on(method, conversations::list),
        Endpoint::CountUnread => on(method, conversations::unread),
        Endpoint::StartConversation => on(method, conversations::start),
        Endpoint::ReadConversation => on(method, conversations::messages),
        Endpoint::ReadWholeConversation => on(method, conversations::read),
        Endpoint::SendPrivateMessage => on(method, conversations::send),
        Endpoint::Health => on(method, health::health),
        Endpoint::Live => on(method, health::live),
        Endpoint::Ready => on(method, health::ready),

        Endpoint::OpenApi => on(method, v1::openapi),
        Endpoint::ListRooms => on(method, v1::list_rooms),
        Endpoint::GetRoom => on(method, v1::get_room),

        Endpoint::Publish => on(method, server_api::publish_event),
        Endpoint::PostAsSite => on(method, server_api::post_message),
        Endpoint::PutSiteUsers => on(method, server_api::put_users),
        Endpoint::DisconnectUser => on(method, server_api::disconnect),
        Endpoint::ListPresence => on(method, server_api::presence),
    })
}

fn filter(method: Method) -> MethodFilter {
    match method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Put => MethodFilter::PUT,
        Method::Patch => MethodFilter::PATCH,
        Method::Delete => MethodFilter::DELETE,
    }
}

/// Adds the layers around every route, the outermost last. `/api/ws` is outside of all of them.
fn with_layers(routes: Router<Arc<App>>, app: Arc<App>) -> Router {
    routes
        .layer(middleware::from_fn(panics::with_panics_caught))
        .layer(cors::layer(&app.config.server.allowed_origins))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), context::with_context))
        .route("/api/ws", any(old_socket))
        .with_state(app)
}

/// An old script of the front end requests this again and again without a token. It gets the same few bytes each time,
/// without a line in the log.
async fn old_socket() -> Response {
    const BODY: &str = r#"{"code":404,"message":"Not found.","error_code":"not_found","data":null,"request_id":"-"}"#;
    (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "application/json")], BODY).into_response()
}

#[cfg(test)]
pub(super) mod testing {
    //! A router that only tests have.

    use super::*;

    /// The layers around a route that panics.
    pub(crate) fn router_that_panics(app: Arc<App>) -> Router {
        async fn panics() -> StatusCode {
            panic!("a bug")
        }
        with_layers(Router::new().route("/api/panics", get(panics)), app)
    }
}
