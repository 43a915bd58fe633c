//! Somebody with an account and a token, who asks over HTTP and opens tabs.

use std::net::SocketAddr;

use reqwest::header::HeaderMap;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::{PASSWORD, Server, Tab, Wire, patiently, site_token};

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    /// The body's `data`.
    pub fn data(&self) -> Value {
        self.body()["data"].take()
    }

    /// What it should have been.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// A refusal as every one must be: the envelope, with this status and this stable word.
    #[track_caller]
    pub fn refused(self, status: u16, error_code: &str) -> Value {
        let body = self.expect(status).body();
        assert_eq!((&body["code"], &body["error_code"]), (&json!(status), &json!(error_code)), "{body}");
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
        assert!(body["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{body}");
        assert!(body.as_object().unwrap().contains_key("data"), "{body}");
        body
    }
}

/// Somebody.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: u64,
    pub name: String,
    pub token: String,
    address: SocketAddr,
    http: Client,
}

impl Person {
    /// One of the site's users, who comes with the site's token.
    pub fn of_site(server: &Server, id: u64, name: &str) -> Self {
        let token = site_token(id, name);
        // A connection is used once: one that a server left behind as it went would fail the next request.
        let http = Client::builder().pool_max_idle_per_host(0).build().unwrap();
        Self { id, name: name.to_owned(), token, address: server.address(), http }
    }

    /// Somebody who is nobody yet.
    pub fn stranger(server: &Server) -> Self {
        Self::of_site(server, 0, "stranger").with_token("")
    }

    /// Somebody who registers here.
    pub async fn register(server: &Server, name: &str) -> Self {
        let form = json!({
            "username": name, "password": PASSWORD, "confirmPassword": PASSWORD,
            "email": format!("{name}@example.org"), "province": "", "city": "", "agreeToTerms": true,
        });
        let stranger = Self::stranger(server);
        let data = stranger.post("/api/auth/register", form).await.expect(201).data();
        let (id, token) = (data["user"]["id"].as_u64().unwrap(), data["token"].as_str().unwrap().to_owned());
        Self { id, name: name.to_owned(), token, ..stranger }
    }

    /// The same with another token.
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = token.to_owned();
        self
    }

    /// Where the server listens that they know.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new token of the same account.
    pub async fn log_in(&self) -> Self {
        let form = json!({"username": self.name, "password": PASSWORD, "rememberMe": true});
        let data = self.clone().with_token("").post("/api/auth/login", form).await.expect(200).data();
        self.clone().with_token(data["token"].as_str().unwrap())
    }

    // ── HTTP ──

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, &[], Some(body.to_string())).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::PUT, path, &[], Some(body.to_string())).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, &[], None).await
    }

    /// A request with headers and a body of one's own.
    pub async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<String>) -> Answer {
        self.try_ask(method, path, headers, body).await.unwrap_or_else(|error| panic!("{path}: {error:?}"))
    }

    /// The same, to a server that may be gone.
    pub async fn try_ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.http.request(method, format!("http://{}{path}", self.address));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body);
        }
        patiently(path, async {
            let response = request.send().await?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Ok(Answer { status, headers, text: response.text().await? })
        })
        .await
    }

    /// Says something in the lobby over HTTP; its id.
    pub async fn says(&self, content: &str) -> u64 {
        let answer = self.post("/api/chat/send", json!({"content": content})).await.expect(200);
        answer.data()["message_id"].as_u64().unwrap()
    }

    /// Writes to one other over HTTP; the ids of message and conversation.
    pub async fn writes(&self, receiver: &Self, content: &str) -> (u64, u64) {
        let body = json!({"receiver_id": receiver.id, "content": content});
        let data = self.post("/api/messages/send", body).await.expect(201).data();
        (data["message_id"].as_u64().unwrap(), data["conversation_id"].as_u64().unwrap())
    }

    /// Says something under a key that makes saying it again harmless.
    pub async fn says_once(&self, key: &str, content: &str) -> Answer {
        let body = json!({"content": content}).to_string();
        self.ask(Method::POST, "/api/chat/send", &[("Idempotency-Key", key)], Some(body)).await
    }

    /// The whole lobby, oldest first, page by page.
    pub async fn lobby(&self) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let after = all.last().map_or(0, |last: &Value| last["id"].as_u64().unwrap());
            let page = self.get(&format!("/api/chat/messages/new?after_id={after}&limit=100")).await.expect(200).data();
            all.extend(page["messages"].as_array().unwrap().iter().cloned());
            if page["has_more"] == json!(false) {
                return all;
            }
        }
    }

    /// A whole conversation, oldest first, page by page; this marks it read.
    pub async fn conversation(&self, id: u64) -> Vec<Value> {
        let (mut all, mut before) = (Vec::new(), 0);
        loop {
            let path = format!("/api/conversations/{id}/messages?limit=100&before_id={before}");
            let mut page = self.get(&path).await.expect(200).data()["messages"].take();
            let page = page.as_array_mut().unwrap();
            let Some(first) = page.first() else { return all };
            before = first["id"].as_u64().unwrap();
            page.append(&mut all);
            all = std::mem::take(page);
        }
    }

    /// Who is online, by id.
    pub async fn sees_online(&self) -> Vec<u64> {
        let users = self.get("/api/chat/online-users").await.expect(200).data()["users"].take();
        users.as_array().unwrap().iter().map(|user| user["user_id"].as_u64().unwrap()).collect()
    }

    // ── Sockets ──

    /// Opens a tab, as the classic front end does.
    pub async fn opens_tab(&self) -> Tab {
        match self.tries_to_open_tab().await {
            Ok(tab) => tab,
            Err(refused) => panic!("{} got {refused}", self.name),
        }
    }

    /// The same, or why not.
    pub async fn tries_to_open_tab(&self) -> Result<Tab, String> {
        Tab::open(self.address, &self.token).await
    }

    /// The same as [`Self::opens_wire`], with more lines in the handshake's head.
    pub async fn shakes(&self, more: &str) -> Wire {
        let mut wire = Wire::connect(self.address).await;
        wire.shake_saying(&self.token, more).await;
        wire
    }

    /// Opens a socket of which every byte is one's own.
    pub async fn opens_wire(&self) -> Wire {
        Wire::open(self.address, &self.token).await
    }
}
