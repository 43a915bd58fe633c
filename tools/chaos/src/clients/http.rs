//! HTTP requests. The history holds each as a socket of its own with one request. Whether a request without a response was
//! performed is unknown.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use teahouse_checker::wire::{Request, RequestBody, ServerBody, ServerEnvelope};
use teahouse_checker::{Dialect, End, Fact};
use teahouse_testkit::HttpClient;
use tokio::time::timeout;

use super::User;
use crate::recorder::Recorder;

/// How long a client waits for a response.
const PATIENCE: Duration = Duration::from_secs(10);

/// A recording HTTP client.
#[derive(Clone)]
pub struct Http {
    recorder: Recorder,
    client: HttpClient,
}

impl Http {
    /// A client of one server.
    #[must_use]
    pub fn new(recorder: &Recorder, address: SocketAddr) -> Self {
        Self { recorder: recorder.clone(), client: HttpClient::new(address) }
    }

    /// Sends a request. Returns its answer in the form of v1, or nothing if it was refused or not answered.
    pub async fn request(&self, user: &User, request: RequestBody) -> Option<Value> {
        let (method, path, body) = route(&request)?;
        let key = match &request {
            RequestBody::Message { client_id, .. } | RequestBody::Private { client_id, .. } => client_id.clone(),
            _ => None,
        };
        let socket = self.recorder.new_socket(user.id, "http", Dialect::Http);
        let id = Some("1".to_owned());
        self.recorder.note(&socket, Fact::RequestSent(Request { id: id.clone(), body: request.clone() }));
        let token = user.token();
        let headers: Vec<(&str, &str)> = key.iter().map(|key| ("Idempotency-Key", key.as_str())).collect();
        let body = (method == Method::POST).then(|| body.to_string());
        let response = timeout(PATIENCE, self.client.request(method, &path, &token, &headers, body)).await;
        let parsed = response.ok().and_then(Result::ok).and_then(|response| {
            let body: Value = serde_json::from_str(&response.text).ok()?;
            Some((response.status, body))
        });
        let Some((status, mut answer)) = parsed else {
            self.recorder.note(&socket, Fact::Ended(End::Lost));
            return None;
        };
        if status == 401 {
            user.replace_token(&token);
        }
        let (said, done) = match status {
            200..300 => {
                let data = in_v1_form(&request, answer["data"].take());
                (ServerBody::Ack(data.clone()), Some(data))
            }
            _ => (ServerBody::Error { code: answer["error_code"].as_str().unwrap_or("internal").to_owned() }, None),
        };
        self.recorder.note(&socket, Fact::EnvelopeReceived(ServerEnvelope { id, body: said }));
        done
    }
}

/// Method, path and body of a request; nothing where it has no HTTP route.
fn route(request: &RequestBody) -> Option<(Method, String, Value)> {
    Some(match request {
        RequestBody::Message { room: 1, content, client_id: None, .. } => {
            (Method::POST, "/api/chat/send".to_owned(), json!({"content": content}))
        }
        RequestBody::Message { room, content, client_id, reply_to } => {
            let body = json!({"content": content, "client_id": client_id, "reply_to": reply_to});
            (Method::POST, format!("/api/v1/rooms/{room}/messages"), body)
        }
        RequestBody::Private { receiver, content, .. } => {
            (Method::POST, "/api/messages/send".to_owned(), json!({"receiver_id": receiver, "content": content}))
        }
        RequestBody::Read { room, seq } => (Method::POST, format!("/api/v1/rooms/{room}/read"), json!({"seq": seq})),
        RequestBody::Create { kind, name } => {
            (Method::POST, "/api/v1/rooms".to_owned(), json!({"kind": kind, "name": name}))
        }
        RequestBody::Join { room } => (Method::POST, format!("/api/v1/rooms/{room}/join"), json!({})),
        RequestBody::Open { user } => (Method::POST, format!("/api/v1/users/{user}/direct"), json!({})),
        RequestBody::OnlineUsers {} => (Method::GET, "/api/chat/online-users".to_owned(), Value::Null),
        RequestBody::Revoke {} => (Method::POST, "/api/auth/logout".to_owned(), json!({})),
        _ => return None,
    })
}

/// Classic routes have other names for the fields of v1.
fn in_v1_form(request: &RequestBody, data: Value) -> Value {
    match request {
        RequestBody::Message { .. } | RequestBody::Private { .. } if data["message_id"].is_u64() => {
            json!({"id": data["message_id"]})
        }
        RequestBody::OnlineUsers {} => {
            let users = data["users"].as_array().into_iter().flatten().map(|user| user["user_id"].clone());
            json!({"online": users.collect::<Vec<_>>(), "count": data["count"]})
        }
        _ => data,
    }
}
