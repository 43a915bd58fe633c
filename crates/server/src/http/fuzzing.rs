//! The seam of `crate::fuzzing` into what reads requests: bodies, queries and headers, without a socket or an app.

use std::net::IpAddr;

use axum::extract::Query;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};
use serde::de::DeserializeOwned;
use teahouse_core::Language;
use teahouse_protocol::classic::http::{
    ChangePasswordBody, LoginBody, PrivateBody, ProfileBody, RegisterBody, SendBody, http_refusal,
};
use teahouse_protocol::server_api::{DisconnectBody, PostBody, PublishBody, UserBodies};

use super::address::{Whence, whence};
use super::body::{Shape, parse};
use super::cookie::refresh_of;
use super::origin::{Own, may_connect};
use super::parameters::{QueryParams, idempotency_key, parse_integer};
use super::redaction::redacted;
use super::server_api::user_ids;
use crate::errors::ApiError;

/// A refusal, as its sender sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The answer's status.
    pub status: u16,
    /// The field that is to blame.
    pub field: Option<String>,
    /// The answer's body, in each language.
    pub bodies: [String; 2],
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        let body =
            |language| http_refusal(error.status(), error.code(), error.message(language), error.field(), "a request");
        let bodies = [body(Language::En), body(Language::Zh)];
        Self { status: error.status(), field: error.field().map(str::to_owned), bodies }
    }
}

type Read = fn(&[u8]) -> Result<(), ApiError>;

fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<(), ApiError> {
    parse::<T>(bytes, Shape::Object).map(drop)
}

/// Every body that is not a v1 request's `data`, by what it is for.
pub const BODIES: &[(&str, Read)] = &[
    ("register", object::<RegisterBody>),
    ("login", object::<LoginBody>),
    ("profile", object::<ProfileBody>),
    ("change-password", object::<ChangePasswordBody>),
    ("send", object::<SendBody>),
    ("private", object::<PrivateBody>),
    ("publish", object::<PublishBody>),
    ("post", object::<PostBody>),
    ("disconnect", object::<DisconnectBody>),
    ("users", |bytes| parse::<UserBodies>(bytes, Shape::ObjectOrArray).map(drop)),
];

/// Reads these bytes as the body of that place in [`BODIES`].
///
/// # Errors
/// It is none.
pub fn read_body(place: usize, bytes: &[u8]) -> Result<(), Refused> {
    BODIES[place % BODIES.len()].1(bytes).map_err(Refused::from)
}

/// What is made of a request's head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The address as it stands in the log.
    pub redacted: String,
    /// The query's parameters.
    pub limit: Result<u32, Refused>,
    /// The same, as an id.
    pub before: Result<Option<u64>, Refused>,
    /// The same, as a list of ids.
    pub users: Option<Result<Vec<u64>, Refused>>,
    /// What stands behind the last `/` of the path, as an id.
    pub id: Option<u64>,
    /// The headers' `Idempotency-Key`.
    pub key: Result<Option<String>, Refused>,
    /// The refresh token in the headers' cookies.
    pub cookie: Option<String>,
    /// The language to answer in.
    pub language: Language,
    /// Where it comes from when its peer is a stranger, and when it is a listed proxy.
    pub whence: [(IpAddr, bool); 2],
    /// Whether its page may connect to a site of this host.
    pub may_connect: bool,
}

/// Reads a request's head. `None` when its query cannot be read at all.
#[must_use]
pub fn read_head(uri: &Uri, headers: &HeaderMap, peer: IpAddr) -> Option<Head> {
    let asked = QueryParams(Query::try_from_uri(uri).ok()?.0);
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let proxies = [peer.into()];
    let from = |proxies: &[ipnet::IpNet]| {
        let Whence { address, through_proxy } = whence(peer, headers, proxies);
        (address, through_proxy)
    };
    let own = Own {
        public_url: Some("https://www.example.org"),
        allowed: &["http://localhost:5173"],
        host: text(HOST),
        forwarded_host: None,
        loopback_only: false,
    };
    Some(Head {
        redacted: redacted(uri.path_and_query().map_or("", |all| all.as_str())),
        limit: asked.limit().map_err(Refused::from),
        before: asked.message("before_id").map(|id| id.map(|id| id.0)).map_err(Refused::from),
        users: asked
            .value("user_ids")
            .map(|text| user_ids(text).map(|users| users.iter().map(|user| user.0).collect()).map_err(Refused::from)),
        id: uri.path().rsplit('/').next().and_then(parse_integer),
        key: idempotency_key(headers).map_err(Refused::from),
        cookie: refresh_of(headers).map(|secret| secret.expose().to_owned()),
        language: super::language::of(headers),
        whence: [from(&[]), from(&proxies)],
        may_connect: text(ORIGIN).is_some_and(|origin| may_connect(origin, &own)),
    })
}
