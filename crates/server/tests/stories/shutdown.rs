//! Health and shutdown: `/ready`, draining on SIGTERM, one server per data directory.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::fixture::{RawSocket, Received, Server, User, of_type};

const DRAIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn h13_ready_succeeds_while_healthy_and_fails_while_draining() {
    let mut server = Server::of_site(&[]);
    let anonymous = User::anonymous(&server);
    for path in ["/ready", "/health", "/live"] {
        anonymous.get(path).await.expect(200);
    }
    let body = anonymous.get("/ready").await.body();
    let well = json!({"status": "ready", "store": "ok", "hub": "ok", "draining": false});
    assert_eq!(body, well);

    // The server answers a probe that began before the drain, and then no more.
    let mut probe = RawSocket::connect(server.address()).await;
    probe.write(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n").await;
    anonymous.get("/live").await.expect(200);
    server.terminate();
    server.wait_for_log_line("draining");
    probe.write(b"\r\n").await;
    let (status, body) = probe.read_response().await;
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()["draining"].clone()), (503, json!(true)));
    assert!(server.wait_for_exit(DRAIN).await.success());
    assert!(reqwest::get(server.url("/ready")).await.is_err());
}

#[tokio::test]
async fn p22_sigterm_completes_accepted_requests_and_sends_goodbye() {
    let mut server = Server::without_limits(&[("TEAHOUSE_AUTH__REGISTRATION", "true")]);
    let users: Vec<User> = (1..=40).map(|id| User::of_site(&server, id, &format!("user{id}"))).collect();
    let mut tabs = join_all(users.iter().map(User::open_tab)).await;
    let before: Vec<String> = (0..users.len()).map(|number| format!("before {number}")).collect();
    let mut acknowledged = join_all(users.iter().zip(&before).map(|(user, text)| user.say(text))).await;

    // Half a request, a slow registration, and users who go on sending.
    let mut half = RawSocket::connect(server.address()).await;
    let body = r#"{"content":"in flight"}"#;
    let head = format!(
        "POST /api/chat/send HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        users[0].token,
        body.len()
    );
    half.write(head.as_bytes()).await;
    users[0].get("/live").await.expect(200);
    let registering = tokio::spawn({
        let (anonymous, email) = (User::anonymous(&server), "late@example.org");
        let form = json!({"username": "late", "password": crate::fixture::PASSWORD, "email": email}).to_string();
        async move { anonymous.try_request(reqwest::Method::POST, "/api/auth/register", &[], Some(form)).await }
    });
    let talking = tokio::spawn({
        let user = users[1].clone();
        async move {
            let mut acknowledged = Vec::new();
            for number in 0.. {
                let body = json!({"content": format!("on and on {number}")}).to_string();
                match user.try_request(reqwest::Method::POST, "/api/chat/send", &[], Some(body)).await {
                    Ok(answer) if answer.status == 200 => {
                        acknowledged.push(answer.data()["message_id"].as_u64().unwrap());
                    }
                    _ => break,
                }
            }
            acknowledged
        }
    });
    while tabs[0].next_of("message").await["content"] != json!("on and on 3") {}

    let begun = Instant::now();
    server.terminate();
    server.wait_for_log_line("draining");
    half.write(body.as_bytes()).await;
    let (status, body) = half.read_response().await;
    assert_eq!(status, 200, "{body}");
    acknowledged.push(serde_json::from_str::<Value>(&body).unwrap()["data"]["message_id"].as_u64().unwrap());
    let mut received = Vec::new();
    for (envelopes, code, _) in join_all(tabs.iter_mut().map(crate::fixture::Tab::read_to_close)).await {
        assert_eq!(code, 1012);
        received = of_type(&envelopes, "message");
    }
    assert!(server.wait_for_exit(DRAIN).await.success(), "exit status");
    assert!(begun.elapsed() <= DRAIN, "{:?}", begun.elapsed());
    if let Ok(answer) = registering.await.unwrap() {
        answer.expect(201);
    }
    let talked = talking.await.unwrap();
    assert!(talked.len() >= 4);
    acknowledged.extend(talked);
    server.assert_no_panic();

    server.restart();
    let stored: Vec<u64> = users[2].lobby().await.iter().map(|message| message["id"].as_u64().unwrap()).collect();
    for id in acknowledged {
        assert_eq!(stored.iter().filter(|stored| **stored == id).count(), 1, "message {id}");
    }
    for message in received {
        assert!(stored.contains(&message["id"].as_u64().unwrap()), "only stored messages were received: {message}");
    }
    users[0].open_tab().await.assert_alive().await;
}

#[tokio::test]
async fn p22_a_stalled_reader_does_not_delay_shutdown() {
    let mut server = Server::without_limits(&[("TEAHOUSE_SERVER__DRAIN_TIMEOUT", "2s")]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let mut stalled = RawSocket::connect_with_small_buffer(server.address()).await;
    stalled.handshake(&amy.token).await;
    let mut tab = bea.open_tab().await;
    for _ in 0..1000 {
        tab.say(&"x".repeat(500)).await;
    }
    tab.read_to_marker(&bea).await;
    let mut idle = RawSocket::connect(server.address()).await;
    server.terminate();
    assert_eq!(tab.read_to_close().await.1, 1012);
    assert!(server.wait_for_exit(Duration::from_secs(8)).await.success(), "exit status");
    idle.wait_for_end().await;
}

#[tokio::test]
async fn a_second_server_on_the_same_data_refuses_to_start() {
    let server = Server::standalone(&[]);
    let data = server.data().to_str().unwrap().to_owned();
    let output = tokio::task::spawn_blocking(move || {
        std::process::Command::new(env!("CARGO_BIN_EXE_teahouse"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data", &data])
            .env_clear()
            .output()
            .unwrap()
    });
    let output = output.await.unwrap();
    assert!(!output.status.success() && !output.stderr.is_empty());
    let amy = User::register(&server, "amy").await;
    assert!(matches!(amy.open_tab().await.next().await, Received::Envelope(_)));
}
