//! What stands around every answer: the envelope, ids, languages, origins, limits, logs, health.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use serde_json::json;

use super::stage::*;
use crate::http::router::testing::router_that_panics;

#[tokio::test]
async fn what_the_framework_refuses_comes_in_the_envelope_too() {
    let stage = stage();
    assert_eq!(stage.get("/api/nowhere", None).await.refusal(), (404, "not_found", None));
    assert_eq!(stage.get("/api", None).await.refusal(), (404, "not_found", None));
    let wrong_method = stage.get("/api/auth/login", None).await;
    assert_eq!(wrong_method.refusal(), (405, "method_not_allowed", None));
    assert_eq!(wrong_method.headers["allow"], "POST");
    let large = request("POST", "/api/auth/login", None).body(Body::from(vec![b' '; 70_000])).unwrap();
    assert_eq!(stage.ask(large).await.refusal(), (413, "too_long", None));
    let announced = request("POST", "/api/auth/login", None).header("content-length", "999999999");
    assert_eq!(stage.ask(announced.body(Body::empty()).unwrap()).await.status, 413);
    for broken in ["{", "[1]", "username=amy", "\u{0}"] {
        let request = request("POST", "/api/auth/login", None).body(Body::from(broken)).unwrap();
        assert_eq!(stage.ask(request).await.refusal(), (400, "bad_request", None), "{broken:?}");
    }
    assert_eq!(stage.get("/elsewhere", None).await.status, 404);
}

#[tokio::test]
async fn bodies_are_taken_whatever_their_content_type_says() {
    let stage = stage();
    stage.join("amy").await;
    for kind in ["application/json", "text/plain", "application/x-www-form-urlencoded", "nonsense"] {
        let body = json!({ "username": "amy", "password": PASSWORD, "rememberMe": true }).to_string();
        let request = request("POST", "/api/auth/login", None).header("content-type", kind).body(body.into()).unwrap();
        assert_eq!(stage.ask(request).await.status, 200, "{kind}");
    }
}

#[tokio::test]
async fn every_route_but_logging_in_wants_a_token() {
    let stage = stage();
    for (method, path) in [
        ("POST", "/api/auth/logout"),
        ("GET", "/api/auth/me"),
        ("PUT", "/api/auth/me"),
        ("POST", "/api/auth/change-password"),
        ("GET", "/api/user/1"),
        ("POST", "/api/chat/send"),
        ("GET", "/api/chat/messages"),
        ("GET", "/api/chat/messages/new"),
        ("DELETE", "/api/chat/messages/1"),
        ("GET", "/api/chat/online-count"),
        ("GET", "/api/chat/online-users"),
        ("GET", "/api/conversations"),
        ("GET", "/api/conversations/unread-count"),
        ("POST", "/api/conversations/start/1"),
        ("GET", "/api/conversations/1/messages"),
        ("POST", "/api/conversations/1/mark-read"),
        ("POST", "/api/messages/send"),
    ] {
        for authorization in ["", "Bearer ", "Bearer a.b.c", "Basic YTpi", "Bearer \u{ff}"] {
            let request = request(method, path, None).header("authorization", authorization.as_bytes());
            let answer = stage.ask(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.refusal(), (401, "unauthorized", None), "{method} {path} {authorization:?}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
    }
}

#[tokio::test]
async fn a_requests_own_id_is_echoed() {
    let stage = stage();
    let with_id =
        |id: &str| request("GET", "/api/nowhere", None).header("x-request-id", id).body(Body::empty()).unwrap();
    assert_eq!(stage.ask(with_id("page-17")).await.body["request_id"], "page-17");
    assert_ne!(stage.ask(with_id("two words")).await.body["request_id"], "two words");
    let (one, other) = (stage.get("/api/nowhere", None).await, stage.get("/api/nowhere", None).await);
    assert_ne!(one.body["request_id"], other.body["request_id"]);
}

#[tokio::test]
async fn answers_speak_the_language_that_was_asked_for() {
    let stage = stage();
    let amy = stage.join("amy").await;
    let ask = |language: &str, path: &str| {
        stage.ask(request("GET", path, Some(&amy)).header("accept-language", language).body(Body::empty()).unwrap())
    };
    assert_eq!(ask("zh-CN,zh;q=0.9", "/api/nowhere").await.body["message"], "未找到。");
    assert_eq!(ask("en-GB", "/api/nowhere").await.body["message"], "Not found.");
    assert_eq!(ask("zh", "/api/auth/me").await.body["message"], "成功");
    let limit = ask("zh", "/api/chat/messages?limit=0").await;
    assert!(limit.body["message"].as_str().unwrap().contains("limit"));
}

#[tokio::test]
async fn listed_origins_may_call_and_others_may_not() {
    let stage = stage_with(&[("TEAHOUSE_SERVER__ALLOWED_ORIGINS", "https://www.example.org")]);
    let preflight = |origin: &str| {
        let request = request("OPTIONS", "/api/chat/send", None)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,x-request-id,idempotency-key");
        stage.ask(request.body(Body::empty()).unwrap())
    };
    let listed = preflight("https://www.example.org").await;
    assert_eq!(listed.status, 200);
    assert_eq!(listed.headers["access-control-allow-origin"], "https://www.example.org");
    assert_eq!(listed.headers["access-control-allow-credentials"], "true");
    let headers = listed.headers["access-control-allow-headers"].to_str().unwrap();
    assert_eq!(headers, "authorization,content-type,x-request-id,idempotency-key");
    assert!(!preflight("https://evil.com").await.headers.contains_key("access-control-allow-origin"));
    // A refusal can be read by the page as well.
    let refused = request("GET", "/api/auth/me", None).header("origin", "https://www.example.org");
    let refused = stage.ask(refused.body(Body::empty()).unwrap()).await;
    assert_eq!(refused.headers["access-control-allow-origin"], "https://www.example.org");
}

#[tokio::test]
async fn the_old_socket_is_a_plain_404() {
    let stage = stage();
    let request = request("GET", "/api/ws?token=x", None).header("upgrade", "websocket").body(Body::empty()).unwrap();
    let answer = stage.ask(request).await;
    assert_eq!(answer.refusal(), (404, "not_found", None));
    assert!(!answer.headers.contains_key("x-request-id"), "nothing stands around it");
}

#[tokio::test]
async fn p24_bad_tokens_are_limited_by_address_and_good_ones_are_not() {
    let stage =
        stage_with(&[("TEAHOUSE_LIMITS__BAD_TOKENS_PER_SECOND", "1"), ("TEAHOUSE_LIMITS__BAD_TOKENS_BURST", "2")]);
    let amy = stage.join("amy").await;
    let bad = Person { token: "a.b.c".into(), ..amy.clone() };
    for expect in [401, 401, 429, 429] {
        let answer = stage.get("/api/auth/me", Some(&bad)).await;
        assert_eq!(answer.status, expect);
        assert_eq!(answer.headers.contains_key("retry-after"), expect == 429);
    }
    assert_eq!(stage.get("/api/auth/me", Some(&amy)).await.status, 200);
    let elsewhere = request("GET", "/api/auth/me", Some(&bad)).header("x-forwarded-for", "198.51.100.1");
    let spoofed = stage.ask(elsewhere.body(Body::empty()).unwrap()).await;
    assert_eq!(spoofed.status, 429, "a spoofed address is nobody's");
}

#[tokio::test]
async fn reading_is_limited_per_user() {
    let stage = stage_with(&[("TEAHOUSE_LIMITS__READS_PER_SECOND", "1"), ("TEAHOUSE_LIMITS__READS_BURST", "3")]);
    let (amy, bob) = (stage.join("amy").await, stage.join("bob").await);
    for expect in [200, 200, 200, 429] {
        assert_eq!(stage.get("/api/conversations", Some(&amy)).await.status, expect);
    }
    assert_eq!(stage.get("/api/conversations", Some(&bob)).await.status, 200);
}

#[tokio::test]
async fn a_panic_ends_its_request_and_nothing_else() {
    let stage = stage();
    let router = router_that_panics(Arc::clone(&stage.app));
    for _ in 0..2 {
        let answer = ask(&router, request("GET", "/api/panics", None).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.refusal(), (500, "internal", None));
        assert!(!answer.body.to_string().contains("a bug of ours"));
    }
}

#[tokio::test]
async fn the_server_says_whether_it_is_well() {
    let stage = stage();
    assert_eq!(stage.get("/live", None).await.body, json!({ "status": "ok" }));
    let well = stage.get("/ready", None).await;
    assert_eq!(well.status, 200);
    assert_eq!(well.body, json!({ "status": "ready", "store": "ok", "hub": "ok", "draining": false }));
    stage.app.begin_draining();
    let draining = stage.get("/ready", None).await;
    assert_eq!((draining.status, &draining.body["draining"]), (503, &json!(true)));
    assert_eq!(stage.get("/health", None).await.status, 200, "on its way down, but well");
}

#[tokio::test]
async fn h1_h13_a_stuck_part_is_noticed_and_named() {
    let stage = stage();
    stage.live.stuck.store(true, Ordering::Relaxed);
    for path in ["/ready", "/health"] {
        let answer = stage.get(path, None).await;
        assert_eq!((answer.status, &answer.body["hub"], &answer.body["store"]), (503, &json!("failing"), &json!("ok")));
    }
    assert_eq!(stage.get("/live", None).await.status, 200);
    let other = super::stage::stage();
    other.app.store.close().await;
    let answer = other.get("/ready", None).await;
    assert_eq!((answer.status, &answer.body["store"]), (503, &json!("failing")));
    let amy = other.get("/api/user/1", Some(&Person { id: 1, token: "a.b.c".into(), cookie: String::new() })).await;
    assert_eq!(amy.status, UNAUTHORIZED);
}

#[tokio::test]
async fn while_the_store_is_away_sends_are_refused_as_overloaded() {
    let stage = stage();
    let amy = stage.join("amy").await;
    stage.app.store.close().await;
    let answer = stage.post("/api/chat/send", Some(&amy), json!({ "content": "hi" })).await;
    assert_eq!(answer.refusal(), (503, "overloaded", None));
    assert_eq!(answer.headers["retry-after"], "1");
}

#[tokio::test]
async fn an_upgrade_is_asked_for_by_name() {
    use crate::errors::ApiError;
    let (stage, path) = (stage(), "/api/chat/ws");
    let handler = || async { ApiError::new(teahouse_core::ErrorCode::UpgradeRequired) };
    let others = axum::Router::new().route(path, axum::routing::get(handler));
    let router = crate::http::router::router(Arc::clone(&stage.app), others);
    let answer = ask(&router, request("GET", path, None).body(Body::empty()).unwrap()).await;
    assert_eq!(answer.refusal(), (426, "upgrade_required", None));
    assert_eq!(
        (&answer.headers["upgrade"], &answer.headers["sec-websocket-version"]),
        (&"websocket".parse().unwrap(), &"13".parse().unwrap())
    );
}

/// A log that the test can read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn p18_the_token_never_reaches_a_log_line() {
    let (stage, log) = (stage(), Log::default());
    let amy = stage.join("amy").await;
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _on = tracing::subscriber::set_default(subscriber);
    // While there is only one subscriber, a line that another test's thread comes by first is asked for in
    // that thread alone, where nobody wants it, and is never written by anybody from then on.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    for path in ["/api/chat/messages", "/api/chat/ws", "/api/nowhere"] {
        let path = format!("{path}?_t=1&token={}", amy.token);
        let request = request("GET", &path, Some(&amy)).header("cookie", &amy.cookie).header("x-request-id", "r-18");
        stage.ask(request.body(Body::empty()).unwrap()).await;
    }
    stage.log_in("amy", PASSWORD).await;
    stage.ask(with_cookie("/api/auth/refresh", &amy.cookie)).await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("r-18") && log.contains("token=[redacted]") && log.contains("status=200"), "{log}");
    let secret = amy.cookie.split_once('=').unwrap().1;
    for hidden in [amy.token.as_str(), secret, PASSWORD] {
        assert!(!log.contains(hidden), "{log}");
    }
}
