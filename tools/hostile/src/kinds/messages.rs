//! Attacks on the one writer and on delivery: messages and changes that cost as much as the limits allow.

use serde_json::Value;
use teahouse_checker::wire::RequestBody;

use crate::attack::{Attack, AttackSession};
use crate::test_bed::CHARS;

/// Different reactions of the longest list.
const REACTIONS: u32 = 50;
/// The rate of all requests that are not messages, and of messages.
const ENVELOPES_PER_SECOND: u32 = 20;
const SENDS_PER_SECOND: u32 = 3;

/// A message of one `@` and CJK characters, each of which could belong to a name.
fn mention(attack: &Attack) -> String {
    let number = attack.user.next_number();
    // The number makes it different from the last one, since the same content again is no change.
    let number: String = number
        .to_string()
        .chars()
        .filter_map(|digit| "零一二三四五六七八九".chars().nth(digit.to_digit(10)? as usize))
        .collect();
    let rest = CHARS - 1 - number.chars().count();
    format!("@{number}{}", "茶".repeat(rest))
}

async fn send(attack: &Attack, session: &mut AttackSession, content: String) -> Option<u64> {
    let client_id = Some(format!("{}-{}", attack.user.name, attack.user.next_number()));
    let body = RequestBody::Message { room: attack.bed.square, content, client_id, reply_to: None };
    session.request(body).await?.get("id").and_then(Value::as_u64)
}

/// See the table.
pub(super) async fn mentions(attack: Attack) {
    let mut pace = attack.pace(ENVELOPES_PER_SECOND);
    loop {
        let mut session = AttackSession::open(&attack, "a0").await;
        while session.is_open() {
            pace.tick().await;
            let Some(message) = send(&attack, &mut session, mention(&attack)).await else { continue };
            for _ in 0..ENVELOPES_PER_SECOND / SENDS_PER_SECOND {
                pace.tick().await;
                session.request(RequestBody::Edit { message, content: mention(&attack) }).await;
            }
        }
    }
}

/// See the table.
pub(super) async fn reactions(attack: Attack) {
    let mut pace = attack.pace(ENVELOPES_PER_SECOND);
    // Each account has emoji of its own, so that the counts change every time.
    let first = 0x1F400 + u32::try_from(attack.number).unwrap_or(0) * REACTIONS / 10;
    let emoji: Vec<String> = (first..).filter_map(char::from_u32).map(String::from).take(REACTIONS as usize).collect();
    loop {
        let mut session = AttackSession::open(&attack, "a0").await;
        while session.is_open() {
            pace.tick().await;
            let content = attack.long_text("", '\u{1F375}', CHARS);
            let Some(message) = send(&attack, &mut session, content).await else { continue };
            for on in [true, false] {
                for emoji in &emoji {
                    pace.tick().await;
                    session.request(RequestBody::React { message, emoji: emoji.clone(), on }).await;
                }
            }
        }
    }
}
