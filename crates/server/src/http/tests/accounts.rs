//! Accounts: registering, logging in and out, refreshing, passwords, profiles.

use std::sync::atomic::Ordering;

use axum::body::Body;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use teahouse_core::{Revocation, UserId};

use super::fixture::*;

#[tokio::test]
async fn registering_logs_in_and_sets_the_cookie() {
    let fixture = fixture();
    let body = json!({ "username": " amy ", "password": PASSWORD, "email": "amy@example.org", "confirmPassword": PASSWORD, "agreeToTerms": true });
    let answer = fixture.post("/api/auth/register", None, body).await;
    assert_eq!(answer.status, 201);
    let user = answer.data("user");
    assert_eq!(
        user,
        &json!({ "id": 1, "username": "amy", "email": "amy@example.org", "auth_status": 1, "account_status": 1,
                 "avatar": "", "nickname": "amy", "bio": "", "role": "user" })
    );
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    for part in ["teahouse_refresh=", "Path=/api/auth", "Max-Age=2592000", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"));
    assert_eq!(fixture.get("/api/auth/me", Some(&TestUser::of(&answer))).await.status, 200);
}

#[tokio::test]
async fn the_cookie_is_secure_where_the_site_is() {
    let fixture = fixture_with(&[("TEAHOUSE_SERVER__PUBLIC_URL", "https://chat.example.org")]);
    fixture.join("amy").await;
    let answer = fixture.log_in("amy", PASSWORD).await;
    assert!(answer.headers["set-cookie"].to_str().unwrap().ends_with("; Secure"));
}

#[tokio::test]
async fn invalid_input_is_named() {
    let fixture = fixture();
    fixture.join("amy").await;
    let good = json!({ "username": "bob", "password": PASSWORD, "email": "bob@example.org" });
    for (field, value, expect) in [
        ("username", json!("ab"), (422, "bad_request", Some("username"))),
        ("username", json!("a b c"), (422, "bad_request", Some("username"))),
        ("username", json!("b@b"), (422, "bad_request", Some("username"))),
        ("username", json!(7), (422, "bad_request", Some("username"))),
        ("username", Value::Null, (422, "bad_request", Some("username"))),
        ("username", json!("AMY"), (409, "conflict", Some("username"))),
        ("password", json!("short1"), (201, "-", None)),
        ("password", json!("shor1"), (422, "bad_request", Some("password"))),
        ("password", json!("nodigits"), (422, "bad_request", Some("password"))),
        ("password", json!("12345678"), (422, "bad_request", Some("password"))),
        ("email", json!("bob"), (422, "bad_request", Some("email"))),
        ("email", json!("Amy@Example.org"), (409, "conflict", Some("email"))),
    ] {
        let mut body = good.clone();
        body[field] = value.clone();
        if expect.0 == 409 {
            body["password"] = json!("other123");
        }
        if expect.0 == 201 {
            body["username"] = json!("carl");
            body["email"] = json!("carl@example.org");
        }
        let answer = fixture.post("/api/auth/register", None, body).await;
        assert_eq!(answer.error(), expect, "{field} {value} {answer:?}");
    }
    let answer = fixture.post("/api/auth/register", None, json!({ "username": "bob" })).await;
    assert_eq!(answer.error(), (422, "bad_request", Some("password")));
}

#[tokio::test]
async fn registration_is_closed_where_site_tokens_are_configured() {
    let fixture = fixture_with(&[("TEAHOUSE_AUTH__JWT_SECRET", "a site's own secret, long enough for anybody")]);
    let body = json!({ "username": "amy", "password": PASSWORD, "email": "amy@example.org" });
    let answer = fixture.post("/api/auth/register", None, body).await;
    assert_eq!(answer.error(), (403, "forbidden", None));
}

#[tokio::test]
async fn a_sites_token_creates_its_user() {
    let secret = "a site's own secret, long enough for anybody";
    let fixture = fixture_with(&[("TEAHOUSE_AUTH__JWT_SECRET", secret)]);
    let token = |sub: &str, username: &str| {
        let now = fixture.app.now().seconds();
        let claims = json!({ "sub": sub, "user_id": 7, "username": username, "email": "amy@example.org",
            "avatar": "data:,x", "picture": "data:,x",
            "iss": "community-api", "aud": ["community-api"], "exp": now + 60, "nbf": now, "iat": now, "jti": sub });
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
    };
    let person = |token: String| TestUser { id: 7, token, cookie: String::new() };
    let me = fixture.get("/api/auth/me", Some(&person(token("7", "amy@work!")))).await;
    assert_eq!((me.data("id"), me.data("username")), (&json!(7), &json!("amy@work!")));
    assert_eq!(me.data("avatar"), "", "a token brings no picture");
    let other = fixture.get("/api/auth/me", Some(&person(token("auth0|x", "amy@work!")))).await;
    assert!(other.data("id").as_u64().unwrap() >= 1 << 40);
    assert_ne!(other.data("username"), "amy@work!");
    let again = fixture.get("/api/auth/me", Some(&person(token("auth0|x", "amy@work!")))).await;
    assert_eq!(again.data("id"), other.data("id"));
    // An id of the server's own range that no account has is refused.
    let forged = fixture.get("/api/auth/me", Some(&person(token(&((1_u64 << 40) + 77).to_string(), "eve")))).await;
    assert_ne!(forged.body["data"]["id"], (1_u64 << 40) + 77);
}

#[tokio::test]
async fn login_takes_name_or_address_and_every_failure_looks_the_same() {
    let fixture = fixture();
    fixture.join("amy").await;
    for name in ["amy", " AMY ", "amy@example.org", "Amy@Example.ORG"] {
        let answer = fixture.log_in(name, PASSWORD).await;
        assert_eq!(answer.status, 200, "{name}");
        assert_eq!(answer.fields(), ["token", "user"]);
    }
    let mut wrong = fixture.log_in("amy", "wrong1234").await;
    let mut unknown = fixture.log_in("nobody", "wrong1234").await;
    assert_eq!(wrong.error(), (401, "unauthorized", None));
    for answer in [&mut wrong, &mut unknown] {
        answer.body["request_id"] = Value::Null;
        answer.headers.remove("x-request-id");
    }
    assert_eq!((wrong.body, wrong.headers), (unknown.body, unknown.headers));
    let answer = fixture.post("/api/auth/login", None, json!({ "username": "amy" })).await;
    assert_eq!(answer.error(), (422, "bad_request", Some("password")));
}

#[tokio::test]
async fn p26_wrong_passwords_never_lock_anybody_out() {
    // The wait is short here; the tests of `limits` cover it.
    let fixture = fixture_with(&[("TEAHOUSE_LIMITS__WRONG_PASSWORDS_PER_MINUTE", "6000")]);
    fixture.join("amy").await;
    for _ in 0..15 {
        assert_eq!(fixture.log_in("amy", "wrong1234").await.status, 401);
    }
    assert_eq!(fixture.log_in("amy", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn logins_from_one_address_are_limited_with_a_retry_time() {
    let fixture = fixture_with(&[("TEAHOUSE_LIMITS__LOGINS_PER_SECOND", "1"), ("TEAHOUSE_LIMITS__LOGINS_BURST", "1")]);
    assert_eq!(fixture.log_in("amy", PASSWORD).await.status, 401);
    let answer = fixture.log_in("amy", PASSWORD).await;
    assert_eq!(answer.error(), (429, "rate_limited", None));
    assert_eq!(answer.headers["retry-after"], "1");
    let body = json!({ "username": "amy", "password": PASSWORD }).to_string();
    let elsewhere = from("198.51.100.1", request("POST", "/api/auth/login", None).body(body.into()).unwrap());
    assert_eq!(fixture.ask(elsewhere).await.status, 401);
}

#[tokio::test]
async fn the_limits_of_an_address_are_reported_when_they_are_reached() {
    let fixture = fixture_with(&[
        ("TEAHOUSE_LIMITS__LOGINS_BURST", "1"),
        ("TEAHOUSE_LIMITS__REGISTRATIONS_BURST", "1"),
        ("TEAHOUSE_LIMITS__BAD_TOKENS_BURST", "1"),
        ("TEAHOUSE_LIMITS__LOGINS_PER_SECOND", "1"),
        ("TEAHOUSE_LIMITS__REGISTRATIONS_PER_SECOND", "1"),
        ("TEAHOUSE_LIMITS__BAD_TOKENS_PER_SECOND", "1"),
    ]);
    let reported = || {
        let keys = ["limits.logins_burst", "limits.registrations_burst", "limits.bad_tokens_burst"];
        keys.map(|key| fixture.app.bounds.times(key))
    };
    let amy = fixture.join("amy").await;
    let stranger = TestUser { token: "wrong".to_owned(), ..amy };
    fixture.log_in("bob", PASSWORD).await;
    assert_eq!(fixture.get("/api/auth/me", Some(&stranger)).await.status, 401);
    assert_eq!(reported(), [0, 0, 0]);
    let body = json!({ "username": "bob", "password": PASSWORD, "email": "bob@example.org" });
    assert_eq!(fixture.log_in("bob", PASSWORD).await.status, 429);
    assert_eq!(fixture.post("/api/auth/register", None, body).await.status, 429);
    assert_eq!(fixture.get("/api/auth/me", Some(&stranger)).await.status, 429);
    assert_eq!(fixture.ask(with_cookie("/api/auth/refresh", "teahouse_refresh=wrong")).await.status, 429);
    assert_eq!(reported(), [1, 1, 2]);
}

#[tokio::test]
async fn a_disabled_user_learns_why_only_with_the_right_password() {
    let fixture = fixture();
    let amy = fixture.join("amy").await;
    fixture.app.store.set_disabled("amy", true).await.unwrap();
    assert_eq!(fixture.get("/api/auth/me", Some(&amy)).await.error(), (401, "unauthorized", None));
    let (right, wrong) = (fixture.log_in("amy", PASSWORD).await, fixture.log_in("amy", "wrong1234").await);
    assert_eq!(right.error(), (401, "unauthorized", None));
    assert_ne!(right.body["message"], wrong.body["message"]);
    assert_eq!(fixture.ask(with_cookie("/api/auth/refresh", &amy.cookie)).await.status, UNAUTHORIZED);
}

#[tokio::test]
async fn a_refresh_gives_a_token_and_the_next_cookie_once() {
    let fixture = fixture();
    let amy = fixture.join("amy").await;
    let answer = fixture.ask(with_cookie("/api/auth/refresh", &amy.cookie)).await;
    assert_eq!(answer.fields(), ["expires_at", "token"]);
    assert_eq!(answer.data("expires_at"), "2026-11-23T06:25:36.000Z");
    let next =
        TestUser { token: answer.data("token").as_str().unwrap().into(), cookie: answer.cookie(), ..amy.clone() };
    assert_ne!(next.cookie, amy.cookie);
    assert_eq!(fixture.get("/api/auth/me", Some(&next)).await.status, 200);
    assert_eq!(fixture.ask(with_cookie("/api/auth/refresh", &amy.cookie)).await.status, UNAUTHORIZED);
    assert_eq!(fixture.ask(with_cookie("/api/auth/refresh", &next.cookie)).await.status, 200);
    for cookie in ["teahouse_refresh=", "teahouse_refresh=forged", "other=1"] {
        let refused = fixture.ask(with_cookie("/api/auth/refresh", cookie)).await;
        assert_eq!(refused.error(), (401, "unauthorized", None), "{cookie}");
    }
}

#[tokio::test]
async fn an_expired_cookie_is_refused() {
    let fixture = fixture();
    let amy = fixture.join("amy").await;
    fixture.now.fetch_add(31 * 24 * 3600 * 1000, Ordering::Relaxed);
    assert_eq!(fixture.ask(with_cookie("/api/auth/refresh", &amy.cookie)).await.status, UNAUTHORIZED);
    assert_eq!(fixture.get("/api/auth/me", Some(&amy)).await.status, UNAUTHORIZED);
}

#[tokio::test]
async fn p19_logging_out_ends_token_cookie_and_everything_refreshed_from_them() {
    let fixture = fixture();
    let amy = fixture.join("amy").await;
    let other = TestUser::of(&fixture.log_in("amy", PASSWORD).await);
    let refreshed = fixture.ask(with_cookie("/api/auth/refresh", &amy.cookie)).await;
    let refreshed =
        TestUser { token: refreshed.data("token").as_str().unwrap().into(), cookie: refreshed.cookie(), ..amy.clone() };

    let answer = fixture.ask(request("POST", "/api/auth/logout", Some(&amy)).body(Body::empty()).unwrap()).await;
    assert_eq!(answer.body["data"], json!({ "ok": true }));
    assert!(answer.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    for ended in [&amy, &refreshed] {
        assert_eq!(fixture.get("/api/auth/me", Some(ended)).await.status, UNAUTHORIZED);
    }
    assert_eq!(fixture.ask(with_cookie("/api/auth/refresh", &refreshed.cookie)).await.status, UNAUTHORIZED);
    assert_eq!(fixture.get("/api/auth/me", Some(&other)).await.status, 200, "another login stays");
    let revoked = fixture.live.revoked.lock().unwrap().clone();
    assert!(matches!(revoked[..], [revoked] if revoked.user.0 == amy.id && matches!(revoked.what, Revocation::Key(_))));
}

#[tokio::test]
async fn the_cookie_alone_logs_out_when_the_token_has_expired() {
    let fixture = fixture();
    let amy = fixture.join("amy").await;
    fixture.now.fetch_add(25 * 3600 * 1000, Ordering::Relaxed);
    let both =
        request("POST", "/api/auth/logout", Some(&amy)).header("cookie", &amy.cookie).body(Body::empty()).unwrap();
    assert_eq!(fixture.ask(both).await.status, 200);
    assert_eq!(fixture.ask(with_cookie("/api/auth/refresh", &amy.cookie)).await.status, UNAUTHORIZED);
    assert_eq!(fixture.ask(with_cookie("/api/auth/logout", &amy.cookie)).await.status, UNAUTHORIZED);
    assert_eq!(fixture.post("/api/auth/logout", None, json!({})).await.status, UNAUTHORIZED);
}

#[tokio::test]
async fn h17_a_new_password_ends_every_other_token() {
    let fixture = fixture();
    let amy = fixture.join("amy").await;
    let other = TestUser::of(&fixture.log_in("amy", PASSWORD).await);
    let change = |current: &str, new: &str| json!({ "currentPassword": current, "newPassword": new });
    for (body, expect) in [
        (change("wrong1234", "better123"), (422, "bad_request", Some("currentPassword"))),
        (change(PASSWORD, "short"), (422, "bad_request", Some("newPassword"))),
        (json!({ "currentPassword": PASSWORD }), (422, "bad_request", Some("newPassword"))),
    ] {
        assert_eq!(fixture.post("/api/auth/change-password", Some(&amy), body).await.error(), expect);
    }
    // All of this happens within one second of the clock, twice: no step may undo another.
    for new in ["better123", "better124"] {
        let current = if new == "better123" { PASSWORD } else { "better123" };
        let between = TestUser::of(&fixture.log_in("amy", current).await);
        let answer = fixture.post("/api/auth/change-password", Some(&amy), change(current, new)).await;
        assert_eq!(answer.body["data"], json!({ "ok": true }));
        for ended in [&other, &between] {
            assert_eq!(fixture.get("/api/auth/me", Some(ended)).await.status, UNAUTHORIZED);
            assert_eq!(fixture.ask(with_cookie("/api/auth/refresh", &ended.cookie)).await.status, UNAUTHORIZED);
        }
        assert_eq!(fixture.get("/api/auth/me", Some(&amy)).await.status, 200);
        assert_eq!(fixture.log_in("amy", current).await.status, UNAUTHORIZED);
    }
    let fresh = TestUser::of(&fixture.log_in("amy", "better124").await);
    assert_eq!(fixture.get("/api/auth/me", Some(&fresh)).await.status, 200);
    assert_eq!(fixture.ask(with_cookie("/api/auth/refresh", &amy.cookie)).await.status, 200);
    assert_eq!(fixture.live.revoked.lock().unwrap().len(), 2);
}

/// A login reads the old hash and waits for its turn to hash. Meanwhile a password change ends all logins. The waiting
/// login must not begin after that.
#[tokio::test]
async fn p19_a_login_that_waits_for_hashing_does_not_survive_a_password_change() {
    let fixture = fixture_with(&[("TEAHOUSE_AUTH__PASSWORD_HASHES_PARALLEL", "1")]);
    let amy = fixture.join("amy").await;
    let hash = crate::passwords::hash_once("better123").unwrap();
    let mut logins: FuturesUnordered<_> = (0..3).map(|_| fixture.log_in("amy", PASSWORD)).collect();
    // With one hashing slot, all but the first login have read the old hash when the first one finishes.
    let mut answers = vec![logins.next().await.unwrap()];
    fixture.app.store.change_password(UserId(amy.id), &hash, fixture.app.now(), None).await.unwrap();
    while let Some(answer) = logins.next().await {
        answers.push(answer);
    }
    assert_eq!(answers[0].status, 200);
    for answer in answers {
        // A login that finished before the change was valid and has ended now.
        if answer.status == 200 {
            let login = TestUser::of(&answer);
            assert_eq!(fixture.get("/api/auth/me", Some(&login)).await.status, UNAUTHORIZED);
            assert_eq!(fixture.ask(with_cookie("/api/auth/refresh", &login.cookie)).await.status, UNAUTHORIZED);
        } else {
            assert_eq!(answer.status, UNAUTHORIZED);
        }
    }
    assert_eq!(fixture.log_in("amy", "better123").await.status, 200);
}

#[tokio::test]
async fn an_older_hash_is_renewed_at_login() {
    let fixture = fixture();
    let amy = fixture.join("amy").await;
    let old = bcrypt::hash(PASSWORD, 4).unwrap();
    let id = teahouse_core::UserId(amy.id);
    let now = fixture.app.now();
    fixture.app.store.change_password(id, &old, now, None).await.unwrap();
    assert_eq!(fixture.log_in("amy", PASSWORD).await.status, 200);
    assert!(fixture.app.store.password_hash(id).await.unwrap().unwrap().starts_with("$argon2id$"));
    assert_eq!(fixture.log_in("amy", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_profile_changes_only_the_given_fields() {
    let fixture = fixture();
    let amy = fixture.join("amy").await;
    let put = |body: Value| fixture.put("/api/auth/me", &amy, body);
    let answer =
        put(json!({ "avatar": "/a.png", "profile": { "nickname": "Amy\u{202e}", "bio": "tea" }, "province": "x" }))
            .await;
    assert_eq!(answer.data("nickname"), "Amy");
    assert_eq!(answer.data("profile"), &json!({ "nickname": "Amy", "bio": "tea", "avatar_url": "/a.png" }));
    let unchanged = fixture.ask(request("PUT", "/api/auth/me", Some(&amy)).body(Body::empty()).unwrap()).await;
    assert_eq!(unchanged.body["data"], answer.body["data"]);
    assert_eq!(fixture.get("/api/auth/me", Some(&amy)).await.body["data"], answer.body["data"]);
    assert_eq!(put(json!({ "profile": { "nickname": " " } })).await.data("nickname"), "amy");
    for (body, expect) in [
        (json!({ "profile": { "nickname": "a".repeat(51) } }), (422, "too_long", Some("profile.nickname"))),
        (json!({ "profile": { "bio": "a".repeat(501) } }), (422, "too_long", Some("profile.bio"))),
        (json!({ "avatar": format!("/{}", "a".repeat(2048)) }), (422, "too_long", Some("avatar"))),
        (json!({ "avatar": "javascript:alert(1)" }), (422, "bad_request", Some("avatar"))),
        (
            json!({ "avatar": format!("data:image/png;base64,{}", "A".repeat(2000)) }),
            (422, "bad_request", Some("avatar")),
        ),
        (json!({ "avatar": "/a\nb.png" }), (422, "bad_request", Some("avatar"))),
        // 2,000 characters, of 8 KB.
        (json!({ "avatar": format!("/{}", "🍵".repeat(1999)) }), (422, "too_long", Some("avatar"))),
        (json!({ "profile": 7 }), (422, "bad_request", Some("profile"))),
        (json!({ "profile": { "bio": 7 } }), (422, "bad_request", Some("profile.bio"))),
    ] {
        assert_eq!(put(body).await.error(), expect);
    }
}

#[tokio::test]
async fn others_see_a_profile_without_an_email_address() {
    let fixture = fixture();
    let (amy, bo) = (fixture.join("amy").await, fixture.join("bob").await);
    let answer = fixture.get(&format!("/api/user/{}", amy.id), Some(&bo)).await;
    assert_eq!(answer.data("profile"), &json!({ "nickname": "amy", "bio": "", "avatar_url": "" }));
    assert!(!answer.body.to_string().contains("example.org"));
    for (path, expect) in [
        ("/api/user/999", (404, "not_found", None)),
        ("/api/user/0", (404, "not_found", None)),
        ("/api/user/abc", (400, "bad_request", Some("id"))),
        ("/api/user/-1", (400, "bad_request", Some("id"))),
        ("/api/user/%ff", (400, "bad_request", Some("id"))),
        ("/api/user/9007199254740992", (400, "bad_request", Some("id"))),
        ("/api/user/9007199254740991", (404, "not_found", None)),
    ] {
        assert_eq!(fixture.get(path, Some(&bo)).await.error(), expect, "{path}");
    }
}
