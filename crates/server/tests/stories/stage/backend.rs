//! A site's backend, which has a key.

use reqwest::Method;
use serde_json::Value;

use super::person::Answer;
use super::{Person, Server};

/// The backend.
pub struct Backend {
    caller: Person,
    authorization: String,
}

impl Backend {
    /// One with a key that is made for it now.
    pub fn of(server: &Server) -> Self {
        let key = server.command(&["key", "create", "a-story"]);
        Self { caller: Person::stranger(server), authorization: format!("ApiKey {}", key.trim()) }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.caller.ask(Method::GET, path, &[("Authorization", &self.authorization)], None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.caller.ask(Method::POST, path, &[("Authorization", &self.authorization)], Some(body.to_string())).await
    }

    /// Publishes something.
    pub async fn publishes(&self, to: Value, kind: &str, data: Value) -> Answer {
        self.post("/api/server/publish", serde_json::json!({"to": to, "type": kind, "data": data})).await
    }
}
