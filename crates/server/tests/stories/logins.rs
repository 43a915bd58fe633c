//! Logins under attack: a flood from one address, wrong passwords for somebody else's account. The proxy is loopback,
//! and names the addresses of clients.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use teahouse_testkit::Response;

use crate::fixture::{PASSWORD, Server, User, wait_until};

const PROXY: (&str, &str) = ("TEAHOUSE_SERVER__TRUSTED_PROXIES", "127.0.0.1");

async fn log_in_from(address: &str, anonymous: &User, name: &str, password: &str) -> Response {
    let body = json!({"username": name, "password": password}).to_string();
    anonymous.request(Method::POST, "/api/auth/login", &[("X-Forwarded-For", address)], Some(body)).await
}

#[tokio::test]
async fn a_flood_of_logins_from_one_address_delays_no_login_from_elsewhere() {
    const FLOOD: usize = 150;
    let server = Server::standalone(&[PROXY, ("TEAHOUSE_AUTH__PASSWORD_HASHES_PARALLEL", "1")]);
    User::register(&server, "amy").await;
    let anonymous = User::anonymous(&server);
    let answered = AtomicUsize::new(0);
    // Nobody has these names, so that each attempt is the first for its account.
    let flood = join_all((0..FLOOD).map(|number| {
        let (anonymous, answered) = (&anonymous, &answered);
        async move {
            let answer = log_in_from("203.0.113.9", anonymous, &format!("nobody{number}"), "wrong1234").await;
            answered.fetch_add(1, Ordering::Relaxed);
            assert_eq!(answer.status, 401);
        }
    }));
    let honest = async {
        wait_until(async || {
            tokio::task::yield_now().await;
            answered.load(Ordering::Relaxed) >= 3
        })
        .await;
        log_in_from("198.51.100.1", &anonymous, "amy", PASSWORD).await.expect(200);
        answered.load(Ordering::Relaxed)
    };
    let (_, before) = tokio::join!(flood, honest);
    assert!(before < FLOOD / 2, "{before} of {FLOOD} were served before the login from elsewhere");
}

#[tokio::test]
async fn a_hundred_logins_at_once_leave_no_memory_behind() {
    let server = Server::standalone(&[PROXY, ("TEAHOUSE_AUTH__PASSWORD_HASHES_PARALLEL", "2")]);
    User::register(&server, "amy").await;
    let anonymous = User::anonymous(&server);
    let before = server.memory_kib();
    for _ in 0..3 {
        let logins = (0..100).map(|number| {
            let address = format!("203.0.113.{number}");
            let anonymous = &anonymous;
            async move { log_in_from(&address, anonymous, "nobody", "wrong1234").await.status }
        });
        join_all(logins).await;
    }
    let grown = server.memory_kib().saturating_sub(before);
    // Two hashes of 19 MiB run at once, and a hundred connections come and go.
    assert!(grown < 80 << 10, "{grown} KiB more than before");
}
