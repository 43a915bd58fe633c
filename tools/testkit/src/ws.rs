//! A WebSocket client for both dialects: the handshake, in pieces where a test wants that, texts, and how the connection
//! ends. It understands no envelope, records nothing and has no time limit. The WebSocket implementation is not ours.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Result as IoResult};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

/// The example key of RFC 6455, and what the server makes of it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// The largest head of a response.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The receive buffer of a client that does not keep up.
const SMALL_BUFFER_BYTES: u32 = 4096;

/// How the client introduces itself.
#[derive(Clone, Copy, Default, Debug)]
pub struct Handshake<'a> {
    /// Offers v1, with the token in the subprotocol. Otherwise the token is in the query, as in the classic front end.
    pub v1: bool,
    /// The token.
    pub token: &'a str,
    /// The name of the device, in v1.
    pub device: Option<&'a str>,
    /// The client sends the first byte, and the rest after this time.
    pub held_back: Option<Duration>,
}

impl Handshake<'_> {
    fn head(&self) -> String {
        let (token, v1) = (self.token, self.v1);
        let device = self.device.map_or(String::new(), |name| format!(", device.{name}"));
        let protocol = format!("Sec-WebSocket-Protocol: teahouse.v1, bearer.{token}{device}\r\n");
        request_head(if v1 { "" } else { token }, if v1 { &protocol } else { "" })
    }
}

/// The head of a handshake, with the token in the query where there is one, and more lines.
#[must_use]
pub fn request_head(token: &str, more: &str) -> String {
    let query = if token.is_empty() { String::new() } else { format!("?token={token}") };
    format!(
        "GET /api/chat/ws{query} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

/// Why there is no WebSocket.
#[derive(Debug)]
pub enum HandshakeError {
    /// The server refused, with this status.
    Refused(u16),
    /// The connection ended.
    Lost(Error),
}

/// An event of a WebSocket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WsEvent {
    /// A text; in v1 one line of a frame.
    Text(String),
    /// A close frame, with its code and reason; 1005 where it has none.
    Closed(u16, String),
    /// The connection ended without a close frame, or after one.
    Lost,
}

/// Opens a connection; with a small buffer the kernel holds only a few KiB that the client has not read.
///
/// # Errors
/// There is no connection.
pub async fn dial(address: SocketAddr, small_buffer: bool) -> IoResult<TcpStream> {
    dial_from(None, address, small_buffer).await
}

/// The same from a source address: on loopback, each of 127.0.0.0/8 is a client address of its own.
///
/// # Errors
/// There is no connection.
pub async fn dial_from(source: Option<IpAddr>, address: SocketAddr, small_buffer: bool) -> IoResult<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    if small_buffer {
        socket.set_recv_buffer_size(SMALL_BUFFER_BYTES)?;
    }
    socket.connect(address).await
}

/// One WebSocket.
#[derive(Debug)]
pub struct WsClient {
    stream: WebSocketStream<TcpStream>,
    v1: bool,
    /// Lines of the last frame that were not returned yet.
    lines: VecDeque<String>,
}

impl WsClient {
    /// Makes a connection a WebSocket.
    ///
    /// # Errors
    /// The server refused, or the connection ended.
    ///
    /// # Panics
    /// The server accepted with a wrong key or subprotocol.
    pub async fn handshake(mut stream: TcpStream, handshake: &Handshake<'_>) -> Result<Self, HandshakeError> {
        let answer = async {
            let head = handshake.head();
            let (first, rest) = head.as_bytes().split_at(1);
            if let Some(time) = handshake.held_back {
                stream.write_all(first).await?;
                tokio::time::sleep(time).await;
                stream.write_all(rest).await?;
            } else {
                stream.write_all(head.as_bytes()).await?;
            }
            read_head(&mut stream).await
        };
        let (head, rest) = answer.await.map_err(HandshakeError::Lost)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        if status != 101 {
            return Err(HandshakeError::Refused(status));
        }
        assert_eq!(header(&head, "Sec-WebSocket-Accept"), Some(ACCEPT), "{head}");
        let protocol = header(&head, "Sec-WebSocket-Protocol");
        assert_eq!(protocol, handshake.v1.then_some("teahouse.v1"), "the server echoes nothing else: {head}");
        Ok(Self::from_stream(stream, rest, handshake.v1).await)
    }

    /// Takes over a connection after its handshake, with the bytes that were read after the head.
    pub async fn from_stream(stream: TcpStream, read_already: Vec<u8>, v1: bool) -> Self {
        let stream = WebSocketStream::from_partially_read(stream, read_already, Role::Client, None).await;
        Self { stream, v1, lines: VecDeque::new() }
    }

    /// Sends a text.
    ///
    /// # Errors
    /// The connection ended. What the server sent before may still be unread.
    pub async fn send_text(&mut self, text: impl Into<Utf8Bytes>) -> Result<(), tungstenite::Error> {
        self.stream.send(Message::text(text)).await
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn send_binary(&mut self, bytes: &'static [u8]) -> Result<(), tungstenite::Error> {
        self.stream.send(Message::binary(bytes)).await
    }

    /// The next event; answers pings. May be dropped while it waits.
    ///
    /// # Panics
    /// The server sent anything but text.
    pub async fn next(&mut self) -> WsEvent {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return WsEvent::Text(line);
            }
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) if self.v1 => {
                    self.lines.extend(text.split('\n').map(str::to_owned));
                }
                Some(Ok(Message::Text(text))) => return WsEvent::Text(text.to_string()),
                Some(Ok(Message::Close(Some(frame)))) => {
                    return WsEvent::Closed(frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Close(None))) => return WsEvent::Closed(1005, String::new()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => panic!("{other:?} from the server"),
                Some(Err(_)) | None => return WsEvent::Lost,
            }
        }
    }

    /// Sends a close frame. What the server sent before is still to be read.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn close(&mut self, code: u16) -> Result<(), tungstenite::Error> {
        let frame = CloseFrame { code: CloseCode::from(code), reason: Utf8Bytes::default() };
        self.stream.close(Some(frame)).await
    }

    /// Ends the connection without a close frame: by a reset, or as when a process ends.
    pub fn cut(self, by_reset: bool) {
        if by_reset {
            // If this fails, the connection ends without a reset.
            let _ = socket2::SockRef::from(self.stream.get_ref()).set_linger(Some(Duration::ZERO));
        }
    }

    /// Enlarges a small receive buffer.
    pub fn enlarge_buffer(&self) {
        socket2::SockRef::from(self.stream.get_ref()).set_recv_buffer_size(1 << 20).unwrap();
    }
}

/// The head of a response, and what was read after it.
async fn read_head(stream: &mut TcpStream) -> IoResult<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&read).into_owned(), rest));
        }
        if read.len() > HEAD_BYTES_MAX || stream.read_buf(&mut read).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().filter_map(|line| line.split_once(':')).find_map(|(key, value)| {
        let is_it = key.eq_ignore_ascii_case(name);
        is_it.then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_where_the_dialect_has_it() {
        let classic = Handshake { token: "abc", ..Handshake::default() }.head();
        assert!(classic.starts_with("GET /api/chat/ws?token=abc HTTP/1.1\r\n") && !classic.contains("Protocol"));
        let v1 = Handshake { v1: true, token: "abc", device: Some("phone"), ..Handshake::default() }.head();
        assert!(v1.starts_with("GET /api/chat/ws HTTP/1.1\r\n"));
        assert!(v1.contains("\r\nSec-WebSocket-Protocol: teahouse.v1, bearer.abc, device.phone\r\n"));
        assert!(v1.ends_with("\r\n\r\n"));
    }

    #[test]
    fn headers_are_found_in_any_case() {
        let head = "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept:  x \r\n\r\n";
        assert_eq!((header(head, "Sec-WebSocket-Accept"), header(head, "Upgrade")), (Some("x"), None));
    }
}
