//! An honest person: reads along, writes, reads back, logs in, reconnects, at a human pace. Each action is timed.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use teahouse_chaos::clients::{ConnectOptions, Disconnect, RecordedSocket, User};
use teahouse_chaos::recorder::Recorder;
use teahouse_checker::wire::{Request, RequestBody, read_v1};
use teahouse_checker::{Dialect, Fact};
use teahouse_testkit::{HttpClient, Random};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::latencies::{Action, Phase};
use crate::test_bed::{PASSWORD, TestBed, source};

/// How long a person waits for anything before giving up.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Messages of a page.
const PAGE: u64 = 20;

/// The phase in which new actions count. In-flight actions keep theirs.
pub type CurrentPhase = Arc<RwLock<Arc<Phase>>>;

/// An honest person with one device and one local account.
pub struct Person {
    user: User,
    account: String,
    source: IpAddr,
    address: SocketAddr,
    recorder: Recorder,
    http: HttpClient,
    square: u64,
    socket: Option<RecordedSocket>,
    last_id: u64,
    random: Random,
    phase: CurrentPhase,
}

impl Person {
    /// A person who is not connected.
    #[must_use]
    pub fn new(bed: &TestBed, number: usize, random: Random, phase: CurrentPhase) -> Self {
        let source = source(1, number);
        Self {
            user: bed.honest[number].clone(),
            account: TestBed::account(number),
            source,
            address: bed.address,
            recorder: bed.recorder.clone(),
            http: HttpClient::from_source(Some(source), bed.address),
            square: bed.square,
            socket: None,
            last_id: 0,
            random,
            phase,
        }
    }

    /// Acts until the end of the run, and leaves.
    pub async fn run(mut self, over: watch::Receiver<bool>) {
        while !*over.borrow() {
            let pause = self.random.time_ms(300, 1300);
            self.read_for(pause).await;
            if *over.borrow() {
                break;
            }
            if self.socket.is_none() {
                self.timed(Action::Connect).await;
                continue;
            }
            let action = match self.random.below(20) {
                0..9 => Action::Send,
                9..14 => Action::Read,
                14..17 => Action::LogIn,
                _ => {
                    self.cut();
                    Action::Connect
                }
            };
            self.timed(action).await;
        }
        if let Some(socket) = self.socket.take() {
            socket.leave(1000).await;
        }
    }

    async fn timed(&mut self, action: Action) {
        let phase = Arc::clone(&self.phase.read().unwrap());
        let began = Instant::now();
        let result = timeout(PATIENCE, self.act(action)).await.unwrap_or(Err("no answer".to_owned()));
        phase.record(action, began.elapsed(), result.as_ref().err().map(String::as_str));
        // A person whose request failed tries again with a new connection.
        if result.is_err() && action != Action::LogIn {
            self.cut();
        }
    }

    async fn act(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Connect => self.connect().await,
            Action::Send => {
                let (name, number) = (&self.user.name, self.user.next_number());
                let client_id = Some(format!("{name}-{number}"));
                let content = format!("{number} of {name}");
                self.request(RequestBody::Message { room: self.square, content, client_id, reply_to: None }).await
            }
            Action::Read if self.random.one_in(2) => {
                let path = format!("/api/v1/rooms/{}/messages?limit={PAGE}", self.square);
                let token = self.user.token();
                let response = self.http.request(Method::GET, &path, &token, &[], None).await;
                expect_200(response)
            }
            Action::Read => {
                self.request(RequestBody::History { room: self.square, before: None, limit: Some(PAGE) }).await
            }
            Action::LogIn => {
                let body = json!({"username": self.account, "password": PASSWORD}).to_string();
                expect_200(self.http.request(Method::POST, "/api/auth/login", "", &[], Some(body)).await)
            }
        }
    }

    async fn connect(&mut self) -> Result<(), String> {
        let socket = self.recorder.new_socket(self.user.id, "phone", Dialect::V1);
        let options = ConnectOptions { device: Some("phone"), source: Some(self.source), ..ConnectOptions::default() };
        let socket = RecordedSocket::open(&self.recorder, self.address, &self.user, socket, options).await;
        self.socket = Some(socket.map_err(|disconnect| format!("{disconnect:?}"))?);
        self.request(RequestBody::Hello { epoch: None, rooms: Vec::new() }).await
    }

    async fn request(&mut self, body: RequestBody) -> Result<(), String> {
        let Some(socket) = &mut self.socket else { return Err("not connected".to_owned()) };
        self.last_id += 1;
        let id = format!("c-{}", self.last_id);
        // A page of history may be large, and the checker compares those of the witnesses.
        let is_recorded = !matches!(body, RequestBody::History { .. });
        let request = Request { id: Some(id.clone()), body };
        let text = serde_json::to_string(&request).unwrap();
        let sending = socket.send_request(text, request).await;
        let answered = match sending {
            Ok(()) => wait_for_answer(socket, &id, is_recorded).await,
            Err(disconnect) => Err(disconnect),
        };
        match answered {
            Ok(None) => Ok(()),
            Ok(Some(code)) => Err(code),
            Err(disconnect) => {
                self.socket = None;
                Err(format!("{disconnect:?}"))
            }
        }
    }

    /// Reads and discards for a time.
    async fn read_for(&mut self, time: Duration) {
        let Some(socket) = &mut self.socket else { return tokio::time::sleep(time).await };
        let reading = async { while socket.next().await.is_ok() {} };
        if timeout(time, reading).await.is_ok() {
            self.socket = None;
        }
    }

    fn cut(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.cut(false);
        }
    }
}

/// Reads up to the answer to a request: nothing, or the code of its error.
async fn wait_for_answer(
    socket: &mut RecordedSocket,
    id: &str,
    is_recorded: bool,
) -> Result<Option<String>, Disconnect> {
    let wanted = ["ack", "error", "welcome"].map(|kind| format!("{{\"type\":\"{kind}\",\"id\":\"{id}\""));
    loop {
        let text = socket.next().await?;
        if !wanted.iter().any(|begin| text.starts_with(begin)) {
            continue;
        }
        let is_error = text.starts_with(&wanted[1]);
        if !is_recorded && !is_error {
            return Ok(None);
        }
        let Ok(envelope) = read_v1(&text) else { return Ok(Some("malformed".to_owned())) };
        socket.note(Fact::EnvelopeReceived(envelope.clone()));
        return Ok(match envelope.body {
            teahouse_checker::wire::ServerBody::Error { code } => Some(code),
            _ => None,
        });
    }
}

fn expect_200(response: Result<teahouse_testkit::Response, reqwest::Error>) -> Result<(), String> {
    match response {
        Ok(response) if response.status == 200 => Ok(()),
        Ok(response) => Err(response.status.to_string()),
        Err(_) => Err("no response".to_owned()),
    }
}
