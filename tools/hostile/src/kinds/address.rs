//! Attacks by one address: connections that ask for nothing, slow requests, forged tokens, guessed passwords, floods.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use teahouse_chaos::clients::User;
use teahouse_checker::{Dialect, End, Fact, Socket};
use teahouse_testkit::ws::request_head;

use crate::attack::{Attack, RawHttp, json_request, request_bytes};
use crate::test_bed::TestBed;

/// Connections that send requests without a pause.
const BUSY: usize = 64;
/// Connections with a body that never ends.
const SLOW: usize = 300;
/// Slow sessions of each hostile account.
const DEVICES: usize = 8;
/// Time between two bytes of a slow body or frame.
const BYTE_PAUSE: Duration = Duration::from_millis(500);
/// Bytes that a slow body announces.
const ANNOUNCED: usize = 60_000;
/// A token with a form that is right and a signature that is not.
const FORGED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI3IiwiaXNzIjoiY29tbXVuaXR5LWFwaSIsImV4cCI6NDEwMjQ0NDgwMH0.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Runs so many copies of one part of the attack.
async fn all<F: Future>(attack: &Attack, number: usize, part: impl Fn(Attack, usize) -> F) {
    join_all((0..number).map(|index| part(attack.clone(), index))).await;
}

/// Opens a connection, sends these bytes, and waits for its end, again and again.
async fn hold(attack: Attack, bytes: Vec<u8>, is_answered: bool) {
    loop {
        let Some(mut connection) = RawHttp::open(&attack, false).await else {
            attack.wait_after_refusal().await;
            continue;
        };
        if connection.write(&bytes).await && (!is_answered || connection.read_response().await.is_some()) {
            attack.counts.add_done();
            // Nothing more comes until the server closes.
            while connection.read_response().await.is_some() {}
        }
        attack.wait_after_refusal().await;
    }
}

/// See the table.
pub(super) async fn heads(attack: Attack) {
    all(&attack, attack.bed.connections, |attack, _| hold(attack, b"G".to_vec(), false)).await;
}

/// See the table.
pub(super) async fn idle(attack: Attack) {
    let request = request_bytes(&Method::GET, "/live", "", "");
    all(&attack, attack.bed.connections, |attack, _| hold(attack, request.clone(), true)).await;
}

/// Sends a byte at a time until the server closes.
async fn drip(connection: &mut RawHttp) {
    while connection.write(b"x").await {
        tokio::time::sleep(BYTE_PAUSE).await;
    }
}

/// See the table.
pub(super) async fn bodies(attack: Attack) {
    let head = format!(
        "POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {ANNOUNCED}\r\n\r\n{{"
    );
    let part = |attack: Attack, _| {
        let head = head.clone().into_bytes();
        async move {
            loop {
                if let Some(mut connection) = RawHttp::open(&attack, false).await
                    && connection.write(&head).await
                {
                    attack.counts.add_done();
                    drip(&mut connection).await;
                }
                attack.wait_after_refusal().await;
            }
        }
    };
    all(&attack, SLOW, part).await;
}

/// Records the end of a session when it is dropped: the checker must know who was online.
struct RecordedEnd<'a>(&'a Attack, Socket);

impl Drop for RecordedEnd<'_> {
    fn drop(&mut self) {
        self.0.bed.recorder.note(&self.1, Fact::Ended(End::Cut));
    }
}

/// See the table. A handshake needs a token, so the address uses those of the hostile accounts.
pub(super) async fn slow_frames(attack: Attack) {
    let accounts = attack.bed.hostile.len();
    let part = |attack: Attack, index: usize| async move {
        let user = attack.bed.hostile[index % accounts].clone();
        let device = format!("slow{}", index / accounts);
        loop {
            drip_frame(&attack, &user, &device).await;
            attack.wait_after_refusal().await;
        }
    };
    all(&attack, accounts * DEVICES, part).await;
}

/// Opens a session, announces a frame, and sends it a byte at a time until the server closes.
async fn drip_frame(attack: &Attack, user: &User, device: &str) -> Option<()> {
    let mut connection = RawHttp::open(attack, false).await?;
    let token = user.token();
    let socket = attack.bed.recorder.new_socket(user.id, device, Dialect::V1);
    attack.bed.recorder.note(&socket, Fact::HandshakeSent { device: Some(device.to_owned()) });
    let recorded = RecordedEnd(attack, socket);
    let protocol = format!("Sec-WebSocket-Protocol: teahouse.v1, bearer.{token}, device.{device}\r\n");
    let status = connection.exchange(request_head("", &protocol).as_bytes()).await?;
    attack.bed.recorder.note(&recorded.1, Fact::HandshakeAnswered { status });
    if status != 101 {
        attack.counts.add_refused();
        return None;
    }
    attack.counts.add_done();
    // A text with its length in 16 bits, and its mask.
    if connection.write(&[0x81, 0xFE, 0xEA, 0x60, 1, 2, 3, 4]).await {
        drip(&mut connection).await;
    }
    None
}

/// See the table.
pub(super) async fn bad_tokens(attack: Attack) {
    all(&attack, BUSY, |attack, index| async move {
        let request = if index % 2 == 0 {
            request_head(FORGED, "").into_bytes()
        } else {
            request_bytes(&Method::GET, "/api/v1/rooms", FORGED, "")
        };
        repeat(&attack, || request.clone()).await;
    })
    .await;
}

/// Sends requests without a pause, on a connection as long as it lasts.
async fn repeat(attack: &Attack, mut next: impl FnMut() -> Vec<u8>) {
    loop {
        let Some(mut connection) = RawHttp::open(attack, false).await else {
            attack.wait_after_refusal().await;
            continue;
        };
        loop {
            let status = connection.exchange(&next()).await;
            attack.counts.add_response(status);
            if status.is_none() {
                break;
            }
        }
    }
}

fn wrong_login(person: usize) -> Vec<u8> {
    let body = json!({"username": TestBed::account(person), "password": "guessed1"});
    json_request(&Method::POST, "/api/auth/login", "", &body)
}

/// See the table.
pub(super) async fn logins_to_one(attack: Attack) {
    all(&attack, attack.bed.logins, |attack, _| async move { repeat(&attack, || wrong_login(1)).await }).await;
}

/// See the table.
pub(super) async fn logins_to_all(attack: Attack) {
    let people = attack.bed.honest.len();
    all(&attack, attack.bed.logins, |attack, index| async move {
        repeat(&attack, || wrong_login(index % people)).await;
    })
    .await;
}

/// See the table.
pub(super) async fn registrations(attack: Attack) {
    all(&attack, BUSY, |attack, _| async move {
        repeat(&attack, || {
            let name = format!("spam{}", attack.user.next_number());
            let body = json!({"username": name, "password": "oolong7", "email": format!("{name}@example.org")});
            json_request(&Method::POST, "/api/auth/register", "", &body)
        })
        .await;
    })
    .await;
}

/// See the table.
pub(super) async fn health(attack: Attack) {
    all(&attack, BUSY, |attack, _| async move {
        repeat(&attack, || request_bytes(&Method::GET, "/health", "", "")).await;
    })
    .await;
}
