//! A socket of which every byte is one's own: for handshakes in pieces, frames that are none, readers that do not read.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{Tab, patiently};

/// Text, final.
const TEXT: u8 = 0x81;
/// Any mask will do.
const MASK: [u8; 4] = [7, 11, 13, 17];

/// The head of a handshake, with the example key of RFC 6455.
pub fn handshake(token: &str, more: &str) -> String {
    format!(
        "GET /api/chat/ws?token={token} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

/// A frame as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The text in it.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }

    /// The code and reason in it, when it is a close frame.
    pub fn close(&self) -> Option<(u16, &str)> {
        match (self.opcode, self.payload.as_slice()) {
            (8, [high, low, reason @ ..]) => {
                Some((u16::from_be_bytes([*high, *low]), std::str::from_utf8(reason).unwrap()))
            }
            _ => None,
        }
    }
}

/// The socket.
pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    /// A connection and nothing else.
    pub async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    /// A connection of somebody who can hold only a few KiB that they have not read.
    pub async fn connect_with_little_room(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self { stream: socket.connect(address).await.unwrap(), read: Vec::new() }
    }

    /// A WebSocket.
    pub async fn open(address: SocketAddr, token: &str) -> Self {
        let mut wire = Self::connect(address).await;
        wire.shake(token).await;
        wire
    }

    /// Makes it one.
    pub async fn shake(&mut self, token: &str) {
        self.shake_saying(token, "").await;
    }

    /// The same with more lines in the head.
    pub async fn shake_saying(&mut self, token: &str, more: &str) {
        self.write(handshake(token, more).as_bytes()).await;
        let head = self.read_head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The same to a peer that may be gone.
    pub async fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The head of an answer, with the empty line.
    pub async fn read_head(&mut self) -> String {
        patiently("the head of an answer", async {
            loop {
                if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                    let rest = self.read.split_off(end + 4);
                    let head = std::mem::replace(&mut self.read, rest);
                    return String::from_utf8(head).unwrap();
                }
                let got = String::from_utf8_lossy(&self.read).into_owned();
                assert_ne!(self.fill().await, 0, "the connection ended after {got:?}");
            }
        })
        .await
    }

    /// A whole answer whose connection ends with it, or whose length is said: status and body.
    pub async fn read_answer(&mut self) -> (u16, String) {
        let head = self.read_head().await;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
        });
        patiently("the body of an answer", async {
            while length.is_none_or(|length| self.read.len() < length) {
                if self.fill().await == 0 {
                    break;
                }
            }
        })
        .await;
        let end = length.unwrap_or(self.read.len()).min(self.read.len());
        let rest = self.read.split_off(end);
        (status, String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap())
    }

    async fn fill(&mut self) -> usize {
        // A reset is an end as well.
        self.stream.read_buf(&mut self.read).await.unwrap_or(0)
    }

    /// The next frame; none when the connection ended.
    pub async fn next_frame(&mut self) -> Option<Frame> {
        patiently("the next frame", self.next_frame_ever()).await
    }

    /// The same without a deadline.
    pub async fn next_frame_ever(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, bytes)) = split_frame(&self.read) {
                self.read.drain(..bytes);
                return Some(frame);
            }
            if self.fill().await == 0 {
                return None;
            }
        }
    }

    /// Reads on until the close frame, answering nothing: its code and reason.
    pub async fn until_close_frame(&mut self) -> (u16, String) {
        patiently("a close frame", self.until_close_frame_ever()).await
    }

    /// The same without a deadline.
    pub async fn until_close_frame_ever(&mut self) -> (u16, String) {
        loop {
            let frame = self.next_frame_ever().await.expect("a close frame before the end");
            if let Some((code, reason)) = frame.close() {
                return (code, reason.to_owned());
            }
        }
    }

    /// Reads to the end of the connection.
    pub async fn until_end(&mut self) {
        patiently("the end of the connection", async { while self.fill().await > 0 {} }).await;
    }

    /// All that comes until the connection ends, as text.
    pub async fn read_to_end(&mut self) -> String {
        self.until_end().await;
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// A masked frame with this first byte.
    pub async fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.write(&masked(first, payload)).await;
    }

    /// A text frame.
    pub async fn send_text(&mut self, text: &str) {
        self.send_frame(TEXT, text.as_bytes()).await;
    }

    /// Ends the connection by a reset.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    /// Goes on as a well-behaved client.
    pub async fn into_tab(self) -> Tab {
        Tab::from_stream(self.stream, self.read).await
    }
}

/// A masked frame with this first byte, as bytes.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..=0xFFFF => {
            bytes.push(0xFE);
            bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            bytes.push(0xFF);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// The first frame of these bytes, unmasked as a server's are, and how many bytes it is.
fn split_frame(bytes: &[u8]) -> Option<(Frame, usize)> {
    let &[first, second, ..] = bytes else { return None };
    let (length, start) = match second {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap())), 4),
        127 => (usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap())).unwrap(), 10),
        short => (usize::from(short), 2),
    };
    assert!(second < 128 && first & 0x70 == 0 && first & 0x80 != 0, "a server's frame is whole and unmasked");
    let payload = bytes.get(start..start + length)?.to_vec();
    Some((Frame { opcode: first & 0x0F, payload }, start + length))
}
