//! Attacks by reading: large answers that the attacker does not read, and searches.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use teahouse_checker::wire::RequestBody;

use crate::attack::{Attack, AttackSession, RawHttp, request_bytes};

/// Devices of an account.
const DEVICES: usize = 8;
/// The rate of all requests that are not messages, of reading over HTTP, and of connecting.
const ENVELOPES_PER_SECOND: u32 = 20;
const READS_PER_SECOND: u32 = 50;
/// Changes in one catch-up.
const CATCH_UP_CHANGES: u64 = 500;
/// Connections of one account that wait for a response.
const UNREAD: usize = 150;

/// A session that has said hello and never reads.
async fn open_unread(attack: &Attack, number: usize) -> AttackSession {
    let mut session = AttackSession::open_unread(attack, &format!("a{number}"), true).await;
    session.send(RequestBody::Hello { epoch: None, rooms: Vec::new() }).await;
    session
}

/// See the table.
pub(super) async fn unread_history(attack: Attack) {
    let parts = (0..DEVICES).map(|number| {
        let attack = attack.clone();
        async move {
            let mut pace = attack.pace(ENVELOPES_PER_SECOND / 8 + 1);
            loop {
                let mut session = open_unread(&attack, number).await;
                while session.is_open() {
                    pace.tick().await;
                    session
                        .send(RequestBody::History { room: attack.bed.archive.0, before: None, limit: Some(100) })
                        .await;
                    attack.counts.add_done();
                }
                attack.counts.add_closed();
            }
        }
    });
    join_all(parts).await;
}

/// See the table.
pub(super) async fn unread_changes(attack: Attack) {
    let mut pace = attack.pace(READS_PER_SECOND);
    let (room, version) = attack.bed.archive;
    // More changes than these would be a reset, which is small.
    let since = version.saturating_sub(CATCH_UP_CHANGES);
    let path = format!("/api/v1/rooms/{room}/changes?since={since}");
    let request = request_bytes(&Method::GET, &path, &attack.user.token(), "");
    let mut open = std::collections::VecDeque::new();
    loop {
        pace.tick().await;
        if let Some(mut connection) = RawHttp::open(&attack, true).await
            && connection.write(&request).await
        {
            attack.counts.add_done();
            open.push_back(connection);
        } else {
            attack.wait_after_refusal().await;
        }
        if open.len() > UNREAD {
            open.pop_front();
        }
    }
}

/// See the table.
pub(super) async fn hello(attack: Attack) {
    let parts = (0..DEVICES).map(|number| {
        let attack = attack.clone();
        async move {
            let mut pace = attack.pace(READS_PER_SECOND / 8 + 1);
            loop {
                pace.tick().await;
                let session = open_unread(&attack, number).await;
                attack.counts.add_done();
                // The server has the time to prepare the welcome.
                tokio::time::sleep(Duration::from_millis(200)).await;
                session.cut();
            }
        }
    });
    join_all(parts).await;
}

/// Queries for users and rooms: all, none, and characters that mean something to a database.
fn queries(number: u64) -> [String; 8] {
    let long = "茶".repeat(50);
    let mixed = format!("%_{number}*\"'\\");
    [String::new(), "h".to_owned(), "%".to_owned(), "_".repeat(50), long, mixed, "x".repeat(50), "İß".to_owned()]
}

/// See the table.
pub(super) async fn searches(attack: Attack) {
    let over_http = async {
        let mut pace = attack.pace(READS_PER_SECOND);
        loop {
            let Some(mut connection) = RawHttp::open(&attack, false).await else {
                attack.wait_after_refusal().await;
                continue;
            };
            'open: loop {
                for (index, query) in queries(attack.user.next_number()).iter().enumerate() {
                    pace.tick().await;
                    let query: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
                    let path = if index % 2 == 0 { "/api/v1/users" } else { "/api/v1/rooms/browse" };
                    let request =
                        request_bytes(&Method::GET, &format!("{path}?query={query}"), &attack.user.token(), "");
                    let status = connection.exchange(&request).await;
                    attack.counts.add_response(status);
                    if status.is_none() {
                        break 'open;
                    }
                }
            }
        }
    };
    let over_socket = async {
        let mut pace = attack.pace(ENVELOPES_PER_SECOND);
        loop {
            let mut session = AttackSession::open(&attack, "a0").await;
            while session.is_open() {
                for query in queries(attack.user.next_number()) {
                    for kind in ["users", "rooms"] {
                        pace.tick().await;
                        let request = json!({"type": kind, "id": "q", "data": {"query": query}});
                        session.send_text(request.to_string()).await;
                    }
                    session.read_for(Duration::from_millis(5)).await;
                }
            }
        }
    };
    tokio::join!(over_http, over_socket);
}
