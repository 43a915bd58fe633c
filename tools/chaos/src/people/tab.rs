//! A tab of the classic page: it holds nothing that outlives its socket.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use teahouse_checker::wire::{Classic, Request, RequestBody, read_classic};
use teahouse_checker::{Dialect, Fact};
use tokio::time::timeout;

use super::{Gone, Handshake, Line, Person};
use crate::recorder::Recorder;

/// As for a device.
const PATIENCE: Duration = Duration::from_secs(20);

/// A tab of somebody.
pub struct Tab {
    /// Whose.
    pub person: Person,
    /// How the person calls it.
    pub name: String,
    recorder: Recorder,
    address: SocketAddr,
    line: Option<Line>,
}

impl Tab {
    /// A new one, not yet connected.
    #[must_use]
    pub fn new(recorder: &Recorder, address: SocketAddr, person: &Person, name: &str) -> Self {
        Self { person: person.clone(), name: name.to_owned(), recorder: recorder.clone(), address, line: None }
    }

    /// Whether it has a socket.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.line.is_some()
    }

    /// Connects.
    ///
    /// # Errors
    /// It is not there.
    pub async fn comes(&mut self) -> Result<(), Gone> {
        self.cut(false);
        let socket = self.recorder.socket(self.person.id, &self.name, Dialect::Classic);
        let line = Line::open(&self.recorder, self.address, &self.person, socket, Handshake::default()).await?;
        self.line = Some(line);
        Ok(())
    }

    /// Says something in the lobby, or gives a sign of life.
    ///
    /// # Errors
    /// There is no socket any more.
    pub async fn asks(&mut self, ask: RequestBody) -> Result<(), Gone> {
        let Some(line) = &mut self.line else { return Err(Gone::Lost) };
        let text = match &ask {
            RequestBody::Message { content, .. } => json!({"type": "message", "data": {"content": content}}),
            _ => json!({"type": "heartbeat", "data": {}}),
        };
        let sent = line.ask(text.to_string(), Request { id: None, body: ask }).await;
        self.or_gone(sent)
    }

    /// Reads one envelope. May be dropped while it waits.
    ///
    /// # Errors
    /// There is no socket any more.
    pub async fn hears(&mut self) -> Result<Classic, Gone> {
        let Some(line) = &mut self.line else { return Err(Gone::Lost) };
        let text = line.next().await;
        let text = self.or_gone(text)?;
        let Some(line) = &mut self.line else { return Err(Gone::Lost) };
        match read_classic(&text) {
            Ok(heard) => {
                line.note(Fact::ClassicReceived(heard.clone()));
                Ok(heard)
            }
            Err(_) => {
                line.note(Fact::MalformedReceived { text });
                self.cut(false);
                Err(Gone::Lost)
            }
        }
    }

    fn or_gone<T>(&mut self, result: Result<T, Gone>) -> Result<T, Gone> {
        if let Err(gone) = &result {
            if *gone == Gone::Closed(1008)
                && let Some(line) = &self.line
            {
                self.person.needs_another_than(&line.token);
            }
            self.line = None;
        }
        result
    }

    /// Reads for so long.
    ///
    /// # Errors
    /// There is no socket any more.
    pub async fn reads_for(&mut self, time: Duration) -> Result<(), Gone> {
        let until = Instant::now() + time;
        while let Ok(heard) = timeout(until.saturating_duration_since(Instant::now()), self.hears()).await {
            heard?;
        }
        Ok(())
    }

    /// A sign of life, and reads up to its answer.
    ///
    /// # Errors
    /// There is no socket any more.
    pub async fn beats(&mut self) -> Result<(), Gone> {
        self.asks(RequestBody::Heartbeat {}).await?;
        let answer = timeout(PATIENCE, async {
            while !matches!(self.hears().await?, Classic::Heartbeat { .. }) {}
            Ok(())
        });
        let answer = answer.await;
        answer.unwrap_or_else(|_| {
            self.cut(false);
            Err(Gone::Lost)
        })
    }

    /// It stays where it is.
    pub fn rests(&self) {
        if let Some(line) = &self.line {
            line.note(Fact::Quiesced);
        }
    }

    /// Cuts its connection, if it has one.
    pub fn cut(&mut self, by_reset: bool) {
        if let Some(line) = self.line.take() {
            line.cut(by_reset);
        }
    }

    /// Closes it for good.
    pub async fn leaves(&mut self) {
        if let Some(line) = self.line.take() {
            line.leave(1000).await;
        }
    }
}
