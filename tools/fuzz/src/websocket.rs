//! The decoder of WebSocket frames: however a stream is cut, the events and the verdict are the same, what is kept
//! is bounded, and every message comes through again when a client sends it as one frame.

use teahouse_hub::websocket::{Decoder, Event, Flow, WireError, binary_frame, close_frame, pong_frame, text_frame};

/// Limits of a message's size, so that a short input can be over one.
const LIMITS: [usize; 4] = [100, 125, 300, 64 * 1024];
/// The longest head of a frame.
const HEAD_BYTES_MAX: usize = 14;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

/// The first byte chooses the limit, the second how the rest is cut.
pub(crate) fn check(bytes: &[u8]) {
    let &[limit, cut, ref stream @ ..] = bytes else { return };
    let limit = LIMITS[usize::from(limit) % LIMITS.len()];
    let whole = play(limit, &[stream]);
    let size = 1 + usize::from(cut);
    assert_eq!(play(limit, &stream.chunks(size).collect::<Vec<_>>()), whole, "cut into pieces of {size}");
    let at = usize::from(cut).min(stream.len());
    let (head, tail) = stream.split_at(at);
    assert_eq!(play(limit, &[head, tail]), whole, "cut in two at {at}");
    if stream.len() <= 2048 {
        assert_eq!(play(limit, &stream.chunks(1).collect::<Vec<_>>()), whole, "byte by byte");
    }
    for seen in whole.0 {
        round_trip(limit, seen);
    }
}

/// What is seen of a stream that comes in these pieces.
fn play(limit: usize, pieces: &[&[u8]]) -> (Vec<Seen>, Result<(), WireError>) {
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
        // A part of a frame and the fragments before it; what grows doubles.
        let most = 2 * (limit + HEAD_BYTES_MAX + piece.len()) + 2 * limit;
        assert!(decoder.bytes_held() <= most, "{} bytes are held", decoder.bytes_held());
    }
    (seen, Ok(()))
}

/// The frame that we would send of it, sent by a client.
fn round_trip(limit: usize, seen: Seen) {
    let frame = match &seen {
        Seen::Text(text) => text_frame(text),
        Seen::Binary(bytes) => binary_frame(bytes),
        // What was a ping comes back as a pong, whose payload nobody looks at.
        Seen::Ping(bytes) => pong_frame(bytes),
        Seen::Close(Some(code)) => close_frame(*code, "why"),
        Seen::Pong | Seen::Close(None) => return,
    };
    let expected = if matches!(seen, Seen::Ping(_)) { Seen::Pong } else { seen };
    assert_eq!(play(limit, &[&masked(&frame)]), (vec![expected], Ok(())));
}

/// A server's frame as a client's.
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
