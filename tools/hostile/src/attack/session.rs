//! A session of a hostile account. The checker must know who was online and which changes a client requested, so the
//! handshake, the end and every request for a change are recorded; what the session receives is not.

use std::time::{Duration, Instant};

use serde_json::Value;
use teahouse_checker::wire::{Request, RequestBody};
use teahouse_checker::{Dialect, End, Fact, Socket};
use teahouse_testkit::ws::dial_from;
use teahouse_testkit::{Handshake, HandshakeError, WsClient, WsEvent};
use tokio::time::timeout;

use super::Attack;

/// How long an attacker waits for the server before it tries again.
const PATIENCE: Duration = Duration::from_secs(10);

/// A hostile session.
pub struct AttackSession {
    attack: Attack,
    socket: Socket,
    /// None after its end, which is recorded then.
    client: Option<WsClient>,
    last_id: u64,
}

impl AttackSession {
    /// Connects until the server accepts, and sends `hello`; then reads up to the welcome.
    pub async fn open(attack: &Attack, device: &str) -> Self {
        loop {
            let mut session = Self::open_unread(attack, device, false).await;
            if session.request(RequestBody::Hello { epoch: None, rooms: Vec::new() }).await.is_some() {
                return session;
            }
            attack.wait_after_refusal().await;
        }
    }

    /// Connects until the server accepts. The caller sends `hello` and reads.
    pub async fn open_unread(attack: &Attack, device: &str, small_buffer: bool) -> Self {
        loop {
            if let Some(session) = Self::try_open(attack, device, small_buffer).await {
                return session;
            }
            attack.wait_after_refusal().await;
        }
    }

    async fn try_open(attack: &Attack, device: &str, small_buffer: bool) -> Option<Self> {
        let dialling = dial_from(Some(attack.source), attack.bed.address, small_buffer);
        let stream = timeout(PATIENCE, dialling).await.ok()?.ok()?;
        let token = attack.user.token();
        let socket = attack.bed.recorder.new_socket(attack.user.id, device, Dialect::V1);
        let mut session = Self { attack: attack.clone(), socket, client: None, last_id: 0 };
        session.note(Fact::HandshakeSent { device: Some(device.to_owned()) });
        let handshake = Handshake { v1: true, token: &token, device: Some(device), held_back: None };
        let status = match timeout(PATIENCE, WsClient::handshake(stream, &handshake)).await {
            Ok(Ok(client)) => {
                session.client = Some(client);
                101
            }
            Ok(Err(HandshakeError::Refused(status))) => status,
            Ok(Err(HandshakeError::Lost(_))) | Err(_) => {
                session.note(Fact::Ended(End::Lost));
                return None;
            }
        };
        session.note(Fact::HandshakeAnswered { status });
        session.client.is_some().then_some(session)
    }

    /// Whether the connection is open, as far as this side knows.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.client.is_some()
    }

    /// Sends a request and returns its id, without waiting for anything.
    pub async fn send(&mut self, body: RequestBody) -> String {
        self.last_id += 1;
        let id = format!("a-{}", self.last_id);
        let request = Request { id: Some(id.clone()), body };
        let text = serde_json::to_string(&request).unwrap();
        let is_question = matches!(
            request.body,
            RequestBody::History { .. }
                | RequestBody::Sync { .. }
                | RequestBody::Presence { .. }
                | RequestBody::Typing { .. }
                | RequestBody::Heartbeat {}
                | RequestBody::Hello { .. }
        );
        if !is_question {
            self.note(Fact::RequestSent(request));
        }
        self.send_text(text).await;
        id
    }

    /// Sends a text that requests no change.
    pub async fn send_text(&mut self, text: String) {
        let Some(client) = &mut self.client else { return };
        // A server that does not read any more lets this wait; the attack is dropped meanwhile, or goes on.
        if timeout(PATIENCE, client.send_text(text)).await.is_err() {
            self.end(End::Cut);
        }
    }

    /// Sends a request and reads up to its answer: the data of its ack. Counts whether it succeeded.
    pub async fn request(&mut self, body: RequestBody) -> Option<Value> {
        let id = self.send(body).await;
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let text = self.next().await?;
            // The ids of others' answers cannot be in the first bytes of another envelope.
            if !begin_of(&text).contains(&format!("\"id\":\"{id}\"")) {
                continue;
            }
            return (!text.starts_with("{\"type\":\"error\"")).then(|| {
                let envelope: Option<Value> = serde_json::from_str(&text).ok();
                envelope.map_or(Value::Null, |mut envelope| envelope["data"].take())
            });
        }
        None
    }

    /// The next text, which is counted if it answers a request.
    pub async fn next(&mut self) -> Option<String> {
        let Some(client) = &mut self.client else {
            self.attack.wait_after_refusal().await;
            return None;
        };
        match client.next().await {
            WsEvent::Text(text) => {
                if text.starts_with("{\"type\":\"ack\"") || text.starts_with("{\"type\":\"welcome\"") {
                    self.attack.counts.add_done();
                } else if text.starts_with("{\"type\":\"error\"") {
                    self.attack.counts.add_refused();
                }
                Some(text)
            }
            WsEvent::Closed(code, reason) => {
                self.end(End::Closed { code, reason });
                None
            }
            WsEvent::Lost => {
                self.end(End::Lost);
                None
            }
        }
    }

    /// Reads and discards for a time.
    pub async fn read_for(&mut self, time: Duration) {
        let _ = timeout(time, async { while self.next().await.is_some() {} }).await;
    }

    /// Ends it without a close frame.
    pub fn cut(mut self) {
        self.end(End::Cut);
    }

    fn end(&mut self, end: End) {
        if let Some(client) = self.client.take() {
            if end != End::Cut {
                self.attack.counts.add_closed();
            }
            self.note(Fact::Ended(end));
            drop(client);
        }
    }

    fn note(&self, fact: Fact) {
        self.attack.bed.recorder.note(&self.socket, fact);
    }
}

impl Drop for AttackSession {
    fn drop(&mut self) {
        self.end(End::Cut);
    }
}

/// The first bytes of an envelope, in which its type and id are.
fn begin_of(text: &str) -> &str {
    let end = (0..=80.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}
