//! A v1 client, written from PROTOCOL.md alone: a socket, and what one device holds. It reads only when a story
//! lets it read, can be dropped and come back, and keeps its view meanwhile.

use std::collections::{BTreeMap, VecDeque};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::view::Asked;
use super::{Heard, Person, View, patiently, schema};

const PROTOCOL: &str = "Sec-WebSocket-Protocol";

/// What a request was answered with: the `ack`'s data, or the `error`'s.
pub type Answered = Result<Value, Value>;

/// One device of somebody.
pub struct Device {
    pub person: Person,
    /// What it calls itself in its handshake.
    name: Option<String>,
    /// It can hold only a few KiB that it has not read.
    has_little_room: bool,
    socket: Option<WebSocketStream<TcpStream>>,
    /// Envelopes of the last frame that were not looked at yet.
    lines: VecDeque<String>,
    pub view: View,
    /// Requests without an answer, by reference.
    asked: BTreeMap<String, Asked>,
    /// Answers that nobody looked at yet.
    answers: BTreeMap<String, Answered>,
    /// What a backend may publish in this story.
    published: Vec<&'static str>,
    number: u64,
    /// What was sent and heard last, for whoever has to find out what went wrong.
    recent: VecDeque<String>,
}

/// So much of it is kept.
const RECENT: usize = 30;

impl Drop for Device {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the last that {} sent and heard:", self.person.name);
            self.recent.iter().for_each(|line| eprintln!("  {line:.300}"));
        }
    }
}

impl Person {
    /// A device that has said hello and is welcome.
    pub async fn device(&self) -> Device {
        let mut device = Device::of(self);
        device.comes().await;
        device
    }

    /// The same, with a name of its own.
    pub async fn device_named(&self, name: &str) -> Device {
        let mut device = Device::of(self).named(name);
        device.comes().await;
        device
    }
}

impl Device {
    /// A new one, not yet connected.
    pub fn of(person: &Person) -> Self {
        Self {
            person: person.clone(),
            name: None,
            has_little_room: false,
            socket: None,
            lines: VecDeque::new(),
            view: View::default(),
            asked: BTreeMap::new(),
            answers: BTreeMap::new(),
            published: Vec::new(),
            number: 0,
            recent: VecDeque::new(),
        }
    }

    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    pub fn with_little_room(mut self) -> Self {
        self.has_little_room = true;
        self
    }

    /// A backend will publish envelopes of these types.
    pub fn expecting(mut self, types: &[&'static str]) -> Self {
        self.published.extend(types);
        self
    }

    // ── Coming and going ──

    /// Connects, says hello with what is held, and reads until it is caught up.
    pub async fn comes(&mut self) -> Value {
        self.tries_to_come().await.unwrap_or_else(|end| panic!("{} came and got {end}", self.person.name))
    }

    /// The same to a server that may go down meanwhile.
    pub async fn tries_to_come(&mut self) -> Result<Value, String> {
        self.tries_to_connect().await?;
        let wanted: Vec<u64> = self.view.rooms.keys().copied().collect();
        let hello = self.hello(&wanted);
        let welcome = self.tries_to_say_hello(&wanted, hello).await?;
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        while let Some(waiting) = self.view.is_waiting_for() {
            let Ok(end) = tokio::time::timeout_at(deadline, self.next_end()).await else {
                panic!("{} is not caught up: {waiting}", self.person.name)
            };
            if let Some(end) = end {
                return Err(format!("{end:?}"));
            }
        }
        Ok(welcome)
    }

    /// Connects and says nothing yet.
    pub async fn connects(&mut self) {
        if let Err(refused) = self.tries_to_connect().await {
            panic!("{} got {refused}", self.person.name);
        }
    }

    /// The same, or why not.
    pub async fn tries_to_connect(&mut self) -> Result<(), String> {
        self.drops();
        let address = self.person.address();
        let stream = if self.has_little_room {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(4096).unwrap();
            socket.connect(address).await
        } else {
            TcpStream::connect(address).await
        };
        let stream = stream.map_err(|error| error.to_string())?;
        let mut request = format!("ws://{address}/api/chat/ws").into_client_request().unwrap();
        let mut offer = format!("teahouse.v1, bearer.{}", self.person.token);
        if let Some(name) = &self.name {
            offer += &format!(", device.{name}");
        }
        request.headers_mut().insert(PROTOCOL, offer.parse().unwrap());
        match patiently("a handshake", tokio_tungstenite::client_async(request, stream)).await {
            Ok((socket, response)) => {
                assert_eq!(response.headers()[PROTOCOL], "teahouse.v1", "nothing else is echoed");
                self.socket = Some(socket);
                Ok(())
            }
            Err(Error::Http(response)) => Err(response.status().to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Says hello with every room that is held, and reads up to the welcome.
    pub async fn says_hello(&mut self) -> Value {
        let wanted: Vec<u64> = self.view.rooms.keys().copied().collect();
        self.says_hello_about(&wanted).await
    }

    /// The same with these rooms, most wanted first.
    pub async fn says_hello_about(&mut self, wanted: &[u64]) -> Value {
        let hello = self.hello(wanted);
        self.says_hello_with(wanted, hello).await
    }

    /// The same in one's own words.
    pub async fn says_hello_with(&mut self, wanted: &[u64], data: Value) -> Value {
        self.tries_to_say_hello(wanted, data).await.unwrap_or_else(|end| panic!("{end} instead of a welcome"))
    }

    fn hello(&self, wanted: &[u64]) -> Value {
        match &self.view.epoch {
            Some(epoch) => json!({"client": "a story", "epoch": epoch, "rooms": self.view.held(wanted)}),
            None => json!({"client": "a story"}),
        }
    }

    async fn tries_to_say_hello(&mut self, wanted: &[u64], data: Value) -> Result<Value, String> {
        self.view.comes_back(wanted);
        let (id, text) = self.prepares("hello", data);
        self.tries_to_send(text).await.map_err(|error| error.to_string())?;
        patiently("the welcome", async {
            loop {
                match self.next_ever().await {
                    Heard::Envelope(mut envelope) if envelope["type"] == "welcome" => {
                        assert_eq!(envelope["id"], json!(id), "{envelope}");
                        return Ok(envelope["data"].take());
                    }
                    Heard::Envelope(envelope) if envelope["type"] == "ack" => {}
                    other => return Err(format!("{other:?}")),
                }
            }
        })
        .await
    }

    /// Its connection is cut, without a word. What it holds it keeps.
    pub fn drops(&mut self) {
        self.socket = None;
        self.lines.clear();
        self.asked.clear();
    }

    /// Is cut, and comes back with what it holds.
    pub async fn comes_back(&mut self) -> Value {
        self.drops();
        self.comes().await
    }

    /// Closes as a page does that is left for good.
    pub async fn closes(&mut self, code: u16) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: Utf8Bytes::default() };
        self.socket().close(Some(frame)).await.unwrap();
        while self.next().await != Heard::Cut {}
    }

    fn socket(&mut self) -> &mut WebSocketStream<TcpStream> {
        self.socket.as_mut().expect("a connected device")
    }

    /// It reads on as fast as others do.
    pub fn has_room_again(&mut self) {
        let stream = self.socket().get_ref();
        socket2::SockRef::from(stream).set_recv_buffer_size(1 << 20).unwrap();
    }

    // ── Speaking ──

    /// Sends a request; its reference.
    pub async fn asks(&mut self, kind: &str, data: Value) -> String {
        let (id, text) = self.prepares(kind, data);
        self.sends(text).await;
        id
    }

    /// A request that will be sent: its reference and its envelope.
    pub fn prepares(&mut self, kind: &str, data: Value) -> (String, String) {
        self.number += 1;
        let id = format!("c-{}", self.number);
        let text = json!({"type": kind, "id": id, "data": data}).to_string();
        if kind == "sync" {
            self.view.asks_to_sync(data["room"].as_u64().unwrap_or(0), data["since"].as_u64().unwrap_or(0));
        }
        self.asked.insert(id.clone(), Asked { kind: kind.to_owned(), data });
        (id, text)
    }

    /// A reference that the story itself uses in what it sends.
    pub fn will_ask(&mut self, id: &str, kind: &str) {
        self.asked.insert(id.to_owned(), Asked { kind: kind.to_owned(), data: json!({}) });
    }

    /// Sends a frame of one's own.
    pub async fn sends(&mut self, text: impl Into<Utf8Bytes>) {
        self.tries_to_send(text).await.unwrap();
    }

    /// The same to a server that may be gone.
    pub async fn tries_to_send(&mut self, text: impl Into<Utf8Bytes>) -> Result<(), Error> {
        let text = text.into();
        self.notes(format!("> {text}"));
        self.socket().send(Message::text(text)).await
    }

    /// Asks, and reads up to the answer.
    pub async fn tries(&mut self, kind: &str, data: Value) -> Answered {
        let id = self.asks(kind, data).await;
        self.answer(&id).await
    }

    /// Asks for what will be done.
    pub async fn does(&mut self, kind: &str, data: Value) -> Value {
        let what = format!("{kind} {data}");
        self.tries(kind, data).await.unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// Asks for what will be refused with this code.
    pub async fn is_refused(&mut self, kind: &str, data: Value, code: &str) -> Value {
        let what = format!("{kind} {data}");
        match self.tries(kind, data).await {
            Err(error) => {
                assert_eq!(error["code"], code, "{what}: {error}");
                assert!(error["message"].as_str().is_some_and(|sentence| !sentence.is_empty()), "{error}");
                error
            }
            Ok(data) => panic!("{what} was done: {data}"),
        }
    }

    /// Says something in a room, under a key that nobody else uses; the `ack`'s data.
    pub async fn says(&mut self, room: u64, content: &str) -> Value {
        let key = self.fresh_key();
        self.does("message", json!({"room": room, "content": content, "client_id": key})).await
    }

    /// A `client_id` that was never used.
    pub fn fresh_key(&mut self) -> String {
        static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        format!("key-{}", NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }

    // ── Hearing ──

    /// Reads up to the answer to a request.
    pub async fn answer(&mut self, id: &str) -> Answered {
        let name = self.person.name.clone();
        let end = |end| panic!("{end:?} instead of an answer to {id} of {name}");
        self.answer_or_end(id).await.unwrap_or_else(end)
    }

    /// The same, or how the connection ended.
    async fn answer_or_end(&mut self, id: &str) -> Result<Answered, Heard> {
        patiently(&format!("the answer to {id}"), async {
            loop {
                if let Some(answer) = self.answers.remove(id) {
                    return Ok(answer);
                }
                if let Some(end) = self.next_end().await {
                    return Err(end);
                }
            }
        })
        .await
    }

    /// Asks a server that may go down meanwhile; nothing when it did.
    pub async fn tries_while_it_lives(&mut self, kind: &str, data: Value) -> Option<Answered> {
        let (id, text) = self.prepares(kind, data);
        self.tries_to_send(text).await.ok()?;
        self.answer_or_end(&id).await.ok()
    }

    /// Says so many things in a room at once, many in a frame, and waits until all are acknowledged.
    pub async fn says_many(&mut self, room: u64, texts: impl IntoIterator<Item = String>) {
        let texts: Vec<String> = texts.into_iter().collect();
        for some in texts.chunks(50) {
            let mut prepared = Vec::new();
            for text in some {
                let key = self.fresh_key();
                prepared.push(self.prepares("message", json!({"room": room, "content": text, "client_id": key})));
            }
            self.sends(prepared.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n")).await;
            for (id, _) in prepared {
                self.answer(&id).await.unwrap();
            }
        }
    }

    /// Reads one envelope; or how it ended.
    async fn next_end(&mut self) -> Option<Heard> {
        match self.next_ever().await {
            Heard::Envelope(_) => None,
            end => Some(end),
        }
    }

    /// The next thing, which has become part of the view.
    pub async fn next(&mut self) -> Heard {
        patiently("the next envelope", self.next_ever()).await
    }

    /// The same without a deadline. May be dropped while it waits.
    pub async fn next_ever(&mut self) -> Heard {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Heard::Envelope(self.takes(&line));
            }
            match self.socket().next().await {
                Some(Ok(Message::Text(text))) => self.lines.extend(text.split('\n').map(str::to_owned)),
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Heard::Closed(frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Close(None))) => return Heard::Closed(1005, String::new()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => panic!("{other:?} in the v1 dialect"),
                Some(Err(_)) | None => return Heard::Cut,
            }
        }
    }

    fn notes(&mut self, line: String) {
        self.recent.push_back(line);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// Takes an envelope for what it is.
    fn takes(&mut self, line: &str) -> Value {
        self.notes(format!("< {line}"));
        let envelope: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        let kind = envelope["type"].as_str().unwrap();
        assert!(schema::is_known(kind) || self.published.contains(&kind), "a type that nobody knows: {line}");
        let asked = match (kind, envelope["id"].as_str()) {
            ("ack" | "error" | "welcome", Some(id)) => {
                let asked = self.asked.remove(id);
                assert!(asked.is_some(), "answered twice, or never asked for: {line}");
                asked
            }
            _ => None,
        };
        if schema::is_known(kind) {
            schema::check(line, &envelope, asked.as_ref().map(|asked| asked.kind.as_str()));
        }
        if let Some(id) = envelope["id"].as_str() {
            let data = envelope["data"].clone();
            match kind {
                "ack" => drop(self.answers.insert(id.to_owned(), Ok(data))),
                "error" => drop(self.answers.insert(id.to_owned(), Err(data))),
                _ => {}
            }
        }
        self.view.apply(&envelope, asked.as_ref());
        envelope
    }

    /// The next envelope, whatever its type.
    pub async fn next_envelope(&mut self) -> Value {
        match self.next().await {
            Heard::Envelope(envelope) => envelope,
            end => panic!("{} got {end:?} instead of an envelope", self.person.name),
        }
    }

    /// The `data` of the next envelope of this type; others only become part of the view.
    pub async fn next_of(&mut self, kind: &str) -> Value {
        self.hears(|envelope| envelope["type"] == kind).await["data"].take()
    }

    /// The next such envelope.
    pub async fn hears(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        self.reads_to(is_it).await.1
    }

    /// Everything that was heard before such an envelope.
    pub async fn until(&mut self, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.reads_to(is_last).await.0
    }

    async fn reads_to(&mut self, is_last: impl Fn(&Value) -> bool) -> (Vec<Value>, Value) {
        patiently("the last of them", async {
            let mut heard = Vec::new();
            loop {
                match self.next_ever().await {
                    Heard::Envelope(envelope) if is_last(&envelope) => return (heard, envelope),
                    Heard::Envelope(envelope) => heard.push(envelope),
                    end => panic!("{} got {end:?} after {heard:?}", self.person.name),
                }
            }
        })
        .await
    }

    /// Reads until what it holds is like that.
    pub async fn until_view(&mut self, what: &str, is_so: impl Fn(&View) -> bool) {
        let name = self.person.name.clone();
        patiently(&format!("{what} ({name})"), async {
            while !is_so(&self.view) {
                if let Some(end) = self.next_end().await {
                    panic!("{name} waited for {what} and got {end:?}, {:?}", self.view.goodbye);
                }
            }
        })
        .await;
    }

    /// Reads until it holds this version of a room.
    pub async fn until_version(&mut self, room: u64, version: u64) {
        self.until_view("a version", |view| view.rooms.get(&room).is_some_and(|room| room.version >= version)).await;
    }

    /// Sends a heartbeat; everything that was heard before its answer.
    pub async fn until_heartbeat(&mut self) -> Vec<Value> {
        let id = self.asks("heartbeat", json!({})).await;
        let heard = self.until(|envelope| envelope["id"] == json!(id)).await;
        self.answers.remove(&id);
        heard
    }

    /// Somebody says something now in a room that this device is in; everything that was heard before it. What
    /// was committed before is told before, so what is not among these never comes.
    pub async fn until_marker(&mut self, by: &mut Self, room: u64) -> Vec<Value> {
        let id = by.says(room, "— a marker —").await["id"].take();
        self.until(|one| one["type"] == "message" && one["data"]["id"] == id).await
    }

    /// Reads up to the end: goodbye, the close frame with the same code and reason, and the rest of it.
    pub async fn is_closed(&mut self, code: u16) -> Value {
        let mut goodbye = None;
        patiently("a close frame", async {
            loop {
                match self.next_ever().await {
                    Heard::Envelope(envelope) if envelope["type"] == "goodbye" => goodbye = Some(envelope),
                    Heard::Envelope(_) => {}
                    Heard::Closed(closed, reason) => {
                        let said = goodbye.take().unwrap_or_else(|| panic!("{closed} {reason} without a goodbye"));
                        let data = &said["data"];
                        assert_eq!((&data["code"], &data["reason"]), (&json!(closed), &json!(reason)), "{said}");
                        assert_eq!(closed, code, "{said}");
                        let comes_back = matches!(code, 1011..=1013 | 4000..=4499);
                        assert_eq!(data["reconnect"], json!(comes_back), "{said}");
                        goodbye = Some(said);
                    }
                    Heard::Cut => return,
                }
            }
        })
        .await;
        self.socket = None;
        goodbye.unwrap()["data"].take()
    }

    /// Still lives, and its socket was not closed behind its back.
    pub async fn is_alive(&mut self) {
        self.until_heartbeat().await;
    }

    // ── Loading and comparing ──

    /// Loads a room from its beginning, page by page.
    pub async fn loads_all_of(&mut self, room: u64) {
        while self.view.room(room).low > 1 {
            let before = self.view.room(room).low;
            let page = self.does("history", json!({"room": room, "before": before, "limit": 100})).await;
            assert_eq!(page["has_more_before"], json!(self.view.room(room).low > 1), "{page}");
            assert!(self.view.room(room).low < before, "a page that brings nothing: {page}");
        }
        self.view.room(room).assert_no_hole();
    }

    /// What it shows is what a device shows that has just loaded everything. Nothing may be going on meanwhile.
    pub async fn shows_the_same_as_a_fresh_load(&mut self) {
        let mut fresh = self.person.device().await;
        let rooms: Vec<u64> = fresh.view.rooms.keys().copied().collect();
        for room in &rooms {
            fresh.loads_all_of(*room).await;
        }
        let name = self.person.name.clone();
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        while let Some(difference) = self.view.difference(&fresh.view) {
            match tokio::time::timeout_at(deadline, self.next_ever()).await {
                Ok(Heard::Envelope(_)) => {}
                Ok(end) => panic!("{name} got {end:?} and shows something else: {difference}"),
                Err(_) => panic!("{name} shows something else than a fresh load: {difference}"),
            }
        }
        fresh.closes(1000).await;
    }
}
