//! What applies to every response: envelope, request ids, languages, origins, limits, logs, health.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use serde_json::json;
use teahouse_protocol::routes::{Auth, ROUTES, Route};

use super::fixture::*;
use super::v1::filled;
use crate::http::router::testing::router_that_panics;

#[tokio::test]
async fn errors_of_the_framework_get_an_envelope_too() {
    let fixture = fixture();
    assert_eq!(fixture.get("/api/nowhere", None).await.error(), (404, "not_found", None));
    assert_eq!(fixture.get("/api", None).await.error(), (404, "not_found", None));
    let wrong_method = fixture.get("/api/auth/login", None).await;
    assert_eq!(wrong_method.error(), (405, "method_not_allowed", None));
    assert_eq!(wrong_method.headers["allow"], "POST");
    let large = request("POST", "/api/auth/login", None).body(Body::from(vec![b' '; 70_000])).unwrap();
    assert_eq!(fixture.ask(large).await.error(), (413, "too_long", None));
    let announced = request("POST", "/api/auth/login", None).header("content-length", "999999999");
    assert_eq!(fixture.ask(announced.body(Body::empty()).unwrap()).await.status, 413);
    for broken in ["{", "[1]", "username=amy", "\u{0}"] {
        let request = request("POST", "/api/auth/login", None).body(Body::from(broken)).unwrap();
        assert_eq!(fixture.ask(request).await.error(), (400, "bad_request", None), "{broken:?}");
    }
    assert_eq!(fixture.get("/elsewhere", None).await.status, 404);
}

#[tokio::test]
async fn bodies_are_accepted_with_any_content_type() {
    let fixture = fixture();
    fixture.join("amy").await;
    for kind in ["application/json", "text/plain", "application/x-www-form-urlencoded", "nonsense"] {
        let body = json!({ "username": "amy", "password": PASSWORD, "rememberMe": true }).to_string();
        let request = request("POST", "/api/auth/login", None).header("content-type", kind).body(body.into()).unwrap();
        assert_eq!(fixture.ask(request).await.status, 200, "{kind}");
    }
}

#[tokio::test]
async fn every_route_but_logging_in_wants_a_token() {
    let fixture = fixture();
    let takes_token = |route: &&Route| matches!(route.auth, Auth::Bearer | Auth::BearerOrCookie);
    for route in ROUTES.iter().filter(takes_token) {
        let (method, path) = (route.method.as_str(), filled(route.path, "1"));
        for authorization in ["", "Bearer ", "Bearer a.b.c", "Basic YTpi", "Bearer \u{ff}"] {
            let request = request(method, &path, None).header("authorization", authorization.as_bytes());
            let answer = fixture.ask(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.error(), (401, "unauthorized", None), "{method} {path} {authorization:?}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
    }
}

#[tokio::test]
async fn a_requests_own_id_is_echoed() {
    let fixture = fixture();
    let with_id =
        |id: &str| request("GET", "/api/nowhere", None).header("x-request-id", id).body(Body::empty()).unwrap();
    assert_eq!(fixture.ask(with_id("page-17")).await.body["request_id"], "page-17");
    assert_ne!(fixture.ask(with_id("two words")).await.body["request_id"], "two words");
    let (one, other) = (fixture.get("/api/nowhere", None).await, fixture.get("/api/nowhere", None).await);
    assert_ne!(one.body["request_id"], other.body["request_id"]);
}

#[tokio::test]
async fn messages_are_in_the_requested_language() {
    let fixture = fixture();
    let amy = fixture.join("amy").await;
    let ask = |language: &str, path: &str| {
        fixture.ask(request("GET", path, Some(&amy)).header("accept-language", language).body(Body::empty()).unwrap())
    };
    assert_eq!(ask("zh-CN,zh;q=0.9", "/api/nowhere").await.body["message"], "未找到。");
    assert_eq!(ask("en-GB", "/api/nowhere").await.body["message"], "Not found.");
    assert_eq!(ask("zh", "/api/auth/me").await.body["message"], "成功");
    let limit = ask("zh", "/api/chat/messages?limit=0").await;
    assert!(limit.body["message"].as_str().unwrap().contains("limit"));
}

#[tokio::test]
async fn allowed_origins_may_call_and_others_may_not() {
    let fixture = fixture_with(&[("TEAHOUSE_SERVER__ALLOWED_ORIGINS", "https://www.example.org")]);
    let preflight = |origin: &str| {
        let request = request("OPTIONS", "/api/chat/send", None)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,x-request-id,idempotency-key");
        fixture.ask(request.body(Body::empty()).unwrap())
    };
    let listed = preflight("https://www.example.org").await;
    assert_eq!(listed.status, 200);
    assert_eq!(listed.headers["access-control-allow-origin"], "https://www.example.org");
    assert_eq!(listed.headers["access-control-allow-credentials"], "true");
    let headers = listed.headers["access-control-allow-headers"].to_str().unwrap();
    assert_eq!(headers, "authorization,content-type,x-request-id,idempotency-key");
    assert!(!preflight("https://evil.com").await.headers.contains_key("access-control-allow-origin"));
    // The page can read an error response as well.
    let refused = request("GET", "/api/auth/me", None).header("origin", "https://www.example.org");
    let refused = fixture.ask(refused.body(Body::empty()).unwrap()).await;
    assert_eq!(refused.headers["access-control-allow-origin"], "https://www.example.org");
}

#[tokio::test]
async fn the_old_socket_is_a_plain_404() {
    let fixture = fixture();
    let request = request("GET", "/api/ws?token=x", None).header("upgrade", "websocket").body(Body::empty()).unwrap();
    let answer = fixture.ask(request).await;
    assert_eq!(answer.error(), (404, "not_found", None));
    assert!(!answer.headers.contains_key("x-request-id"), "no layer applies to it");
}

#[tokio::test]
async fn p24_invalid_tokens_are_limited_by_address_and_valid_ones_are_not() {
    let fixture =
        fixture_with(&[("TEAHOUSE_LIMITS__BAD_TOKENS_PER_SECOND", "1"), ("TEAHOUSE_LIMITS__BAD_TOKENS_BURST", "2")]);
    let amy = fixture.join("amy").await;
    let bad = TestUser { token: "a.b.c".into(), ..amy.clone() };
    for expect in [401, 401, 429, 429] {
        let answer = fixture.get("/api/auth/me", Some(&bad)).await;
        assert_eq!(answer.status, expect);
        assert_eq!(answer.headers.contains_key("retry-after"), expect == 429);
    }
    assert_eq!(fixture.get("/api/auth/me", Some(&amy)).await.status, 200);
    let elsewhere = request("GET", "/api/auth/me", Some(&bad)).header("x-forwarded-for", "198.51.100.1");
    let spoofed = fixture.ask(elsewhere.body(Body::empty()).unwrap()).await;
    assert_eq!(spoofed.status, 429, "a spoofed address is ignored");
}

#[tokio::test]
async fn reading_is_limited_per_user() {
    let fixture = fixture_with(&[("TEAHOUSE_LIMITS__READS_PER_SECOND", "1"), ("TEAHOUSE_LIMITS__READS_BURST", "3")]);
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    for expect in [200, 200, 200, 429] {
        assert_eq!(fixture.get("/api/conversations", Some(&amy)).await.status, expect);
    }
    assert_eq!(fixture.get("/api/conversations", Some(&bob)).await.status, 200);
}

#[tokio::test]
async fn a_panic_ends_its_request_and_nothing_else() {
    let fixture = fixture();
    let router = router_that_panics(Arc::clone(&fixture.app));
    for _ in 0..2 {
        let answer = ask(&router, request("GET", "/api/panics", None).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.error(), (500, "internal", None));
        assert!(!answer.body.to_string().contains("a bug of ours"));
    }
}

#[tokio::test]
async fn health_and_readiness_are_reported() {
    let fixture = fixture();
    assert_eq!(fixture.get("/live", None).await.body, json!({ "status": "ok" }));
    let well = fixture.get("/ready", None).await;
    assert_eq!(well.status, 200);
    assert_eq!(well.body, json!({ "status": "ready", "store": "ok", "hub": "ok", "draining": false }));
    fixture.app.begin_draining();
    let draining = fixture.get("/ready", None).await;
    assert_eq!((draining.status, &draining.body["draining"]), (503, &json!(true)));
    assert_eq!(fixture.get("/health", None).await.status, 200, "draining, but healthy");
}

#[tokio::test]
async fn h1_h13_a_stuck_part_is_noticed_and_named() {
    let fixture = fixture();
    fixture.live.stuck.store(true, Ordering::Relaxed);
    for path in ["/ready", "/health"] {
        let answer = fixture.get(path, None).await;
        assert_eq!((answer.status, &answer.body["hub"], &answer.body["store"]), (503, &json!("failing"), &json!("ok")));
    }
    assert_eq!(fixture.get("/live", None).await.status, 200);
    let other = super::fixture::fixture();
    other.app.store.close().await;
    let answer = other.get("/ready", None).await;
    assert_eq!((answer.status, &answer.body["store"]), (503, &json!("failing")));
    let amy = other.get("/api/user/1", Some(&TestUser { id: 1, token: "a.b.c".into(), cookie: String::new() })).await;
    assert_eq!(amy.status, UNAUTHORIZED);
}

#[tokio::test]
async fn a_send_while_the_store_is_closed_is_overloaded() {
    let fixture = fixture();
    let amy = fixture.join("amy").await;
    fixture.app.store.close().await;
    let answer = fixture.post("/api/chat/send", Some(&amy), json!({ "content": "hi" })).await;
    assert_eq!(answer.error(), (503, "overloaded", None));
    assert_eq!(answer.headers["retry-after"], "1");
}

#[tokio::test]
async fn upgrade_required_names_the_protocol() {
    use crate::errors::ApiError;
    let (fixture, path) = (fixture(), "/api/chat/ws");
    let handler = || async { ApiError::new(teahouse_core::ErrorCode::UpgradeRequired) };
    let others = axum::Router::new().route(path, axum::routing::get(handler));
    let router = crate::http::router::router(Arc::clone(&fixture.app), others);
    let answer = ask(&router, request("GET", path, None).body(Body::empty()).unwrap()).await;
    assert_eq!(answer.error(), (426, "upgrade_required", None));
    assert_eq!(
        (&answer.headers["upgrade"], &answer.headers["sec-websocket-version"]),
        (&"websocket".parse().unwrap(), &"13".parse().unwrap())
    );
}

/// A log that a test can read.
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
    let (fixture, log) = (fixture(), Log::default());
    let amy = fixture.join("amy").await;
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _on = tracing::subscriber::set_default(subscriber);
    // With a single subscriber, tracing caches the interest of the first thread that reaches a line. Another test's
    // thread has no interest, which would suppress the line here as well.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    for path in ["/api/chat/messages", "/api/chat/ws", "/api/nowhere"] {
        let path = format!("{path}?_t=1&token={}", amy.token);
        let request = request("GET", &path, Some(&amy)).header("cookie", &amy.cookie).header("x-request-id", "r-18");
        fixture.ask(request.body(Body::empty()).unwrap()).await;
    }
    fixture.log_in("amy", PASSWORD).await;
    fixture.ask(with_cookie("/api/auth/refresh", &amy.cookie)).await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("r-18") && log.contains("token=[redacted]") && log.contains("status=200"), "{log}");
    let secret = amy.cookie.split_once('=').unwrap().1;
    for hidden in [amy.token.as_str(), secret, PASSWORD] {
        assert!(!log.contains(hidden), "{log}");
    }
}
