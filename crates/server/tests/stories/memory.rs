//! Clients that request large answers and read none of them: what they take of the server's memory is bounded, and
//! nobody else waits for them.

use serde_json::{Value, json};

use crate::fixture::{Device, RawSocket, Server, User, wait_until};

/// Growth of the resident memory that a story allows for one user: far more than the bounds, far less than without.
const GROWTH_KIB_MAX: u64 = 96 * 1024;

/// The longest text, 16 KB of it.
fn long_text() -> String {
    "🍵".repeat(4000)
}

async fn fill(user: &User, room: u64, messages: usize) {
    let mut device = user.device().await;
    for _ in 0..messages {
        device.say(room, &long_text()).await;
    }
}

/// Requests something else while the others do not read, and asserts that the memory did not grow much.
async fn assert_served_in_little_memory(server: &Server, other: &User, before_kib: u64) {
    let mut device = other.device().await;
    for _ in 0..3 {
        device.say(1, "hello").await;
        device.request("history", json!({"room": 1, "limit": 1})).await;
        other.get("/api/v1/rooms/1/messages?limit=1").await.expect(200);
    }
    let grown = server.memory_kib().saturating_sub(before_kib);
    assert!(grown < GROWTH_KIB_MAX, "grown by {grown} KiB");
    server.assert_no_panic();
}

#[tokio::test]
async fn unread_answers_over_http_take_bounded_memory_and_come_when_they_are_read() {
    const REQUESTS: usize = 150;
    let server = Server::without_limits(&[]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    fill(&amy, 1, 100).await;
    let before = server.memory_kib();
    let mut unread = Vec::new();
    for _ in 0..REQUESTS {
        let mut socket = RawSocket::connect_with_small_buffer(server.address()).await;
        socket.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(socket.read_response().await.0, 200, "the connection is served");
        let changes = format!(
            "GET /api/v1/rooms/1/changes?since=0 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
            amy.token
        );
        socket.write(changes.as_bytes()).await;
        unread.push(socket);
    }
    assert_served_in_little_memory(&server, &bea, before).await;
    let mut answered = 0;
    for mut socket in unread {
        socket.enlarge_buffer();
        let (status, body) = socket.read_response().await;
        let body: Value = serde_json::from_str(&body).unwrap();
        match status {
            200 => {
                assert!(!body["data"]["messages"].as_array().unwrap().is_empty());
                answered += 1;
            }
            _ => assert_eq!((status, &body["error_code"]), (429, &json!("rate_limited")), "{body}"),
        }
    }
    assert!(answered >= 32, "those that waited had their turn: {answered}");
}

const METRICS: (&str, &str) = ("TEAHOUSE_METRICS__LISTEN", "127.0.0.1:0");
const ANSWER_BYTES: &str = "teahouse_answer_bytes";

#[tokio::test]
async fn an_answer_over_http_counts_until_its_client_reads_it() {
    let server = Server::without_limits(&[METRICS]);
    let amy = User::of_site(&server, 7, "amy");
    fill(&amy, 1, 20).await;
    let mut socket = RawSocket::connect_with_small_buffer(server.address()).await;
    let get = format!(
        "GET /api/chat/messages?limit=50 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        amy.token
    );
    socket.write(get.as_bytes()).await;
    assert!(socket.read_head().await.starts_with("HTTP/1.1 200 "));
    assert!(server.metric(ANSWER_BYTES).await > 100_000, "the kernel took all of it");
    socket.reset();
    wait_until(async || server.metric(ANSWER_BYTES).await == 0).await;
}

#[tokio::test]
async fn answers_of_sessions_that_are_gone_count_no_longer() {
    let server = Server::without_limits(&[METRICS, ("TEAHOUSE_SERVER__SHARDS", "1")]);
    let amy = User::of_site(&server, 7, "amy");
    fill(&amy, 1, 20).await;
    for _ in 0..10 {
        let mut reader = Device::new(&amy).with_small_buffer();
        reader.open().await;
        reader.say_hello().await;
        for _ in 0..3 {
            reader.send_request("history", json!({"room": 1, "limit": 100})).await;
        }
        wait_until(async || server.metric(ANSWER_BYTES).await > 0).await;
        reader.cut();
        wait_until(async || server.metric(ANSWER_BYTES).await == 0).await;
    }
}

#[tokio::test]
async fn a_socket_that_requests_pages_and_reads_none_takes_bounded_memory() {
    const REQUESTS: usize = 200;
    // The other user's requests come after hers on the same shard.
    let server = Server::without_limits(&[("TEAHOUSE_SERVER__SHARDS", "1")]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    fill(&amy, 1, 100).await;
    let before = server.memory_kib();
    let mut reader = Device::new(&amy).with_small_buffer();
    reader.open().await;
    reader.say_hello().await;
    for _ in 0..REQUESTS {
        reader.send_request("history", json!({"room": 1, "limit": 100})).await;
    }
    assert_served_in_little_memory(&server, &bea, before).await;
}

#[tokio::test]
async fn welcomes_that_nobody_reads_take_bounded_memory() {
    const SOCKETS: usize = 100;
    let server = Server::without_limits(&[("TEAHOUSE_SESSIONS__PER_USER", "100")]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let mut device = amy.device().await;
    for number in 0..100 {
        let room = device.request("create", json!({"kind": "private", "name": format!("room {number}")})).await;
        device.say(room["id"].as_u64().unwrap(), &long_text()).await;
    }
    device.close(1000).await;
    let before = server.memory_kib();
    let mut unread = Vec::new();
    for _ in 0..SOCKETS {
        let mut reader = Device::new(&amy).with_small_buffer();
        reader.open().await;
        reader.send_request("hello", json!({})).await;
        unread.push(reader);
    }
    assert_served_in_little_memory(&server, &bea, before).await;
}
