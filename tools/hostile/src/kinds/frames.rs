//! Attacks by frames: too many, malformed, too deep, too wide.

use std::time::Duration;

use serde_json::json;
use teahouse_checker::wire::RequestBody;

use crate::attack::{Attack, AttackSession};

/// The rate of all requests that are not messages.
const ENVELOPES_PER_SECOND: u32 = 20;
/// Requests of a flood between two looks at what came back.
const FLOOD: usize = 200;
/// Bytes of the largest frame, less than the limit by the rest of the envelope.
const FRAME_BYTES: usize = 65_000;
/// How long an attacker looks at what came back.
const LOOK: Duration = Duration::from_millis(2);

/// See the table.
pub(super) async fn flood(attack: Attack) {
    loop {
        let mut session = AttackSession::open(&attack, "a0").await;
        while session.is_open() {
            for number in 0..FLOOD {
                let room = attack.bed.square;
                let request = match number % 3 {
                    0 => json!({"type": "heartbeat", "id": "f"}),
                    1 => json!({"type": "history", "id": "f", "data": {"room": room, "limit": 1}}),
                    _ => json!({"type": "read", "id": "f", "data": {"room": room, "seq": 0}}),
                };
                session.send_text(request.to_string()).await;
            }
            session.read_for(LOOK).await;
        }
    }
}

/// See the table.
pub(super) async fn malformed(attack: Attack) {
    let texts = [
        "{\"type\":\"message\",\"id\":\"m\",\"data\":{\"room\":\"x\"}}".to_owned(),
        "{".repeat(10_000),
        "[".repeat(60_000),
        "null\n".repeat(10_000),
        format!("{{\"type\":\"{}\"}}", "x".repeat(60_000)),
        "\u{0}".to_owned(),
        format!("{{\"type\":\"heartbeat\",\"id\":\"{}\"}}", "i".repeat(60_000)),
        "x".repeat(70_000),
    ];
    loop {
        let mut session = AttackSession::open(&attack, "a0").await;
        for text in texts.iter().cycle() {
            session.send_text(text.clone()).await;
            session.read_for(LOOK).await;
            if !session.is_open() {
                break;
            }
        }
    }
}

/// See the table.
pub(super) async fn deep_json(attack: Attack) {
    let deep = format!("{}{}", "[".repeat(FRAME_BYTES / 2), "]".repeat(FRAME_BYTES / 2));
    let nested = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let wide = format!("[{}0]", "0,".repeat(FRAME_BYTES / 2));
    let keys: Vec<String> = (0..FRAME_BYTES / 12).map(|number| format!("\"k{number:05}\":0")).collect();
    let texts = [deep, nested, wide, format!("{{{}}}", keys.join(","))].map(|value| {
        format!(
            "{{\"type\":\"typing\",\"id\":\"d\",\"data\":{{\"room\":{},\"on\":true,\"x\":{value}}}}}",
            attack.bed.table
        )
    });
    let mut pace = attack.pace(ENVELOPES_PER_SECOND);
    loop {
        let mut session = AttackSession::open(&attack, "a0").await;
        while session.is_open() {
            for text in &texts {
                pace.tick().await;
                session.send_text(text.clone()).await;
                session.read_for(LOOK).await;
            }
            session.request(RequestBody::Heartbeat {}).await;
        }
    }
}
