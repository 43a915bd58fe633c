//! HTTP requests, each written down as a socket of its own with one question on it. What comes of one that was not
//! answered is not known.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use teahouse_checker::wire::{Request, RequestBody, ServerBody, ServerEnvelope};
use teahouse_checker::{Dialect, End, Fact};

use super::Person;
use crate::recorder::Recorder;

/// As for any client.
const PATIENCE: Duration = Duration::from_secs(10);

/// The door for HTTP.
#[derive(Clone)]
pub struct Http {
    recorder: Recorder,
    address: SocketAddr,
    client: reqwest::Client,
}

impl Http {
    /// Of this server.
    #[must_use]
    pub fn new(recorder: &Recorder, address: SocketAddr) -> Self {
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        Self { recorder: recorder.clone(), address, client }
    }

    /// What it says was done, in the words of v1; nothing when it was refused or not answered.
    pub async fn ask(&self, person: &Person, ask: RequestBody) -> Option<Value> {
        let (post, path, body) = route(&ask)?;
        let key = match &ask {
            // In v1 the key is in the body.
            RequestBody::Message { client_id, .. } | RequestBody::Private { client_id, .. } => client_id.clone(),
            _ => None,
        };
        let socket = self.recorder.socket(person.id, "http", Dialect::Http);
        let id = Some("1".to_owned());
        self.recorder.note(&socket, Fact::RequestSent(Request { id: id.clone(), body: ask.clone() }));
        let url = format!("http://{}{path}", self.address);
        let token = person.token();
        let mut request = if post { self.client.post(url) } else { self.client.get(url) }.bearer_auth(&token);
        if post {
            request = request.json(&body);
        }
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let answer = async {
            let response = request.send().await?;
            let status = response.status().as_u16();
            Ok::<(u16, Value), reqwest::Error>((status, response.json().await?))
        };
        let Ok((status, mut answer)) = answer.await else {
            self.recorder.note(&socket, Fact::Ended(End::Lost));
            return None;
        };
        if status == 401 {
            person.needs_another_than(&token);
        }
        let (said, done) = match status {
            200..300 => {
                let data = in_words_of_v1(&ask, answer["data"].take());
                (ServerBody::Ack(data.clone()), Some(data))
            }
            _ => (ServerBody::Error { code: answer["error_code"].as_str().unwrap_or("internal").to_owned() }, None),
        };
        self.recorder.note(&socket, Fact::EnvelopeReceived(ServerEnvelope { id, body: said }));
        done
    }
}

/// Whether it is a POST, its path, and its body; nothing for what is not asked here.
fn route(ask: &RequestBody) -> Option<(bool, String, Value)> {
    Some(match ask {
        RequestBody::Message { room: 1, content, client_id: None, .. } => {
            (true, "/api/chat/send".to_owned(), json!({"content": content}))
        }
        RequestBody::Message { room, content, client_id, reply_to } => {
            let body = json!({"content": content, "client_id": client_id, "reply_to": reply_to});
            (true, format!("/api/v1/rooms/{room}/messages"), body)
        }
        RequestBody::Private { receiver, content, .. } => {
            (true, "/api/messages/send".to_owned(), json!({"receiver_id": receiver, "content": content}))
        }
        RequestBody::Read { room, seq } => (true, format!("/api/v1/rooms/{room}/read"), json!({"seq": seq})),
        RequestBody::Create { kind, name } => (true, "/api/v1/rooms".to_owned(), json!({"kind": kind, "name": name})),
        RequestBody::Join { room } => (true, format!("/api/v1/rooms/{room}/join"), json!({})),
        RequestBody::Open { user } => (true, format!("/api/v1/users/{user}/direct"), json!({})),
        RequestBody::OnlineUsers {} => (false, "/api/chat/online-users".to_owned(), Value::Null),
        RequestBody::Revoke {} => (true, "/api/auth/logout".to_owned(), json!({})),
        _ => return None,
    })
}

/// The classic door has other names for the same.
fn in_words_of_v1(ask: &RequestBody, data: Value) -> Value {
    match ask {
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
