//! Reads a handshake's request (dialect, token, device) and validates the upgrade (RFC 6455). Pure.

use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use teahouse_core::ErrorCode;
use teahouse_hub::Dialect;

use crate::errors::ApiError;
use crate::http::caller::bearer;

/// The GUID that is hashed with the key (RFC 6455, section 1.3).
const KEY_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The subprotocol of the v1 dialect.
pub(super) const V1_SUBPROTOCOL: &str = "teahouse.v1";
/// Maximum characters of a device's name; the rest is cut off.
const DEVICE_CHARS_MAX: usize = 64;

/// The value of `Sec-WebSocket-Accept` for a key (RFC 6455, section 1.3).
pub(super) fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(KEY_GUID);
    STANDARD.encode(hash.finalize())
}

/// The parameters of a handshake.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HandshakeParameters {
    pub(super) dialect: Dialect,
    pub(super) token: Option<String>,
    pub(super) device: Option<String>,
}

impl HandshakeParameters {
    /// Reads the parameters. The token comes from the header, the subprotocol or the query, in this order
    /// (docs/protocol.md, "Connecting").
    pub(super) fn read(headers: &HeaderMap, uri: &Uri) -> Self {
        let mut parameters = Self { dialect: Dialect::Classic, token: None, device: None };
        let mut subprotocol_token = None;
        for protocol in list_items(headers, &SEC_WEBSOCKET_PROTOCOL) {
            if protocol == V1_SUBPROTOCOL {
                parameters.dialect = Dialect::V1;
            } else if let Some(token) = protocol.strip_prefix("bearer.") {
                subprotocol_token = Some(token.to_owned());
            } else if let Some(device) = protocol.strip_prefix("device.") {
                parameters.device = Some(device.chars().take(DEVICE_CHARS_MAX).collect());
            }
        }
        let query_token = || {
            let query = uri.query()?;
            query.split('&').find_map(|pair| pair.strip_prefix("token=")).map(str::to_owned)
        };
        parameters.token = bearer(headers).map(str::to_owned).or(subprotocol_token).or_else(query_token);
        parameters
    }
}

/// The items of a comma-separated header, over all its lines.
fn list_items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

/// Whether the request asks for an upgrade to WebSocket.
pub(super) fn wants_upgrade(headers: &HeaderMap) -> bool {
    list_items(headers, &UPGRADE).any(|item| item.eq_ignore_ascii_case("websocket"))
}

/// Checks the upgrade (RFC 6455, section 4.2.1) and returns its key. A proxy in front could read a repeated header or a
/// body in another way than this server, for instance a body as frames: both are refused (request smuggling).
pub(super) fn check_upgrade(parts: &Parts) -> Result<String, ApiError> {
    let refuse = |what: &'static str| ApiError::new(ErrorCode::BadRequest).with_field(what);
    let once = |name: &HeaderName| {
        let mut lines = parts.headers.get_all(name).iter();
        lines.next().filter(|_| lines.next().is_none())
    };
    if parts.version != Version::HTTP_11 {
        return Err(refuse("HTTP/1.1"));
    }
    if once(&HOST).is_none() {
        return Err(refuse("Host"));
    }
    if parts.headers.contains_key(TRANSFER_ENCODING) {
        return Err(refuse("Transfer-Encoding"));
    }
    if parts.headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0") {
        return Err(refuse("Content-Length"));
    }
    if !list_items(&parts.headers, &CONNECTION).any(|item| item.eq_ignore_ascii_case("upgrade")) {
        return Err(refuse("Connection"));
    }
    if once(&SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(refuse("Sec-WebSocket-Version").with_status(StatusCode::UPGRADE_REQUIRED));
    }
    let key = once(&SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()).map(str::trim);
    match key {
        Some(key) if STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16) => Ok(key.to_owned()),
        _ => Err(refuse("Sec-WebSocket-Key")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_token_comes_from_the_header_the_subprotocol_or_the_query() {
        use axum::http::header::AUTHORIZATION;
        let check = |lines: &[(HeaderName, &str)], uri: &str, token: Option<&str>, device: Option<&str>, dialect| {
            let parameters = HandshakeParameters::read(&headers(lines), &uri.parse().unwrap());
            let (token, device) = (token.map(Into::into), device.map(Into::into));
            assert_eq!(parameters, HandshakeParameters { dialect, token, device });
        };
        let (ws, classic) = ("/api/chat/ws", Dialect::Classic);
        check(&[], ws, None, None, classic);
        check(&[(AUTHORIZATION, "Bearer a.b.c")], "/api/chat/ws?token=q", Some("a.b.c"), None, classic);
        check(&[], "/api/chat/ws?_t=1&token=a.b.c", Some("a.b.c"), None, classic);
        check(&[(SEC_WEBSOCKET_PROTOCOL, "bearer.a.b.c")], ws, Some("a.b.c"), None, classic);
        check(&[(SEC_WEBSOCKET_PROTOCOL, "chat, teahouse.v2")], ws, None, None, classic);
        let v1 = "teahouse.v1, bearer.a.b.c, device.phone";
        check(&[(SEC_WEBSOCKET_PROTOCOL, v1)], ws, Some("a.b.c"), Some("phone"), Dialect::V1);
        let lines = [(SEC_WEBSOCKET_PROTOCOL, "device.phone"), (SEC_WEBSOCKET_PROTOCOL, "teahouse.v1")];
        check(&lines, ws, None, Some("phone"), Dialect::V1);
        check(&[(SEC_WEBSOCKET_PROTOCOL, "teahouse.v1")], "/api/chat/ws?token=q", Some("q"), None, Dialect::V1);
    }

    #[test]
    fn the_accept_key_is_that_of_the_rfc() {
        // RFC 6455, section 1.3.
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
