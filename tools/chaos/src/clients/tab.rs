//! A tab of the classic front end. It holds nothing that outlives its socket.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use teahouse_checker::wire::{Classic, Request, RequestBody, read_classic};
use teahouse_checker::{Dialect, Fact};
use tokio::time::timeout;

use super::{ConnectOptions, Disconnect, RecordedSocket, User};
use crate::recorder::Recorder;

/// How long a tab waits for an answer before it abandons the socket.
const PATIENCE: Duration = Duration::from_secs(20);

/// A tab of a user.
pub struct Tab {
    /// The user.
    pub user: User,
    /// Its name in the history.
    pub name: String,
    recorder: Recorder,
    address: SocketAddr,
    socket: Option<RecordedSocket>,
}

impl Tab {
    /// A tab without a socket.
    #[must_use]
    pub fn new(recorder: &Recorder, address: SocketAddr, user: &User, name: &str) -> Self {
        Self { user: user.clone(), name: name.to_owned(), recorder: recorder.clone(), address, socket: None }
    }

    /// Whether it has a socket.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// Connects.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn connect(&mut self) -> Result<(), Disconnect> {
        self.cut(false);
        let socket = self.recorder.new_socket(self.user.id, &self.name, Dialect::Classic);
        let options = ConnectOptions::default();
        let socket = RecordedSocket::open(&self.recorder, self.address, &self.user, socket, options).await?;
        self.socket = Some(socket);
        Ok(())
    }

    /// Sends a lobby message or a heartbeat.
    ///
    /// # Errors
    /// The socket ended.
    pub async fn send_request(&mut self, body: RequestBody) -> Result<(), Disconnect> {
        let Some(socket) = &mut self.socket else { return Err(Disconnect::Lost) };
        let text = match &body {
            RequestBody::Message { content, .. } => json!({"type": "message", "data": {"content": content}}),
            _ => json!({"type": "heartbeat", "data": {}}),
        };
        let sent = socket.send_request(text.to_string(), Request { id: None, body }).await;
        self.drop_if_ended(sent)
    }

    /// Reads one envelope. May be dropped while it waits.
    ///
    /// # Errors
    /// The socket ended.
    pub async fn next(&mut self) -> Result<Classic, Disconnect> {
        let Some(socket) = &mut self.socket else { return Err(Disconnect::Lost) };
        let text = socket.next().await;
        let text = self.drop_if_ended(text)?;
        let Some(socket) = &mut self.socket else { return Err(Disconnect::Lost) };
        match read_classic(&text) {
            Ok(envelope) => {
                socket.note(Fact::ClassicReceived(envelope.clone()));
                Ok(envelope)
            }
            Err(_) => {
                socket.note(Fact::MalformedReceived { text });
                self.cut(false);
                Err(Disconnect::Lost)
            }
        }
    }

    fn drop_if_ended<T>(&mut self, result: Result<T, Disconnect>) -> Result<T, Disconnect> {
        if let Err(disconnect) = &result {
            if *disconnect == Disconnect::Closed(1008)
                && let Some(socket) = &self.socket
            {
                self.user.replace_token(&socket.token);
            }
            self.socket = None;
        }
        result
    }

    /// Reads for a time.
    ///
    /// # Errors
    /// The socket ended.
    pub async fn read_for(&mut self, time: Duration) -> Result<(), Disconnect> {
        let until = Instant::now() + time;
        while let Ok(envelope) = timeout(until.saturating_duration_since(Instant::now()), self.next()).await {
            envelope?;
        }
        Ok(())
    }

    /// Sends a heartbeat and reads up to its answer.
    ///
    /// # Errors
    /// The socket ended.
    pub async fn heartbeat(&mut self) -> Result<(), Disconnect> {
        self.send_request(RequestBody::Heartbeat {}).await?;
        let answer = timeout(PATIENCE, async {
            while !matches!(self.next().await?, Classic::Heartbeat { .. }) {}
            Ok(())
        });
        let answer = answer.await;
        answer.unwrap_or_else(|_| {
            self.cut(false);
            Err(Disconnect::Lost)
        })
    }

    /// Records that it is quiescent.
    pub fn note_rested(&self) {
        if let Some(socket) = &self.socket {
            socket.note(Fact::Quiesced);
        }
    }

    /// Cuts its connection, where it has one.
    pub fn cut(&mut self, by_reset: bool) {
        if let Some(socket) = self.socket.take() {
            socket.cut(by_reset);
        }
    }

    /// Closes its connection.
    pub async fn leave(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.leave(1000).await;
        }
    }
}
