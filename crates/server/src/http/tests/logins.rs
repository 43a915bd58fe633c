//! Wrong passwords: whose attempts they delay, and for how long. The runtime's clock is paused, so that a delay takes no
//! time and is measured exactly.

use axum::body::Body;
use serde_json::json;
use tokio::time::{Duration, Instant};

use super::fixture::*;

/// One attempt at once, and then one a minute.
const STRICT: &[(&str, &str)] =
    &[("TEAHOUSE_LIMITS__WRONG_PASSWORDS_BURST", "1"), ("TEAHOUSE_LIMITS__WRONG_PASSWORDS_PER_MINUTE", "1")];
const DELAY_MAX: Duration = Duration::from_secs(5);
const WRONG: &str = "wrong1234";

/// A login from this address with these cookies: its response, and how long it waited.
async fn attempt(
    fixture: &Fixture,
    from_address: &str,
    cookies: &str,
    name: &str,
    password: &str,
) -> (TestResponse, Duration) {
    let body = json!({ "username": name, "password": password }).to_string();
    let mut request = request("POST", "/api/auth/login", None);
    if !cookies.is_empty() {
        request = request.header("cookie", cookies);
    }
    let begun = Instant::now();
    let answer = fixture.ask(from(from_address, request.body(Body::from(body)).unwrap())).await;
    (answer, begun.elapsed())
}

/// The status of a login without cookies, and how long it waited.
async fn try_from(fixture: &Fixture, address: &str, name: &str, password: &str) -> (u16, Duration) {
    let (answer, waited) = attempt(fixture, address, "", name, password).await;
    (answer.status, waited)
}

/// Every cookie that a response sets, as a browser sends them back.
fn cookies(answer: &TestResponse) -> String {
    let lines = answer.headers.get_all("set-cookie").iter();
    let pairs: Vec<_> = lines.map(|line| line.to_str().unwrap().split(';').next().unwrap()).collect();
    pairs.join("; ")
}

#[tokio::test(start_paused = true)]
async fn name_and_email_are_one_account_and_strangers_share_its_attempts() {
    let fixture = fixture_with(STRICT);
    fixture.join("amy").await;
    assert_eq!(try_from(&fixture, "192.0.2.1", "amy", WRONG).await, (401, Duration::ZERO));
    for (address, name) in [
        ("192.0.2.1", "amy@example.org"),
        ("192.0.2.1", " AMY "),
        ("192.0.2.2", "amy"),
        ("2001:db8::1", "Amy@Example.org"),
    ] {
        assert_eq!(try_from(&fixture, address, name, WRONG).await, (401, DELAY_MAX), "{address} {name}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_stranger_can_lock_an_account() {
    let fixture = fixture_with(STRICT);
    fixture.join("amy").await;
    for number in 0..100 {
        let (status, waited) = try_from(&fixture, &format!("192.0.2.{number}"), "amy", WRONG).await;
        assert!(status == 401 && waited <= DELAY_MAX, "{status} {waited:?}");
    }
    let (status, waited) = try_from(&fixture, "198.51.100.1", "amy", PASSWORD).await;
    assert!(status == 200 && waited <= DELAY_MAX, "{status} {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_browser_that_logged_in_before_is_not_slowed_by_strangers() {
    let fixture = fixture_with(STRICT);
    fixture.join("amy").await;
    fixture.join("bob").await;
    let (login, _) = attempt(&fixture, "192.0.2.7", "", "amy", PASSWORD).await;
    let amys = cookies(&login);
    let (login, _) = attempt(&fixture, "192.0.2.8", "", "bob", PASSWORD).await;
    let bobs = cookies(&login);
    // The browser keeps its cookie when its user logs out.
    let out = fixture.ask(with_cookie("/api/auth/logout", &amys)).await;
    assert_eq!(out.status, 200);
    assert!(cookies(&out).starts_with("teahouse_refresh=") && !cookies(&out).contains(';'), "{}", cookies(&out));

    for _ in 0..3 {
        try_from(&fixture, "192.0.2.9", "amy", WRONG).await;
    }
    let (answer, waited) = attempt(&fixture, "192.0.2.10", &amys, "amy@example.org", PASSWORD).await;
    assert_eq!((answer.status, waited), (200, Duration::ZERO));
    // Another user's browser is a stranger, and so is a browser with an altered cookie.
    let last = amys.chars().last().unwrap();
    let forged = format!("{}{}", &amys[..amys.len() - 1], if last == '0' { '1' } else { '0' });
    for stranger in [bobs, forged] {
        let (answer, waited) = attempt(&fixture, "192.0.2.11", &stranger, "amy", WRONG).await;
        assert_eq!((answer.status, waited), (401, DELAY_MAX), "{stranger}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_logged_in_within_ninety_days_is_not_slowed_by_strangers() {
    const DAY_MS: i64 = 24 * 3600 * 1000;
    let fixture = fixture_with(STRICT);
    fixture.join("amy").await;
    assert_eq!(try_from(&fixture, "2001:db8::1", "amy", PASSWORD).await.0, 200);
    for _ in 0..3 {
        try_from(&fixture, "192.0.2.9", "amy", WRONG).await;
    }
    // The same /64.
    assert_eq!(try_from(&fixture, "2001:db8::2", "amy", PASSWORD).await, (200, Duration::ZERO));
    assert_eq!(try_from(&fixture, "2001:db8:0:1::1", "amy", WRONG).await, (401, DELAY_MAX));
    fixture.now.fetch_add(91 * DAY_MS, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(try_from(&fixture, "2001:db8::2", "amy", WRONG).await, (401, DELAY_MAX));
}

#[tokio::test(start_paused = true)]
async fn unknown_accounts_are_slowed_as_known_ones_are() {
    let fixture = fixture_with(STRICT);
    for name in ["nobody", "nobody@example.org"] {
        assert_eq!(try_from(&fixture, "192.0.2.1", name, WRONG).await, (401, Duration::ZERO), "{name}");
        assert_eq!(try_from(&fixture, "192.0.2.2", &name.to_uppercase(), WRONG).await, (401, DELAY_MAX), "{name}");
    }
}

/// Registers amy, and returns what her browser is known by.
async fn amys_browser(fixture: &Fixture) -> String {
    let body = json!({ "username": "amy", "password": PASSWORD, "email": "amy@example.org" });
    cookies(&fixture.post("/api/auth/register", None, body).await)
}

#[tokio::test]
async fn a_browser_that_is_known_to_somebody_else_costs_no_reads_beyond_the_rates() {
    let fixture = fixture_with(&[("TEAHOUSE_LIMITS__LOGINS_BURST", "0"), ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "0")]);
    let amys = amys_browser(&fixture).await;
    // From now on what reads the store fails.
    fixture.app.store.close().await;
    let (answer, _) = attempt(&fixture, "192.0.2.7", &amys, "bob", WRONG).await;
    assert_eq!(answer.status, 429, "{answer:?}");
}

#[tokio::test]
async fn a_known_browser_logs_in_from_an_address_full_of_strangers() {
    let fixture = fixture_with(&[("TEAHOUSE_LIMITS__LOGINS_BURST", "0")]);
    let amys = amys_browser(&fixture).await;
    assert_eq!(try_from(&fixture, "192.0.2.7", "amy", WRONG).await.0, 429);
    assert_eq!(attempt(&fixture, "192.0.2.7", &amys, "bob", WRONG).await.0.status, 429);
    assert_eq!(attempt(&fixture, "192.0.2.7", &amys, "amy", PASSWORD).await.0.status, 200);
}
