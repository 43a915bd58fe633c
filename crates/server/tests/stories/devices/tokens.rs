//! Tokens of v1 sessions: who may connect, how long a token lasts, what ends a session, and what the log contains.

use std::time::{Duration, Instant};

use serde_json::json;

use super::server_with;
use crate::fixture::{
    DEVICES, Device, PASSWORD, RawSocket, Server, User, claims, now_seconds, request_head, sign, site_token,
};

const SOON: Duration = Duration::from_secs(1);

/// A token of the site that is valid for so many seconds.
fn token_for(seconds: i64, id: u64, name: &str) -> String {
    let mut claims = claims(id, name);
    claims["exp"] = json!(now_seconds() + seconds);
    sign(&claims)
}

#[tokio::test]
async fn a_session_without_hello_is_closed_and_may_reconnect() {
    let (_server, [amy, bea]) = server_with(&[("TEAHOUSE_SESSIONS__HELLO_TIMEOUT", "2s")], ["amy", "bea"]);
    let (mut silent, mut talking) = (Device::new(&amy), Device::new(&bea));
    silent.open().await;
    talking.open().await;
    // Other requests do not replace hello.
    talking.expect_error("heartbeat", json!({}), "bad_request").await;
    for device in [&mut silent, &mut talking] {
        let goodbye = device.expect_close(4002).await;
        assert_eq!(goodbye["reconnect"], true);
    }
    silent.reconnect().await;
    silent.assert_alive().await;
}

#[tokio::test]
async fn h17_a_session_lives_exactly_as_long_as_its_newest_token() {
    let grace = ("TEAHOUSE_SESSIONS__TOKEN_GRACE", "1s");
    let (_server, [amy, bea]) = server_with(&[grace], ["amy", "bea"]);
    // Two seconds, because a busy machine may take one to connect.
    let short = amy.clone().with_token(&token_for(3, amy.id, "amy"));
    let (mut careless, mut careful) = (Device::new(&short), Device::new(&short));
    let welcome = careless.connect().await;
    careful.connect().await;
    let expires = welcome["token_expires_in_ms"].as_u64().unwrap();
    assert!((1..=3000).contains(&expires), "{expires}");
    let began = now_seconds();

    // Neither an invalid token nor one of another user extends the session, and neither ends it.
    for (token, code) in [
        ("not.a.token".to_owned(), "unauthorized"),
        (token_for(-60, amy.id, "amy"), "unauthorized"),
        (bea.token.clone(), "forbidden"),
    ] {
        careful.expect_error("auth", json!({"token": token}), code).await;
    }
    let renewed = careful.request("auth", json!({"token": token_for(3600, amy.id, "amy")})).await;
    let expires = renewed["expires_in_ms"].as_u64().unwrap();
    assert!((3_590_000..=3_600_000).contains(&expires), "{expires}");

    let goodbye = careless.expect_close(4101).await;
    assert_eq!(goodbye["reconnect"], true);
    assert!(now_seconds() >= began + 2, "not before the grace period ends");
    careful.assert_alive().await;
    // With a new token it resumes.
    careless.user = amy.clone().with_token(&site_token(amy.id, "amy"));
    careless.connect().await;
    careless.assert_same_as_fresh_load().await;
    careful.assert_alive().await;
}

#[tokio::test]
async fn h17_p19_a_logout_ends_only_the_sessions_of_that_login() {
    let server = Server::standalone(DEVICES);
    let amy = User::register(&server, "amy").await;
    let elsewhere = amy.log_in().await;
    let (mut here, mut there, mut renewed) = (amy.device().await, elsewhere.device().await, elsewhere.device().await);
    // One session continues with the token of another login, and ends with that login.
    renewed.request("auth", json!({"token": amy.token})).await;
    let asked = Instant::now();
    amy.post("/api/auth/logout", json!({})).await.expect(200);
    for device in [&mut here, &mut renewed] {
        let goodbye = device.expect_close(4503).await;
        assert_eq!(goodbye["reconnect"], false);
    }
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    there.assert_alive().await;
    assert!(here.try_open().await.unwrap_err().contains("401"));
    there.expect_error("auth", json!({"token": amy.token}), "unauthorized").await;
    there.assert_alive().await;
}

#[tokio::test]
async fn h17_p19_a_password_change_ends_all_other_sessions() {
    let server = Server::standalone(DEVICES);
    let amy = User::register(&server, "amy").await;
    let elsewhere = amy.log_in().await;
    let (mut here, mut there) = (amy.device().await, elsewhere.device().await);
    let change = json!({"currentPassword": PASSWORD, "newPassword": "sencha8"});
    amy.post("/api/auth/change-password", change).await.expect(200);
    let asked = Instant::now();
    there.expect_close(4503).await;
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    here.assert_alive().await;
    here.reconnect().await;
    here.assert_alive().await;
}

#[tokio::test]
async fn h17_p19_disabling_a_user_ends_their_sessions_with_a_reason_and_no_others() {
    let server = Server::standalone(DEVICES);
    let (amy, bea) = (User::register(&server, "amy").await, User::register(&server, "bea").await);
    let (mut phone, mut laptop, mut other) = (amy.device().await, amy.device().await, bea.device().await);
    server.command(&["user", "disable", "amy"]);
    let asked = Instant::now();
    for device in [&mut phone, &mut laptop] {
        let goodbye = device.expect_close(4502).await;
        assert_eq!(goodbye["reconnect"], false);
    }
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    other.assert_alive().await;
    // A session that the server closed does not linger.
    other.wait_for_view("one", |view| view.online == 1).await;
    assert_eq!(bea.online_users().await, [bea.id]);
    assert!(phone.try_open().await.unwrap_err().contains("401"));
    server.command(&["user", "enable", "amy"]);
    amy.log_in().await.device().await.assert_alive().await;
}

#[tokio::test]
async fn only_the_v1_subprotocol_speaks_v1_and_a_token_is_required() {
    let server = Server::of_site(&[]);
    let token = site_token(7, "amy");
    let shake = async |offer: &str| {
        let mut socket = RawSocket::connect(server.address()).await;
        let head = request_head("", &format!("Sec-WebSocket-Protocol: {offer}\r\n"));
        socket.write(head.as_bytes()).await;
        let answer = socket.read_head().await;
        (answer, socket)
    };
    for offer in ["teahouse.v1", "teahouse.v1, bearer.", "teahouse.v1, bearer.a.b.c", "bearer.a.b.c"] {
        assert!(shake(offer).await.0.starts_with("HTTP/1.1 401 "), "{offer}");
    }
    // Without the v1 subprotocol the dialect is classic, whose first envelope is the online count.
    for offer in [format!("teahouse.v2, bearer.{token}"), format!("Teahouse.V1, bearer.{token}")] {
        let (answer, mut socket) = shake(&offer).await;
        assert!(answer.starts_with("HTTP/1.1 101 ") && !answer.contains("teahouse"), "{answer}");
        let frame = socket.next_frame().await.unwrap();
        assert!(frame.text().contains("online_count"), "{}", frame.text());
    }
    // In v1 the server sends nothing before hello.
    let (answer, mut socket) = shake(&format!("teahouse.v1, bearer.{token}, device.{}", "x".repeat(300))).await;
    assert!(answer.to_lowercase().contains("sec-websocket-protocol: teahouse.v1\r\n"), "{answer}");
    assert!(!answer.contains(&token) && !answer.contains("device."), "{answer}");
    socket.send_frame(0x89, b"?").await;
    assert_eq!(socket.next_frame().await.unwrap().opcode, 0xA, "a pong, and nothing before it");
    socket.send_frame(0x82, b"binary").await;
    let goodbye = socket.next_frame().await.unwrap();
    assert!(goodbye.text().contains(r#""type":"goodbye""#) && goodbye.text().contains("1003"), "{}", goodbye.text());
    assert_eq!(socket.read_to_close_frame().await.0, 1003);
}

#[tokio::test]
async fn p18_h20_neither_tokens_nor_message_contents_are_logged() {
    let log = ("TEAHOUSE_LOG__FILTER", "trace");
    let server = Server::standalone(&[DEVICES, &[log]].concat());
    let amy = User::register(&server, "amy").await;
    let again = amy.log_in().await;
    let mut device = amy.device_named("her phone 4711".replace(' ', "-").as_str()).await;
    device.say(1, "a secret of mine").await;
    device.request("auth", json!({"token": again.token})).await;
    device.expect_error("auth", json!({"token": format!("{}x", again.token)}), "unauthorized").await;
    let room = device.request("create", json!({"kind": "private", "name": "hidden place"})).await["id"].clone();
    device.request("message", json!({"room": room, "content": "another secret", "client_id": "k"})).await;
    let bad = User::anonymous(&server).with_token(&format!("{}y", amy.token));
    assert!(Device::new(&bad).try_open().await.unwrap_err().contains("401"));
    device.send_text("a secret that is not an envelope").await;
    device.next_of("error").await;
    device.close(1000).await;
    amy.post("/api/auth/logout", json!({})).await.expect(200);

    let log = server.wait_for_log_line("path=\"/api/auth/logout\"") + &server.log();
    for user in [&amy, &again] {
        let (_, signature) = user.token.rsplit_once('.').unwrap();
        assert!(!log.contains(signature), "a token is in the log");
    }
    assert!(!log.contains("secret of mine") && !log.contains("another secret"), "a content is in the log");
    assert!(!log.contains("secret that is not an envelope"), "a malformed envelope is in the log");
}
