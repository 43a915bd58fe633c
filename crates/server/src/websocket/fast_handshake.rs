//! The fast path of a handshake that arrives complete and first on its connection. It skips HTTP, which costs several
//! times the handshake itself (docs/performance.md). It runs the same checks as the HTTP route, which answers every
//! refusal and every other request.

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version};
use bytes::Bytes;
use tracing::Instrument;

use super::{AcceptedSocket, Handshakes, RefusedHandshake, wants_upgrade};
use crate::clock;
use crate::connection::FirstRequest;
use crate::http::context::{Context, X_REQUEST_ID, log_access};
use crate::http::panics::catch_panic;
use crate::http::redaction::redacted;

/// The path of the WebSocket route.
pub(crate) const PATH: &str = "/api/chat/ws";
/// Maximum header lines of a request, as in hyper.
const HEADERS_MAX: usize = 100;

impl Handshakes {
    /// Attaches a connection whose first bytes are a complete handshake that passes all checks. Otherwise it returns
    /// the connection for HTTP, with the refusal if there is one.
    pub(crate) async fn try_attach(&self, first: FirstRequest) -> Option<(FirstRequest, Option<RefusedHandshake>)> {
        let started = clock::monotonic();
        let Some((head, length)) = read_head(&first.bytes) else { return Some((first, None)) };
        let context = Context::of(&head.headers, first.peer.ip(), &self.app);
        let checking = catch_panic(self.check(&context, &head).instrument(context.span()));
        let accepted_handshake = match checking.await.and_then(|outcome| outcome) {
            Ok(accepted_handshake) => accepted_handshake,
            Err(error) => return Some((first, Some(RefusedHandshake(error)))),
        };
        let mut response = String::with_capacity(256);
        response.push_str("HTTP/1.1 101 Switching Protocols\r\n");
        let id = (X_REQUEST_ID, (*context.request_id).to_owned().into());
        for (name, value) in accepted_handshake.response_headers().chain([id]) {
            for part in [name.as_str(), ": ", &value, "\r\n"] {
                response.push_str(part);
            }
        }
        response.push_str("\r\n");
        let address = redacted(head.uri.path_and_query().map_or(PATH, |address| address.as_str()));
        log_access(&head.method, PATH, &address, StatusCode::SWITCHING_PROTOCOLS, started, &context);

        let FirstRequest { stream, accepted, bytes, place, .. } = first;
        let early = Bytes::copy_from_slice(&bytes[length..]);
        let socket = AcceptedSocket { accepted, stream, early, permit: place.take_permit(), response: response.into() };
        accepted_handshake.attach(&self.hub, socket).await;
        None
    }
}

/// The head of a handshake and its length, if these bytes start with a complete one.
fn read_head(bytes: &Bytes) -> Option<(Parts, usize)> {
    let after = bytes.strip_prefix(b"GET ")?.strip_prefix(PATH.as_bytes())?;
    if !matches!(after.first(), Some(b' ' | b'?')) {
        return None;
    }
    let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut lines);
    let Ok(httparse::Status::Complete(length)) = request.parse(bytes) else { return None };

    let (mut head, ()) = Request::new(()).into_parts();
    head.method = Method::GET;
    head.version = if request.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    head.uri = Uri::from_maybe_shared(bytes.slice_ref(request.path?.as_bytes())).ok()?;
    head.headers.reserve(request.headers.len());
    for line in &*request.headers {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        // HTTP refuses a handshake with a body.
        if name == "content-length" || name == "transfer-encoding" {
            return None;
        }
        head.headers.append(name, HeaderValue::from_maybe_shared(bytes.slice_ref(line.value)).ok()?);
    }
    wants_upgrade(&head.headers).then_some((head, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "GET /api/chat/ws?token=a.b.c HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n";

    fn length(text: &str) -> Option<usize> {
        read_head(&Bytes::copy_from_slice(text.as_bytes())).map(|(_, length)| length)
    }

    #[test]
    fn only_a_complete_handshake_is_taken() {
        assert_eq!(length(GOOD), Some(GOOD.len()));
        assert_eq!(length(&format!("{GOOD}\u{1}frames")), Some(GOOD.len()), "the bytes after it are not part of it");
        assert_eq!(length(&GOOD.replace("?token=a.b.c", "")), Some(GOOD.len() - "?token=a.b.c".len()));
        for end in 0..GOOD.len() {
            assert_eq!(length(&GOOD[..end]), None, "{end} bytes of it");
        }
        for (what, other) in [
            ("another method", GOOD.replace("GET", "PUT")),
            ("another path", GOOD.replace("/ws", "/wss")),
            ("a path below", GOOD.replace("/ws", "/ws/")),
            ("no upgrade", GOOD.replace("Upgrade: websocket\r\n", "")),
            ("another upgrade", GOOD.replace("websocket", "h2c")),
            ("a body", GOOD.replace("Host", "Content-Length: 5\r\nHost")),
            ("a chunked body", GOOD.replace("Host", "Transfer-Encoding: chunked\r\nHost")),
            ("a header that is none", GOOD.replace("Host: localhost", "Host\u{1}: localhost")),
            ("a folded header", GOOD.replace("Host: localhost", "Host: local\r\n host")),
            ("too many headers", GOOD.replace("Host: localhost\r\n", &"X: y\r\n".repeat(HEADERS_MAX))),
            ("another version", GOOD.replace("HTTP/1.1", "HTTP/2.0")),
        ] {
            assert_eq!(length(&other), None, "{what}");
        }
    }

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let text = GOOD.replace("Host", "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\nHOST");
        let (head, _) = read_head(&Bytes::from(text)).unwrap();
        assert_eq!((head.method, head.version, head.uri.query()), (Method::GET, Version::HTTP_11, Some("token=a.b.c")));
        assert_eq!(head.headers["host"], "localhost");
        assert_eq!(head.headers.get_all("sec-websocket-protocol").iter().collect::<Vec<_>>(), ["a", "b"]);
        let old = Bytes::from(GOOD.replace("HTTP/1.1", "HTTP/1.0"));
        assert_eq!(read_head(&old).unwrap().0.version, Version::HTTP_10);
    }
}
