//! Stalled readers: they delay nobody and miss nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fixture::{RawSocket, Server, Tab, User, of_type, wait_until};

const METRICS: &[(&str, &str)] = &[("TEAHOUSE_METRICS__LISTEN", "127.0.0.1:0")];

fn ids(envelopes: &[Value]) -> Vec<u64> {
    envelopes.iter().map(|data| data["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn h9_a_stalled_reader_gets_everything_in_order_when_it_reads_again() {
    const MESSAGES: usize = 2400;
    let server = Server::without_limits(METRICS);
    let amy = User::of_site(&server, 7, "amy");
    let mut stalled = RawSocket::connect_with_small_buffer(server.address()).await;
    stalled.handshake(&amy.token).await;
    assert_eq!(stalled.next_frame().await.map(|frame| frame.opcode), Some(1), "the session is there");

    let users: Vec<User> = (100..112).map(|id| User::of_site(&server, id, &format!("user{id}"))).collect();
    let mut tabs = Vec::new();
    for user in &users {
        tabs.push(user.open_tab().await);
    }
    let text = "tea ".repeat(100);
    for number in 0..MESSAGES / tabs.len() {
        for tab in &mut tabs {
            tab.say(&format!("{number} {text}")).await;
        }
    }
    // Everybody else had all messages before the stalled reader read the first byte.
    for tab in &mut tabs {
        for _ in 0..MESSAGES {
            tab.next_of("message").await;
        }
    }
    let history: Vec<Value> = users[0].lobby().await;
    assert_eq!(history.len(), MESSAGES);

    let mut tab = stalled.into_tab().await;
    let received = tab.read_to_marker(&users[0]).await;
    assert_eq!(ids(&of_type(&received, "message")), ids(&history), "everything, once, in order");
    assert!(server.metric("teahouse_catch_up_pages_total").await > 0, "its cursor left the tail");
    server.assert_no_panic();
}

#[tokio::test]
async fn h9_private_messages_wait_for_a_stalled_reader() {
    const MESSAGES: usize = 1300;
    let server = Server::without_limits(METRICS);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let mut stalled = RawSocket::connect_with_small_buffer(server.address()).await;
    stalled.handshake(&amy.token).await;
    assert_eq!(stalled.next_frame().await.map(|frame| frame.opcode), Some(1), "the session is there");
    let text = "茶".repeat(900);
    let mut written = Vec::new();
    while written.len() < MESSAGES {
        let texts = vec![text.as_str(); 50];
        let more = futures_util::future::join_all(texts.iter().map(|text| bea.send_private(&amy, text))).await;
        written.extend(more.into_iter().map(|(id, _)| id));
    }
    written.sort_unstable();

    let mut tab = stalled.into_tab().await;
    let mut delivered = Vec::new();
    while delivered.len() < MESSAGES {
        delivered.push(tab.next_of("private_message").await["message_id"].as_u64().unwrap());
    }
    assert_eq!(delivered, written, "every one, once, in order");
    assert_eq!(of_type(&tab.read_to_marker(&bea).await, "private_message"), Vec::<Value>::new());
}

#[tokio::test]
async fn h9_a_stalled_reader_gets_deletions() {
    let server = Server::without_limits(METRICS);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let mut stalled = RawSocket::connect_with_small_buffer(server.address()).await;
    stalled.handshake(&amy.token).await;
    assert_eq!(stalled.next_frame().await.map(|frame| frame.opcode), Some(1), "the session is there");
    let doomed = bea.say("to be deleted").await;
    let mut observer = bea.open_tab().await;
    let text = "x".repeat(500);
    for _ in 0..1500 {
        observer.say(&text).await;
    }
    observer.read_to_marker(&bea).await;
    bea.delete(&format!("/api/chat/messages/{doomed}")).await.expect(200);

    let mut tab = stalled.into_tab().await;
    assert_eq!(tab.next_of("message_deleted").await, json!({"id": doomed}));
}

/// The median latency of messages from one tab to another.
async fn latency(from: &mut Tab, to: &mut Tab, rounds: u32) -> Duration {
    let text = "tea ".repeat(100);
    let mut took = Vec::new();
    for _ in 0..rounds {
        let said = Instant::now();
        from.say(&text).await;
        to.next_of("message").await;
        took.push(said.elapsed());
    }
    took.sort_unstable();
    took[took.len() / 2]
}

#[tokio::test]
async fn h19_a_reader_that_takes_nothing_is_closed_and_delays_nobody() {
    const STALLED: u64 = 20;
    // The buffers of the kernel fill up first; then the write timeout runs, which is 60 s by default.
    let server = Server::without_limits(&[METRICS, &[("TEAHOUSE_SESSIONS__STALL_TIMEOUT", "5s")]].concat());
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let (mut hers, mut his) = (amy.open_tab().await, bea.open_tab().await);
    let alone = latency(&mut hers, &mut his, 200).await;

    let mut stalled = Vec::new();
    for id in 100..100 + STALLED {
        let mut socket = RawSocket::connect_with_small_buffer(server.address()).await;
        socket.handshake(&User::of_site(&server, id, &format!("user{id}")).token).await;
        assert_eq!(socket.next_frame().await.map(|frame| frame.opcode), Some(1), "the session is there");
        stalled.push(socket);
    }
    let descriptors = server.descriptors();
    // All readers are stalled long before this ends, and none is closed yet.
    let beside_them = latency(&mut hers, &mut his, 1000).await;
    assert!(beside_them < 4 * alone + Duration::from_millis(10), "{alone:?} alone, {beside_them:?} beside the stalled");

    let given_up = "teahouse_closes_total{code=\"4000\"}";
    wait_until(async || {
        // The server keeps sending to them.
        latency(&mut hers, &mut his, 10).await;
        server.metrics_text().await.contains(&format!("{given_up} {STALLED}"))
    })
    .await;
    wait_until(async || server.metric("teahouse_sessions").await == 2 && server.descriptors() + 15 < descriptors).await;
    let reported = server.metric("teahouse_bounds_reached_total{bound=\"sessions.stall_timeout\"}").await;
    assert_eq!(reported, STALLED);
    hers.assert_alive().await;
    his.assert_alive().await;
    server.assert_no_panic();
}
