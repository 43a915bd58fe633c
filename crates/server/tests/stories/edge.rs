//! The edge: handshakes, tokens, origins, addresses, bodies. The server refuses a handshake before the upgrade, with the
//! error envelope of every route.

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};

use crate::connections::settle;
use crate::fixture::{
    NO_LIMITS, RawSocket, SITE_SECRET, Server, User, claims, now_seconds, request_head, sign, site_token, wait_until,
    within_patience,
};

/// Sends this head and reads the response: status and body.
async fn send_head(server: &Server, head: &str) -> (u16, Value) {
    let mut socket = RawSocket::connect(server.address()).await;
    socket.write(head.as_bytes()).await;
    let (status, body) = socket.read_response().await;
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{status} {body:?}")))
}

#[tokio::test]
async fn an_invalid_handshake_is_refused_with_the_reason() {
    let server = Server::of_site(&[]);
    let token = site_token(7, "amy");
    let good = request_head(&token, "");
    for (what, head, status) in [
        ("HTTP/1.0", good.replace("HTTP/1.1", "HTTP/1.0"), 400),
        ("no host", good.replace("Host: localhost\r\n", ""), 400),
        ("a short key", good.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), 400),
        ("an invalid key", good.replace("dGhlIHNhbXBsZSBub25jZQ==", "not base64 at all!!!!!!!"), 400),
        ("no key", good.replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400),
        ("an old version", good.replace("Version: 13", "Version: 8"), 426),
        ("no version", good.replace("Sec-WebSocket-Version: 13\r\n", ""), 426),
        ("no Connection: Upgrade", good.replace("Connection: Upgrade", "Connection: keep-alive"), 400),
    ] {
        let (got, body) = send_head(&server, &head).await;
        assert_eq!((got, &body["code"]), (status, &json!(status)), "{what}: {body}");
        assert!(!body["message"].as_str().unwrap().is_empty(), "{what}");
    }
    let mut socket = RawSocket::connect(server.address()).await;
    socket.write(good.replace("Version: 13", "Version: 8").as_bytes()).await;
    let head = socket.read_head().await.to_lowercase();
    assert!(head.contains("sec-websocket-version: 13"), "{head}");
    let posted = User::of_site(&server, 7, "amy").post("/api/chat/ws", json!({})).await;
    posted.expect_error(405, "method_not_allowed");
}

#[tokio::test]
async fn input_that_is_not_http_is_answered_with_400() {
    let server = Server::of_site(&[]);
    for bytes in
        [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0\0\0\0\r\n\r\n"]
    {
        let mut socket = RawSocket::connect(server.address()).await;
        socket.write(bytes).await;
        assert!(socket.read_head().await.starts_with("HTTP/1.1 400 "));
        socket.wait_for_end().await;
    }
    let mut socket = RawSocket::connect(server.address()).await;
    let _ = socket.try_write(format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000)).as_bytes()).await;
    assert!(socket.read_head().await.starts_with("HTTP/1.1 431 "));
    server.assert_no_panic();
}

#[tokio::test]
async fn the_v1_subprotocol_is_selected_and_no_other_is_echoed() {
    let server = Server::of_site(&[]);
    let token = site_token(7, "amy");
    for (offer, chosen) in [
        (format!("teahouse.v1, bearer.{token}, device.phone"), Some("teahouse.v1")),
        (format!("bearer.{token}, teahouse.v1"), Some("teahouse.v1")),
        (format!("chat, bearer.{token}"), None),
        (format!("teahouse.v2, bearer.{token}"), None),
    ] {
        let mut socket = RawSocket::connect(server.address()).await;
        let head = request_head("", &format!("Sec-WebSocket-Protocol: {offer}\r\n"));
        socket.write(head.as_bytes()).await;
        let answer = socket.read_head().await;
        assert!(answer.starts_with("HTTP/1.1 101 ") && !answer.contains(&token), "{answer}");
        let lines: Vec<(String, &str)> = answer
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value))
            .filter(|(name, _)| name == "sec-websocket-protocol")
            .collect();
        assert_eq!(lines.first().map(|(_, value)| *value), chosen, "{answer}");
        assert!(lines.len() <= 1, "{answer}");
    }
}

#[tokio::test]
async fn fragmented_and_pipelined_handshakes_get_the_same_answer_as_whole_ones() {
    // A whole handshake at the start of a connection bypasses the HTTP stack. Clients must see no difference.
    let server = Server::of_site(&[]);
    let token = site_token(7, "amy");
    let in_pieces = async |head: &str| {
        let mut socket = RawSocket::connect(server.address()).await;
        socket.write(&head.as_bytes()[..40]).await;
        settle(&server).await;
        socket.write(&head.as_bytes()[40..]).await;
        socket
    };
    let second = async |head: &str| {
        let mut socket = RawSocket::connect(server.address()).await;
        socket.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(socket.read_response().await.0, 200);
        socket.write(head.as_bytes()).await;
        socket
    };
    let whole = async |head: &str| {
        let mut socket = RawSocket::connect(server.address()).await;
        socket.write(head.as_bytes()).await;
        socket
    };
    let good = request_head(&token, "");
    let of = |user| request_head(&site_token(user, "amy"), "X-Request-ID: r-19\r\n");
    for mut socket in [in_pieces(&of(8)).await, second(&of(9)).await, whole(&of(10)).await] {
        let head = socket.read_head().await.to_lowercase();
        assert!(head.starts_with("http/1.1 101 switching protocols\r\n"), "{head}");
        for line in [
            "upgrade: websocket\r\n",
            "connection: upgrade\r\n",
            "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n",
            "x-request-id: r-19\r\n",
        ] {
            assert_eq!(head.matches(line).count(), 1, "{line} in {head}");
        }
        socket.into_tab().await.assert_alive().await;
    }
    let line = server.wait_for_log_line("r-19");
    assert!(line.contains("status=101") && line.contains("token=[redacted]"), "{line}");

    for (what, head, status) in [
        ("a bad token", request_head("nonsense", ""), 401),
        ("a foreign origin", request_head(&token, "Origin: https://evil.example\r\n"), 403),
        ("an old version", good.replace("Version: 13", "Version: 8"), 426),
        ("HTTP/1.0", good.replace("HTTP/1.1", "HTTP/1.0"), 400),
    ] {
        let mut answers = Vec::new();
        for mut socket in [in_pieces(&head).await, second(&head).await, whole(&head).await] {
            let (got, body) = socket.read_response().await;
            assert_eq!(got, status, "{what}: {body}");
            let mut body: Value = serde_json::from_str(&body).unwrap();
            body["request_id"].take();
            answers.push(body);
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{what}: {answers:?}");
    }
    // The connection survives a refusal.
    let mut socket = whole(&request_head("nonsense", "")).await;
    assert_eq!(socket.read_response().await.0, 401);
    socket.handshake(&token).await;
    socket.into_tab().await.assert_alive().await;
    server.assert_no_panic();
}

#[tokio::test]
async fn a_bad_token_counts_once_wherever_it_is_sent() {
    let limits = [("TEAHOUSE_LIMITS__BAD_TOKENS_PER_SECOND", "1"), ("TEAHOUSE_LIMITS__BAD_TOKENS_BURST", "4")];
    let server = Server::of_site(&limits);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(send_head(&server, &request_head("nonsense", "")).await.0);
    }
    assert_eq!(statuses, [401; 4]);
}

#[tokio::test]
async fn a_request_without_upgrade_gets_the_status_of_a_handshake() {
    let server = Server::of_site(&[]);
    let amy = User::of_site(&server, 7, "amy");
    amy.get("/api/chat/ws").await.expect_error(426, "upgrade_required");
    amy.clone().with_token("nonsense").get("/api/chat/ws").await.expect_error(401, "unauthorized");
    amy.clone().with_token("").get("/api/chat/ws").await.expect_error(401, "unauthorized");
    let foreign = [("Origin", "https://evil.example")];
    amy.request(Method::GET, "/api/chat/ws", &foreign, None).await.expect_error(403, "forbidden");
    amy.get(&format!("/api/chat/ws?token={}", amy.token)).await.expect_error(426, "upgrade_required");
}

/// A token of these parts.
fn assemble_token(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (header, claims) = (header.to_string(), claims.to_string());
    format!("{}.{}.{}", part(header.as_bytes()), part(claims.as_bytes()), part(signature))
}

#[tokio::test]
async fn every_invalid_token_gets_the_same_refusal() {
    let server = Server::of_site(&[]);
    let now = now_seconds();
    let with = |key: &str, value: Value| {
        let mut claims = claims(7, "amy");
        claims[key] = value;
        sign(&claims)
    };
    let without = |key: &str| {
        let mut claims = claims(7, "amy");
        claims.as_object_mut().unwrap().remove(key);
        sign(&claims)
    };
    let good = site_token(7, "amy");
    let (rest, signature) = good.rsplit_once('.').unwrap();
    let flipped: String = signature.chars().rev().collect();
    let none = |alg: &str| assemble_token(&json!({"alg": alg, "typ": "JWT"}), &claims(7, "amy"), b"");
    let other =
        jsonwebtoken::encode(&Header::default(), &claims(7, "amy"), &EncodingKey::from_secret(b"guess")).unwrap();
    let hs512 = EncodingKey::from_secret(SITE_SECRET.as_bytes());
    let hs512 = jsonwebtoken::encode(&Header::new(Algorithm::HS512), &claims(7, "amy"), &hs512).unwrap();
    let anonymous = User::anonymous(&server);
    for (what, token) in [
        ("nonsense", "nonsense".to_owned()),
        ("three dots", "a.b.c".to_owned()),
        ("no signature", format!("{rest}.")),
        ("another signature", format!("{rest}.{flipped}")),
        ("another secret", other),
        ("another algorithm", hs512),
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg NONE", none("NONE")),
        ("expired", with("exp", json!(now - 31))),
        ("not valid yet", with("nbf", json!(now + 60))),
        ("another issuer", with("iss", json!("somebody"))),
        ("another audience", with("aud", json!(["somebody"]))),
        ("no exp", without("exp")),
        ("no iss", without("iss")),
        ("no sub", without("sub")),
        ("exp is a text", with("exp", json!("tomorrow"))),
        ("8 KiB of letters", "x".repeat(8 * 1024)),
        ("8 KiB of claims", with("email", json!("x".repeat(8 * 1024)))),
    ] {
        let (status, body) = send_head(&server, &request_head(&token, "")).await;
        assert_eq!((status, &body["code"], &body["error_code"]), (401, &json!(401), &json!("unauthorized")), "{what}");
        assert_eq!(body["message"], "Please log in.", "{what}");
        anonymous.clone().with_token(&token).get("/api/auth/me").await.expect_error(401, "unauthorized");
    }
    // A missing audience is accepted, and clocks may differ by half a minute.
    for token in [without("aud"), with("exp", json!(now - 20)), with("nbf", json!(now + 20)), without("nbf")] {
        anonymous.clone().with_token(&token).get("/api/auth/me").await.expect(200);
    }
    server.assert_no_panic();
}

#[tokio::test]
async fn a_public_key_is_not_accepted_as_an_hmac_secret() {
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys");
    let public = keys.join("rsa_public.pem");
    let server = Server::standalone(&[("TEAHOUSE_AUTH__PUBLIC_KEY_FILE", public.to_str().unwrap())]);
    let anonymous = User::anonymous(&server);
    let pem = std::fs::read(&public).unwrap();
    let lines: String = String::from_utf8(pem.clone()).unwrap().lines().filter(|line| !line.starts_with('-')).collect();
    for secret in [pem.clone(), pem.trim_ascii().to_vec(), lines.into_bytes()] {
        let forged =
            jsonwebtoken::encode(&Header::default(), &claims(7, "amy"), &EncodingKey::from_secret(&secret)).unwrap();
        anonymous.clone().with_token(&forged).get("/api/auth/me").await.expect_error(401, "unauthorized");
        assert_eq!(send_head(&server, &request_head(&forged, "")).await.0, 401);
    }
    let private = EncodingKey::from_rsa_pem(&std::fs::read(keys.join("rsa_private.pem")).unwrap()).unwrap();
    let good = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims(7, "amy"), &private).unwrap();
    anonymous.with_token(&good).open_tab().await.assert_alive().await;
}

#[tokio::test]
async fn only_same_origin_and_listed_origins_may_connect() {
    let listed = ("TEAHOUSE_SERVER__ALLOWED_ORIGINS", "https://www.example.org");
    let server = Server::of_site(&[listed]);
    let token = site_token(7, "amy");
    let port = server.address().port();
    for (origin, may) in [
        ("https://www.example.org", true),
        ("http://localhost:5173", true),
        ("http://127.0.0.1:1", true),
        ("http://[::1]:3000", true),
        ("null", false),
        ("http://www.example.org", false),
        ("https://www.example.org.evil.example", false),
        ("https://evil.example/https://www.example.org", false),
        ("https://www.example.org@evil.example", false),
        ("http://localhost.evil.example", false),
        ("http://127.0.0.1.evil.example", false),
        ("https://evil.example", false),
        ("", false),
    ] {
        let more = format!("Origin: {origin}\r\n");
        let mut socket = RawSocket::connect(server.address()).await;
        socket
            .write(
                request_head(&token, &more).replace("Host: localhost", &format!("Host: 127.0.0.1:{port}")).as_bytes(),
            )
            .await;
        if may {
            let head = socket.read_head().await;
            assert!(head.starts_with("HTTP/1.1 101 "), "{origin}: {head}");
        } else {
            let (status, body) = socket.read_response().await;
            assert_eq!(status, 403, "{origin}: {body}");
            assert!(body.contains("server.allowed_origins") && body.contains(origin), "{origin}: {body}");
        }
    }
}

#[tokio::test]
async fn only_get_opens_a_session() {
    let server = Server::of_site(&[]);
    let amy = User::of_site(&server, 7, "amy");
    for method in ["HEAD", "OPTIONS", "POST", "PUT"] {
        let mut socket = RawSocket::connect(server.address()).await;
        socket.write(request_head(&amy.token, "").replacen("GET", method, 1).as_bytes()).await;
        let head = socket.read_head().await;
        assert!(!head.starts_with("HTTP/1.1 101 "), "{method}: {head}");
        assert!(method != "HEAD" || head.starts_with("HTTP/1.1 405 "), "{method}: {head}");
    }
    assert_eq!(amy.online_users().await, Vec::<u64>::new());
}

#[tokio::test]
async fn silent_and_byte_by_byte_connections_are_closed_within_ten_seconds() {
    let server = Server::of_site(&[]);
    let before = server.descriptors();
    let mut silent = RawSocket::connect(server.address()).await;
    let mut slow = RawSocket::connect(server.address()).await;
    let begun = Instant::now();
    let head = request_head(&site_token(7, "amy"), "").into_bytes();
    let drip = async {
        // The fault takes time: one byte a second.
        for byte in head.chunks(1) {
            if slow.try_write(byte).await.is_err() {
                return;
            }
            let second = tokio::time::timeout(Duration::from_secs(1), slow.wait_for_end());
            if second.await.is_ok() {
                return;
            }
        }
        panic!("the server waited for a head of {} bytes", head.len());
    };
    tokio::join!(drip, silent.wait_for_end());
    let after = begun.elapsed();
    assert!(after >= Duration::from_secs(5) && after <= Duration::from_secs(15), "{after:?}");
    // Only the descriptors of this metrics request remain.
    let anonymous = User::anonymous(&server);
    wait_until(async || anonymous.get("/live").await.status == 200 && server.descriptors() <= before + 1).await;
}

#[tokio::test]
async fn a_body_that_arrives_byte_by_byte_times_out() {
    // The default limit of a head is 10 s.
    let server = Server::of_site(&[("TEAHOUSE_SERVER__HEADER_TIMEOUT", "2s")]);
    let amy = User::of_site(&server, 7, "amy");
    let mut socket = RawSocket::connect(server.address()).await;
    let head = format!(
        "POST /api/chat/send HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: 1000\r\n\r\n",
        amy.token
    );
    socket.write(head.as_bytes()).await;
    // The fault takes time.
    let drip = async {
        loop {
            let _ = socket.try_write(b" ").await;
            if let Ok(head) = tokio::time::timeout(Duration::from_millis(500), socket.read_head()).await {
                return head;
            }
        }
    };
    let head = within_patience("an answer", drip).await;
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    // The rest of the body is not read as a request.
    let _ = socket.try_write(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    socket.wait_for_end().await;
    assert_eq!(amy.lobby().await, Vec::<Value>::new());
}

#[tokio::test]
async fn paths_lead_only_to_routes() {
    let server = Server::of_site(&[]);
    for path in [
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api/../teahouse-data/token.secret",
        "/api/user/..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
        "/api/chat/messages/../../auth/me",
        "/token.secret",
        "/metrics",
    ] {
        let mut socket = RawSocket::connect(server.address()).await;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            site_token(7, "amy")
        );
        socket.write(request.as_bytes()).await;
        let (status, body) = socket.read_response().await;
        assert!([400, 404].contains(&status), "{path}: {status} {body}");
        assert!(!body.contains("root:"), "{path}");
    }
}

#[tokio::test]
async fn nicknames_are_inert_and_limited_by_characters() {
    let server = Server::of_site(NO_LIMITS);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let mut tab = bea.open_tab().await;
    for (raw, shown) in [
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("\u{202e}ymA", "ymA"),
        ("A\u{0}m\u{7}y\r\n", "Amy"),
        ("  Amy  ", "Amy"),
        ("", "amy"),
        ("'; DROP TABLE users; --", "'; DROP TABLE users; --"),
    ] {
        amy.put("/api/auth/me", json!({"profile": {"nickname": raw}})).await.expect(200);
        amy.post("/api/chat/send", json!({"content": "x"})).await;
        let profile = bea.get("/api/user/7").await.expect(200).data();
        assert_eq!(profile["profile"]["nickname"], shown, "{raw:?}");
    }
    assert_eq!(tab.next_of("message").await["nickname"], "<script>alert(1)</script>", "text, which pages show as text");
    let rename = |name: String| json!({"profile": {"nickname": name}});
    amy.put("/api/auth/me", rename("茶".repeat(50))).await.expect(200);
    let refused = amy.put("/api/auth/me", rename("茶".repeat(51))).await.expect_error(422, "too_long");
    assert_eq!(refused["data"]["field"], "profile.nickname");
    amy.put("/api/auth/me", rename("x".repeat(1 << 20))).await.expect_error(413, "too_long");

    // Names in the claims of a site are sanitized too, and a name that is taken gets a suffix.
    let impostor = User::of_site(&server, 9, "amy\u{202e}");
    let name = impostor.get("/api/auth/me").await.expect(200).data()["username"].as_str().unwrap().to_owned();
    assert!(name.starts_with("amy") && name != "amy" && !name.contains('\u{202e}'), "{name:?}");
}

#[tokio::test]
async fn invalid_bodies_are_refused_with_the_field() {
    let server = Server::of_site(&[]);
    let amy = User::of_site(&server, 7, "amy");
    let send = async |body: &str| {
        amy.request(Method::POST, "/api/messages/send", &[("Content-Type", "text/plain")], Some(body.to_owned())).await
    };
    let deep = format!(r#"{{"receiver_id":8,"content":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    for (body, status) in [
        ("{", 400),
        ("receiver_id=8&content=hi", 400),
        (r#"{"receiver_id":NaN,"content":"hi"}"#, 400),
        (r#"{"receiver_id":8,"content":"\ud800"}"#, 400),
        (deep.as_str(), 422),
        (r#"{"receiver_id":8,"receiver_id":9,"content":"hi"}"#, 422),
        (r#"{"receiver_id":9007199254740993,"content":"hi"}"#, 422),
        (r#"{"receiver_id":8,"content":["hi"]}"#, 422),
        ("", 422),
    ] {
        let refused = send(body).await.expect_error(status, "bad_request");
        assert_eq!(refused["data"].is_object(), status == 422, "{body:.60}: {refused}");
    }
    server.assert_no_panic();
}
