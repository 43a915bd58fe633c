//! The handlers of `/api/v1`. A route's path, query and body together are the `data` of a v1 request, which the
//! dispatcher executes; the protocol's table says which request, at what rate, and with what status.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use teahouse_core::RoomId;
use teahouse_protocol::routes::{Input, Output, RateClass, Route};
use teahouse_protocol::v1::{self, OwnRooms, RoomBody, read_request};

use super::caller::{Caller, Reader, WholeReader};
use super::parameters::{IdempotencyKey, PathId, blame_idempotency_key};
use super::response::{ApiResponse, ApiResult};
use crate::app::App;
use crate::dispatch::{RequestContext, dispatch};
use crate::errors::ApiError;
use crate::limits::UserLimit;
use crate::use_cases::rooms;
use data::{Address, Data};

mod data;

const OPENAPI: &str = include_str!("../../../../docs/openapi.json");

pub(super) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

pub(super) async fn list_rooms(State(app): State<Arc<App>>, WholeReader(caller, permit): WholeReader) -> ApiResult {
    let list = rooms::list_rooms::list_rooms(&app, caller.id()).await?;
    Ok(ApiResponse::ok(&OwnRooms::new(&list, |user| app.live.is_online(user))).holding(Some(permit)))
}

pub(super) async fn get_room(State(app): State<Arc<App>>, Reader(caller): Reader, PathId(room): PathId) -> ApiResult {
    let entry = rooms::read_room::read_room(&app, caller.id(), RoomId(room)).await?;
    Ok(ApiResponse::ok(&RoomBody::new(&entry, |user| app.live.is_online(user))))
}

/// Handles every route whose input is a v1 request.
pub(super) async fn handle_request(app: Arc<App>, route: &'static Route, request: Request) -> ApiResult {
    let (mut parts, body) = request.into_parts();
    let caller = admit(&app, route, &mut parts).await?;
    let read = read(&app, route, parts, body).await;
    if read.is_err() && route.rate == RateClass::Sends {
        // No use case counts it.
        app.take_rate_token(UserLimit::Envelope, caller.id()).map_err(ApiError::rate_limited)?;
    }
    let (request, blame) = read?;
    let context = RequestContext { user: caller.id(), address: caller.address, session: None };
    let done = app.run_to_end(dispatch(Arc::clone(&app), context, request)).await.map_err(blame)?;
    let response = ApiResponse::ok_json(done.body).holding(done.permit);
    Ok(if matches!(route.output, Output::Created(_)) { response.created() } else { response })
}

/// Reads the request of a route, and gives what names the parameters in its errors.
async fn read(
    app: &Arc<App>,
    route: &'static Route,
    mut parts: Parts,
    body: Body,
) -> Result<(v1::Request, impl Fn(ApiError) -> ApiError + use<>), ApiError> {
    let Input::Request { kind, on } = route.input else {
        return Err(ApiError::new(teahouse_core::ErrorCode::Internal));
    };
    let key = match route.takes_idempotency_key {
        true => IdempotencyKey::from_request_parts(&mut parts, app).await?.0,
        false => None,
    };
    let address = Address::read(&mut parts, route).await?;
    let mut data = Data::default();
    if route.has_body() {
        data = Data::read(Request::from_parts(parts, body), app).await?;
    }
    if route.takes_idempotency_key {
        data.set_client_id(key.as_deref())?;
    }
    if let Some(on) = on {
        data.set("on", &on);
    }
    data.set_all(&address);
    let has_key = key.is_some();
    let blame = move |error: ApiError| {
        let error = if has_key { blame_idempotency_key(error) } else { error };
        let in_query = |name: &str| route.query_fields().any(|(field, _)| field == name);
        error.with_parameters(|field| route.has_path_parameter(field) || in_query(field))
    };
    let request = read_request(kind.as_str(), &data.json()).map_err(|fault| blame(fault.into()))?;
    Ok((request, blame))
}

/// Authenticates the caller and counts the call. A use case counts sends itself, for every transport.
async fn admit(app: &Arc<App>, route: &Route, parts: &mut Parts) -> Result<Caller, ApiError> {
    let caller = Caller::from_request_parts(parts, app).await?;
    let limit = match route.rate {
        RateClass::Reads => UserLimit::Read,
        RateClass::Envelopes => UserLimit::Envelope,
        RateClass::Sends | RateClass::Unlimited | RateClass::Address | RateClass::Connects => return Ok(caller),
    };
    app.take_rate_token(limit, caller.id()).map_err(ApiError::rate_limited)?;
    Ok(caller)
}
