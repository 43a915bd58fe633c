//! Who makes a request, and whether they may make one now. Every route but logging in and the probes
//! takes one of these; the WebSocket handshake asks `admit` as well.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use teahouse_core::{ErrorCode, UserId};

use super::context::Context;
use super::refusal::Refusal;
use crate::app::App;
use crate::limits::UserLimit;
use crate::use_cases::authenticate::{Authenticated, authenticate};

/// Somebody who may come in; how fast is theirs to be told by the use case.
pub(super) struct Caller {
    pub(super) who: Authenticated,
    pub(super) address: IpAddr,
}

impl Caller {
    pub(super) fn id(&self) -> UserId {
        self.who.user.profile.id
    }
}

/// A caller who reads, within the rate of reading.
pub(super) struct Reader(pub(super) Caller);

/// A caller who changes something that is no message, within the rate of such.
pub(super) struct Actor(pub(super) Caller);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let Ok(context) = Context::from_request_parts(parts, app).await;
        let who = admit(app, bearer(&parts.headers), context.address).await?;
        Ok(Self { who, address: context.address })
    }
}

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        within(UserLimit::Read, parts, app).await.map(Self)
    }
}

impl FromRequestParts<Arc<App>> for Actor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        within(UserLimit::Envelope, parts, app).await.map(Self)
    }
}

async fn within(limit: UserLimit, parts: &mut Parts, app: &Arc<App>) -> Result<Caller, Refusal> {
    let caller = Caller::from_request_parts(parts, app).await?;
    app.limits.take_for_user(limit, caller.id()).map_err(Refusal::too_fast)?;
    Ok(caller)
}

/// The token of an `Authorization` header.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Lets in whom a token lets in. Beyond its address's limit a bad one is 429 instead of 401.
///
/// # Errors
/// 401, 429, or that nobody knows now.
pub async fn admit(app: &App, token: Option<&str>, address: IpAddr) -> Result<Authenticated, Refusal> {
    // A page that is not logged in has no token; that is no attempt at anything.
    let token = token.ok_or_else(|| Refusal::new(ErrorCode::Unauthorized))?;
    Ok(authenticate(app, token, address).await?)
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
