//! Attacks on rooms and their members: presence, typing, read marks, names, memberships, invitations, profiles.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use teahouse_checker::wire::RequestBody;

use crate::attack::{Attack, AttackSession, RawHttp, json_request};
use crate::test_bed::LOBBY;

/// The rate of all requests that are not messages.
const ENVELOPES_PER_SECOND: u32 = 20;
/// Characters of the longest picture address.
const AVATAR_CHARS: usize = 2048;

/// Repeats requests as often as allowed; `next` chooses each.
async fn repeat(attack: &Attack, mut next: impl FnMut(u64) -> RequestBody) {
    let mut pace = attack.pace(ENVELOPES_PER_SECOND);
    let mut step = 0;
    loop {
        let mut session = AttackSession::open(attack, "a0").await;
        while session.is_open() {
            pace.tick().await;
            session.request(next(step)).await;
            step += 1;
        }
    }
}

/// The room of a step: the shared ones and the account's own, one after another.
fn room_of(attack: &Attack, step: u64) -> u64 {
    let own = &attack.bed.own_rooms[attack.number];
    let index = usize::try_from(step).unwrap_or(0) % (own.len() + 3);
    [attack.bed.table, attack.bed.square, LOBBY].get(index).copied().unwrap_or_else(|| own[index - 3])
}

/// See the table.
pub(super) async fn presence_and_typing(attack: Attack) {
    repeat(&attack, |step| match step % 4 {
        0 => RequestBody::Presence { room: room_of(&attack, step / 4), on: true },
        1 => RequestBody::Typing { room: attack.bed.table, on: true },
        2 => RequestBody::Typing { room: attack.bed.table, on: false },
        _ => RequestBody::Presence { room: room_of(&attack, step / 4), on: step % 8 == 3 },
    })
    .await;
}

/// See the table.
pub(super) async fn read_marks(attack: Attack) {
    let write = |step: u64| {
        let client_id = Some(format!("{}-{}", attack.user.name, attack.user.next_number()));
        let content = attack.long_text("", '.', 20);
        step.is_multiple_of(8).then_some(RequestBody::Message {
            room: attack.bed.table,
            content,
            client_id,
            reply_to: None,
        })
    };
    repeat(&attack, |step| write(step).unwrap_or(RequestBody::Read { room: attack.bed.table, seq: step + 1 })).await;
}

/// See the table.
pub(super) async fn moving(attack: Attack) {
    let (square, own) = (attack.bed.square, attack.bed.own_rooms[attack.number].clone());
    repeat(&attack, |step| match (step % 4, own.is_empty()) {
        (0, _) | (3, true) => RequestBody::Leave { room: square },
        (1, _) | (_, true) => RequestBody::Join { room: square },
        _ => {
            let room = own[usize::try_from(step).unwrap_or(0) % own.len()];
            RequestBody::Update { room, title: format!("{step} {}", "茶".repeat(190)) }
        }
    })
    .await;
}

/// See the table.
pub(super) async fn profiles(attack: Attack) {
    let mut pace = attack.pace(ENVELOPES_PER_SECOND);
    loop {
        let Some(mut connection) = RawHttp::open(&attack, false).await else {
            attack.wait_after_refusal().await;
            continue;
        };
        loop {
            pace.tick().await;
            let number = attack.user.next_number();
            let avatar = format!("https://example.org/{number}/{}", "a".repeat(AVATAR_CHARS - 40));
            let bio = format!("{number} {}", "茶".repeat(490));
            let body = json!({"avatar": avatar, "profile": {"nickname": format!("h{number}"), "bio": bio}});
            let request = json_request(&Method::PUT, "/api/auth/me", &attack.user.token(), &body);
            let status = connection.exchange(&request).await;
            attack.counts.add_response(status);
            if status.is_none() {
                break;
            }
        }
    }
}

/// See the table.
pub(super) async fn invitations(attack: Attack) {
    let mut pace = attack.pace(ENVELOPES_PER_SECOND);
    loop {
        let mut session = AttackSession::open(&attack, "a0").await;
        while session.is_open() {
            pace.tick().await;
            let name = format!("{} invites {}", attack.user.name, attack.user.next_number());
            let created = session.request(RequestBody::Create { kind: "private".to_owned(), name }).await;
            let own = attack.bed.own_rooms[attack.number].first().copied();
            let created = created.and_then(|entry| entry.get("id")?.as_u64());
            let Some(room) = created.or(own) else {
                session.read_for(Duration::from_millis(50)).await;
                continue;
            };
            for person in &attack.bed.honest {
                pace.tick().await;
                session.request(RequestBody::Invite { room, user: person.id }).await;
                pace.tick().await;
                session.request(RequestBody::Open { user: person.id }).await;
            }
        }
    }
}
