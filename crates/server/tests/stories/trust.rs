//! What must not leak: addresses, tokens, passwords, secrets, the existence of accounts.

use std::os::unix::fs::PermissionsExt;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::schema::contains_ip_address;
use crate::fixture::{PASSWORD, Server, User, request_head};

#[test]
fn the_address_detector_recognizes_addresses() {
    for (text, expect) in [
        (r#"{"ip":"203.0.113.77"}"#, true),
        ("from 127.0.0.1", true),
        (r#""2001:db8::7""#, true),
        (r#"{"send_time":"2026-11-22T06:25:36.120Z"}"#, false),
        (r#"{"id":1,"content":"1.2"}"#, false),
    ] {
        assert_eq!(contains_ip_address(text), expect, "{text}");
    }
}

#[tokio::test]
async fn h11_nothing_that_other_users_get_contains_an_ip_address() {
    let mut server = Server::without_limits(&[("TEAHOUSE_SERVER__TRUSTED_PROXIES", "127.0.0.1")]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let mut socket = bea.open_raw_socket().await;
    let from = [("X-Forwarded-For", "203.0.113.77")];
    let send = async |path: &str, body: Value| amy.request(Method::POST, path, &from, Some(body.to_string())).await;
    let gone = send("/api/chat/send", json!({"content": "soon gone"})).await.expect(200).data();
    send("/api/chat/send", json!({"content": "hello"})).await.expect(200);
    let written = send("/api/messages/send", json!({"receiver_id": 8, "content": "psst"})).await.expect(201).data();
    amy.delete(&format!("/api/chat/messages/{}", gone["message_id"])).await.expect(200);
    bea.send_private(&amy, "yes?").await;
    amy.conversation(written["conversation_id"].as_u64().unwrap()).await;
    let _tab = amy.open_tab().await;

    let mut kinds = Vec::new();
    while !kinds.contains(&"message_deleted".to_owned()) || !kinds.contains(&"message_read".to_owned()) {
        let frame = socket.next_frame().await.unwrap();
        assert!(!contains_ip_address(frame.text()), "{}", frame.text());
        kinds.push(serde_json::from_str::<Value>(frame.text()).unwrap()["type"].as_str().unwrap().to_owned());
    }
    assert!(kinds.contains(&"message".to_owned()) && kinds.contains(&"private_message".to_owned()), "{kinds:?}");
    for path in [
        "/api/auth/me",
        "/api/user/7",
        "/api/chat/messages",
        "/api/chat/messages/new",
        "/api/chat/online-users",
        "/api/chat/online-count",
        "/api/conversations",
        "/api/conversations/unread-count",
        &format!("/api/conversations/{}/messages", written["conversation_id"]),
        "/health",
        "/live",
        "/ready",
        "/api/nowhere",
    ] {
        let text = bea.get(path).await.text;
        assert!(!contains_ip_address(&text), "{path}: {text}");
    }
    assert!(!bea.get("/api/user/7").await.text.contains("@example.org"), "nor somebody else's e-mail address");

    // The server stores it for moderators.
    server.stop().await;
    let kept = rusqlite::Connection::open(server.data().join("teahouse.db")).unwrap();
    let sql = "SELECT count(*) FROM messages WHERE ip = '203.0.113.77'";
    assert_eq!(kept.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 3);
}

#[tokio::test]
async fn p18_no_token_and_no_password_is_logged() {
    let server = Server::standalone(&[("TEAHOUSE_LOG__FILTER", "trace")]);
    let amy = User::register(&server, "amy").await;
    let again = amy.log_in().await;
    let mut tab = again.open_tab().await;
    tab.say("hello").await;
    tab.next_of("message").await;
    again.get("/api/auth/me").await.expect(200);
    again.get(&format!("/api/auth/me?token={}", again.token)).await.expect(200);
    again.get(&format!("/api/nowhere?a=1&Token={}&b=2", again.token)).await.expect(404);
    reqwest::get(server.url(&format!("/api/chat/ws?token={}", again.token))).await.unwrap();
    let bad = format!("{}x", again.token);
    assert!(amy.clone().with_token(&bad).try_open_tab().await.is_err());
    let mut socket = crate::fixture::RawSocket::connect(server.address()).await;
    let by_protocol = format!("Sec-WebSocket-Protocol: bearer.{}\r\n", again.token);
    socket.write(request_head("", &by_protocol).as_bytes()).await;
    socket.read_head().await;
    again.post("/api/auth/logout", json!({})).await.expect(200);

    let log = server.wait_for_log_line("path=\"/api/auth/logout\"") + &server.log();
    assert!(log.contains("/api/chat/ws?token=[redacted]"), "the log has the requests");
    for user in [&amy, &again] {
        let (_, signature) = user.token.rsplit_once('.').unwrap();
        assert!(!log.contains(signature), "a token is in the log");
    }
    assert!(!log.contains(PASSWORD), "a password is in the log");
    let secret = std::fs::read_to_string(server.data().join("token.secret")).unwrap();
    assert!(!log.contains(secret.trim()), "the secret is in the log");
}

#[tokio::test]
async fn p20_p21_secrets_are_generated_and_metrics_have_their_own_listener() {
    let (one, other) = (Server::standalone(&[("TEAHOUSE_METRICS__LISTEN", "127.0.0.1:0")]), Server::standalone(&[]));
    let secret = |server: &Server| std::fs::read_to_string(server.data().join("token.secret")).unwrap();
    assert_ne!(secret(&one), secret(&other));
    for entry in std::fs::read_dir(one.data()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} is {mode:o}", entry.path());
    }
    // A token of one server is invalid on the other.
    let amy = User::register(&one, "amy").await;
    User::register(&other, "amy").await;
    let abroad = User::anonymous(&other).with_token(&amy.token);
    abroad.get("/api/auth/me").await.expect_error(401, "unauthorized");

    let text = reqwest::get(one.metrics_url()).await.unwrap().text().await.unwrap();
    assert!(text.contains("teahouse_sessions") && !text.to_lowercase().contains("select"), "{text}");
    for server in [&one, &other] {
        let answer = reqwest::get(server.url("/metrics")).await.unwrap();
        assert_eq!(answer.status(), 404);
        assert!(!answer.text().await.unwrap().contains("teahouse_sessions"));
    }
}

#[tokio::test]
async fn p26_wrong_passwords_from_a_stranger_lock_nobody_out() {
    let server = Server::standalone(&[("TEAHOUSE_SERVER__TRUSTED_PROXIES", "127.0.0.1")]);
    let amy = User::register(&server, "amy").await;
    let anonymous = User::anonymous(&server);
    let try_with = async |password: &str, from: &str| {
        let body = json!({"username": "amy", "password": password}).to_string();
        anonymous.request(Method::POST, "/api/auth/login", &[("X-Forwarded-For", from)], Some(body)).await
    };
    for guess in join_all((0..10).map(|_| try_with("guess123", "203.0.113.66"))).await {
        guess.expect_error(401, "unauthorized");
    }
    try_with(PASSWORD, "198.51.100.7").await.expect(200);
    amy.open_tab().await.assert_alive().await;
    // The correct password of the guesser is delayed and not locked out either.
    try_with(PASSWORD, "203.0.113.66").await.expect(200);
}

#[tokio::test]
async fn a_wrong_password_does_not_reveal_whether_a_user_exists() {
    let server = Server::standalone(&[]);
    User::register(&server, "amy").await;
    let anonymous = User::anonymous(&server);
    let mut answers = Vec::new();
    for name in ["amy", "nobody", "' OR 1=1 --", "a%", "amy\u{0}", &"x".repeat(10_000)] {
        let body = json!({"username": name, "password": "wrong123"});
        answers.push(anonymous.post("/api/auth/login", body).await.expect_error(401, "unauthorized")["message"].take());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn p19_after_a_password_change_only_the_new_password_logs_in() {
    let server = Server::standalone(&[]);
    let amy = User::register(&server, "amy").await;
    let change = json!({"currentPassword": PASSWORD, "newPassword": "sencha8"});
    amy.post("/api/auth/change-password", change).await.expect(200);
    let login = |password: &str| json!({"username": "amy", "password": password});
    amy.post("/api/auth/login", login(PASSWORD)).await.expect_error(401, "unauthorized");
    let fresh = amy.post("/api/auth/login", login("sencha8")).await.expect(200).data();
    let fresh = amy.clone().with_token(fresh["token"].as_str().unwrap());
    fresh.get("/api/auth/me").await.expect(200);
    fresh.open_tab().await.assert_alive().await;
}

#[tokio::test]
async fn a_flood_of_logins_does_not_delay_messages() {
    let server = Server::standalone(crate::fixture::NO_LIMITS);
    let amy = User::register(&server, "amy").await;
    let mut tab = amy.open_tab().await;
    let anonymous = User::anonymous(&server);
    let names: Vec<Value> =
        (0..60).map(|number| json!({"username": format!("user{number}"), "password": "wrong123"})).collect();
    let flood = join_all(names.iter().map(|form| anonymous.post("/api/auth/login", form.clone())));
    let talk = async {
        for _ in 0..30 {
            tab.say("still here").await;
            tab.next_of("message").await;
        }
    };
    tokio::pin!(flood);
    tokio::select! {
        _ = &mut flood => panic!("thirty messages took longer than sixty logins"),
        () = talk => {}
    }
    for answer in flood.await {
        answer.expect_error(401, "unauthorized");
    }
}
