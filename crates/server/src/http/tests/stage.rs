//! A server without sockets, people who use it, and what they see.

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
use teahouse_hub::Publication;
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

pub const PASSWORD: &str = "secret123";

/// A live half without sockets: it remembers what it was told and says what it is told to say.
#[derive(Default)]
pub struct StillLife {
    pub online: Mutex<Vec<UserId>>,
    pub revoked: Mutex<Vec<Revoked>>,
    pub published: Mutex<Vec<Publication>>,
    pub disconnected: Mutex<Vec<(UserId, String)>>,
    pub stuck: AtomicBool,
}

#[async_trait]
impl LiveSessions for StillLife {
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

/// What the store told everybody.
#[derive(Clone, Default)]
pub struct Told(pub Arc<Mutex<Vec<Commit>>>);

impl Told {
    /// What became of messages, in the order of commit.
    pub fn messages(&self) -> Vec<(Message, MessageChange)> {
        self.of(|change| match change {
            Change::Message { message, what, .. } => Some((message.clone(), what.clone())),
            _ => None,
        })
    }

    /// What was told of one kind.
    pub fn of<T>(&self, wanted: impl Fn(&Change) -> Option<T>) -> Vec<T> {
        self.0.lock().unwrap().iter().filter_map(|commit| wanted(&commit.change)).collect()
    }
}

impl CommitSink for Told {
    fn commit(&mut self, mut group: CommitGroup<'_>) {
        self.0.lock().unwrap().extend(group.take_commits());
    }
}

pub struct Stage {
    pub app: Arc<App>,
    pub router: Router,
    pub live: Arc<StillLife>,
    pub told: Told,
    pub now: Arc<AtomicI64>,
    /// Held for as long as the store is open.
    _data: TempDir,
}

/// A server with the defaults.
pub fn stage() -> Stage {
    stage_with(&[])
}

/// A server with some keys set, as the environment sets them.
pub fn stage_with(keys: &[(&str, &str)]) -> Stage {
    let data = tempfile::tempdir().unwrap();
    let mut environment: Vec<_> = keys.iter().map(|(key, value)| (key.into(), value.into())).collect();
    environment.push(("TEAHOUSE_SERVER__DATA".into(), data.path().into()));
    let config = config::load(Sources { environment, ..Sources::default() }).unwrap().config;
    let (live, told) = (Arc::new(StillLife::default()), Told::default());
    let now = Arc::new(AtomicI64::new(1_795_328_736_120));
    let clock = Arc::clone(&now);
    let store = SqliteStore::open(SqliteOptions::new(data.path()), Box::new(told.clone())).unwrap();
    let app = App::new(Parts {
        store: Arc::new(store),
        backups: None,
        live: Arc::clone(&live) as Arc<dyn LiveSessions>,
        tokens: Tokens::new(&config.auth, &Secrets::load_or_create(data.path()).unwrap()).unwrap(),
        passwords: Passwords::new(2).unwrap(),
        limits: Limits::new(&config.limits),
        clock: Arc::new(move || Timestamp(clock.load(Ordering::Relaxed))),
        config,
    });
    Stage { router: router(Arc::clone(&app), Router::new()), app, live, told, now, _data: data }
}

/// Somebody with an account.
#[derive(Clone)]
pub struct Person {
    pub id: u64,
    pub token: String,
    pub cookie: String,
}

impl Stage {
    /// Makes an account.
    pub async fn join(&self, name: &str) -> Person {
        let body = json!({ "username": name, "password": PASSWORD, "email": format!("{name}@example.org") });
        let answer = self.post("/api/auth/register", None, body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        Person::of(&answer)
    }

    /// Logs in once more.
    pub async fn log_in(&self, name: &str, password: &str) -> Answered {
        self.post("/api/auth/login", None, json!({ "username": name, "password": password })).await
    }

    pub async fn get(&self, path: &str, who: Option<&Person>) -> Answered {
        self.ask(request("GET", path, who).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, path: &str, who: Option<&Person>, body: Value) -> Answered {
        self.ask(request("POST", path, who).body(body.to_string().into()).unwrap()).await
    }

    pub async fn put(&self, path: &str, who: &Person, body: Value) -> Answered {
        self.ask(request("PUT", path, Some(who)).body(body.to_string().into()).unwrap()).await
    }

    pub async fn patch(&self, path: &str, who: &Person, body: Value) -> Answered {
        self.ask(request("PATCH", path, Some(who)).body(body.to_string().into()).unwrap()).await
    }

    pub async fn delete(&self, path: &str, who: &Person) -> Answered {
        self.ask(request("DELETE", path, Some(who)).body(Body::empty()).unwrap()).await
    }

    /// Says something in the lobby; gives its id.
    pub async fn say(&self, who: &Person, content: &str) -> u64 {
        let answer = self.post("/api/chat/send", Some(who), json!({ "content": content })).await;
        answer.data("message_id").as_u64().unwrap()
    }

    /// Writes to somebody; gives the conversation's id.
    pub async fn write(&self, who: &Person, to: &Person, content: &str) -> u64 {
        let body = json!({ "receiver_id": to.id, "content": content });
        let answer = self.post("/api/messages/send", Some(who), body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.data("conversation_id").as_u64().unwrap()
    }

    pub async fn ask(&self, request: Request<Body>) -> Answered {
        ask(&self.router, request).await
    }
}

pub fn request(method: &str, path: &str, who: Option<&Person>) -> axum::http::request::Builder {
    let builder = Request::builder().method(method).uri(path).extension(PeerAddr(([203, 0, 113, 9], 4711).into()));
    match who {
        Some(person) => builder.header("authorization", format!("Bearer {}", person.token)),
        None => builder,
    }
}

/// The same request from somewhere else.
pub fn from(address: &str, mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(PeerAddr(SocketAddr::new(address.parse().unwrap(), 4711)));
    request
}

pub async fn ask(router: &Router, request: Request<Body>) -> Answered {
    let path = request.uri().path().to_owned();
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    // What is said of every answer under /api is checked of every one that a test sees.
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
    Answered { status, headers, body }
}

#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answered {
    /// A field of `data`.
    pub fn data(&self, field: &str) -> &Value {
        assert!(self.status < 300, "{self:?}");
        &self.body["data"][field]
    }

    /// What a refusal says: status, code, field.
    pub fn refusal(&self) -> (u16, &str, Option<&str>) {
        (self.status, self.body["error_code"].as_str().unwrap_or("-"), self.body["data"]["field"].as_str())
    }

    /// The names of the fields of `data`, in order.
    pub fn fields(&self) -> Vec<&str> {
        self.body["data"].as_object().unwrap().keys().map(String::as_str).collect()
    }

    /// The refresh cookie that came with it, as a browser sends it back.
    pub fn cookie(&self) -> String {
        self.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
    }
}

impl Person {
    pub fn of(answer: &Answered) -> Self {
        Self {
            id: answer.data("user")["id"].as_u64().unwrap(),
            token: answer.data("token").as_str().unwrap().to_owned(),
            cookie: answer.cookie(),
        }
    }
}

/// Bodies that take a cookie and nothing else.
pub fn with_cookie(path: &str, cookie: &str) -> Request<Body> {
    request("POST", path, None).header("cookie", cookie).body(Body::empty()).unwrap()
}

pub const UNAUTHORIZED: u16 = StatusCode::UNAUTHORIZED.as_u16();
