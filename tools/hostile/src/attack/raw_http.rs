//! HTTP connections of an attacker, byte by byte: kept open, never read, or never finished.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use teahouse_testkit::ws::dial_from;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Attack;

/// How long an attacker waits for the server before it tries again.
const PATIENCE: Duration = Duration::from_secs(15);
/// The largest response that it reads.
const RESPONSE_BYTES_MAX: usize = 64 << 20;

/// A connection.
pub struct RawHttp {
    stream: TcpStream,
    read: Vec<u8>,
}

impl RawHttp {
    /// Connects.
    pub async fn open(attack: &Attack, small_buffer: bool) -> Option<Self> {
        let dialling = dial_from(Some(attack.source), attack.bed.address, small_buffer);
        let stream = timeout(PATIENCE, dialling).await.ok()?.ok()?;
        // Its end is a reset, so that thousands of ends leave no sockets behind.
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).ok()?;
        Some(Self { stream, read: Vec::new() })
    }

    /// Sends bytes; false where the connection has ended.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        matches!(timeout(PATIENCE, self.stream.write_all(bytes)).await, Ok(Ok(())))
    }

    /// Sends a request and reads its response: the status.
    pub async fn exchange(&mut self, request: &[u8]) -> Option<u16> {
        if !self.write(request).await {
            return None;
        }
        timeout(PATIENCE, self.read_response()).await.ok()?
    }

    /// Reads one response: its status.
    pub async fn read_response(&mut self) -> Option<u16> {
        let head_end = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.fill().await?;
        };
        let head = String::from_utf8_lossy(&self.read[..head_end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        let end = head_end + length.unwrap_or(0);
        while self.read.len() < end {
            self.fill().await?;
        }
        self.read.drain(..end);
        Some(status)
    }

    async fn fill(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.read).await.ok()?;
        (read > 0 && self.read.len() < RESPONSE_BYTES_MAX).then_some(())
    }
}

/// A request with any body; an empty token is not sent.
#[must_use]
pub fn request_bytes(method: &Method, path: &str, token: &str, body: &str) -> Vec<u8> {
    let authorization = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}Content-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A request with a body of JSON.
#[must_use]
pub fn json_request(method: &Method, path: &str, token: &str, body: &Value) -> Vec<u8> {
    request_bytes(method, path, token, &body.to_string())
}
