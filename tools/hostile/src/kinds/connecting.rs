//! Attacks by sessions: too many of them, and sessions that do not read.

use futures_util::future::join_all;
use teahouse_checker::wire::RequestBody;

use crate::attack::{Attack, AttackSession};
use crate::test_bed::CHARS;

/// Devices of an account.
const DEVICES: usize = 8;
/// The rates of connecting and of messages.
const CONNECTS_PER_SECOND: u32 = 50;
const SENDS_PER_SECOND: u32 = 3;

/// See the table.
pub(super) async fn reconnects(attack: Attack) {
    let parts = (0..DEVICES).map(|number| {
        let attack = attack.clone();
        async move {
            let mut pace = attack.pace(CONNECTS_PER_SECOND / 8 + 1);
            loop {
                pace.tick().await;
                // The next session of the device displaces this one, or finds it gone.
                AttackSession::open(&attack, &format!("a{number}")).await.cut();
            }
        }
    });
    join_all(parts).await;
}

/// See the table.
pub(super) async fn slow_readers(attack: Attack) {
    let silent = (1..DEVICES).map(|number| {
        let attack = attack.clone();
        async move {
            loop {
                let mut session = AttackSession::open_unread(&attack, &format!("a{number}"), true).await;
                session.send(RequestBody::Hello { epoch: None, rooms: Vec::new() }).await;
                attack.counts.add_done();
                // It stays open: nothing reads, so nothing notices a close.
                std::future::pending::<()>().await;
            }
        }
    });
    let writing = async {
        let mut pace = attack.pace(SENDS_PER_SECOND);
        loop {
            let mut session = AttackSession::open(&attack, "a0").await;
            while session.is_open() {
                pace.tick().await;
                let content = attack.long_text("", '\u{1F375}', CHARS);
                let client_id = Some(format!("{}-{}", attack.user.name, attack.user.next_number()));
                let room = attack.bed.square;
                session.request(RequestBody::Message { room, content, client_id, reply_to: None }).await;
            }
        }
    };
    tokio::join!(join_all(silent), writing);
}
