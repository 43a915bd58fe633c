//! The part of `crate::fuzzing` that reads requests: bodies, queries and headers, without a socket or an app.

use std::net::IpAddr;

use axum::extract::Query;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};
use serde::de::DeserializeOwned;
use teahouse_core::Language;
use teahouse_protocol::classic::http::{
    ChangePasswordBody, LoginBody, PrivateBody, ProfileBody, RegisterBody, SendBody,
};
use teahouse_protocol::http;
use teahouse_protocol::server_api::{DisconnectBody, PostBody, PublishBody, UserBodies};

use super::address::{ClientAddr, resolve_client_addr};
use super::body::{Shape, parse};
use super::cookie::refresh_of;
use super::language::preferred_language;
use super::origin::{AllowedOrigins, may_connect};
use super::parameters::{QueryParams, idempotency_key, parse_integer};
use super::redaction::redacted;
use super::server_api::user_ids;
use crate::errors::ApiError;

/// A refusal as the client sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The status of the answer.
    pub status: u16,
    /// The invalid field.
    pub field: Option<String>,
    /// The body of the answer in each language.
    pub bodies: [String; 2],
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        let body =
            |language| http::error(error.status(), error.code(), error.message(language), error.field(), "a request");
        let bodies = [body(Language::En), body(Language::Zh)];
        Self { status: error.status(), field: error.field().map(str::to_owned), bodies }
    }
}

type Read = fn(&[u8]) -> Result<(), ApiError>;

fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<(), ApiError> {
    parse::<T>(bytes, Shape::Object).map(drop)
}

/// Every request body that is not the `data` of a v1 request, by its name.
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

/// Reads bytes as the body with this index in [`BODIES`].
///
/// # Errors
/// The bytes are not a valid body.
pub fn read_body(index: usize, bytes: &[u8]) -> Result<(), Refused> {
    BODIES[index % BODIES.len()].1(bytes).map_err(Refused::from)
}

/// The parsed head of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The URL in the log.
    pub redacted: String,
    /// The query parameter `limit`.
    pub limit: Result<u32, Refused>,
    /// The query parameter `before_id`.
    pub before: Result<Option<u64>, Refused>,
    /// The query parameter `user_ids`.
    pub users: Option<Result<Vec<u64>, Refused>>,
    /// The last segment of the path, as an id.
    pub id: Option<u64>,
    /// The header `Idempotency-Key`.
    pub key: Result<Option<String>, Refused>,
    /// The refresh token in the cookies.
    pub cookie: Option<String>,
    /// The language of the answer.
    pub language: Language,
    /// The client's address with an untrusted peer, and with a trusted proxy.
    pub client_addrs: [(IpAddr, bool); 2],
    /// Whether its page may connect to a server with this host.
    pub may_connect: bool,
}

/// Reads the head of a request; `None` when its query is malformed.
#[must_use]
pub fn read_head(uri: &Uri, headers: &HeaderMap, peer: IpAddr) -> Option<Head> {
    let query = QueryParams(Query::try_from_uri(uri).ok()?.0);
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let proxies = [peer.into()];
    let from = |proxies: &[ipnet::IpNet]| {
        let ClientAddr { address, through_proxy, .. } = resolve_client_addr(peer, headers, proxies);
        (address, through_proxy)
    };
    let allowed = AllowedOrigins {
        public_url: Some("https://www.example.org"),
        listed: &["http://localhost:5173"],
        host: text(HOST),
        forwarded_host: None,
        loopback_only: false,
    };
    Some(Head {
        redacted: redacted(uri.path_and_query().map_or("", |all| all.as_str())),
        limit: query.limit().map_err(Refused::from),
        before: query.message("before_id").map(|id| id.map(|id| id.0)).map_err(Refused::from),
        users: query
            .value("user_ids")
            .map(|text| user_ids(text).map(|users| users.iter().map(|user| user.0).collect()).map_err(Refused::from)),
        id: uri.path().rsplit('/').next().and_then(parse_integer),
        key: idempotency_key(headers).map_err(Refused::from),
        cookie: refresh_of(headers).map(|secret| secret.expose().to_owned()),
        language: preferred_language(headers),
        client_addrs: [from(&[]), from(&proxies)],
        may_connect: text(ORIGIN).is_some_and(|origin| may_connect(origin, &allowed)),
    })
}
