//! A v1 device. Its view, which is the checker's, outlives its sockets, and it keeps messages without an ack so that the
//! workload can resend them. It uses the socket that it opened last.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use teahouse_checker::wire::{Held, Page, Request, RequestBody, ServerBody, ServerEnvelope, read_v1};
use teahouse_checker::{DeviceView, Dialect, Fact};
use tokio::time::timeout;

use super::{ConnectOptions, Disconnect, RecordedSocket, User};
use crate::recorder::Recorder;

/// How long a device waits for an answer before it abandons the socket.
const PATIENCE: Duration = Duration::from_secs(20);

/// A device of a user.
pub struct Device {
    /// The user.
    pub user: User,
    /// Its name in the history.
    pub name: String,
    /// The device that its handshakes name.
    pub named: Option<String>,
    /// The rooms and messages that it holds.
    pub view: DeviceView,
    /// Messages without an ack, by `client_id`.
    pub unacknowledged: BTreeMap<String, RequestBody>,
    /// The server broke a rule, so the view is void.
    pub is_broken: bool,
    /// `retry_ms` of the last goodbye.
    pub retry_after: Duration,
    recorder: Recorder,
    address: SocketAddr,
    socket: Option<RecordedSocket>,
    /// Requests without an answer on this socket, by id.
    pending: BTreeMap<String, RequestBody>,
    last_id: u64,
}

impl Device {
    /// A device without a socket.
    #[must_use]
    pub fn new(recorder: &Recorder, address: SocketAddr, user: &User, name: &str) -> Self {
        Self {
            user: user.clone(),
            name: name.to_owned(),
            named: None,
            view: DeviceView::default(),
            unacknowledged: BTreeMap::new(),
            is_broken: false,
            retry_after: Duration::ZERO,
            recorder: recorder.clone(),
            address,
            socket: None,
            pending: BTreeMap::new(),
            last_id: 0,
        }
    }

    /// Whether it has a socket.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// Connects and sends `hello` with the rooms of its view.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn connect(&mut self, options: ConnectOptions<'_>) -> Result<(), Disconnect> {
        let held = self.view.held();
        self.connect_with(options, held).await
    }

    /// The same with other rooms or versions in `hello`.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn connect_with(&mut self, options: ConnectOptions<'_>, rooms: Vec<Held>) -> Result<(), Disconnect> {
        self.cut(false);
        let socket = self.recorder.new_socket(self.user.id, &self.name, Dialect::V1);
        let options = ConnectOptions { device: self.named.as_deref(), ..options };
        let socket = RecordedSocket::open(&self.recorder, self.address, &self.user, socket, options).await?;
        self.socket = Some(socket);
        self.pending.clear();
        let epoch = self.view.epoch.clone();
        self.send_request(RequestBody::Hello { epoch, rooms }).await?;
        Ok(())
    }

    /// Sends a request and returns its id.
    ///
    /// # Errors
    /// The socket ended.
    pub async fn send_request(&mut self, body: RequestBody) -> Result<String, Disconnect> {
        let Some(socket) = &mut self.socket else { return Err(Disconnect::Lost) };
        self.last_id += 1;
        let id = format!("c-{}", self.last_id);
        let request = Request { id: Some(id.clone()), body };
        self.view.record_request(&request);
        self.pending.insert(id.clone(), request.body.clone());
        if let RequestBody::Message { client_id: Some(key), .. } = &request.body {
            self.unacknowledged.insert(key.clone(), request.body.clone());
        }
        let text = serde_json::to_string(&request).unwrap();
        let sent = socket.send_request(text, request).await;
        self.drop_if_ended(sent)?;
        Ok(id)
    }

    /// Reads one envelope and applies it to the view. May be dropped while it waits.
    ///
    /// # Errors
    /// The socket ended.
    pub async fn next(&mut self) -> Result<ServerEnvelope, Disconnect> {
        let Some(socket) = &mut self.socket else { return Err(Disconnect::Lost) };
        let text = socket.next().await;
        let text = self.drop_if_ended(text)?;
        let Some(socket) = &mut self.socket else { return Err(Disconnect::Lost) };
        let Ok(envelope) = read_v1(&text) else {
            socket.note(Fact::MalformedReceived { text });
            self.is_broken = true;
            self.cut(false);
            return Err(Disconnect::Lost);
        };
        socket.note(Fact::EnvelopeReceived(envelope.clone()));
        if self.view.apply(&envelope).is_err() {
            // The checker finds the same in the history.
            self.is_broken = true;
            self.cut(false);
            return Err(Disconnect::Lost);
        }
        self.settle_request(&envelope);
        Ok(envelope)
    }

    fn settle_request(&mut self, envelope: &ServerEnvelope) {
        if let ServerBody::Goodbye { retry_ms, .. } = envelope.body {
            self.retry_after = Duration::from_millis(retry_ms);
        }
        let Some(body) = envelope.id.as_ref().and_then(|id| self.pending.remove(id)) else { return };
        if let RequestBody::Message { client_id: Some(key), .. } = body {
            let is_temporary = |code: &str| matches!(code, "overloaded" | "rate_limited" | "internal");
            if !matches!(&envelope.body, ServerBody::Error { code } if is_temporary(code)) {
                self.unacknowledged.remove(&key);
            }
        }
    }

    fn drop_if_ended<T>(&mut self, result: Result<T, Disconnect>) -> Result<T, Disconnect> {
        if let Err(disconnect) = &result {
            if *disconnect == Disconnect::Closed(4503)
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

    /// Sends a request and reads up to its answer. Without an answer it abandons the socket.
    ///
    /// # Errors
    /// The socket ended.
    pub async fn request(&mut self, body: RequestBody) -> Result<ServerBody, Disconnect> {
        let id = self.send_request(body).await?;
        let answer = timeout(PATIENCE, async {
            loop {
                let envelope = self.next().await?;
                if envelope.id.as_ref() == Some(&id) {
                    return Ok(envelope.body);
                }
            }
        });
        let answer = answer.await;
        self.give_up_if_late(answer)
    }

    /// Reads until its view is up to date.
    ///
    /// # Errors
    /// The socket ended.
    pub async fn catch_up(&mut self) -> Result<(), Disconnect> {
        let caught_up = timeout(PATIENCE, async {
            while !self.view.is_caught_up() {
                self.next().await?;
            }
            Ok(())
        });
        let caught_up = caught_up.await;
        self.give_up_if_late(caught_up)
    }

    fn give_up_if_late<T>(
        &mut self,
        result: Result<Result<T, Disconnect>, tokio::time::error::Elapsed>,
    ) -> Result<T, Disconnect> {
        result.unwrap_or_else(|_| {
            self.cut(false);
            Err(Disconnect::Lost)
        })
    }

    /// Loads the whole history of every room.
    ///
    /// # Errors
    /// The socket ended.
    pub async fn load_all(&mut self) -> Result<(), Disconnect> {
        let rooms: Vec<u64> = self.view.rooms.keys().copied().collect();
        for room in rooms {
            while let Some(view) = self.view.rooms.get(&room).filter(|view| view.low > 1) {
                let before = (view.low <= view.last_seq).then_some(view.low);
                let said = self.request(RequestBody::History { room, before, limit: Some(100) }).await?;
                let ServerBody::Ack(page) = said else { break };
                if !serde_json::from_value::<Page>(page).is_ok_and(|page| page.has_more_before) {
                    break;
                }
            }
        }
        Ok(())
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

    /// Gives away its socket, which stays open and is never read again.
    pub fn abandon_socket(&mut self) -> Option<RecordedSocket> {
        self.socket.take()
    }
}
