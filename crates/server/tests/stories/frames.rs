//! Frames that are none, too large, in pieces, in the wrong code: each has its close code, and no one else notices.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::stage::{Person, Server, Wire, handshake, masked, of_type, settles};

const METRICS: &[(&str, &str)] = &[("TEAHOUSE_METRICS__LISTEN", "127.0.0.1:0")];

/// Descriptors of those who ask for metrics, which come and go.
const ASKING: usize = 3;

/// A frame's head that claims this length, with nothing behind it.
fn claim(first: u8, length: u64) -> Vec<u8> {
    [&[first, 0xFF][..], &length.to_be_bytes(), &[1, 2, 3, 4]].concat()
}

#[tokio::test]
async fn protocol_violations_close_with_their_code() {
    let server = Server::of_a_site(&[]);
    let mut bystander = Person::of_site(&server, 1, "bystander").opens_tab().await;
    let mut id = 100;
    for (what, bytes, code) in [
        ("an unmasked frame", b"\x81\x02hi".to_vec(), 1002),
        ("a reserved bit", masked(0xC1, b"hi"), 1002),
        ("another reserved bit", masked(0x91, b"hi"), 1002),
        ("a reserved opcode", masked(0x83, b"hi"), 1002),
        ("a reserved control opcode", masked(0x8B, b""), 1002),
        ("a fragmented ping", masked(0x09, b""), 1002),
        ("a ping of 126 bytes", masked(0x89, &[0; 126]), 1002),
        ("a continuation of nothing", masked(0x80, b"hi"), 1002),
        ("a text within a text", [masked(0x01, b"a"), masked(0x81, b"b")].concat(), 1002),
        ("a close frame of one byte", masked(0x88, b"x"), 1002),
        ("a close code that nobody may send", masked(0x88, &1005_u16.to_be_bytes()), 1002),
        ("text that is not UTF-8", masked(0x81, b"\xFF"), 1007),
        ("a surrogate in UTF-8", masked(0x81, b"\xED\xA0\x80"), 1007),
        ("half a code point", [masked(0x01, b"\xE8"), masked(0x80, b"")].concat(), 1007),
        ("a close reason that is not UTF-8", masked(0x88, b"\x03\xE8\xFF"), 1007),
        ("binary", masked(0x82, b"hi"), 1003),
        ("a frame that claims 2^63 bytes", claim(0x81, 1 << 63), 1009),
        ("a frame that claims 2^63-1 bytes", claim(0x81, i64::MAX as u64), 1009),
        ("a frame that claims 64 KiB and one byte", claim(0x81, 64 * 1024 + 1), 1009),
        ("fragments of over 64 KiB", [masked(0x01, &[b'x'; 40_000]), masked(0x80, &[b'x'; 40_000])].concat(), 1009),
    ] {
        id += 1;
        let mut wire = Person::of_site(&server, id, &format!("user{id}")).opens_wire().await;
        // The server may have said its goodbye before the last byte is there.
        let _ = wire.try_write(&bytes).await;
        assert_eq!(wire.until_close_frame().await.0, code, "{what}");
    }
    bystander.is_alive().await;
    server.assert_no_panic();
}

#[tokio::test]
async fn a_code_point_split_between_fragments_is_one_message() {
    let server = Server::of_a_site(&[]);
    let amy = Person::of_site(&server, 7, "amy");
    let mut wire = amy.opens_wire().await;
    let text = r#"{"type":"message","data":{"content":"茶"}}"#.as_bytes();
    let middle = text.len() - 4;
    wire.send_frame(0x01, &text[..middle]).await;
    wire.send_frame(0x89, b"in between").await;
    wire.send_frame(0x80, &text[middle..]).await;
    let mut tab = wire.into_tab().await;
    assert_eq!(tab.next_of("message").await["content"], "茶");
}

#[tokio::test]
async fn a_message_of_exactly_64_kib_is_read() {
    let server = Server::of_a_site(&[]);
    let mut tab = Person::of_site(&server, 7, "amy").opens_tab().await;
    let around = json!({"type": "message", "data": {"content": ""}}).to_string().len();
    let text = json!({"type": "message", "data": {"content": "x".repeat(64 * 1024 - around)}}).to_string();
    assert_eq!(text.len(), 64 * 1024);
    tab.send_text(text).await;
    assert_eq!(tab.next_of("notification").await["code"], "too_long");
    tab.is_alive().await;
}

#[tokio::test]
async fn a_million_empty_fragments_use_no_memory() {
    let server = Server::of_a_site(&[]);
    let mut wire = Person::of_site(&server, 7, "amy").opens_wire().await;
    wire.send_frame(0x01, br#"{"type":"#).await;
    let before = server.memory_kib();
    let thousand: Vec<u8> = std::iter::repeat_n(masked(0x00, b""), 1000).flatten().collect();
    for _ in 0..1000 {
        wire.write(&thousand).await;
    }
    wire.send_frame(0x89, b"?").await;
    while wire.next_frame().await.expect("a pong").opcode != 0xA {}
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB");
    wire.send_frame(0x80, br#""heartbeat"}"#).await;
    wire.into_tab().await.next_of("heartbeat").await;
}

#[tokio::test]
async fn frames_in_the_same_segment_as_the_handshake_are_read() {
    let server = Server::of_a_site(&[]);
    let amy = Person::of_site(&server, 7, "amy");
    let mut wire = Wire::connect(server.address()).await;
    let mut bytes = handshake(&amy.token, "").into_bytes();
    bytes.extend(masked(0x81, br#"{"type":"message","data":{"content":"early"}}"#));
    // What looks like another request behind it is frames as well, and nothing is smuggled.
    wire.write(&bytes).await;
    assert!(wire.read_head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(wire.into_tab().await.next_of("message").await["content"], "early");

    let mut wire = Wire::connect(server.address()).await;
    let smuggled = handshake(&amy.token, "") + "GET /api/auth/me HTTP/1.1\r\nHost: localhost\r\n\r\n";
    wire.write(smuggled.as_bytes()).await;
    assert!(wire.read_head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(wire.until_close_frame().await.0, 1002);
    assert!(!server.log().contains("/api/auth/me"));
}

#[tokio::test]
async fn a_simultaneous_close_is_one_leave_and_leaks_no_descriptor() {
    let server = Server::of_a_site(&[&[("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "0")], METRICS].concat());
    let bea = Person::of_site(&server, 8, "bea");
    let mut onlooker = bea.opens_tab().await;
    onlooker.hears_count(1).await;
    let before = server.descriptors();
    let amy = Person::of_site(&server, 7, "amy");
    for _ in 0..30 {
        let mut old = amy.opens_tab().await;
        let (mut new, ()) = tokio::join!(amy.opens_tab(), old.close(1000));
        // Whichever was first: its goodbye and ours are over.
        let (_, code, _) = old.until_closed().await;
        assert!([1000, 4501].contains(&code), "{code}");
        new.close(1000).await;
        new.until_closed().await;
    }
    settles(async || server.metric("teahouse_sessions").await == 1 && server.descriptors() <= before + ASKING).await;
    assert_eq!(bea.sees_online().await, [8]);
    server.assert_no_panic();
}

#[tokio::test]
async fn data_after_a_close_frame_is_ignored() {
    let server = Server::of_a_site(&[]);
    let (amy, bea) = (Person::of_site(&server, 7, "amy"), Person::of_site(&server, 8, "bea"));
    let mut onlooker = bea.opens_tab().await;
    let mut wire = amy.opens_wire().await;
    let late = masked(0x81, br#"{"type":"message","data":{"content":"too late"}}"#);
    wire.write(&[masked(0x88, &1000_u16.to_be_bytes()), late].concat()).await;
    assert_eq!(wire.until_close_frame().await.0, 1000);
    wire.until_end().await;
    assert_eq!(of_type(&onlooker.until_marker(&bea).await, "message"), Vec::<Value>::new());
}

#[tokio::test]
async fn a_reset_in_mid_frame_leaks_no_session_and_no_descriptor() {
    let server = Server::of_a_site(&[&[("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "1s")], METRICS].concat());
    let bea = Person::of_site(&server, 8, "bea");
    let mut onlooker = bea.opens_tab().await;
    onlooker.hears_count(1).await;
    let before = server.descriptors();
    let crowd: Vec<Person> = (100..140).map(|id| Person::of_site(&server, id, &format!("user{id}"))).collect();
    let wires = join_all(crowd.iter().map(Person::opens_wire)).await;
    onlooker.hears_count(41).await;
    for mut wire in wires {
        let frame = masked(0x81, &[b'x'; 1000]);
        wire.write(&frame[..500]).await;
        wire.reset();
    }
    onlooker.hears_count(1).await;
    settles(async || server.metric("teahouse_sessions").await == 1 && server.descriptors() <= before + ASKING).await;
    assert_eq!(bea.sees_online().await, [8]);
    server.assert_no_panic();
}

#[tokio::test]
async fn a_frame_that_arrives_byte_by_byte_or_stops_times_out_in_ten_seconds() {
    let server = Server::of_a_site(METRICS);
    let frame = masked(0x81, &[b'x'; 1000]);
    let dripping = async |id: u64, protocol: &str, code: u16| {
        let mut wire = Person::of_site(&server, id, &format!("user{id}")).shakes(protocol).await;
        let begun = Instant::now();
        // The fault itself takes time: a byte a second.
        for byte in frame.chunks(1) {
            let _ = wire.try_write(byte).await;
            match tokio::time::timeout(Duration::from_secs(1), wire.until_close_frame_ever()).await {
                Ok((closed, _)) => {
                    assert_eq!(closed, code);
                    return begun.elapsed();
                }
                Err(_) => assert!(begun.elapsed() < Duration::from_secs(20), "a byte a second is waited for"),
            }
        }
        panic!("a frame of {} bytes was waited for", frame.len());
    };
    let stopping = async {
        let mut wire = Person::of_site(&server, 9, "cid").opens_wire().await;
        let begun = Instant::now();
        wire.write(&frame[..5]).await;
        // It is silent from now on, but for what must be answered.
        assert_eq!(wire.until_close_frame().await.0, 1008);
        begun.elapsed()
    };
    let v1 = "Sec-WebSocket-Protocol: teahouse.v1\r\n";
    for took in <[Duration; 3]>::from(tokio::join!(dripping(7, "", 1008), dripping(8, v1, 4001), stopping)) {
        // Not at once, since somebody's line may be slow; and a busy machine is late.
        assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(15), "{took:?}");
    }
    settles(async || server.metric("teahouse_sessions").await == 0).await;
}

#[tokio::test]
async fn claimed_frame_lengths_allocate_no_memory() {
    const SESSIONS: u64 = 200;
    let server = Server::of_a_site(&[]);
    let crowd: Vec<Person> = (100..100 + SESSIONS).map(|id| Person::of_site(&server, id, &format!("u{id}"))).collect();
    let mut wires = join_all(crowd.iter().map(Person::opens_wire)).await;
    let before = server.memory_kib();
    // Each claims all that a frame may have, and sends next to nothing of it.
    for wire in &mut wires {
        wire.write(&claim(0x81, 64 * 1024)).await;
        wire.write(b"x").await;
    }
    // What each wrote was read: the server answers whoever comes behind them, on every shard.
    for id in 1..20 {
        Person::of_site(&server, id, &format!("user{id}")).opens_tab().await.is_alive().await;
    }
    let held = server.memory_kib().saturating_sub(before);
    assert!(held < SESSIONS * 16, "{held} KiB for {SESSIONS} sessions");
    drop(wires);
    // Those who claim more are gone, and nothing was made ready for them.
    let mut wires = join_all(crowd.iter().map(Person::opens_wire)).await;
    for (wire, length) in wires.iter_mut().zip([64 * 1024 + 1, 1 << 30, 1 << 62, 1 << 63].into_iter().cycle()) {
        wire.write(&claim(0x81, length)).await;
    }
    for wire in &mut wires {
        assert_eq!(wire.until_close_frame().await.0, 1009);
    }
    let held = server.memory_kib().saturating_sub(before);
    assert!(held < SESSIONS * 16, "{held} KiB for {SESSIONS} sessions");
    server.assert_no_panic();
}
