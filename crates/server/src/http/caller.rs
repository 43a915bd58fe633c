//! The user who makes a request, as an extractor for handlers: authenticated, and held to a rate.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use teahouse_core::UserId;
use teahouse_hub::AnswerPermit;

use super::context::Context;
use crate::app::App;
use crate::connection::Place;
use crate::errors::ApiError;
use crate::limits::UserLimit;
use crate::use_cases::accounts::authenticate::{Authenticated, authenticate};

/// An authenticated user. The use case applies a rate, if any.
pub(super) struct Caller {
    pub(super) who: Authenticated,
    pub(super) address: IpAddr,
}

impl Caller {
    pub(super) fn id(&self) -> UserId {
        self.who.user.profile.id
    }
}

/// A caller within the rate of reads.
pub(super) struct Reader(pub(super) Caller);

/// A caller within the rate of reads, with the permit for an answer that may be large.
pub(super) struct PageReader(pub(super) Caller, pub(super) AnswerPermit);

/// The same for an answer that no page bounds.
pub(super) struct WholeReader(pub(super) Caller, pub(super) AnswerPermit);

/// A caller within the rate of changes other than messages.
pub(super) struct Actor(pub(super) Caller);

/// A caller who sends, and the rest of the request. The use case counts a send; what cannot be read counts here, as any
/// other envelope.
pub(super) struct Sender<T>(pub(super) Caller, pub(super) T);

impl<T> FromRequest<Arc<App>> for Sender<T>
where
    T: FromRequest<Arc<App>, Rejection: Send>,
{
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, app).await.map_err(IntoResponse::into_response)?;
        match T::from_request(Request::from_parts(parts, body), app).await {
            Ok(rest) => Ok(Self(caller, rest)),
            Err(unreadable) => Err(match app.take_rate_token(UserLimit::Envelope, caller.id()) {
                Ok(()) => unreadable.into_response(),
                Err(retry_after) => ApiError::rate_limited(retry_after).into_response(),
            }),
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let Ok(context) = Context::from_request_parts(parts, app).await;
        let who = authenticate(app, bearer(&parts.headers), context.address).await?;
        note_authenticated(parts);
        if let Some(context) = parts.extensions.get_mut::<Context>() {
            context.user = Some(who.user.profile.id);
        }
        Ok(Self { who, address: context.address })
    }
}

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        within_rate(UserLimit::Read, parts, app).await.map(Self)
    }
}

impl FromRequestParts<Arc<App>> for PageReader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let caller = within_rate(UserLimit::Read, parts, app).await?;
        let permit = app.begin_answer(caller.id()).await?;
        Ok(Self(caller, permit))
    }
}

impl FromRequestParts<Arc<App>> for WholeReader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let caller = within_rate(UserLimit::Read, parts, app).await?;
        let permit = app.begin_whole_answer(caller.id()).await?;
        Ok(Self(caller, permit))
    }
}

impl FromRequestParts<Arc<App>> for Actor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        within_rate(UserLimit::Envelope, parts, app).await.map(Self)
    }
}

async fn within_rate(limit: UserLimit, parts: &mut Parts, app: &Arc<App>) -> Result<Caller, ApiError> {
    let caller = Caller::from_request_parts(parts, app).await?;
    app.take_rate_token(limit, caller.id()).map_err(ApiError::rate_limited)?;
    Ok(caller)
}

/// Tells the connection that its current request is authenticated. Tests have no connection.
pub(super) fn note_authenticated(parts: &Parts) {
    if let Some(place) = parts.extensions.get::<Arc<Place>>() {
        place.authenticate();
    }
}

/// The token of an `Authorization: Bearer` header.
#[must_use]
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_found_whatever_the_case_of_its_scheme() {
        let check = |header: &'static str, expect: Option<&str>| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, header.parse().unwrap())]);
            assert_eq!(bearer(&headers), expect, "{header}");
        };
        check("Bearer a.b.c", Some("a.b.c"));
        check("bearer  a.b.c ", Some("a.b.c"));
        check("Basic YTpi", None);
        check("Bearer", None);
        check("a.b.c", None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
