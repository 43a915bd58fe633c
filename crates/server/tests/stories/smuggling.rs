//! What stands around a handshake: what came before it, what follows it, what it carries that it should not. Each byte is
//! read once, by the one whom it is meant for, and what two readers could understand in two ways is refused.

use serde_json::json;

use crate::stage::{Person, Server, Wire, handshake, masked, patiently, settles, site_token};

/// A request that would tell whose it is, if anybody read it as one.
const SMUGGLED: &str = "GET /api/auth/me?smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn a_pipelined_handshake_is_answered_in_order() {
    let server = Server::of_a_site(&[]);
    let amy = Person::of_site(&server, 7, "amy");
    let mut wire = Wire::connect(server.address()).await;
    let before = "GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let frame = masked(0x81, br#"{"type":"message","data":{"content":"early"}}"#);
    wire.write(&[before.as_bytes(), handshake(&amy.token, "").as_bytes(), &frame].concat()).await;
    assert_eq!(wire.read_answer().await.0, 200);
    assert!(wire.read_head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(wire.into_tab().await.next_of("message").await["content"], "early");
}

#[tokio::test]
async fn a_handshake_inside_a_body_is_body() {
    let server = Server::of_a_site(&[]);
    let amy = Person::of_site(&server, 7, "amy");
    let inner = handshake(&amy.token, "");
    for outer in [
        format!("POST /api/chat/send HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{inner}", inner.len()),
        format!(
            "POST /api/chat/send HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n",
            inner.len()
        ),
    ] {
        let mut wire = Wire::connect(server.address()).await;
        wire.write(outer.as_bytes()).await;
        assert_eq!(wire.read_answer().await.0, 401);
        wire.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
        assert_eq!(wire.read_answer().await.0, 200, "the next answer is the next request's");
        wire.until_end().await;
    }
    assert_eq!(amy.sees_online().await, [0; 0]);
}

/// This handshake, with this behind it, is refused.
async fn is_refused(server: &Server, what: &str, handshake: &str, behind: &[u8]) {
    let mut wire = Wire::connect(server.address()).await;
    let _ = wire.try_write(&[handshake.as_bytes(), behind].concat()).await;
    let (status, body) = wire.read_answer().await;
    assert_eq!(status, 400, "{what}: {body}");
}

#[tokio::test]
async fn a_handshake_with_a_body_is_refused() {
    let server = Server::of_a_site(&[("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "0")]);
    let token = site_token(7, "amy");
    let hidden = format!("hello{SMUGGLED}");
    let chunked = format!("0\r\n\r\n{SMUGGLED}");
    let frame = masked(0x89, b"");
    for (what, more, body) in [
        ("a length", "Content-Length: 5\r\n", &b"hello"[..]),
        ("a length that hides a request", "Content-Length: 5\r\n", hidden.as_bytes()),
        ("a length and nothing yet", "Content-Length: 5\r\n", b""),
        ("a length that is a frame's", "Content-Length: 6\r\n", &frame),
        ("chunks", "Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
        ("a last chunk and a request", "Transfer-Encoding: chunked\r\n", chunked.as_bytes()),
        ("both", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n", b"hello"),
        ("a length that is none", "Content-Length: 0x5\r\n", b"hello"),
        ("a signed length", "Content-Length: +5\r\n", b"hello"),
        ("an encoding that nobody knows", "Transfer-Encoding: xchunked\r\n", b"hello"),
    ] {
        is_refused(&server, what, &handshake(&token, more), body).await;
    }
    // Where not even the body can be read, HTTP may hang up before it answers; it never lets anybody in.
    let mut wire = Wire::connect(server.address()).await;
    let broken = handshake(&token, "Transfer-Encoding: chunked\r\n");
    let _ = wire.try_write(&[broken.as_bytes(), &frame].concat()).await;
    let answer = wire.read_to_end().await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    // Nothing of a body is no body.
    let mut wire = Wire::connect(server.address()).await;
    wire.write(handshake(&token, "Content-Length: 0\r\n").as_bytes()).await;
    assert!(wire.read_head().await.starts_with("HTTP/1.1 101 "));
    wire.into_tab().await.close(1000).await;
    let amy = Person::of_site(&server, 7, "amy");
    settles(async || amy.sees_online().await.is_empty()).await;
    server.assert_no_panic();
}

#[tokio::test]
async fn an_ambiguous_request_head_is_refused() {
    let server = Server::of_a_site(&[]);
    let token = site_token(7, "amy");
    let good = handshake(&token, "");
    for (what, head) in [
        ("a space before a colon", good.replace("Upgrade: websocket", "Upgrade : websocket")),
        ("a line that goes on", good.replace("Upgrade: websocket", "Upgrade:\r\n websocket")),
        ("a zero in a name", good.replace("Upgrade: websocket", "Up\0grade: websocket")),
        ("a zero in a value", good.replace("Upgrade: websocket", "Upgrade: web\0socket")),
        ("a carriage return in a value", good.replace("Upgrade: websocket", "X: a\rUpgrade: websocket")),
        ("two hosts", good.replace("Host: localhost", "Host: localhost\r\nHost: evil.example")),
        ("two keys", good.replace("Upgrade: web", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nUpgrade: web")),
        ("a space in the address", good.replace("/api/chat/ws?", "/api/chat/ws ?")),
    ] {
        is_refused(&server, what, &head, b"").await;
    }
    server.assert_no_panic();
}

#[tokio::test]
async fn two_websocket_versions_in_one_handshake_are_refused() {
    let server = Server::of_a_site(&[]);
    let good = handshake(&site_token(7, "amy"), "");
    for versions in ["13, 8", "8, 13", "13\r\nSec-WebSocket-Version: 8", "8\r\nSec-WebSocket-Version: 13"] {
        let mut wire = Wire::connect(server.address()).await;
        wire.write(good.replace("Version: 13", &format!("Version: {versions}")).as_bytes()).await;
        let (status, body) = wire.read_answer().await;
        assert!([400, 426].contains(&status), "{versions:?}: {status} {body}");
    }
}

#[tokio::test]
async fn bytes_after_a_refused_handshake_are_a_request_and_never_a_frame() {
    let server = Server::of_a_site(&[]);
    let (amy, bea) = (Person::of_site(&server, 7, "amy"), Person::of_site(&server, 8, "bea"));
    let refused = handshake("nonsense", "");
    // With a request behind it, as clients may send it.
    let mut wire = Wire::connect(server.address()).await;
    wire.write(format!("{refused}GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
    assert_eq!(wire.read_answer().await.0, 401);
    assert_eq!(wire.read_answer().await.0, 200);
    // A good one on the same connection comes in.
    wire.write(handshake(&amy.token, "").as_bytes()).await;
    assert!(wire.read_head().await.starts_with("HTTP/1.1 101 "));
    let mut tab = wire.into_tab().await;
    tab.is_alive().await;
    // A frame there is no HTTP.
    let mut wire = Wire::connect(server.address()).await;
    let frame = masked(0x81, br#"{"type":"message","data":{"content":"from nobody"}}"#);
    wire.write(&[refused.as_bytes(), &frame].concat()).await;
    assert_eq!(wire.read_answer().await.0, 401);
    let _ = wire.try_write(b"\r\n\r\n").await;
    patiently("the end of it", wire.until_end()).await;
    assert_eq!(crate::stage::of_type(&tab.until_marker(&bea).await, "message"), Vec::<serde_json::Value>::new());
    assert_eq!(bea.lobby().await.last().map(|last| last["content"].clone()), Some(json!("— a marker —")));
}

#[tokio::test]
async fn an_upgrade_to_another_protocol_or_path_is_not_a_handshake() {
    let server = Server::of_a_site(&[]);
    let token = site_token(7, "amy");
    let good = handshake(&token, "");
    for (what, head, status) in [
        ("HTTP/2", good.replace("Upgrade: websocket", "Upgrade: h2c"), 426),
        ("another path", good.replace("/api/chat/ws?", "/api/chat/online-count?"), 401),
        ("the old path", good.replace("/api/chat/ws?", "/api/ws?"), 404),
        ("a path below it", good.replace("/api/chat/ws?", "/api/chat/ws/x?"), 404),
    ] {
        let mut wire = Wire::connect(server.address()).await;
        wire.write(head.as_bytes()).await;
        let (got, body) = wire.read_answer().await;
        assert_eq!(got, status, "{what}: {body}");
        // It is still HTTP.
        wire.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(wire.read_answer().await.0, 200, "{what}");
    }
}
