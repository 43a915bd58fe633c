//! Bytes before, after and inside a handshake. Each byte is read once, as HTTP or as a frame, and the server refuses
//! what two parsers could read in two ways.

use serde_json::json;

use crate::fixture::{RawSocket, Server, User, masked, request_head, site_token, wait_until, within_patience};

/// A request whose answer would name its user, if the server read it as a request.
const SMUGGLED: &str = "GET /api/auth/me?smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn a_pipelined_handshake_is_answered_in_order() {
    let server = Server::of_site(&[]);
    let amy = User::of_site(&server, 7, "amy");
    let mut socket = RawSocket::connect(server.address()).await;
    let before = "GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let frame = masked(0x81, br#"{"type":"message","data":{"content":"early"}}"#);
    socket.write(&[before.as_bytes(), request_head(&amy.token, "").as_bytes(), &frame].concat()).await;
    assert_eq!(socket.read_response().await.0, 200);
    assert!(socket.read_head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(socket.into_tab().await.next_of("message").await["content"], "early");
}

#[tokio::test]
async fn a_handshake_inside_a_body_is_body() {
    let server = Server::of_site(&[]);
    let amy = User::of_site(&server, 7, "amy");
    let inner = request_head(&amy.token, "");
    for outer in [
        format!("POST /api/chat/send HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{inner}", inner.len()),
        format!(
            "POST /api/chat/send HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n",
            inner.len()
        ),
    ] {
        let mut socket = RawSocket::connect(server.address()).await;
        socket.write(outer.as_bytes()).await;
        assert_eq!(socket.read_response().await.0, 401);
        socket.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
        assert_eq!(socket.read_response().await.0, 200, "the next response answers the next request");
        socket.wait_for_end().await;
    }
    assert_eq!(amy.online_users().await, [0; 0]);
}

/// Asserts that the server refuses this handshake with these bytes after it.
async fn assert_refused(server: &Server, what: &str, handshake: &str, rest: &[u8]) {
    let mut socket = RawSocket::connect(server.address()).await;
    let _ = socket.try_write(&[handshake.as_bytes(), rest].concat()).await;
    let (status, body) = socket.read_response().await;
    assert_eq!(status, 400, "{what}: {body}");
}

#[tokio::test]
async fn a_handshake_with_a_body_is_refused() {
    let server = Server::of_site(&[("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "0")]);
    let token = site_token(7, "amy");
    let hidden = format!("hello{SMUGGLED}");
    let chunked = format!("0\r\n\r\n{SMUGGLED}");
    let frame = masked(0x89, b"");
    for (what, more, body) in [
        ("a length", "Content-Length: 5\r\n", &b"hello"[..]),
        ("a length that hides a request", "Content-Length: 5\r\n", hidden.as_bytes()),
        ("a length and nothing yet", "Content-Length: 5\r\n", b""),
        ("a length that covers a frame", "Content-Length: 6\r\n", &frame),
        ("chunks", "Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
        ("a last chunk and a request", "Transfer-Encoding: chunked\r\n", chunked.as_bytes()),
        ("both", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n", b"hello"),
        ("an invalid length", "Content-Length: 0x5\r\n", b"hello"),
        ("a sign length", "Content-Length: +5\r\n", b"hello"),
        ("an unknown encoding", "Transfer-Encoding: xchunked\r\n", b"hello"),
    ] {
        assert_refused(&server, what, &request_head(&token, more), body).await;
    }
    // With an unreadable body the server may close before it answers. It never accepts the handshake.
    let mut socket = RawSocket::connect(server.address()).await;
    let broken = request_head(&token, "Transfer-Encoding: chunked\r\n");
    let _ = socket.try_write(&[broken.as_bytes(), &frame].concat()).await;
    let answer = socket.read_to_end().await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    // An empty body is allowed.
    let mut socket = RawSocket::connect(server.address()).await;
    socket.write(request_head(&token, "Content-Length: 0\r\n").as_bytes()).await;
    assert!(socket.read_head().await.starts_with("HTTP/1.1 101 "));
    socket.into_tab().await.close(1000).await;
    let amy = User::of_site(&server, 7, "amy");
    wait_until(async || amy.online_users().await.is_empty()).await;
    server.assert_no_panic();
}

#[tokio::test]
async fn an_ambiguous_request_head_is_refused() {
    let server = Server::of_site(&[]);
    let token = site_token(7, "amy");
    let good = request_head(&token, "");
    for (what, head) in [
        ("a space before a colon", good.replace("Upgrade: websocket", "Upgrade : websocket")),
        ("a folded header line", good.replace("Upgrade: websocket", "Upgrade:\r\n websocket")),
        ("a zero in a name", good.replace("Upgrade: websocket", "Up\0grade: websocket")),
        ("a zero in a value", good.replace("Upgrade: websocket", "Upgrade: web\0socket")),
        ("a carriage return in a value", good.replace("Upgrade: websocket", "X: a\rUpgrade: websocket")),
        ("two hosts", good.replace("Host: localhost", "Host: localhost\r\nHost: evil.example")),
        ("two keys", good.replace("Upgrade: web", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nUpgrade: web")),
        ("a space in the address", good.replace("/api/chat/ws?", "/api/chat/ws ?")),
    ] {
        assert_refused(&server, what, &head, b"").await;
    }
    server.assert_no_panic();
}

#[tokio::test]
async fn two_websocket_versions_in_one_handshake_are_refused() {
    let server = Server::of_site(&[]);
    let good = request_head(&site_token(7, "amy"), "");
    for versions in ["13, 8", "8, 13", "13\r\nSec-WebSocket-Version: 8", "8\r\nSec-WebSocket-Version: 13"] {
        let mut socket = RawSocket::connect(server.address()).await;
        socket.write(good.replace("Version: 13", &format!("Version: {versions}")).as_bytes()).await;
        let (status, body) = socket.read_response().await;
        assert!([400, 426].contains(&status), "{versions:?}: {status} {body}");
    }
}

#[tokio::test]
async fn bytes_after_a_refused_handshake_are_a_request_and_never_a_frame() {
    let server = Server::of_site(&[]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let refused = request_head("nonsense", "");
    // With a pipelined request, as clients may send it.
    let mut socket = RawSocket::connect(server.address()).await;
    socket.write(format!("{refused}GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
    assert_eq!(socket.read_response().await.0, 401);
    assert_eq!(socket.read_response().await.0, 200);
    // A valid handshake on the same connection succeeds.
    socket.write(request_head(&amy.token, "").as_bytes()).await;
    assert!(socket.read_head().await.starts_with("HTTP/1.1 101 "));
    let mut tab = socket.into_tab().await;
    tab.assert_alive().await;
    // A frame there is not HTTP.
    let mut socket = RawSocket::connect(server.address()).await;
    let frame = masked(0x81, br#"{"type":"message","data":{"content":"from anonymous"}}"#);
    socket.write(&[refused.as_bytes(), &frame].concat()).await;
    assert_eq!(socket.read_response().await.0, 401);
    let _ = socket.try_write(b"\r\n\r\n").await;
    within_patience("the end of the connection", socket.wait_for_end()).await;
    assert_eq!(crate::fixture::of_type(&tab.read_to_marker(&bea).await, "message"), Vec::<serde_json::Value>::new());
    assert_eq!(bea.lobby().await.last().map(|last| last["content"].clone()), Some(json!("— a marker —")));
}

#[tokio::test]
async fn an_upgrade_to_another_protocol_or_path_is_not_a_handshake() {
    let server = Server::of_site(&[]);
    let token = site_token(7, "amy");
    let good = request_head(&token, "");
    for (what, head, status) in [
        ("HTTP/2", good.replace("Upgrade: websocket", "Upgrade: h2c"), 426),
        ("another path", good.replace("/api/chat/ws?", "/api/chat/online-count?"), 401),
        ("the old path", good.replace("/api/chat/ws?", "/api/ws?"), 404),
        ("a path below it", good.replace("/api/chat/ws?", "/api/chat/ws/x?"), 404),
    ] {
        let mut socket = RawSocket::connect(server.address()).await;
        socket.write(head.as_bytes()).await;
        let (got, body) = socket.read_response().await;
        assert_eq!(got, status, "{what}: {body}");
        // The connection still speaks HTTP.
        socket.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(socket.read_response().await.0, 200, "{what}");
    }
}
