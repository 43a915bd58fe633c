//! A v1 device: what it holds outlives its sockets, and what was not acknowledged it says again. It applies what comes
//! by the checker's own view, and believes the socket that it opened last.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use teahouse_checker::wire::{Held, Page, Request, RequestBody, ServerBody, ServerEnvelope, read_v1};
use teahouse_checker::{DeviceView, Dialect, Fact};
use tokio::time::timeout;

use super::{Gone, Handshake, Line, Person};
use crate::recorder::Recorder;

/// After so long without the answer that it waits for, a client gives a socket up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A device of somebody.
pub struct Device {
    /// Whose.
    pub person: Person,
    /// How the person calls it.
    pub name: String,
    /// Its handshakes name it.
    pub is_named: bool,
    /// What it holds.
    pub view: DeviceView,
    /// What it said and nobody acknowledged: content, room, message that is answered; by key.
    pub open: BTreeMap<String, RequestBody>,
    /// The server broke a rule: what it holds is worth nothing.
    pub is_broken: bool,
    /// `retry_ms` of the last goodbye.
    pub retry: Duration,
    recorder: Recorder,
    address: SocketAddr,
    line: Option<Line>,
    asked: BTreeMap<String, RequestBody>,
    number: u64,
}

impl Device {
    /// A new one, not yet connected.
    #[must_use]
    pub fn new(recorder: &Recorder, address: SocketAddr, person: &Person, name: &str) -> Self {
        Self {
            person: person.clone(),
            name: name.to_owned(),
            is_named: false,
            view: DeviceView::default(),
            open: BTreeMap::new(),
            is_broken: false,
            retry: Duration::ZERO,
            recorder: recorder.clone(),
            address,
            line: None,
            asked: BTreeMap::new(),
            number: 0,
        }
    }

    /// Whether it has a socket.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.line.is_some()
    }

    /// Connects and says hello with what it holds.
    ///
    /// # Errors
    /// It is not there.
    pub async fn comes(&mut self, how: Handshake<'_>) -> Result<(), Gone> {
        let held = self.view.held();
        self.comes_with(how, held).await
    }

    /// The same, saying of the rooms that are held whatever one wants.
    ///
    /// # Errors
    /// It is not there.
    pub async fn comes_with(&mut self, how: Handshake<'_>, rooms: Vec<Held>) -> Result<(), Gone> {
        self.cut(false);
        let socket = self.recorder.socket(self.person.id, &self.name, Dialect::V1);
        let how = Handshake { named: self.is_named.then_some(self.name.as_str()), ..how };
        let line = Line::open(&self.recorder, self.address, &self.person, socket, how).await?;
        self.line = Some(line);
        self.asked.clear();
        let epoch = self.view.epoch.clone();
        self.asks(RequestBody::Hello { epoch, rooms }).await?;
        Ok(())
    }

    /// Sends a request; its reference.
    ///
    /// # Errors
    /// There is no socket any more.
    pub async fn asks(&mut self, ask: RequestBody) -> Result<String, Gone> {
        let Some(line) = &mut self.line else { return Err(Gone::Lost) };
        self.number += 1;
        let id = format!("c-{}", self.number);
        let request = Request { id: Some(id.clone()), body: ask };
        self.view.record_request(&request);
        self.asked.insert(id.clone(), request.body.clone());
        if let RequestBody::Message { client_id: Some(key), .. } = &request.body {
            self.open.insert(key.clone(), request.body.clone());
        }
        let text = serde_json::to_string(&request).unwrap();
        let sent = line.ask(text, request).await;
        self.or_gone(sent)?;
        Ok(id)
    }

    /// Reads one envelope, which has become part of the view. May be dropped while it waits.
    ///
    /// # Errors
    /// There is no socket any more.
    pub async fn hears(&mut self) -> Result<ServerEnvelope, Gone> {
        let Some(line) = &mut self.line else { return Err(Gone::Lost) };
        let text = line.next().await;
        let text = self.or_gone(text)?;
        let Some(line) = &mut self.line else { return Err(Gone::Lost) };
        let Ok(heard) = read_v1(&text) else {
            line.note(Fact::MalformedReceived { text });
            self.is_broken = true;
            self.cut(false);
            return Err(Gone::Lost);
        };
        line.note(Fact::EnvelopeReceived(heard.clone()));
        if self.view.apply(&heard).is_err() {
            // The judge says what was wrong.
            self.is_broken = true;
            self.cut(false);
            return Err(Gone::Lost);
        }
        self.takes(&heard);
        Ok(heard)
    }

    fn takes(&mut self, heard: &ServerEnvelope) {
        if let ServerBody::Goodbye { retry_ms, .. } = heard.body {
            self.retry = Duration::from_millis(retry_ms);
        }
        let Some(ask) = heard.id.as_ref().and_then(|id| self.asked.remove(id)) else { return };
        if let RequestBody::Message { client_id: Some(key), .. } = ask {
            let helps = |code: &str| matches!(code, "overloaded" | "rate_limited" | "internal");
            if !matches!(&heard.body, ServerBody::Error { code } if helps(code)) {
                self.open.remove(&key);
            }
        }
    }

    fn or_gone<T>(&mut self, result: Result<T, Gone>) -> Result<T, Gone> {
        if let Err(gone) = &result {
            if *gone == Gone::Closed(4503)
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

    /// Asks and reads up to the answer; gives the socket up when there is none.
    ///
    /// # Errors
    /// There is no socket any more.
    pub async fn does(&mut self, ask: RequestBody) -> Result<ServerBody, Gone> {
        let id = self.asks(ask).await?;
        let answer = timeout(PATIENCE, async {
            loop {
                let heard = self.hears().await?;
                if heard.id.as_ref() == Some(&id) {
                    return Ok(heard.body);
                }
            }
        });
        let answer = answer.await;
        self.or_given_up(answer)
    }

    /// Reads until it holds all rooms as they are.
    ///
    /// # Errors
    /// There is no socket any more.
    pub async fn catches_up(&mut self) -> Result<(), Gone> {
        let caught_up = timeout(PATIENCE, async {
            while !self.view.is_caught_up() {
                self.hears().await?;
            }
            Ok(())
        });
        let caught_up = caught_up.await;
        self.or_given_up(caught_up)
    }

    fn or_given_up<T>(&mut self, result: Result<Result<T, Gone>, tokio::time::error::Elapsed>) -> Result<T, Gone> {
        result.unwrap_or_else(|_| {
            self.cut(false);
            Err(Gone::Lost)
        })
    }

    /// Loads every room from its beginning.
    ///
    /// # Errors
    /// There is no socket any more.
    pub async fn loads_all(&mut self) -> Result<(), Gone> {
        let rooms: Vec<u64> = self.view.rooms.keys().copied().collect();
        for room in rooms {
            while let Some(view) = self.view.rooms.get(&room).filter(|view| view.low > 1) {
                let before = (view.low <= view.last_seq).then_some(view.low);
                let said = self.does(RequestBody::History { room, before, limit: Some(100) }).await?;
                let ServerBody::Ack(page) = said else { break };
                if !serde_json::from_value::<Page>(page).is_ok_and(|page| page.has_more_before) {
                    break;
                }
            }
        }
        Ok(())
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

    /// Turns away from its socket, which stays open and is never read again.
    pub fn forgets_its_socket(&mut self) -> Option<Line> {
        self.line.take()
    }
}
