//! Accounts: registering, logging in and out, refreshing, passwords, profiles.

use std::sync::atomic::Ordering;

use axum::body::Body;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use teahouse_core::{Revocation, UserId};

use super::stage::*;

#[tokio::test]
async fn registering_logs_in_and_sets_the_cookie() {
    let stage = stage();
    let body = json!({ "username": " amy ", "password": PASSWORD, "email": "amy@example.org", "confirmPassword": PASSWORD, "agreeToTerms": true });
    let answer = stage.post("/api/auth/register", None, body).await;
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
    assert_eq!(stage.get("/api/auth/me", Some(&Person::of(&answer))).await.status, 200);
}

#[tokio::test]
async fn the_cookie_is_secure_where_the_site_is() {
    let stage = stage_with(&[("TEAHOUSE_SERVER__PUBLIC_URL", "https://chat.example.org")]);
    stage.join("amy").await;
    let answer = stage.log_in("amy", PASSWORD).await;
    assert!(answer.headers["set-cookie"].to_str().unwrap().ends_with("; Secure"));
}

#[tokio::test]
async fn what_was_typed_wrong_is_named() {
    let stage = stage();
    stage.join("amy").await;
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
        let answer = stage.post("/api/auth/register", None, body).await;
        assert_eq!(answer.refusal(), expect, "{field} {value} {answer:?}");
    }
    let answer = stage.post("/api/auth/register", None, json!({ "username": "bob" })).await;
    assert_eq!(answer.refusal(), (422, "bad_request", Some("password")));
}

#[tokio::test]
async fn where_a_sites_tokens_are_in_use_nobody_registers_here() {
    let stage = stage_with(&[("TEAHOUSE_AUTH__JWT_SECRET", "a site's own secret, long enough for anybody")]);
    let body = json!({ "username": "amy", "password": PASSWORD, "email": "amy@example.org" });
    let answer = stage.post("/api/auth/register", None, body).await;
    assert_eq!(answer.refusal(), (403, "forbidden", None));
}

#[tokio::test]
async fn a_sites_token_brings_its_user_along() {
    let secret = "a site's own secret, long enough for anybody";
    let stage = stage_with(&[("TEAHOUSE_AUTH__JWT_SECRET", secret)]);
    let token = |sub: &str, username: &str| {
        let now = stage.app.now().seconds();
        let claims = json!({ "sub": sub, "user_id": 7, "username": username, "email": "amy@example.org",
            "iss": "community-api", "aud": ["community-api"], "exp": now + 60, "nbf": now, "iat": now, "jti": sub });
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
    };
    let person = |token: String| Person { id: 7, token, cookie: String::new() };
    let me = stage.get("/api/auth/me", Some(&person(token("7", "amy@work!")))).await;
    assert_eq!((me.data("id"), me.data("username")), (&json!(7), &json!("amy@work!")));
    let other = stage.get("/api/auth/me", Some(&person(token("auth0|x", "amy@work!")))).await;
    assert!(other.data("id").as_u64().unwrap() >= 1 << 40);
    assert_ne!(other.data("username"), "amy@work!");
    let again = stage.get("/api/auth/me", Some(&person(token("auth0|x", "amy@work!")))).await;
    assert_eq!(again.data("id"), other.data("id"));
    // Ids of our own are nobody's until we give them away.
    let forged = stage.get("/api/auth/me", Some(&person(token(&((1_u64 << 40) + 77).to_string(), "eve")))).await;
    assert_ne!(forged.body["data"]["id"], (1_u64 << 40) + 77);
}

#[tokio::test]
async fn one_logs_in_by_name_or_address_and_wrong_is_the_same_for_all() {
    let stage = stage();
    stage.join("amy").await;
    for name in ["amy", " AMY ", "amy@example.org", "Amy@Example.ORG"] {
        let answer = stage.log_in(name, PASSWORD).await;
        assert_eq!(answer.status, 200, "{name}");
        assert_eq!(answer.fields(), ["token", "user"]);
    }
    let mut wrong = stage.log_in("amy", "wrong1234").await;
    let mut unknown = stage.log_in("nobody", "wrong1234").await;
    assert_eq!(wrong.refusal(), (401, "unauthorized", None));
    for answer in [&mut wrong, &mut unknown] {
        answer.body["request_id"] = Value::Null;
        answer.headers.remove("x-request-id");
    }
    assert_eq!((wrong.body, wrong.headers), (unknown.body, unknown.headers));
    let answer = stage.post("/api/auth/login", None, json!({ "username": "amy" })).await;
    assert_eq!(answer.refusal(), (422, "bad_request", Some("password")));
}

#[tokio::test]
async fn p26_wrong_passwords_never_lock_anybody_out() {
    // The waiting is made short; that there is one is `limits`' own test.
    let stage = stage_with(&[("TEAHOUSE_LIMITS__WRONG_PASSWORDS_PER_MINUTE", "6000")]);
    stage.join("amy").await;
    for _ in 0..15 {
        assert_eq!(stage.log_in("amy", "wrong1234").await.status, 401);
    }
    assert_eq!(stage.log_in("amy", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn logins_from_one_address_are_limited_and_say_when_to_come_back() {
    let stage = stage_with(&[("TEAHOUSE_LIMITS__LOGINS_PER_SECOND", "1"), ("TEAHOUSE_LIMITS__LOGINS_BURST", "1")]);
    assert_eq!(stage.log_in("amy", PASSWORD).await.status, 401);
    let answer = stage.log_in("amy", PASSWORD).await;
    assert_eq!(answer.refusal(), (429, "rate_limited", None));
    assert_eq!(answer.headers["retry-after"], "1");
    let body = json!({ "username": "amy", "password": PASSWORD }).to_string();
    let elsewhere = from("198.51.100.1", request("POST", "/api/auth/login", None).body(body.into()).unwrap());
    assert_eq!(stage.ask(elsewhere).await.status, 401);
}

#[tokio::test]
async fn a_disabled_user_is_nobody_and_hears_why_only_by_the_password() {
    let stage = stage();
    let amy = stage.join("amy").await;
    stage.app.store.set_disabled("amy", true).await.unwrap();
    assert_eq!(stage.get("/api/auth/me", Some(&amy)).await.refusal(), (401, "unauthorized", None));
    let (right, wrong) = (stage.log_in("amy", PASSWORD).await, stage.log_in("amy", "wrong1234").await);
    assert_eq!(right.refusal(), (401, "unauthorized", None));
    assert_ne!(right.body["message"], wrong.body["message"]);
    assert_eq!(stage.ask(with_cookie("/api/auth/refresh", &amy.cookie)).await.status, UNAUTHORIZED);
}

#[tokio::test]
async fn a_refresh_gives_a_token_and_the_next_cookie_once() {
    let stage = stage();
    let amy = stage.join("amy").await;
    let answer = stage.ask(with_cookie("/api/auth/refresh", &amy.cookie)).await;
    assert_eq!(answer.fields(), ["expires_at", "token"]);
    assert_eq!(answer.data("expires_at"), "2026-11-23T06:25:36.000Z");
    let next = Person { token: answer.data("token").as_str().unwrap().into(), cookie: answer.cookie(), ..amy.clone() };
    assert_ne!(next.cookie, amy.cookie);
    assert_eq!(stage.get("/api/auth/me", Some(&next)).await.status, 200);
    assert_eq!(stage.ask(with_cookie("/api/auth/refresh", &amy.cookie)).await.status, UNAUTHORIZED);
    assert_eq!(stage.ask(with_cookie("/api/auth/refresh", &next.cookie)).await.status, 200);
    for cookie in ["teahouse_refresh=", "teahouse_refresh=forged", "other=1"] {
        let refused = stage.ask(with_cookie("/api/auth/refresh", cookie)).await;
        assert_eq!(refused.refusal(), (401, "unauthorized", None), "{cookie}");
    }
}

#[tokio::test]
async fn an_expired_cookie_is_worth_nothing() {
    let stage = stage();
    let amy = stage.join("amy").await;
    stage.now.fetch_add(31 * 24 * 3600 * 1000, Ordering::Relaxed);
    assert_eq!(stage.ask(with_cookie("/api/auth/refresh", &amy.cookie)).await.status, UNAUTHORIZED);
    assert_eq!(stage.get("/api/auth/me", Some(&amy)).await.status, UNAUTHORIZED);
}

#[tokio::test]
async fn p19_logging_out_ends_token_cookie_and_everything_refreshed_from_them() {
    let stage = stage();
    let amy = stage.join("amy").await;
    let other = Person::of(&stage.log_in("amy", PASSWORD).await);
    let refreshed = stage.ask(with_cookie("/api/auth/refresh", &amy.cookie)).await;
    let refreshed =
        Person { token: refreshed.data("token").as_str().unwrap().into(), cookie: refreshed.cookie(), ..amy.clone() };

    let answer = stage.ask(request("POST", "/api/auth/logout", Some(&amy)).body(Body::empty()).unwrap()).await;
    assert_eq!(answer.body["data"], json!({ "ok": true }));
    assert!(answer.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    for ended in [&amy, &refreshed] {
        assert_eq!(stage.get("/api/auth/me", Some(ended)).await.status, UNAUTHORIZED);
    }
    assert_eq!(stage.ask(with_cookie("/api/auth/refresh", &refreshed.cookie)).await.status, UNAUTHORIZED);
    assert_eq!(stage.get("/api/auth/me", Some(&other)).await.status, 200, "another login is another login");
    let revoked = stage.live.revoked.lock().unwrap().clone();
    assert!(matches!(revoked[..], [revoked] if revoked.user.0 == amy.id && matches!(revoked.what, Revocation::Key(_))));
}

#[tokio::test]
async fn the_cookie_alone_logs_out_when_the_token_expired_over_night() {
    let stage = stage();
    let amy = stage.join("amy").await;
    stage.now.fetch_add(25 * 3600 * 1000, Ordering::Relaxed);
    let both =
        request("POST", "/api/auth/logout", Some(&amy)).header("cookie", &amy.cookie).body(Body::empty()).unwrap();
    assert_eq!(stage.ask(both).await.status, 200);
    assert_eq!(stage.ask(with_cookie("/api/auth/refresh", &amy.cookie)).await.status, UNAUTHORIZED);
    assert_eq!(stage.ask(with_cookie("/api/auth/logout", &amy.cookie)).await.status, UNAUTHORIZED);
    assert_eq!(stage.post("/api/auth/logout", None, json!({})).await.status, UNAUTHORIZED);
}

#[tokio::test]
async fn h17_a_new_password_ends_every_other_token() {
    let stage = stage();
    let amy = stage.join("amy").await;
    let other = Person::of(&stage.log_in("amy", PASSWORD).await);
    let change = |current: &str, new: &str| json!({ "currentPassword": current, "newPassword": new });
    for (body, expect) in [
        (change("wrong1234", "better123"), (422, "bad_request", Some("currentPassword"))),
        (change(PASSWORD, "short"), (422, "bad_request", Some("newPassword"))),
        (json!({ "currentPassword": PASSWORD }), (422, "bad_request", Some("newPassword"))),
    ] {
        assert_eq!(stage.post("/api/auth/change-password", Some(&amy), body).await.refusal(), expect);
    }
    // All within one second of the clock, and twice: nothing of it may undo anything else.
    for new in ["better123", "better124"] {
        let current = if new == "better123" { PASSWORD } else { "better123" };
        let between = Person::of(&stage.log_in("amy", current).await);
        let answer = stage.post("/api/auth/change-password", Some(&amy), change(current, new)).await;
        assert_eq!(answer.body["data"], json!({ "ok": true }));
        for ended in [&other, &between] {
            assert_eq!(stage.get("/api/auth/me", Some(ended)).await.status, UNAUTHORIZED);
            assert_eq!(stage.ask(with_cookie("/api/auth/refresh", &ended.cookie)).await.status, UNAUTHORIZED);
        }
        assert_eq!(stage.get("/api/auth/me", Some(&amy)).await.status, 200);
        assert_eq!(stage.log_in("amy", current).await.status, UNAUTHORIZED);
    }
    let fresh = Person::of(&stage.log_in("amy", "better124").await);
    assert_eq!(stage.get("/api/auth/me", Some(&fresh)).await.status, 200);
    assert_eq!(stage.ask(with_cookie("/api/auth/refresh", &amy.cookie)).await.status, 200);
    assert_eq!(stage.live.revoked.lock().unwrap().len(), 2);
}

/// The story: a login read the old hash and waited for its turn to be hashed; meanwhile the password was
/// changed, which ended all logins; then the waiting one began, and outlived the change.
#[tokio::test]
async fn p19_an_old_password_does_not_outlive_its_change_in_the_line_for_hashing() {
    let stage = stage_with(&[("TEAHOUSE_AUTH__PASSWORD_HASHES_PARALLEL", "1")]);
    let amy = stage.join("amy").await;
    let hash = stage.app.passwords.hash("better123".to_owned()).await.unwrap();
    let mut logins: FuturesUnordered<_> = (0..3).map(|_| stage.log_in("amy", PASSWORD)).collect();
    // With one turn for hashing, whoever is not first has read the old hash by the time that the first is through.
    let mut answers = vec![logins.next().await.unwrap()];
    stage.app.store.change_password(UserId(amy.id), &hash, stage.app.now(), None).await.unwrap();
    while let Some(answer) = logins.next().await {
        answers.push(answer);
    }
    assert_eq!(answers[0].status, 200);
    for answer in answers {
        // One that was through before the change was right, and is void now.
        if answer.status == 200 {
            let login = Person::of(&answer);
            assert_eq!(stage.get("/api/auth/me", Some(&login)).await.status, UNAUTHORIZED);
            assert_eq!(stage.ask(with_cookie("/api/auth/refresh", &login.cookie)).await.status, UNAUTHORIZED);
        } else {
            assert_eq!(answer.status, UNAUTHORIZED);
        }
    }
    assert_eq!(stage.log_in("amy", "better123").await.status, 200);
}

#[tokio::test]
async fn an_older_hash_is_renewed_when_its_password_comes_by() {
    let stage = stage();
    let amy = stage.join("amy").await;
    let old = bcrypt::hash(PASSWORD, 4).unwrap();
    let id = teahouse_core::UserId(amy.id);
    let now = stage.app.now();
    stage.app.store.change_password(id, &old, now, None).await.unwrap();
    assert_eq!(stage.log_in("amy", PASSWORD).await.status, 200);
    assert!(stage.app.store.password_hash(id).await.unwrap().unwrap().starts_with("$argon2id$"));
    assert_eq!(stage.log_in("amy", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_profile_changes_where_it_is_asked_to() {
    let stage = stage();
    let amy = stage.join("amy").await;
    let put = |body: Value| stage.put("/api/auth/me", &amy, body);
    let answer =
        put(json!({ "avatar": "/a.png", "profile": { "nickname": "Amy\u{202e}", "bio": "tea" }, "province": "x" }))
            .await;
    assert_eq!(answer.data("nickname"), "Amy");
    assert_eq!(answer.data("profile"), &json!({ "nickname": "Amy", "bio": "tea", "avatar_url": "/a.png" }));
    let unchanged = stage.ask(request("PUT", "/api/auth/me", Some(&amy)).body(Body::empty()).unwrap()).await;
    assert_eq!(unchanged.body["data"], answer.body["data"]);
    assert_eq!(stage.get("/api/auth/me", Some(&amy)).await.body["data"], answer.body["data"]);
    assert_eq!(put(json!({ "profile": { "nickname": " " } })).await.data("nickname"), "amy");
    for (body, expect) in [
        (json!({ "profile": { "nickname": "a".repeat(51) } }), (422, "too_long", Some("profile.nickname"))),
        (json!({ "profile": { "bio": "a".repeat(501) } }), (422, "too_long", Some("profile.bio"))),
        (json!({ "avatar": format!("/{}", "a".repeat(2048)) }), (422, "too_long", Some("avatar"))),
        (json!({ "avatar": "javascript:alert(1)" }), (422, "bad_request", Some("avatar"))),
        (json!({ "profile": 7 }), (422, "bad_request", Some("profile"))),
        (json!({ "profile": { "bio": 7 } }), (422, "bad_request", Some("profile.bio"))),
    ] {
        assert_eq!(put(body).await.refusal(), expect);
    }
}

#[tokio::test]
async fn others_see_a_profile_without_an_address() {
    let stage = stage();
    let (amy, bo) = (stage.join("amy").await, stage.join("bob").await);
    let answer = stage.get(&format!("/api/user/{}", amy.id), Some(&bo)).await;
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
        assert_eq!(stage.get(path, Some(&bo)).await.refusal(), expect, "{path}");
    }
}
