//! A classic client: the socket that the old front end opens, by an implementation of WebSocket that is not ours.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::{Person, patiently};

/// What one hears.
#[derive(Clone, PartialEq, Debug)]
pub enum Heard {
    Envelope(Value),
    /// A close frame: its code and reason.
    Closed(u16, String),
    /// The connection ended without another word.
    Cut,
}

/// One tab.
#[derive(Debug)]
pub struct Tab {
    socket: WebSocketStream<TcpStream>,
    /// What came first, and was waited for when the tab was opened.
    first: Option<Heard>,
}

impl Tab {
    /// Opens it with the token in the address, as the classic front end does. The hub says something to whoever
    /// arrives there; before that the handshake is answered, but nobody is sent anything yet.
    pub async fn open(address: SocketAddr, token: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let url = format!("ws://{address}/api/chat/ws?token={token}");
        let shaking = tokio_tungstenite::client_async(url, stream);
        match patiently("a handshake", shaking).await {
            Ok((socket, _)) => {
                let mut tab = Self { socket, first: None };
                tab.first = Some(tab.next().await);
                Ok(tab)
            }
            Err(Error::Http(response)) => Err(response.status().to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Goes on with a connection after its handshake.
    pub async fn from_stream(stream: TcpStream, read_already: Vec<u8>) -> Self {
        let socket = WebSocketStream::from_partially_read(stream, read_already, Role::Client, None).await;
        Self { socket, first: None }
    }

    // ── Speaking ──

    pub async fn send(&mut self, kind: &str, data: Value) {
        self.send_text(json!({"type": kind, "data": data}).to_string()).await;
    }

    pub async fn send_text(&mut self, text: impl Into<Utf8Bytes>) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub async fn try_send_text(&mut self, text: String) -> Result<(), Error> {
        self.socket.send(Message::text(text)).await
    }

    pub async fn send_binary(&mut self, bytes: &'static [u8]) {
        self.socket.send(Message::binary(bytes)).await.unwrap();
    }

    /// Says something in the lobby.
    pub async fn say(&mut self, content: &str) {
        self.send("message", json!({"content": content})).await;
    }

    /// Closes as a page does that goes on to another one.
    pub async fn close(&mut self, code: u16) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: Utf8Bytes::default() };
        self.socket.close(Some(frame)).await.unwrap();
    }

    // ── Hearing ──

    /// The next thing. A frame holds one JSON document on one line.
    pub async fn next(&mut self) -> Heard {
        patiently("the next envelope", self.next_ever()).await
    }

    /// The same without a deadline.
    pub async fn next_ever(&mut self) -> Heard {
        if let Some(first) = self.first.take() {
            return first;
        }
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    assert!(!text.contains('\n'), "{text}");
                    return Heard::Envelope(serde_json::from_str(&text).expect("one JSON document a frame"));
                }
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Heard::Closed(frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Close(None))) => return Heard::Closed(1005, String::new()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => panic!("{other:?} in the classic dialect"),
                Some(Err(_)) | None => return Heard::Cut,
            }
        }
    }

    /// The next envelope, whatever its type.
    pub async fn next_envelope(&mut self) -> Value {
        match self.next().await {
            Heard::Envelope(envelope) => envelope,
            other => panic!("{other:?} instead of an envelope"),
        }
    }

    /// The `data` of the next envelope of this type; others are passed over.
    pub async fn next_of(&mut self, kind: &str) -> Value {
        patiently(kind, async {
            loop {
                match self.next_ever().await {
                    Heard::Envelope(mut envelope) if envelope["type"] == kind => return envelope["data"].take(),
                    Heard::Envelope(_) => {}
                    other => panic!("{other:?} instead of {kind}"),
                }
            }
        })
        .await
    }

    /// Waits until it hears that this many people are online.
    pub async fn hears_count(&mut self, count: u64) {
        while self.next_of("online_count").await != json!({"count": count}) {}
    }

    /// Sends a heartbeat; everything that was heard before its answer.
    pub async fn until_heartbeat(&mut self) -> Vec<Value> {
        self.send("heartbeat", json!({})).await;
        self.until(|envelope| envelope["type"] == "heartbeat").await
    }

    /// Somebody says something in the lobby now; everything that was heard before it. Whatever was told before
    /// a lobby message was stored is told before it, so what is not among these never comes.
    pub async fn until_marker(&mut self, by: &Person) -> Vec<Value> {
        let id = by.says("— a marker —").await;
        self.until(|envelope| envelope["type"] == "message" && envelope["data"]["id"] == json!(id)).await
    }

    /// Everything that was heard before such an envelope.
    pub async fn until(&mut self, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
        patiently("the last of them", async {
            let mut heard = Vec::new();
            loop {
                match self.next_ever().await {
                    Heard::Envelope(envelope) if is_last(&envelope) => return heard,
                    Heard::Envelope(envelope) => heard.push(envelope),
                    other => panic!("{other:?} after {heard:?}"),
                }
            }
        })
        .await
    }

    /// Reads until the close frame: the envelopes before it, its code and its reason. Then the rest of the goodbye.
    pub async fn until_closed(&mut self) -> (Vec<Value>, u16, String) {
        patiently("a close frame", async {
            let mut heard = Vec::new();
            loop {
                match self.next_ever().await {
                    Heard::Envelope(envelope) => heard.push(envelope),
                    Heard::Closed(code, reason) => {
                        while self.next_ever().await != Heard::Cut {}
                        return (heard, code, reason);
                    }
                    Heard::Cut => panic!("cut without a close frame, after {heard:?}"),
                }
            }
        })
        .await
    }

    /// Is told that it was displaced and closed, in the very words that the classic front end knows.
    pub async fn is_displaced(&mut self) {
        let (heard, code, reason) = self.until_closed().await;
        assert_eq!((code, reason.as_str()), (4501, "Unauthorized: connected elsewhere"), "{heard:?}");
        let last = heard.last().expect("a notification before the close");
        assert_eq!((&last["type"], &last["data"]["code"]), (&json!("notification"), &json!("displaced")), "{heard:?}");
    }

    /// Still lives.
    pub async fn is_alive(&mut self) {
        self.until_heartbeat().await;
    }
}

/// The `data` of those of one type.
pub fn of_type(heard: &[Value], kind: &str) -> Vec<Value> {
    heard.iter().filter(|envelope| envelope["type"] == kind).map(|envelope| envelope["data"].clone()).collect()
}
