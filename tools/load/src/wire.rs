//! Encodes a client's requests and frames, decodes a server's frames and HTTP responses. Pure functions that support
//! only what the load generator needs.

use std::net::SocketAddr;

use crate::target::Transport;

/// The longest header of a frame.
const HEADER_BYTES_MAX: usize = 10;
/// A constant mask: nothing between client and server needs protection from chosen bytes.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// The request that opens a WebSocket, with the token where the classic front end or the SDK puts it.
pub(crate) fn handshake(host: SocketAddr, token: &str, transport: Transport) -> Vec<u8> {
    let (query, protocol) = match transport {
        Transport::V1 => (String::new(), format!("Sec-WebSocket-Protocol: teahouse.v1, bearer.{token}\r\n")),
        Transport::Classic | Transport::Http => (format!("?token={token}"), String::new()),
    };
    format!(
        "GET /api/chat/ws{query} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n"
    )
    .into_bytes()
}

/// A POST of JSON on a keep-alive connection.
pub(crate) fn post(host: SocketAddr, path: &str, token: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Appends an unfragmented, masked frame.
pub(crate) fn push_frame(into: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    into.push(0x80 | opcode);
    match payload.len() {
        short @ 0..126 => into.push(0x80 | short as u8),
        length => {
            into.push(0x80 | 126);
            into.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    into.extend_from_slice(&MASK);
    into.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
    /// Bytes on the wire, including the header.
    pub(crate) length: usize,
}

/// The first frame in `bytes`, if it is complete.
pub(crate) fn read_frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, &'static str> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    if first & 0xf0 != 0x80 {
        return Err("fragmented frame or reserved bit");
    }
    let (header, payload) = match second {
        0..126 => (2, usize::from(second)),
        126 => match bytes.get(2..4) {
            Some(&[high, low]) => (4, usize::from(u16::from_be_bytes([high, low]))),
            _ => return Ok(None),
        },
        127 => match bytes.get(2..HEADER_BYTES_MAX).and_then(|bytes| bytes.try_into().ok()) {
            Some(length) => match usize::try_from(u64::from_be_bytes(length)) {
                Ok(length) if length < 1 << 32 => (HEADER_BYTES_MAX, length),
                _ => return Err("frame too large"),
            },
            None => return Ok(None),
        },
        _ => return Err("masked frame"),
    };
    let length = header + payload;
    let payload = bytes.get(header..length);
    Ok(payload.map(|payload| Frame { opcode: first & 0x0f, payload, length }))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Response<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    pub(crate) length: usize,
}

/// The first response in `bytes`, if it is complete.
pub(crate) fn read_response(bytes: &[u8]) -> Result<Option<Response<'_>>, &'static str> {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..head]).map_err(|_| "response head is not UTF-8")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let status = status.ok_or("response head without a status")?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Ok(0), |(_, value)| value.trim().parse::<usize>().map_err(|_| "invalid Content-Length"))?;
    let body = bytes.get(head..head + length);
    Ok(body.map(|body| Response { status, body, length: head + length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_when_they_are_complete() {
        for length in [0, 5, 125, 126, 65_535, 65_536] {
            let mut bytes = vec![0x81];
            match length {
                0..126 => bytes.push(length as u8),
                126..65_536 => {
                    bytes.push(126);
                    bytes.extend_from_slice(&(length as u16).to_be_bytes());
                }
                _ => {
                    bytes.push(127);
                    bytes.extend_from_slice(&(length as u64).to_be_bytes());
                }
            }
            bytes.extend(std::iter::repeat_n(b'x', length));
            for cut in [0, 1, 2, 3, bytes.len() - 1] {
                let cut = cut.min(bytes.len() - 1);
                assert_eq!(read_frame(&bytes[..cut]), Ok(None), "{cut} of {length}");
            }
            let whole = Frame { opcode: TEXT, payload: &vec![b'x'; length], length: bytes.len() };
            bytes.push(0x81);
            assert_eq!(read_frame(&bytes), Ok(Some(whole)));
        }
        assert!(read_frame(&[0x81, 0x81]).is_err());
        assert!(read_frame(&[0x01, 0x01]).is_err());
        assert!(read_frame(&[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255]).is_err());
    }

    #[test]
    fn responses_are_read_when_they_are_complete() {
        let bytes = b"HTTP/1.1 201 Created\r\ncontent-length: 3\r\n\r\nabcHTTP";
        assert_eq!(read_response(bytes), Ok(Some(Response { status: 201, body: b"abc", length: bytes.len() - 4 })));
        assert_eq!(read_response(&bytes[..bytes.len() - 5]), Ok(None));
        assert_eq!(read_response(b"HTTP/1.1 101 S\r\n\r"), Ok(None));
        assert_eq!(
            read_response(b"HTTP/1.1 101 S\r\n\r\n").map(|response| response.map(|response| response.status)),
            Ok(Some(101))
        );
        assert!(read_response(b"nonsense\r\n\r\n").is_err());
    }
}
