//! One socket, of which everything is written down: the handshake, in pieces where that is wanted, texts in and out,
//! and how it ends. It understands no envelope.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use teahouse_checker::wire::Request;
use teahouse_checker::{Dialect, End, Fact, Socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::Person;
use crate::recorder::Recorder;

/// After so long without an answer one gives up, as a client would.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest head of an answer that is waited for.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How a handshake is made.
#[derive(Clone, Copy, Default)]
pub struct Handshake<'a> {
    /// The `device` that it names.
    pub named: Option<&'a str>,
    /// It is connected, and so much later the first byte goes out.
    pub silent: Option<Duration>,
    /// The first byte goes out, and so much later the rest.
    pub held_back: Option<Duration>,
    /// It can hold only a few KiB that it has not read.
    pub has_little_room: bool,
}

/// Why there is no socket any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Gone {
    /// The server closed it, with this code.
    Closed(u16),
    /// The handshake was refused, with this status.
    Refused(u16),
    /// It is not there any more, or never was.
    Lost,
}

/// A socket.
pub struct Line {
    /// As it is written down.
    pub socket: Socket,
    /// The token that it was opened with.
    pub token: String,
    recorder: Recorder,
    stream: WebSocketStream<TcpStream>,
    texts: VecDeque<String>,
}

impl Line {
    /// Opens one.
    pub async fn open(
        recorder: &Recorder,
        address: SocketAddr,
        person: &Person,
        socket: Socket,
        how: Handshake<'_>,
    ) -> Result<Self, Gone> {
        let tcp = TcpSocket::new_v4().map_err(|_| Gone::Lost)?;
        if how.has_little_room {
            tcp.set_recv_buffer_size(4096).map_err(|_| Gone::Lost)?;
        }
        let Ok(Ok(mut stream)) = timeout(PATIENCE, tcp.connect(address)).await else { return Err(Gone::Lost) };
        if let Some(silent) = how.silent {
            tokio::time::sleep(silent).await;
        }
        let token = person.token();
        let head = head(&token, socket.dialect, how.named);
        recorder.note(&socket, Fact::HandshakeSent { device: how.named.map(Into::into) });
        let answer = timeout(PATIENCE + how.held_back.unwrap_or_default(), async {
            let (first, rest) = head.as_bytes().split_at(1);
            if let Some(held_back) = how.held_back {
                stream.write_all(first).await?;
                tokio::time::sleep(held_back).await;
                stream.write_all(rest).await?;
            } else {
                stream.write_all(head.as_bytes()).await?;
            }
            read_head(&mut stream).await
        });
        match answer.await {
            Ok(Ok((101, rest))) => {
                recorder.note(&socket, Fact::HandshakeAnswered { status: 101 });
                let stream = WebSocketStream::from_partially_read(stream, rest, Role::Client, None).await;
                Ok(Self { socket, token, recorder: recorder.clone(), stream, texts: VecDeque::new() })
            }
            Ok(Ok((status, _))) => {
                recorder.note(&socket, Fact::HandshakeAnswered { status });
                if status == 401 {
                    person.needs_another_than(&token);
                }
                Err(Gone::Refused(status))
            }
            Ok(Err(_)) | Err(_) => {
                recorder.note(&socket, Fact::Ended(End::Lost));
                Err(Gone::Lost)
            }
        }
    }

    /// Asks for something: this text, of which this is what is written down.
    pub async fn ask(&mut self, text: String, request: Request) -> Result<(), Gone> {
        self.recorder.note(&self.socket, Fact::RequestSent(request));
        match timeout(PATIENCE, self.stream.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            // What came before the end is still to be read, when the server has closed it.
            Ok(Err(_)) => Ok(()),
            Err(_) => Err(self.is_gone(End::Lost, Gone::Lost)),
        }
    }

    /// The next text. May be dropped while it waits.
    pub async fn next(&mut self) -> Result<String, Gone> {
        loop {
            if let Some(text) = self.texts.pop_front() {
                return Ok(text);
            }
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) if self.socket.dialect == Dialect::V1 => {
                    self.texts.extend(text.split('\n').filter(|text| !text.is_empty()).map(str::to_owned));
                }
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Close(frame))) => {
                    let (code, reason) =
                        frame.map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
                    return Err(self.is_gone(End::Closed { code, reason }, Gone::Closed(code)));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(self.is_gone(End::Lost, Gone::Lost)),
            }
        }
    }

    fn is_gone(&self, end: End, gone: Gone) -> Gone {
        self.recorder.note(&self.socket, Fact::Ended(end));
        gone
    }

    /// Says that something came.
    pub fn note(&self, fact: Fact) {
        self.recorder.note(&self.socket, fact);
    }

    /// Cuts it: by a reset, with what was not read, or as a process does that ends.
    pub fn cut(self, by_reset: bool) {
        if by_reset {
            // Where that can not be set, it ends the other way.
            let _ = socket2::SockRef::from(self.stream.get_ref()).set_linger(Some(Duration::ZERO));
        }
        self.recorder.note(&self.socket, Fact::Ended(End::Cut));
    }

    /// Closes it as a page does that is left for good, and reads what still comes.
    pub async fn leave(mut self, code: u16) {
        self.recorder.note(&self.socket, Fact::Ended(End::Left { code }));
        let frame = CloseFrame { code: CloseCode::from(code), reason: Utf8Bytes::default() };
        let _ = timeout(PATIENCE, async {
            let _ = self.stream.close(Some(frame)).await;
            while let Some(Ok(_)) = self.stream.next().await {}
        })
        .await;
    }
}

fn head(token: &str, dialect: Dialect, named: Option<&str>) -> String {
    let (query, protocol) = match dialect {
        Dialect::V1 => {
            let device = named.map_or(String::new(), |name| format!(", device.{name}"));
            (String::new(), format!("Sec-WebSocket-Protocol: teahouse.v1, bearer.{token}{device}\r\n"))
        }
        _ => (format!("?token={token}"), String::new()),
    };
    format!(
        "GET /api/chat/ws{query} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{protocol}\r\n"
    )
}

/// The status of an answer, and what was read behind its head.
async fn read_head(stream: &mut TcpStream) -> std::io::Result<(u16, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            let head = String::from_utf8_lossy(&read);
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
            return Ok((status, rest));
        }
        if read.len() > HEAD_BYTES_MAX || stream.read_buf(&mut read).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}
