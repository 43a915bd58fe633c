//! Places: which connections wait, give way or are answered when there are many. Connections come from loopback, so most
//! stories trust no proxy.

use std::net::SocketAddr;

use futures_util::future::select_all;
use serde_json::{Value, json};
use teahouse_testkit::ws::request_head;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use crate::fixture::{RawSocket, Server, User, site_token};

const LIVE: &[u8] = b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// A request that waits for its body, so that its connection is not idle.
const WITHOUT_BODY: &str = "POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n";
const NO_PROXY: (&str, &str) = ("TEAHOUSE_SERVER__TRUSTED_PROXIES", "");
/// Longer than any story, so that only giving way frees a place.
const PATIENT: (&str, &str) = ("TEAHOUSE_SERVER__HEADER_TIMEOUT", "1h");

async fn send(server: &Server, bytes: &[u8]) -> RawSocket {
    let mut socket = RawSocket::connect(server.address()).await;
    socket.write(bytes).await;
    socket
}

/// A request that waits for its body, once the server has asked for the body.
async fn wait_for_body(server: &Server, more: &str) -> RawSocket {
    let head = format!("{WITHOUT_BODY}Expect: 100-continue\r\n{more}\r\n");
    let mut socket = send(server, head.as_bytes()).await;
    let head = socket.read_head().await;
    assert!(head.starts_with("HTTP/1.1 100 "), "{head}");
    socket
}

/// The status of a request on a new connection.
async fn status(server: &Server, bytes: &[u8]) -> u16 {
    send(server, bytes).await.read_response().await.0
}

/// Opens so many connections that taking turns of a quarter of a second would outlast their timeout of four seconds, and
/// returns whether the first of them is still open when somebody else has been answered.
async fn first_is_open_when_somebody_is_answered(bytes: &[u8]) -> bool {
    const MANY: usize = 1600;
    let server = Server::of_site(&[("TEAHOUSE_SERVER__HEADER_TIMEOUT", "4s")]);
    let mut many = Vec::with_capacity(MANY);
    for _ in 0..MANY {
        many.push(send(&server, bytes).await);
    }
    assert_eq!(status(&server, LIVE).await, 200);
    !many[0].has_ended()
}

#[tokio::test]
async fn connections_that_sent_a_part_of_a_head_keep_nobody_waiting() {
    assert!(first_is_open_when_somebody_is_answered(b"G").await);
}

#[tokio::test]
async fn requests_whose_body_does_not_arrive_keep_nobody_waiting() {
    assert!(first_is_open_when_somebody_is_answered(format!("{WITHOUT_BODY}\r\n").as_bytes()).await);
}

#[tokio::test]
async fn the_oldest_idle_connection_gives_way_to_a_newcomer() {
    const PLACES: usize = 6;
    for (what, bytes) in [("silent", &b""[..]), ("a part of a head", b"GET /li"), ("kept alive", LIVE)] {
        let server = Server::of_site(&[("TEAHOUSE_SERVER__CONNECTIONS_MAX", "6"), NO_PROXY, PATIENT]);
        let mut idle = Vec::new();
        for _ in 0..PLACES {
            let mut socket = send(&server, bytes).await;
            if bytes == LIVE {
                assert_eq!(socket.read_response().await.0, 200, "{what}");
            }
            idle.push(socket);
        }
        let mut newcomer = send(&server, LIVE).await;
        assert_eq!(newcomer.read_response().await.0, 200, "{what}");
        let early = idle[..PLACES - 1].iter_mut().map(|socket| Box::pin(socket.wait_for_end()));
        let (_, ended, _) = select_all(early).await;
        // The server may notice in another order that connections have become idle after an answer.
        assert!(ended == 0 || bytes == LIVE, "{what}: number {ended} gave way");
        newcomer.write(b"GET /api/chat/online-count HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(newcomer.read_response().await.0, 401, "{what}: the newcomer has a place");
        let last = idle.last_mut().unwrap();
        last.write(if bytes == LIVE || bytes.is_empty() { LIVE } else { &LIVE[bytes.len()..] }).await;
        assert_eq!(last.read_response().await.0, 200, "{what}: the newest stays");
        server.assert_no_panic();
    }
}

#[tokio::test]
async fn when_every_place_is_a_session_only_probes_are_answered() {
    let server = Server::of_site(&[
        ("TEAHOUSE_SERVER__CONNECTIONS_MAX", "3"),
        ("TEAHOUSE_METRICS__LISTEN", "127.0.0.1:0"),
        NO_PROXY,
        PATIENT,
    ]);
    let mut tabs = Vec::new();
    for (id, name) in [(7, "amy"), (8, "bea"), (9, "cid")] {
        let mut tab = User::of_site(&server, id, name).open_tab().await;
        tab.assert_alive().await;
        tabs.push(tab);
    }
    for _ in 0..40 {
        // Connections that say nothing cannot keep a probe waiting either.
        let _silent = RawSocket::connect(server.address()).await;
        assert_eq!(status(&server, LIVE).await, 200);
    }
    assert_eq!(status(&server, b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n").await, 200);
    for head in [
        request_head(&site_token(10, "dan"), ""),
        "GET /api/chat/messages HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
    ] {
        let mut refused = send(&server, head.as_bytes()).await;
        let (status, body) = refused.read_response().await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["error_code"]), (503, &json!("overloaded")), "{body}");
        refused.wait_for_end().await;
    }
    for tab in &mut tabs {
        tab.assert_alive().await;
    }
    assert!(server.metrics_text().await.contains(r#"bounds_reached_total{bound="server.connections_max"}"#));
    // The place of a session that ended is free again.
    tabs.pop();
    let dan = User::of_site(&server, 10, "dan");
    crate::fixture::wait_until(async || dan.try_open_tab().await.is_ok()).await;
}

#[tokio::test]
async fn a_request_with_a_token_keeps_its_connection_before_those_without() {
    let server = Server::of_site(&[("TEAHOUSE_SERVER__CONNECTIONS_MAX", "4"), NO_PROXY, PATIENT]);
    let head = format!(
        "GET /api/auth/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        site_token(7, "amy")
    );
    let mut amy = send(&server, head.as_bytes()).await;
    assert_eq!(amy.read_response().await.0, 200);
    for _ in 0..20 {
        assert_eq!(status(&server, LIVE).await, 200);
        let _silent = RawSocket::connect(server.address()).await;
        let mut kept = send(&server, LIVE).await;
        assert_eq!(kept.read_response().await.0, 200);
    }
    let idle: Vec<_> = {
        let mut idle = Vec::new();
        for _ in 0..8 {
            let mut socket = send(&server, LIVE).await;
            assert_eq!(socket.read_response().await.0, 200);
            idle.push(socket);
        }
        idle
    };
    amy.write(head.as_bytes()).await;
    assert_eq!(amy.read_response().await.0, 200, "it is the oldest of all, and authenticated");
    drop(idle);
}

/// A connection from another address of loopback.
async fn connect_from(from: [u8; 4], server: &Server, bytes: &[u8]) -> RawSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let mut socket = RawSocket::from_stream(socket.connect(server.address()).await.unwrap());
    socket.write(bytes).await;
    socket
}

#[tokio::test]
async fn one_address_gets_a_quarter_of_the_places_once_they_are_scarce() {
    let server = Server::of_site(&[("TEAHOUSE_SERVER__CONNECTIONS_MAX", "16"), NO_PROXY, PATIENT]);
    let mut waiting = Vec::new();
    for _ in 0..12 {
        waiting.push(wait_for_body(&server, "").await);
    }
    // Three quarters are taken, all by this address, and none of them is idle.
    assert_eq!(status(&server, b"GET /api/auth/me HTTP/1.1\r\nHost: localhost\r\n\r\n").await, 503);
    let mut elsewhere =
        connect_from([127, 0, 0, 2], &server, b"GET /api/auth/me HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(elsewhere.read_response().await.0, 401);
    for socket in &mut waiting {
        assert!(!socket.has_ended());
    }
}

#[tokio::test]
async fn requests_of_one_user_whose_body_does_not_arrive_take_few_places() {
    let server = Server::of_site(&[("TEAHOUSE_SERVER__CONNECTIONS_MAX", "40"), NO_PROXY, PATIENT]);
    let head = format!(
        "POST /api/v1/rooms/1/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Length: 100\r\nExpect: 100-continue\r\n\r\n",
        site_token(7, "amy")
    );
    let mut waiting = Vec::new();
    for _ in 0..40 {
        let mut socket = send(&server, head.as_bytes()).await;
        assert!(socket.read_head().await.starts_with("HTTP/1.1 100 "));
        waiting.push(socket);
    }
    for refused in &mut waiting[32..] {
        assert_eq!(refused.read_response().await.0, 429);
        refused.wait_for_end().await;
    }
    assert!(waiting[..32].iter_mut().all(|socket| !socket.has_ended()));
    User::of_site(&server, 8, "bea").get("/api/auth/me").await.expect(200);
}

#[tokio::test]
async fn the_connections_of_a_proxy_never_give_way_and_its_clients_count() {
    let proxy = ("TEAHOUSE_SERVER__TRUSTED_PROXIES", "127.0.0.1");
    let server = Server::of_site(&[("TEAHOUSE_SERVER__CONNECTIONS_MAX", "4"), proxy, PATIENT]);
    let mut kept = Vec::new();
    for _ in 0..4 {
        let mut socket = send(&server, LIVE).await;
        assert_eq!(socket.read_response().await.0, 200);
        kept.push(socket);
    }
    assert_eq!(status(&server, b"GET /api/auth/me HTTP/1.1\r\nHost: localhost\r\n\r\n").await, 503);
    for socket in &mut kept {
        socket.write(LIVE).await;
        assert_eq!(socket.read_response().await.0, 200);
    }

    let server = Server::of_site(&[("TEAHOUSE_SERVER__CONNECTIONS_MAX", "16"), proxy, PATIENT]);
    let mut waiting = Vec::new();
    for _ in 0..12 {
        waiting.push(wait_for_body(&server, "X-Forwarded-For: 203.0.113.9\r\n").await);
    }
    let ask = |client| format!("GET /api/auth/me HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {client}\r\n\r\n");
    assert_eq!(status(&server, ask("203.0.113.9").as_bytes()).await, 503);
    assert_eq!(status(&server, ask("203.0.113.10").as_bytes()).await, 401);
}

#[tokio::test]
async fn the_metrics_are_served_while_idle_connections_fill_their_listener() {
    let server = Server::of_site(&[
        ("TEAHOUSE_METRICS__LISTEN", "127.0.0.1:0"),
        ("TEAHOUSE_SERVER__CONNECTIONS_MAX", "64"),
        NO_PROXY,
        PATIENT,
    ]);
    let address = server.metrics_url();
    let address: SocketAddr = address.trim_start_matches("http://").trim_end_matches("/metrics").parse().unwrap();
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(RawSocket::connect(address).await);
    }
    assert!(crate::fixture::within_patience("the metrics", server.metrics_text()).await.contains("teahouse_sessions"));
}

#[tokio::test]
async fn handshakes_that_wait_for_their_turn_are_reported() {
    let server =
        Server::of_site(&[("TEAHOUSE_SERVER__HANDSHAKES_MAX", "1"), ("TEAHOUSE_METRICS__LISTEN", "127.0.0.1:0")]);
    let address = server.address();
    crate::fixture::wait_until(async || {
        let mut handshakes: JoinSet<_> = (1..=20)
            .map(|user| async move { RawSocket::open(address, &site_token(user, &format!("u{user}"))).await })
            .collect();
        while let Some(opened) = handshakes.join_next().await {
            opened.unwrap();
        }
        server.metrics_text().await.contains(r#"bounds_reached_total{bound="server.handshakes_max"}"#)
    })
    .await;
}
