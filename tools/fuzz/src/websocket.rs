//! Invariants of the WebSocket decoder: splitting the stream does not change events or result, buffers are bounded, and
//! every message survives a round trip as one frame.

use teahouse_hub::websocket::{Decoder, Event, Flow, WireError, binary_frame, close_frame, pong_frame, text_frame};

/// Size limits that are small enough for short inputs to exceed them.
const LIMITS: [usize; 4] = [100, 125, 300, 64 * 1024];
/// The longest frame header.
const HEAD_BYTES_MAX: usize = 14;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

/// The first byte selects the size limit, the second how to split the rest.
pub(crate) fn check(bytes: &[u8]) {
    let &[limit, cut, ref stream @ ..] = bytes else { return };
    let limit = LIMITS[usize::from(limit) % LIMITS.len()];
    let whole = decode(limit, &[stream]);
    let size = 1 + usize::from(cut);
    assert_eq!(decode(limit, &stream.chunks(size).collect::<Vec<_>>()), whole, "in pieces of {size}");
    let at = usize::from(cut).min(stream.len());
    let (head, tail) = stream.split_at(at);
    assert_eq!(decode(limit, &[head, tail]), whole, "split at {at}");
    if stream.len() <= 2048 {
        assert_eq!(decode(limit, &stream.chunks(1).collect::<Vec<_>>()), whole, "byte by byte");
    }
    for seen in whole.0 {
        round_trip(limit, seen);
    }
}

/// Decodes a stream that arrives in these pieces.
fn decode(limit: usize, pieces: &[&[u8]]) -> (Vec<Seen>, Result<(), WireError>) {
    let mut decoder = Decoder::default();
    let mut seen = Vec::new();
    for piece in pieces {
        let mut is_over = false;
        let result = decoder.read(&mut piece.to_vec(), limit, |event| {
            is_over = matches!(event, Event::Close(_));
            seen.push(match event {
                Event::Text(text) => Seen::Text(text.to_owned()),
                Event::Binary(bytes) => Seen::Binary(bytes.to_vec()),
                Event::Ping(bytes) => Seen::Ping(bytes.to_vec()),
                Event::Pong => Seen::Pong,
                Event::Close(code) => Seen::Close(code),
            });
            if is_over { Flow::Stop } else { Flow::Continue }
        });
        if let Err(error) = result {
            return (seen, Err(error));
        }
        if is_over {
            break;
        }
        // An incomplete frame and earlier fragments, with the doubling of growing buffers.
        let most = 2 * (limit + HEAD_BYTES_MAX + piece.len()) + 2 * limit;
        assert!(decoder.bytes_held() <= most, "{} bytes are buffered", decoder.bytes_held());
    }
    (seen, Ok(()))
}

/// Encodes an event as the server would, sends it as a client, and expects the same event.
fn round_trip(limit: usize, seen: Seen) {
    let frame = match &seen {
        Seen::Text(text) => text_frame(text),
        Seen::Binary(bytes) => binary_frame(bytes),
        // A ping is answered with a pong, whose payload is ignored.
        Seen::Ping(bytes) => pong_frame(bytes),
        Seen::Close(Some(code)) => close_frame(*code, "reason"),
        Seen::Pong | Seen::Close(None) => return,
    };
    let expected = if matches!(seen, Seen::Ping(_)) { Seen::Pong } else { seen };
    assert_eq!(decode(limit, &[&masked(&frame)]), (vec![expected], Ok(())));
}

/// Masks a server's frame.
fn masked(frame: &[u8]) -> Vec<u8> {
    let head = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let mask = [0x37, 0xFA, 0x21, 0x3D];
    let mut bytes = frame[..head].to_vec();
    bytes[1] |= 0x80;
    bytes.extend(mask);
    bytes.extend(frame[head..].iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}
