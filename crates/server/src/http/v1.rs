//! The routes of `/api/v1`: what v1 clients ask over their socket can be asked here, one by one. A route's
//! path, query and body together are the request's `data`; what it does is the dispatcher's business.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use teahouse_core::RoomId;
use teahouse_protocol::v1::{OwnRooms, RoomBody, read_request};

use super::caller::Caller;
use super::parameters::{IdempotencyKey, PathId, blame_idempotency_key};
use super::response::{ApiResponse, ApiResult};
use crate::app::App;
use crate::dispatch::{RequestContext, dispatch};
use crate::errors::ApiError;
use crate::limits::UserLimit;
use crate::use_cases::rooms::list_rooms::list_rooms;
use crate::use_cases::rooms::read_room::read_room;
use data::{Address, Data};

mod data;

/// The description of these routes, and of the server API, for machines.
const DESCRIPTION: &str = include_str!("../../../../docs/openapi.json");

/// One route.
#[derive(Clone, Copy)]
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    filter: MethodFilter,
    asks: Asks,
    /// What its query may say; everything else there is ignored.
    query: &'static [&'static str],
    /// What its method says of the request's `on`.
    on: Option<bool>,
}

/// What a route asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    /// The request of this type.
    Request(&'static str),
    /// Every room of the caller.
    OwnRooms,
    /// One of them.
    OneRoom,
    /// The description of these routes; of anybody.
    Description,
}

/// All of them, in the order of docs/protocol.md.
pub(super) static ROUTES: &[Route] = &[
    get("/api/v1/openapi.json", Asks::Description),
    get("/api/v1/rooms", Asks::OwnRooms),
    post("/api/v1/rooms", Asks::Request("create")),
    get("/api/v1/rooms/browse", Asks::Request("rooms")).with_query(&["query", "after"]),
    get("/api/v1/rooms/{room}", Asks::OneRoom),
    patch("/api/v1/rooms/{room}", Asks::Request("update")),
    post("/api/v1/rooms/{room}/join", Asks::Request("join")),
    post("/api/v1/rooms/{room}/leave", Asks::Request("leave")),
    get("/api/v1/rooms/{room}/members", Asks::Request("members")).with_query(&["after"]),
    put("/api/v1/rooms/{room}/members/{user}", Asks::Request("invite")),
    delete("/api/v1/rooms/{room}/members/{user}", Asks::Request("remove")),
    put("/api/v1/rooms/{room}/members/{user}/role", Asks::Request("role")),
    get("/api/v1/rooms/{room}/messages", Asks::Request("history")).with_query(&["before", "after", "around", "limit"]),
    post("/api/v1/rooms/{room}/messages", Asks::Request("message")),
    get("/api/v1/rooms/{room}/changes", Asks::Request("sync")).with_query(&["since"]),
    get("/api/v1/rooms/{room}/presence", Asks::Request("presence")).switching(true),
    post("/api/v1/rooms/{room}/read", Asks::Request("read")),
    patch("/api/v1/messages/{message}", Asks::Request("edit")),
    delete("/api/v1/messages/{message}", Asks::Request("delete")),
    put("/api/v1/messages/{message}/reactions/{emoji}", Asks::Request("react")).switching(true),
    delete("/api/v1/messages/{message}/reactions/{emoji}", Asks::Request("react")).switching(false),
    get("/api/v1/users", Asks::Request("users")).with_query(&["query", "after"]),
    post("/api/v1/users/{user}/direct", Asks::Request("open")),
];

const fn get(path: &'static str, asks: Asks) -> Route {
    Route { method: "GET", path, filter: MethodFilter::GET, asks, query: &[], on: None }
}

const fn post(path: &'static str, asks: Asks) -> Route {
    Route { method: "POST", filter: MethodFilter::POST, ..get(path, asks) }
}

const fn put(path: &'static str, asks: Asks) -> Route {
    Route { method: "PUT", filter: MethodFilter::PUT, ..get(path, asks) }
}

const fn patch(path: &'static str, asks: Asks) -> Route {
    Route { method: "PATCH", filter: MethodFilter::PATCH, ..get(path, asks) }
}

const fn delete(path: &'static str, asks: Asks) -> Route {
    Route { method: "DELETE", filter: MethodFilter::DELETE, ..get(path, asks) }
}

impl Route {
    const fn with_query(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    const fn switching(self, on: bool) -> Self {
        Self { on: Some(on), ..self }
    }

    /// Whether a field comes by path or query.
    fn has_in_its_address(&self, field: &str) -> bool {
        let named = |part: &str| part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) == Some(field);
        self.query.contains(&field) || self.path.split('/').any(named)
    }
}

/// The routes of `/api/v1`.
pub(super) fn routes() -> Router<Arc<App>> {
    ROUTES.iter().fold(Router::new(), |router, route| {
        let handler = move |State(app): State<Arc<App>>, request: Request| serve(app, route, request);
        router.route(route.path, on(route.filter, handler))
    })
}

async fn serve(app: Arc<App>, route: &'static Route, request: Request) -> Response {
    let handled = match route.asks {
        Asks::Description => return ([(CONTENT_TYPE, "application/json")], DESCRIPTION).into_response(),
        Asks::OwnRooms => own_rooms(&app, route, request).await,
        Asks::OneRoom => one_room(&app, route, request).await,
        Asks::Request(kind) => answer(&app, route, kind, request).await,
    };
    handled.into_response()
}

async fn own_rooms(app: &Arc<App>, route: &Route, request: Request) -> ApiResult {
    let (mut parts, _) = request.into_parts();
    let caller = admit(app, route, &mut parts).await?;
    let entries = list_rooms(app, caller.id()).await?;
    Ok(ApiResponse::ok(&OwnRooms::new(&entries, |user| app.live.is_online(user))))
}

async fn one_room(app: &Arc<App>, route: &Route, request: Request) -> ApiResult {
    let (mut parts, _) = request.into_parts();
    let caller = admit(app, route, &mut parts).await?;
    let PathId(room) = PathId::from_request_parts(&mut parts, app).await?;
    let entry = read_room(app, caller.id(), RoomId(room)).await?;
    Ok(ApiResponse::ok(&RoomBody::new(&entry, |user| app.live.is_online(user))))
}

async fn answer(app: &Arc<App>, route: &Route, kind: &str, request: Request) -> ApiResult {
    let (mut parts, body) = request.into_parts();
    let caller = admit(app, route, &mut parts).await?;
    let key = match kind {
        "message" => IdempotencyKey::from_request_parts(&mut parts, app).await?.0,
        _ => None,
    };
    let address = Address::read(&mut parts, route.query).await?;
    let mut data = Data::default();
    if !matches!(route.method, "GET" | "DELETE") {
        data = Data::read(Request::from_parts(parts, body), app).await?;
    }
    if kind == "message" {
        data.name_message(key.as_deref())?;
    }
    if let Some(on) = route.on {
        data.set("on", &on);
    }
    data.set_all(&address);
    let of_the_caller = |error: ApiError| {
        let error = if key.is_some() { blame_idempotency_key(error) } else { error };
        error.with_parameters(|field| route.has_in_its_address(field))
    };
    let asked = read_request(kind, &data.json()).map_err(|fault| of_the_caller(fault.into()))?;
    let context = RequestContext { user: caller.id(), address: caller.address, session: None };
    let done = app.run_to_end(dispatch(Arc::clone(app), context, asked)).await.map_err(of_the_caller)?;
    let response = ApiResponse::ok_json(done.body);
    Ok(if matches!(kind, "create" | "message") { response.created() } else { response })
}

/// Whoever may come in, at the rate of what they do: of reading, or of any envelope; messages are counted
/// where they are sent, by whatever door.
async fn admit(app: &Arc<App>, route: &Route, parts: &mut Parts) -> Result<Caller, ApiError> {
    let caller = Caller::from_request_parts(parts, app).await?;
    let limit = match (route.method, route.asks) {
        ("GET", _) => UserLimit::Read,
        (_, Asks::Request("message")) => return Ok(caller),
        _ => UserLimit::Envelope,
    };
    app.limits.user(limit, caller.id()).map_err(ApiError::rate_limited)?;
    Ok(caller)
}
