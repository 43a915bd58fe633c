//! Large answers: pages are bounded in bytes and go on where they stopped, and an answer keeps its permit until
//! it is written.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use axum::body::{Body, Bytes};
use axum::http::Response;
use futures_util::stream::pending;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use teahouse_core::UserId;
use teahouse_store::{SiteUser, Subject};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::fixture::*;

/// Bytes of content and names that no page exceeds.
const PAGE_BYTES: usize = 128 * 1024;

/// Removes the rate limits.
fn unlimited(more: &[(&str, &str)]) -> Fixture {
    let keys = ["SENDS_BURST", "ENVELOPES_BURST", "READS_BURST"].map(|key| format!("TEAHOUSE_LIMITS__{key}"));
    let limits: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "100000")).collect();
    fixture_with(&[&limits, more].concat())
}

impl Fixture {
    /// Sends texts of this many characters of four bytes each, in the lobby.
    async fn fill_lobby(&self, who: &TestUser, messages: usize, characters: usize) {
        for number in 0..messages {
            let content = format!("{number} {}", "🍵".repeat(characters - 4));
            let answer = self.post("/api/v1/rooms/1/messages", Some(who), json!({ "content": content })).await;
            assert_eq!(answer.status, 201, "{answer:?}");
        }
    }

    /// A page that fits into the bound, and is not empty.
    async fn page(&self, path: &str, who: &TestUser, list: &str) -> (Vec<Value>, Value) {
        let answer = self.get(path, Some(who)).await;
        let data = answer.body["data"].clone();
        let entries = data[list].as_array().unwrap_or_else(|| panic!("{path}: {answer:?}")).clone();
        let bytes = data[list].to_string().len();
        assert!(!entries.is_empty() && bytes <= PAGE_BYTES, "{path}: {} entries, {bytes} bytes", entries.len());
        (entries, data)
    }
}

fn numbers(messages: &[Value], field: &str) -> Vec<u64> {
    messages.iter().map(|message| message[field].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn changes_go_on_where_a_page_stopped() {
    let fixture = unlimited(&[]);
    let amy = fixture.join("amy").await;
    fixture.fill_lobby(&amy, 30, 4000).await;
    let (mut since, mut seqs, mut pages) = (0, Vec::new(), 0);
    loop {
        let (messages, data) = fixture.page(&format!("/api/v1/rooms/1/changes?since={since}"), &amy, "messages").await;
        seqs.extend(numbers(&messages, "seq"));
        since = data["version"].as_u64().unwrap();
        pages += 1;
        assert_eq!((&data["reset"], Some(since)), (&json!(false), messages.last().unwrap()["version"].as_u64()));
        if data["more"] == json!(false) {
            break;
        }
        assert_eq!(data["more"], json!(true), "{pages} pages");
    }
    assert_eq!(seqs, (1..=30).collect::<Vec<_>>(), "each once");
    assert!(pages >= 4, "{pages} pages");
    let reset = fixture.get("/api/v1/rooms/1/changes?since=1000", Some(&amy)).await;
    let whole = (reset.data("reset"), reset.data("more"), reset.data("messages").as_array().unwrap().len());
    assert_eq!(whole, (&json!(true), &json!(false), 30), "a reset is never split");
}

#[tokio::test]
async fn pages_of_history_are_bounded_in_bytes_in_both_directions() {
    let fixture = unlimited(&[]);
    let amy = fixture.join("amy").await;
    fixture.fill_lobby(&amy, 30, 4000).await;
    for (path, list, from, more) in [
        ("/api/v1/rooms/1/messages?limit=100&", "messages", "before", "has_more_before"),
        ("/api/v1/rooms/1/messages?limit=100&after=0&", "messages", "after", "has_more_after"),
        ("/api/chat/messages?limit=100&", "messages", "before_id", "has_more"),
        ("/api/chat/messages/new?limit=100&", "messages", "after_id", "has_more"),
    ] {
        let key = if path.contains("/v1/") { "seq" } else { "id" };
        let (mut all, mut path_of_page) = (Vec::new(), path.to_owned());
        loop {
            let (messages, data) = fixture.page(&path_of_page, &amy, list).await;
            let of_page = numbers(&messages, key);
            assert!(of_page.is_sorted(), "oldest first");
            let next = if from.starts_with("before") { of_page.first() } else { of_page.last() };
            path_of_page = format!("{}{from}={}", path.replace("after=0&", ""), next.unwrap());
            all.extend(of_page);
            if data[more] == json!(false) {
                break;
            }
        }
        all.sort_unstable();
        assert_eq!(all.len(), 30, "{path}: each once");
        all.dedup();
        assert_eq!(all.len(), 30, "{path}: each once");
    }
    let (around, data) = fixture.page("/api/v1/rooms/1/messages?limit=100&around=15", &amy, "messages").await;
    assert!(numbers(&around, "seq").contains(&15), "the page has the message that was asked for");
    assert_eq!((&data["has_more_before"], &data["has_more_after"]), (&json!(true), &json!(true)));
}

#[tokio::test]
async fn lists_of_users_are_bounded_in_bytes() {
    let fixture = unlimited(&[]);
    let amy = fixture.join("amy").await;
    // As long as one may be.
    let avatar = format!("https://example.org/{}", "x".repeat(2000));
    for number in 0..30 {
        let user = fixture.join(&format!("user{number}")).await;
        assert_eq!(fixture.put("/api/auth/me", &user, json!({ "avatar": avatar })).await.status, 200);
    }
    for (path, list) in [("/api/v1/rooms/1/members", "members"), ("/api/v1/users", "users")] {
        let (mut ids, mut after) = (Vec::new(), json!(0));
        while after != Value::Null {
            let (entries, data) = fixture.page(&format!("{path}?after={after}"), &amy, list).await;
            ids.extend(numbers(&entries, "id"));
            after = data["next"].clone();
        }
        assert_eq!(ids.len(), 31, "{path}");
        assert!(ids.is_sorted_by(|a, b| a < b), "{path}: each once");
    }
}

#[tokio::test]
async fn an_answer_keeps_its_permit_until_it_is_written() {
    const REQUESTS: usize = 80;
    let fixture = unlimited(&[]);
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    fixture.fill_lobby(&amy, 10, 4000).await;
    let unread: Arc<Mutex<Vec<Response<Body>>>> = Arc::default();
    let mut requests = JoinSet::new();
    for _ in 0..REQUESTS {
        let (router, unread) = (fixture.router.clone(), Arc::clone(&unread));
        let get = request("GET", "/api/v1/rooms/1/messages", Some(&amy)).body(Body::empty()).unwrap();
        requests.spawn(async move {
            let response = router.oneshot(get).await.unwrap();
            unread.lock().await.push(response);
        });
    }
    // Others are served, more often than there are requests before theirs.
    for _ in 0..REQUESTS {
        assert_eq!(fixture.get("/api/v1/rooms/1/messages", Some(&bob)).await.status, 200);
    }
    assert!(unread.lock().await.len() < REQUESTS / 2, "{} of {REQUESTS} are answered", unread.lock().await.len());
    // Each that is read makes room for others.
    let mut read = 0;
    while read < REQUESTS {
        let Some(response) = unread.lock().await.pop() else {
            tokio::task::yield_now().await;
            continue;
        };
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap();
        read += 1;
    }
    requests.join_all().await;
}

/// A body that never arrives.
fn never() -> Body {
    Body::from_stream(pending::<Result<Bytes, Infallible>>())
}

/// The result of a request that does not wait for its body.
fn ready_in_two_turns<F: Future + Unpin>(request: &mut F) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    (0..2).find_map(|_| match Pin::new(&mut *request).poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

#[tokio::test]
async fn bodies_that_do_not_arrive_are_bounded_for_each_address() {
    const BODY_BYTES: usize = 10;
    let fixture = unlimited(&[("TEAHOUSE_LIMITS__LOGINS_BURST", "100000")]);
    let log_in = |address: &str, body: Body| {
        let request = request("POST", "/api/auth/login", None).header("content-length", BODY_BYTES);
        Box::pin(fixture.router.clone().oneshot(from(address, request.body(body).unwrap())))
    };
    let whole = || Body::from(" ".repeat(BODY_BYTES));
    let mut slow = Vec::new();
    let mut refused = 0;
    for _ in 0..300 {
        let mut request = log_in("203.0.113.9", never());
        match ready_in_two_turns(&mut request) {
            Some(response) => {
                assert_eq!(response.unwrap().status(), 429);
                refused += 1;
            }
            None => slow.push(request),
        }
    }
    assert_eq!((slow.len(), refused), (256, 44));
    assert_eq!(log_in("203.0.113.9", whole()).await.unwrap().status(), 422, "it arrives with its head");
    assert!(ready_in_two_turns(&mut log_in("203.0.113.10", never())).is_none(), "another address");
    slow.pop();
    assert!(ready_in_two_turns(&mut log_in("203.0.113.9", never())).is_none(), "one is gone");
}

#[tokio::test]
async fn bodies_that_do_not_arrive_are_bounded_for_each_user_whatever_the_address() {
    const HI: &str = r#"{"content":"hi"}"#;
    const REFUSED: usize = 8;
    let fixture = unlimited(&[]);
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    let post = |user: &TestUser, body: Body| {
        let request = request("POST", "/api/v1/rooms/1/messages", Some(user)).header("content-length", HI.len());
        let request = request.body(body).unwrap();
        fixture.router.clone().oneshot(from("203.0.113.9", request))
    };
    let mut of_amy = JoinSet::new();
    for _ in 0..32 + REFUSED {
        of_amy.spawn(post(&amy, never()));
    }
    for _ in 0..REFUSED {
        assert_eq!(of_amy.join_next().await.unwrap().unwrap().unwrap().status(), 429);
    }
    let mut of_bob = JoinSet::new();
    of_bob.spawn(post(&bob, never()));
    for user in [&amy, &bob] {
        assert_eq!(post(user, Body::from(HI)).await.unwrap().status(), 201, "it arrives with its head");
    }
    assert!(of_amy.try_join_next().is_none() && of_bob.try_join_next().is_none(), "the others wait");
}

#[tokio::test]
async fn beyond_the_bytes_of_all_answers_requests_are_overloaded() {
    let fixture = unlimited(&[("TEAHOUSE_ANSWERS__BYTES_MAX", "1MiB")]);
    let amy = fixture.join("amy").await;
    fixture.fill_lobby(&amy, 10, 4000).await;
    let request_of = |user: &TestUser, path: &str| {
        fixture.router.clone().oneshot(request("GET", path, Some(user)).body(Body::empty()).unwrap())
    };
    let mut unread = Vec::new();
    let refused = loop {
        assert!(unread.len() < 20, "never refused");
        let user = fixture.join(&format!("user{}", unread.len())).await;
        let response = request_of(&user, "/api/v1/rooms/1/messages").await.unwrap();
        match response.status().as_u16() {
            200 => unread.push(response),
            _ => break response,
        }
    };
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert!(unread.len() >= 5, "{} answers", unread.len());
    assert!(fixture.app.bounds.times("answers.bytes_max") > 0);
    assert_eq!(request_of(&amy, "/api/v1/rooms/1/messages").await.unwrap().status(), 503);
    assert_eq!(request_of(&amy, "/api/auth/me").await.unwrap().status(), 200, "short answers are given");
    unread.pop();
    assert_eq!(request_of(&amy, "/api/v1/rooms/1/messages").await.unwrap().status(), 200, "one was written");
}

#[tokio::test]
async fn the_list_of_everybody_online_is_sent_piece_by_piece() {
    const USERS: u64 = 150;
    let fixture = fixture();
    let amy = fixture.join("amy").await;
    for id in 1000..1000 + USERS {
        let (subject, username) = (Subject::Id(UserId(id)), format!("user{id}"));
        let user = SiteUser { subject, username, email: None, now: fixture.app.now() };
        fixture.app.store.ensure_site_user(user).await.unwrap();
    }
    *fixture.live.online.lock().unwrap() = (1000..1000 + USERS).map(UserId).collect();
    let get = request("GET", "/api/chat/online-users", Some(&amy)).body(Body::empty()).unwrap();
    let mut body = fixture.router.clone().oneshot(get).await.unwrap().into_body();
    let (mut pieces, mut text) = (0, Vec::new());
    while let Some(piece) = body.frame().await {
        text.extend(piece.unwrap().into_data().unwrap());
        pieces += 1;
    }
    assert!(pieces >= 3, "{pieces} pieces");
    let body: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(body["data"]["count"], USERS);
    let ids = numbers(body["data"]["users"].as_array().unwrap(), "user_id");
    assert_eq!(ids, (1000..1000 + USERS).collect::<Vec<_>>());
}

#[tokio::test]
async fn every_list_has_its_place_among_the_large_answers() {
    let fixture = unlimited(&[("TEAHOUSE_ANSWERS__BYTES_MAX", "1MiB")]);
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    let conversation = fixture.write(&amy, &bob, "hi").await;
    fixture.fill_lobby(&amy, 10, 4000).await;
    let ask = |user: &TestUser, path: &str| {
        fixture.router.clone().oneshot(request("GET", path, Some(user)).body(Body::empty()).unwrap())
    };
    let mut unread = Vec::new();
    loop {
        assert!(unread.len() < 20, "never refused");
        let user = fixture.join(&format!("user{}", unread.len())).await;
        match ask(&user, "/api/v1/rooms/1/messages").await.unwrap() {
            response if response.status() == 200 => unread.push(response),
            _ => break,
        }
    }
    let conversation = format!("/api/conversations/{conversation}/messages");
    for path in [
        "/api/v1/rooms",
        "/api/v1/rooms/browse",
        "/api/v1/directs",
        "/api/v1/users",
        "/api/v1/rooms/1/members",
        "/api/v1/rooms/1/messages",
        "/api/v1/rooms/1/changes?since=0",
        "/api/chat/messages",
        "/api/chat/messages/new",
        "/api/chat/online-users",
        "/api/conversations",
        &conversation,
    ] {
        assert_eq!(ask(&amy, path).await.unwrap().status(), 503, "{path}");
    }
}
