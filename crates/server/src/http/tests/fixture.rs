//! A server without sockets, its users, and their requests and responses.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use teahouse_core::token::Revoked;
use teahouse_core::{Change, Commit, Message, MessageChange, Timestamp, UserId};
use teahouse_hub::{Bounds, Publication};
use teahouse_store::{CommitGroup, CommitSink};
use teahouse_store_sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::app::{App, LiveSessions, Parts};
use crate::config::{self, Sources};
use crate::connection::PeerAddr;
use crate::http::router::router;
use crate::limits::Limits;
use crate::passwords::Passwords;
use crate::secrets::Secrets;
use crate::tokens::Tokens;

pub(crate) const PASSWORD: &str = "secret123";

/// A hub without sockets: it records calls and reports what a test sets.
#[derive(Default)]
pub(crate) struct FakeSessions {
    pub online: Mutex<Vec<UserId>>,
    pub revoked: Mutex<Vec<Revoked>>,
    pub published: Mutex<Vec<Publication>>,
    pub disconnected: Mutex<Vec<(UserId, String)>>,
    pub stuck: AtomicBool,
}

#[async_trait]
impl LiveSessions for FakeSessions {
    fn online_count(&self) -> u64 {
        self.online.lock().unwrap().len() as u64
    }

    fn online_users(&self) -> Vec<UserId> {
        self.online.lock().unwrap().clone()
    }

    fn is_online(&self, user: UserId) -> bool {
        self.online.lock().unwrap().contains(&user)
    }

    async fn publish(&self, publication: Publication) {
        self.published.lock().unwrap().push(publication);
    }

    async fn disconnect(&self, user: UserId, reason: String) {
        self.disconnected.lock().unwrap().push((user, reason));
    }

    async fn revoke(&self, revoked: Revoked) {
        self.revoked.lock().unwrap().push(revoked);
    }

    async fn probe(&self, _: Duration) -> bool {
        !self.stuck.load(Ordering::Relaxed)
    }
}

/// The commits of the store.
#[derive(Clone, Default)]
pub(crate) struct RecordedCommits(pub Arc<Mutex<Vec<Commit>>>);

impl RecordedCommits {
    /// New and changed messages, in the order of commit.
    pub(crate) fn messages(&self) -> Vec<(Message, MessageChange)> {
        self.of(|change| match change {
            Change::Message { message, what, .. } => Some((message.clone(), what.clone())),
            _ => None,
        })
    }

    /// The changes of one kind.
    pub(crate) fn of<T>(&self, wanted: impl Fn(&Change) -> Option<T>) -> Vec<T> {
        self.0.lock().unwrap().iter().filter_map(|commit| wanted(&commit.change)).collect()
    }
}

impl CommitSink for RecordedCommits {
    fn commit(&mut self, mut group: CommitGroup<'_>) {
        self.0.lock().unwrap().extend(group.take_commits());
    }
}

pub(crate) struct Fixture {
    pub app: Arc<App>,
    pub router: Router,
    pub live: Arc<FakeSessions>,
    pub commits: RecordedCommits,
    pub now: Arc<AtomicI64>,
    /// Deleted when the store is closed.
    _data: TempDir,
}

/// A server with the default configuration.
pub(crate) fn fixture() -> Fixture {
    fixture_with(&[])
}

/// A server with some configuration keys set by environment variables.
pub(crate) fn fixture_with(keys: &[(&str, &str)]) -> Fixture {
    let data = tempfile::tempdir().unwrap();
    let mut environment: Vec<_> = keys.iter().map(|(key, value)| (key.into(), value.into())).collect();
    environment.push(("TEAHOUSE_SERVER__DATA".into(), data.path().into()));
    let config = config::load(Sources { environment, ..Sources::default() }).unwrap().config;
    let (live, commits) = (Arc::new(FakeSessions::default()), RecordedCommits::default());
    let now = Arc::new(AtomicI64::new(1_795_328_736_120));
    let clock = Arc::clone(&now);
    let store = SqliteStore::open(SqliteOptions::new(data.path()), Box::new(commits.clone())).unwrap();
    let secrets = Secrets::load_or_create(data.path()).unwrap();
    let bounds = Bounds::default();
    let app = App::new(Parts {
        store: Arc::new(store),
        backups: None,
        live: Arc::clone(&live) as Arc<dyn LiveSessions>,
        tokens: Tokens::new(&config.auth, &secrets).unwrap(),
        passwords: Passwords::new(&config.auth, Bounds::default()),
        limits: Limits::new(&config.limits, &bounds),
        bounds,
        clock: Arc::new(move || Timestamp(clock.load(Ordering::Relaxed))),
        config,
    });
    Fixture { router: router(Arc::clone(&app), Router::new()), app, live, commits, now, _data: data }
}

/// A user with an account.
#[derive(Clone)]
pub(crate) struct TestUser {
    pub id: u64,
    pub token: String,
    pub cookie: String,
}

impl Fixture {
    /// Registers a user.
    pub(crate) async fn join(&self, name: &str) -> TestUser {
        let body = json!({ "username": name, "password": PASSWORD, "email": format!("{name}@example.org") });
        let answer = self.post("/api/auth/register", None, body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        TestUser::of(&answer)
    }

    /// Logs in again.
    pub(crate) async fn log_in(&self, name: &str, password: &str) -> TestResponse {
        self.post("/api/auth/login", None, json!({ "username": name, "password": password })).await
    }

    pub(crate) async fn get(&self, path: &str, who: Option<&TestUser>) -> TestResponse {
        self.ask(request("GET", path, who).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, who: Option<&TestUser>, body: Value) -> TestResponse {
        self.ask(request("POST", path, who).body(body.to_string().into()).unwrap()).await
    }

    pub(crate) async fn put(&self, path: &str, who: &TestUser, body: Value) -> TestResponse {
        self.ask(request("PUT", path, Some(who)).body(body.to_string().into()).unwrap()).await
    }

    pub(crate) async fn patch(&self, path: &str, who: &TestUser, body: Value) -> TestResponse {
        self.ask(request("PATCH", path, Some(who)).body(body.to_string().into()).unwrap()).await
    }

    pub(crate) async fn delete(&self, path: &str, who: &TestUser) -> TestResponse {
        self.ask(request("DELETE", path, Some(who)).body(Body::empty()).unwrap()).await
    }

    /// Sends a message to the lobby and returns its id.
    pub(crate) async fn say(&self, who: &TestUser, content: &str) -> u64 {
        let answer = self.post("/api/chat/send", Some(who), json!({ "content": content })).await;
        answer.data("message_id").as_u64().unwrap()
    }

    /// Sends a private message and returns the conversation's id.
    pub(crate) async fn write(&self, who: &TestUser, to: &TestUser, content: &str) -> u64 {
        let body = json!({ "receiver_id": to.id, "content": content });
        let answer = self.post("/api/messages/send", Some(who), body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.data("conversation_id").as_u64().unwrap()
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> TestResponse {
        ask(&self.router, request).await
    }
}

pub(crate) fn request(method: &str, path: &str, who: Option<&TestUser>) -> axum::http::request::Builder {
    let builder = Request::builder().method(method).uri(path).extension(PeerAddr(([203, 0, 113, 9], 4711).into()));
    match who {
        Some(person) => builder.header("authorization", format!("Bearer {}", person.token)),
        None => builder,
    }
}

/// The same request from another address.
pub(crate) fn from(address: &str, mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(PeerAddr(SocketAddr::new(address.parse().unwrap(), 4711)));
    request
}

pub(crate) async fn ask(router: &Router, request: Request<Body>) -> TestResponse {
    let path = request.uri().path().to_owned();
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    // The rules for every response under /api are checked for every one that a test receives.
    let enveloped = path.starts_with("/api/") && !["/api/ws", "/api/v1/openapi.json"].contains(&path.as_str());
    if enveloped && !body.is_null() {
        assert_eq!(body["code"], status, "{body}");
        assert_eq!(body["request_id"], headers["x-request-id"].to_str().unwrap());
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
        assert_eq!(body.get("error_code").is_some(), status >= 400, "{body}");
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(!String::from_utf8_lossy(&bytes).contains("203.0.113."), "h11: {body}");
    }
    TestResponse { status, headers, body }
}

#[derive(Debug)]
pub(crate) struct TestResponse {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl TestResponse {
    /// A field of `data`.
    pub(crate) fn data(&self, field: &str) -> &Value {
        assert!(self.status < 300, "{self:?}");
        &self.body["data"][field]
    }

    /// Status, code and field of an error.
    pub(crate) fn error(&self) -> (u16, &str, Option<&str>) {
        (self.status, self.body["error_code"].as_str().unwrap_or("-"), self.body["data"]["field"].as_str())
    }

    /// The names of the fields of `data`, in order.
    pub(crate) fn fields(&self) -> Vec<&str> {
        self.body["data"].as_object().unwrap().keys().map(String::as_str).collect()
    }

    /// The refresh cookie of the response, as a browser sends it back.
    pub(crate) fn cookie(&self) -> String {
        self.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
    }
}

impl TestUser {
    pub(crate) fn of(answer: &TestResponse) -> Self {
        Self {
            id: answer.data("user")["id"].as_u64().unwrap(),
            token: answer.data("token").as_str().unwrap().to_owned(),
            cookie: answer.cookie(),
        }
    }
}

/// A request with a cookie and no body.
pub(crate) fn with_cookie(path: &str, cookie: &str) -> Request<Body> {
    request("POST", path, None).header("cookie", cookie).body(Body::empty()).unwrap()
}

pub(crate) const UNAUTHORIZED: u16 = StatusCode::UNAUTHORIZED.as_u16();
