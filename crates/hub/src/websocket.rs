//! The WebSocket codec: the server's half of RFC 6455 after the handshake. Pure: bytes and events, no sockets.
//!
//! It keeps bytes only while a frame or a fragmented message is incomplete, so an idle connection keeps no buffer
//! (docs/performance.md compares libraries). No other module knows the layout of a frame.

use bytes::{BufMut, Bytes, BytesMut};
use teahouse_core::CloseCode;

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CONTINUATION: u8 = 0x0;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// The maximum payload of a control frame (RFC 6455, section 5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// A complete message or control frame of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// A ping, to be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// The client closes, with this code if it gave one.
    Close(Option<u16>),
}

/// Whether to read on after an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// Read on.
    Continue,
    /// Ignore everything that follows.
    Stop,
}

/// Why a byte stream is not valid WebSocket; it determines the close code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WireError {
    /// The peer violated RFC 6455.
    #[error("protocol error")]
    Protocol,
    /// A text message is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// A message exceeds the limit.
    #[error("message too large")]
    TooLarge,
}

impl From<WireError> for CloseCode {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Protocol => Self::ProtocolError,
            WireError::NotUtf8 => Self::NotUtf8,
            WireError::TooLarge => Self::TooLarge,
        }
    }
}

/// The reading side of one connection.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Bytes of an incomplete frame. Without capacity while there is none.
    partial: Vec<u8>,
    /// The first fragments of a message.
    fragments: Option<Box<Fragments>>,
}

#[derive(Debug)]
struct Fragments {
    opcode: u8,
    payload: Vec<u8>,
}

struct Head {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    bytes: usize,
    payload_bytes: usize,
}

impl Decoder {
    /// Decodes bytes that were read from the socket, unmasking them in place, and hands every complete event to `each`.
    /// Returns the number of frames that ended.
    ///
    /// # Errors
    /// When the stream violates the protocol or the limit. Nothing more can be decoded after that.
    pub fn read(
        &mut self,
        input: &mut [u8],
        message_bytes_max: usize,
        mut each: impl FnMut(Event<'_>) -> Flow,
    ) -> Result<usize, WireError> {
        if self.partial.is_empty() {
            let (used, ended) = self.frames(input, message_bytes_max, &mut each)?;
            if used < input.len() {
                self.partial = input[used..].to_vec();
            }
            Ok(ended)
        } else {
            let mut bytes = std::mem::take(&mut self.partial);
            bytes.extend_from_slice(input);
            let (used, ended) = self.frames(&mut bytes, message_bytes_max, &mut each)?;
            if used == 0 {
                self.partial = bytes;
            } else if used < bytes.len() {
                self.partial = bytes[used..].to_vec();
            }
            Ok(ended)
        }
    }

    /// Whether a frame has begun to arrive and not ended.
    #[must_use]
    pub fn has_partial_frame(&self) -> bool {
        !self.partial.is_empty()
    }

    /// The memory that it keeps until more bytes arrive.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        self.partial.capacity() + self.fragments.as_ref().map_or(0, |fragments| fragments.payload.capacity())
    }

    /// Handles the complete frames at the start of `bytes`, and returns the number of their bytes and of the frames.
    fn frames(
        &mut self,
        bytes: &mut [u8],
        message_bytes_max: usize,
        each: &mut impl FnMut(Event<'_>) -> Flow,
    ) -> Result<(usize, usize), WireError> {
        let (mut used, mut ended) = (0, 0);
        loop {
            let rest = &mut bytes[used..];
            let held = self.fragments.as_ref().map_or(0, |fragments| fragments.payload.len());
            let Some(head) = read_head(rest, message_bytes_max, held)? else { return Ok((used, ended)) };
            let end = head.bytes + head.payload_bytes;
            if rest.len() < end {
                return Ok((used, ended));
            }
            let payload = &mut rest[head.bytes..end];
            unmask(payload, head.mask);
            used += end;
            ended += 1;
            if self.frame(&head, payload, each)? == Flow::Stop {
                return Ok((bytes.len(), ended));
            }
        }
    }

    fn frame(
        &mut self,
        head: &Head,
        payload: &[u8],
        each: &mut impl FnMut(Event<'_>) -> Flow,
    ) -> Result<Flow, WireError> {
        match head.opcode {
            PING => Ok(each(Event::Ping(payload))),
            PONG => Ok(each(Event::Pong)),
            CLOSE => Ok(each(Event::Close(close_code(payload)?))),
            CONTINUATION => {
                let Some(fragments) = &mut self.fragments else { return Err(WireError::Protocol) };
                fragments.payload.extend_from_slice(payload);
                if !head.fin {
                    return Ok(Flow::Continue);
                }
                match self.fragments.take() {
                    Some(whole) => message(whole.opcode, &whole.payload, each),
                    None => Err(WireError::Protocol),
                }
            }
            _ if self.fragments.is_some() => Err(WireError::Protocol),
            opcode if head.fin => message(opcode, payload, each),
            opcode => {
                self.fragments = Some(Box::new(Fragments { opcode, payload: payload.to_vec() }));
                Ok(Flow::Continue)
            }
        }
    }
}

/// Reads a frame's head, or returns `None` when more bytes are needed. It rejects everything that a client may not send
/// before it looks at, or allocates memory for, the payload.
fn read_head(bytes: &[u8], message_bytes_max: usize, held: usize) -> Result<Option<Head>, WireError> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    let fin = first & 0x80 != 0;
    let opcode = first & 0x0F;
    let short = usize::from(second & 0x7F);
    let is_control = opcode & 0x8 != 0;
    let known = matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG);
    let masked = second & 0x80 != 0;
    if first & 0x70 != 0 || !known || !masked || (is_control && (!fin || short > CONTROL_BYTES_MAX)) {
        return Err(WireError::Protocol);
    }
    let (payload_bytes, length_bytes) = match short {
        126 => {
            let Some(&[a, b]) = bytes.get(2..4) else { return Ok(None) };
            let length = u64::from(u16::from_be_bytes([a, b]));
            if length < 126 {
                return Err(WireError::Protocol);
            }
            (length, 2)
        }
        127 => {
            let Some(&[a, b, c, d, e, f, g, h]) = bytes.get(2..10) else { return Ok(None) };
            let length = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            // The most significant bit must be 0, and the shortest form must be used (RFC 6455, section 5.2).
            if length > i64::MAX as u64 {
                return Err(WireError::TooLarge);
            }
            if length <= u64::from(u16::MAX) {
                return Err(WireError::Protocol);
            }
            (length, 8)
        }
        short => (short as u64, 0),
    };
    let room = message_bytes_max.saturating_sub(if opcode == CONTINUATION { held } else { 0 });
    if !is_control && payload_bytes > room as u64 {
        return Err(WireError::TooLarge);
    }
    let start = 2 + length_bytes;
    let Some(&[a, b, c, d]) = bytes.get(start..start + 4) else { return Ok(None) };
    let payload_bytes = usize::try_from(payload_bytes).map_err(|_| WireError::TooLarge)?;
    Ok(Some(Head { fin, opcode, mask: [a, b, c, d], bytes: start + 4, payload_bytes }))
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let word = u32::from_ne_bytes(mask);
    let mut words = payload.chunks_exact_mut(4);
    for bytes in &mut words {
        let plain = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) ^ word;
        bytes.copy_from_slice(&plain.to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(mask) {
        *byte ^= key;
    }
}

fn message(opcode: u8, payload: &[u8], each: &mut impl FnMut(Event<'_>) -> Flow) -> Result<Flow, WireError> {
    if opcode == BINARY {
        return Ok(each(Event::Binary(payload)));
    }
    let text = std::str::from_utf8(payload).map_err(|_| WireError::NotUtf8)?;
    Ok(each(Event::Text(text)))
}

/// The code in a close frame's payload, if a peer may send it (RFC 6455, section 7.4).
fn close_code(payload: &[u8]) -> Result<Option<u16>, WireError> {
    match payload {
        [] => Ok(None),
        [_] => Err(WireError::Protocol),
        [a, b, reason @ ..] => {
            let code = u16::from_be_bytes([*a, *b]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(WireError::Protocol);
            }
            std::str::from_utf8(reason).map_err(|_| WireError::NotUtf8)?;
            Ok(Some(code))
        }
    }
}

/// A whole text frame, header included. All sockets share its bytes.
#[must_use]
pub fn text_frame(text: &str) -> Bytes {
    text_frame_from_bytes(text.as_bytes())
}

/// The same, from bytes that are known to be UTF-8.
pub(crate) fn text_frame_from_bytes(text: &[u8]) -> Bytes {
    frame(TEXT, text)
}

/// The payload of a [`text_frame`].
#[must_use]
pub fn text_payload(frame: &[u8]) -> &[u8] {
    let head = match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        _ => 2,
    };
    frame.get(head..).unwrap_or_default()
}

/// A whole binary frame.
#[must_use]
pub fn binary_frame(payload: &[u8]) -> Bytes {
    frame(BINARY, payload)
}

/// A ping without payload.
#[must_use]
pub fn ping_frame() -> Bytes {
    Bytes::from_static(&[0x80 | PING, 0])
}

/// The length of [`ping_frame`].
pub const PING_FRAME_BYTES: usize = 2;

/// The pong to a ping with this payload.
#[must_use]
pub fn pong_frame(payload: &[u8]) -> Bytes {
    frame(PONG, payload)
}

/// A close frame with a code and a reason.
#[must_use]
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    let mut payload = BytesMut::with_capacity(2 + reason.len());
    payload.put_u16(code);
    payload.put_slice(reason.as_bytes());
    payload.truncate(CONTROL_BYTES_MAX);
    frame(CLOSE, &payload)
}

/// A close frame without a code.
#[must_use]
pub fn bare_close_frame() -> Bytes {
    Bytes::from_static(&[0x80 | CLOSE, 0])
}

fn frame(opcode: u8, payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(10 + payload.len());
    bytes.put_u8(0x80 | opcode);
    match payload.len() {
        #[allow(clippy::cast_possible_truncation, reason = "the range is in the pattern")]
        short @ 0..=125 => bytes.put_u8(short as u8),
        #[allow(clippy::cast_possible_truncation, reason = "the range is in the pattern")]
        medium @ 126..=0xFFFF => {
            bytes.put_u8(126);
            bytes.put_u16(medium as u16);
        }
        long => {
            bytes.put_u8(127);
            bytes.put_u64(long as u64);
        }
    }
    bytes.put_slice(payload);
    bytes.freeze()
}

#[cfg(test)]
mod tests;
