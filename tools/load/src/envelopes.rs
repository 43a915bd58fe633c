//! Encodes requests and inspects envelopes of both dialects, as documented in docs/protocol.md. It searches for a few
//! bytes instead of parsing JSON, so that decoding does not limit the load.

use std::time::{SystemTime, UNIX_EPOCH};

use memchr::memmem;

use crate::client_pool::Held;
use crate::wire;

/// The longest stamp: digits of run, number and due time, and three separators.
pub(crate) const STAMP_CHARS_MAX: usize = 8 + 20 + 20 + 3;

/// Identifies a message within a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    /// Its number within the run.
    pub(crate) number: u64,
    /// When it was due, in microseconds since the start.
    pub(crate) due_micros: u64,
}

/// A number that distinguishes this run's messages from all others.
pub(crate) fn new_run() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Runs start more than a microsecond apart; the number repeats after more than an hour.
    (since.as_micros() & u128::from(u32::MAX)) as u32
}

/// Message text: the stamp, padded to `chars` characters.
pub(crate) fn content(run: u32, Stamp { number, due_micros }: Stamp, chars: usize) -> String {
    let mut content = format!("{run:08x}.{number}.{due_micros} ");
    content.extend(std::iter::repeat_n('x', chars.saturating_sub(content.len()).max(1)));
    content
}

/// The stamp of a message, if the message is of this run.
pub(crate) fn stamp(envelope: &[u8], run: u32) -> Option<Stamp> {
    let content = bytes_after(envelope, br#""content":""#)?;
    let (theirs, rest) = content.split_at_checked(9)?;
    let theirs = std::str::from_utf8(theirs.strip_suffix(b".")?).ok()?;
    if u32::from_str_radix(theirs, 16) != Ok(run) {
        return None;
    }
    let (number, rest) = number(rest)?;
    let (due_micros, _) = self::number(rest.strip_prefix(b".")?)?;
    Some(Stamp { number, due_micros })
}

/// Appends a classic lobby message.
pub(crate) fn push_classic_message(into: &mut Vec<u8>, content: &str) {
    push_text(into, &format!(r#"{{"type":"message","data":{{"content":"{content}"}}}}"#));
}

/// Appends a v1 message; `number` becomes the request id.
pub(crate) fn push_message(into: &mut Vec<u8>, run: u32, number: u64, room: u64, content: &str) {
    push_request(
        into,
        "message",
        number,
        &format!(r#"{{"room":{room},"client_id":"{run:08x}-{number}","content":"{content}"}}"#),
    );
}

/// Appends a v1 request.
pub(crate) fn push_request(into: &mut Vec<u8>, kind: &str, id: u64, data: &str) {
    push_text(into, &format!(r#"{{"type":"{kind}","id":"{id}","data":{data}}}"#));
}

pub(crate) fn push_hello(into: &mut Vec<u8>, epoch: Option<&str>, held: Option<&Held>) {
    let rooms = match (epoch, held) {
        (Some(epoch), Some(Held { room, version })) => {
            format!(r#","epoch":"{epoch}","rooms":[{{"room":{room},"version":{version}}}]"#)
        }
        _ => String::new(),
    };
    push_text(into, &format!(r#"{{"type":"hello","id":"hello","data":{{"client":"teahouse-load"{rooms}}}}}"#));
}

fn push_text(into: &mut Vec<u8>, envelope: &str) {
    wire::push_frame(into, wire::TEXT, envelope.as_bytes());
}

/// The envelopes of a v1 frame.
pub(crate) fn split(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(payload);
    std::iter::from_fn(move || {
        let waiting = rest?;
        match memchr::memchr(b'\n', waiting) {
            Some(at) => {
                rest = Some(&waiting[at + 1..]);
                Some(&waiting[..at])
            }
            None => {
                rest = None;
                Some(waiting)
            }
        }
    })
}

pub(crate) fn is_message(envelope: &[u8]) -> bool {
    envelope.starts_with(br#"{"type":"message","#)
}

/// Whether the envelope is a live change of reactions, which moves the version as a message does.
pub(crate) fn is_change(envelope: &[u8]) -> bool {
    envelope.starts_with(br#"{"type":"change","#)
}

pub(crate) fn is_private_message(envelope: &[u8]) -> bool {
    envelope.starts_with(br#"{"type":"private_message""#)
}

pub(crate) fn is_welcome(envelope: &[u8]) -> bool {
    envelope.starts_with(br#"{"type":"welcome""#)
}

pub(crate) fn is_catch_up(envelope: &[u8]) -> bool {
    envelope.starts_with(br#"{"type":"catch_up""#)
}

pub(crate) fn is_caught_up(envelope: &[u8]) -> bool {
    envelope.starts_with(br#"{"type":"caught_up""#)
}

/// Whether a `catch_up` starts the room over from its newest page.
pub(crate) fn is_reset(envelope: &[u8]) -> bool {
    memmem::find(envelope, br#""reset":true"#).is_some()
}

/// Whether the envelope refuses a request, in either dialect.
pub(crate) fn is_error(envelope: &[u8]) -> bool {
    envelope.starts_with(br#"{"type":"error""#)
        || (envelope.starts_with(br#"{"type":"notification""#)
            && bytes_after(envelope, br#""level":"error""#).is_some())
}

/// The request id of an `ack`.
pub(crate) fn ack_number(envelope: &[u8]) -> Option<u64> {
    let rest = envelope.strip_prefix(br#"{"type":"ack","id":""#)?;
    number(rest).map(|(number, _)| number)
}

/// The online count of an `online_count` or a `welcome`.
pub(crate) fn online_count(envelope: &[u8]) -> Option<u64> {
    if envelope.starts_with(br#"{"type":"online_count""#) {
        number_after(envelope, br#""count":"#)
    } else if is_welcome(envelope) {
        number_after(envelope, br#""online":{"count":"#)
    } else {
        None
    }
}

/// The epoch of a `welcome`.
pub(crate) fn epoch(envelope: &[u8]) -> Option<String> {
    let rest = bytes_after(envelope, br#""epoch":""#)?;
    let end = memchr::memchr(b'"', rest)?;
    String::from_utf8(rest[..end].to_vec()).ok()
}

pub(crate) fn message_id(envelope: &[u8]) -> Option<u64> {
    number_after(envelope, br#""id":"#)
}

/// The room and the version that a v1 envelope is about.
pub(crate) fn room_and_version(envelope: &[u8]) -> Option<(u64, u64)> {
    let (room, rest) = number(bytes_after(envelope, br#""room":"#)?)?;
    Some((room, number_after(rest, br#""version":"#)?))
}

/// The id of the first room entry in an `ack`.
pub(crate) fn entry_id(envelope: &[u8]) -> Option<u64> {
    number_after(envelope, br#""data":{"id":"#)
}

/// The version of a room, from the entries of a `welcome` or from a single entry.
pub(crate) fn entry_version(envelope: &[u8], room: u64) -> Option<u64> {
    let entry = bytes_after(envelope, format!(r#"{{"id":{room},"kind":"#).as_bytes())?;
    number_after(entry, br#""version":"#)
}

/// The decimal number that follows the first `key`.
pub(crate) fn number_after(envelope: &[u8], key: &[u8]) -> Option<u64> {
    number(bytes_after(envelope, key)?).map(|(number, _)| number)
}

fn bytes_after<'a>(envelope: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    memmem::find(envelope, key).map(|at| &envelope[at + key.len()..])
}

/// The number at the start of `bytes`, and the rest.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at(digits);
    let number = |digits: &[u8]| {
        digits.iter().fold(0_u64, |number, digit| number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
    };
    (!digits.is_empty()).then(|| (number(digits), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_round_trips_and_stamps_of_other_runs_are_ignored() {
        let stamp = Stamp { number: 17, due_micros: 123_456 };
        let text = content(0xabc, stamp, 200);
        assert_eq!(text.len(), 200);
        let envelope = format!(r#"{{"type":"message","data":{{"id":1,"content":"{text}","status":1}}}}"#);
        assert_eq!(super::stamp(envelope.as_bytes(), 0xabc), Some(stamp));
        assert_eq!(super::stamp(envelope.as_bytes(), 0xabd), None);
        assert_eq!(super::stamp(br#"{"content":"hi"}"#, 0xabc), None);
        assert!(content(0, Stamp { number: u64::MAX, due_micros: u64::MAX }, 0).len() <= STAMP_CHARS_MAX + 1);
    }

    #[test]
    fn rooms_versions_and_ids_are_read() {
        let v1 = br#"{"type":"message","data":{"id":81,"room":7,"seq":40,"version":57,"client_id":"c"}}"#;
        assert_eq!((message_id(v1), room_and_version(v1)), (Some(81), Some((7, 57))));
        let change = br#"{"type":"change","data":{"id":81,"room":7,"version":58,"reactions":{}}}"#;
        assert_eq!((is_change(change), is_message(change), room_and_version(change)), (true, false, Some((7, 58))));
        let caught_up = br#"{"type":"caught_up","data":{"room":1,"version":1050,"my_reactions":{}}}"#;
        assert_eq!((is_caught_up(caught_up), room_and_version(caught_up)), (true, Some((1, 1050))));
        assert_eq!(ack_number(br#"{"type":"ack","id":"17","data":{"id":9}}"#), Some(17));
        assert_eq!(entry_id(br#"{"type":"ack","id":"17","data":{"id":9,"kind":"private"}}"#), Some(9));
    }

    #[test]
    fn a_welcome_has_epoch_count_and_versions() {
        let welcome = concat!(
            r#"{"type":"welcome","id":"hello","data":{"session":4,"epoch":"k3f","user":{"id":7},"online":{"count":12},"#,
            r#""rooms":[{"id":1,"kind":"public","version":57},{"id":7,"kind":"private","version":9}]}}"#
        )
        .as_bytes();
        assert_eq!((epoch(welcome).as_deref(), online_count(welcome)), (Some("k3f"), Some(12)));
        assert_eq!([1, 7, 8].map(|room| entry_version(welcome, room)), [Some(57), Some(9), None]);
    }

    #[test]
    fn numbers_are_found() {
        assert_eq!(online_count(br#"{"type":"online_count","data":{"count":10001}}"#), Some(10_001));
        assert_eq!(online_count(br#"{"type":"message","data":{"count":10001}}"#), None);
        assert_eq!(number_after(br#"{"content":"x"}"#, br#""content":""#), None);
    }

    #[test]
    fn a_frame_is_split_at_its_line_ends() {
        assert_eq!(split(b"{a}\n{b}").collect::<Vec<_>>(), [b"{a}", b"{b}"]);
        assert_eq!(split(b"{a}").collect::<Vec<_>>(), [b"{a}"]);
    }

    #[test]
    fn errors_are_distinguished_from_notices() {
        assert!(is_error(br#"{"type":"error","id":"1","data":{"code":"muted"}}"#));
        assert!(is_error(br#"{"type":"notification","data":{"message":"x","level":"error","code":"too_long"}}"#));
        assert!(!is_error(br#"{"type":"notification","data":{"message":"hello"}}"#));
    }
}
