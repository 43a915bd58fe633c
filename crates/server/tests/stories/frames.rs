//! Frames that are invalid, too large, fragmented or not UTF-8: each has its close code, and no other client notices.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::fixture::{RawSocket, Server, User, masked, of_type, request_head, wait_until};

const METRICS: &[(&str, &str)] = &[("TEAHOUSE_METRICS__LISTEN", "127.0.0.1:0")];

/// Descriptors of metrics requests.
const ASKING: usize = 3;

/// The head of a frame that claims this length.
fn claim(first: u8, length: u64) -> Vec<u8> {
    [&[first, 0xFF][..], &length.to_be_bytes(), &[1, 2, 3, 4]].concat()
}

#[tokio::test]
async fn protocol_violations_close_with_their_code() {
    let server = Server::of_site(&[]);
    let mut bystander = User::of_site(&server, 1, "bystander").open_tab().await;
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
        ("a reserved close code", masked(0x88, &1005_u16.to_be_bytes()), 1002),
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
        let mut socket = User::of_site(&server, id, &format!("user{id}")).open_raw_socket().await;
        // The server may close before the last byte arrives.
        let _ = socket.try_write(&bytes).await;
        assert_eq!(socket.read_to_close_frame().await.0, code, "{what}");
    }
    bystander.assert_alive().await;
    server.assert_no_panic();
}

#[tokio::test]
async fn a_code_point_split_between_fragments_is_one_message() {
    let server = Server::of_site(&[]);
    let amy = User::of_site(&server, 7, "amy");
    let mut socket = amy.open_raw_socket().await;
    let text = r#"{"type":"message","data":{"content":"茶"}}"#.as_bytes();
    let middle = text.len() - 4;
    socket.send_frame(0x01, &text[..middle]).await;
    socket.send_frame(0x89, b"in between").await;
    socket.send_frame(0x80, &text[middle..]).await;
    let mut tab = socket.into_tab().await;
    assert_eq!(tab.next_of("message").await["content"], "茶");
}

#[tokio::test]
async fn a_message_of_exactly_64_kib_is_read() {
    let server = Server::of_site(&[]);
    let mut tab = User::of_site(&server, 7, "amy").open_tab().await;
    let around = json!({"type": "message", "data": {"content": ""}}).to_string().len();
    let text = json!({"type": "message", "data": {"content": "x".repeat(64 * 1024 - around)}}).to_string();
    assert_eq!(text.len(), 64 * 1024);
    tab.send_text(text).await;
    assert_eq!(tab.next_of("notification").await["code"], "too_long");
    tab.assert_alive().await;
}

#[tokio::test]
async fn a_million_empty_fragments_use_no_memory() {
    let server = Server::of_site(&[]);
    let mut socket = User::of_site(&server, 7, "amy").open_raw_socket().await;
    socket.send_frame(0x01, br#"{"type":"#).await;
    let before = server.memory_kib();
    let thousand: Vec<u8> = std::iter::repeat_n(masked(0x00, b""), 1000).flatten().collect();
    for _ in 0..1000 {
        socket.write(&thousand).await;
    }
    socket.send_frame(0x89, b"?").await;
    while socket.next_frame().await.expect("a pong").opcode != 0xA {}
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB");
    socket.send_frame(0x80, br#""heartbeat"}"#).await;
    socket.into_tab().await.next_of("heartbeat").await;
}

#[tokio::test]
async fn frames_in_the_same_segment_as_the_handshake_are_read() {
    let server = Server::of_site(&[]);
    let amy = User::of_site(&server, 7, "amy");
    let mut socket = RawSocket::connect(server.address()).await;
    let mut bytes = request_head(&amy.token, "").into_bytes();
    bytes.extend(masked(0x81, br#"{"type":"message","data":{"content":"early"}}"#));
    // Bytes that look like a request after the handshake are frames: no request is smuggled.
    socket.write(&bytes).await;
    assert!(socket.read_head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(socket.into_tab().await.next_of("message").await["content"], "early");

    let mut socket = RawSocket::connect(server.address()).await;
    let smuggled = request_head(&amy.token, "") + "GET /api/auth/me HTTP/1.1\r\nHost: localhost\r\n\r\n";
    socket.write(smuggled.as_bytes()).await;
    assert!(socket.read_head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(socket.read_to_close_frame().await.0, 1002);
    assert!(!server.log().contains("/api/auth/me"));
}

#[tokio::test]
async fn a_simultaneous_close_is_one_leave_and_leaks_no_descriptor() {
    let server = Server::of_site(&[&[("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "0")], METRICS].concat());
    let bea = User::of_site(&server, 8, "bea");
    let mut observer = bea.open_tab().await;
    observer.wait_for_count(1).await;
    let before = server.descriptors();
    let amy = User::of_site(&server, 7, "amy");
    for _ in 0..30 {
        let mut old = amy.open_tab().await;
        let (mut new, ()) = tokio::join!(amy.open_tab(), old.close(1000));
        // Both close frames have been sent, in either order.
        let (_, code, _) = old.read_to_close().await;
        assert!([1000, 4501].contains(&code), "{code}");
        new.close(1000).await;
        new.read_to_close().await;
    }
    wait_until(async || server.metric("teahouse_sessions").await == 1 && server.descriptors() <= before + ASKING).await;
    assert_eq!(bea.online_users().await, [8]);
    server.assert_no_panic();
}

#[tokio::test]
async fn data_after_a_close_frame_is_ignored() {
    let server = Server::of_site(&[]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let mut observer = bea.open_tab().await;
    let mut socket = amy.open_raw_socket().await;
    let late = masked(0x81, br#"{"type":"message","data":{"content":"too late"}}"#);
    socket.write(&[masked(0x88, &1000_u16.to_be_bytes()), late].concat()).await;
    assert_eq!(socket.read_to_close_frame().await.0, 1000);
    socket.wait_for_end().await;
    assert_eq!(of_type(&observer.read_to_marker(&bea).await, "message"), Vec::<Value>::new());
}

#[tokio::test]
async fn a_reset_in_mid_frame_leaks_no_session_and_no_descriptor() {
    let server = Server::of_site(&[&[("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "1s")], METRICS].concat());
    let bea = User::of_site(&server, 8, "bea");
    let mut observer = bea.open_tab().await;
    observer.wait_for_count(1).await;
    let before = server.descriptors();
    let crowd: Vec<User> = (100..140).map(|id| User::of_site(&server, id, &format!("user{id}"))).collect();
    let sockets = join_all(crowd.iter().map(User::open_raw_socket)).await;
    observer.wait_for_count(41).await;
    for mut socket in sockets {
        let frame = masked(0x81, &[b'x'; 1000]);
        socket.write(&frame[..500]).await;
        socket.reset();
    }
    observer.wait_for_count(1).await;
    wait_until(async || server.metric("teahouse_sessions").await == 1 && server.descriptors() <= before + ASKING).await;
    assert_eq!(bea.online_users().await, [8]);
    server.assert_no_panic();
}

#[tokio::test]
async fn a_frame_that_arrives_byte_by_byte_or_stops_times_out_in_ten_seconds() {
    let server = Server::of_site(METRICS);
    let frame = masked(0x81, &[b'x'; 1000]);
    let dripping = async |id: u64, protocol: &str, code: u16| {
        let mut socket = User::of_site(&server, id, &format!("user{id}")).open_raw_socket_with(protocol).await;
        let begun = Instant::now();
        // The fault takes time: one byte a second.
        for byte in frame.chunks(1) {
            let _ = socket.try_write(byte).await;
            match tokio::time::timeout(Duration::from_secs(1), socket.read_to_close_frame_unbounded()).await {
                Ok((closed, _)) => {
                    assert_eq!(closed, code);
                    return begun.elapsed();
                }
                Err(_) => assert!(begun.elapsed() < Duration::from_secs(20), "the server waits for one byte a second"),
            }
        }
        panic!("the server waited for a frame of {} bytes", frame.len());
    };
    let stopping = async {
        let mut socket = User::of_site(&server, 9, "cid").open_raw_socket().await;
        let begun = Instant::now();
        socket.write(&frame[..5]).await;
        // From now on the client only answers pings.
        assert_eq!(socket.read_to_close_frame().await.0, 1008);
        begun.elapsed()
    };
    let v1 = "Sec-WebSocket-Protocol: teahouse.v1\r\n";
    for took in <[Duration; 3]>::from(tokio::join!(dripping(7, "", 1008), dripping(8, v1, 4001), stopping)) {
        // Not at once, because a client may be slow. The upper bound has room for a busy machine.
        assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(15), "{took:?}");
    }
    wait_until(async || server.metric("teahouse_sessions").await == 0).await;
}

#[tokio::test]
async fn claimed_frame_lengths_allocate_no_memory() {
    const SESSIONS: u64 = 200;
    let server = Server::of_site(&[]);
    let crowd: Vec<User> = (100..100 + SESSIONS).map(|id| User::of_site(&server, id, &format!("u{id}"))).collect();
    let mut sockets = join_all(crowd.iter().map(User::open_raw_socket)).await;
    let before = server.memory_kib();
    // Each claims the largest allowed frame and sends one byte of it.
    for socket in &mut sockets {
        socket.write(&claim(0x81, 64 * 1024)).await;
        socket.write(b"x").await;
    }
    // The server has read these bytes: every shard answers clients that connected later.
    for id in 1..20 {
        User::of_site(&server, id, &format!("user{id}")).open_tab().await.assert_alive().await;
    }
    let held = server.memory_kib().saturating_sub(before);
    assert!(held < SESSIONS * 16, "{held} KiB for {SESSIONS} sessions");
    drop(sockets);
    // Sockets that claim more are closed, and the server allocated nothing for them.
    let mut sockets = join_all(crowd.iter().map(User::open_raw_socket)).await;
    for (socket, length) in sockets.iter_mut().zip([64 * 1024 + 1, 1 << 30, 1 << 62, 1 << 63].into_iter().cycle()) {
        socket.write(&claim(0x81, length)).await;
    }
    for socket in &mut sockets {
        assert_eq!(socket.read_to_close_frame().await.0, 1009);
    }
    let held = server.memory_kib().saturating_sub(before);
    assert!(held < SESSIONS * 16, "{held} KiB for {SESSIONS} sessions");
    server.assert_no_panic();
}
