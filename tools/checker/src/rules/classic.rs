//! A classic connection receives the lobby from its start on, each message once, in order and without a gap; and the
//! private messages to its user, each once.

use std::collections::{BTreeMap, BTreeSet};

use crate::db_state::{DbState, Message};
use crate::history::{Dialect, Fact};
use crate::index::{Connection, RunIndex};
use crate::verdict::{About, Rule, Violation};
use crate::wire::{Classic, RequestBody, Stored};

const LOBBY: u64 = teahouse_core::LOBBY.0;

/// What a classic connection received, with the events.
#[derive(Default)]
struct Received<'a> {
    lobby: Vec<(usize, u64, u64, &'a str)>,
    private: Vec<(usize, u64)>,
    deleted: Vec<(usize, u64)>,
    malformed: Option<(usize, &'a str)>,
}

/// Checks each classic connection.
#[must_use]
pub fn check(run: &RunIndex<'_>, db: &DbState) -> Vec<Violation> {
    let rows: BTreeMap<u64, &Message> = db.messages.iter().map(|row| (row.id, row)).collect();
    let lobby: BTreeMap<u64, &Message> =
        db.messages.iter().filter(|row| row.room == LOBBY).map(|row| (row.seq, row)).collect();
    let times = Times::of(run, &lobby);
    let mut received: BTreeMap<u64, Received<'_>> = BTreeMap::new();
    for (index, event) in run.events.iter().enumerate() {
        let Some(socket) = &event.socket else { continue };
        let received = received.entry(socket.number).or_default();
        let envelope = match &event.fact {
            Fact::ClassicReceived(envelope) => envelope,
            Fact::MalformedReceived { text } => {
                received.malformed = Some((index, text));
                continue;
            }
            _ => continue,
        };
        match envelope {
            Classic::Message { id, user_id, content } => received.lobby.push((index, *id, *user_id, content)),
            Classic::PrivateMessage { message } => received.private.push((index, message.id)),
            Classic::MessageDeleted { id } => received.deleted.push((index, *id)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for connection in run.connections.values().filter(|connection| connection.socket.dialect == Dialect::Classic) {
        let received = received.remove(&connection.socket.number).unwrap_or_default();
        let malformed = received.malformed.map(|(index, text)| (Some(index), 0, format!("not an envelope: {text}")));
        let problem = malformed
            .or_else(|| check_lobby(connection, &received, &rows, &lobby, &times))
            .or_else(|| check_private(connection, &received, &rows, db))
            .or_else(|| {
                let undeleted = received.deleted.iter().find(|(_, id)| rows.get(id).is_some_and(|row| !row.deleted));
                undeleted
                    .map(|(index, id)| (Some(*index), *id, format!("{id} was delivered as deleted, and it is not")))
            });
        if let Some((until, message, what)) = problem {
            let socket = connection.socket;
            let (user, device) = (Some(socket.user), Some(socket.device.to_string()));
            let what = format!("user {} on {}: {what}", socket.user, socket.device);
            let sent = rows.get(&message).map(|row| (row.sender, key(row).to_owned()));
            let about =
                About { message: (message > 0).then_some(message), sent, user, device, until, ..About::default() };
            found.push(Violation { rule: Rule::Classic, what, about });
        }
    }
    found
}

/// When each message was first sent and when it was known to be stored, as events.
struct Times {
    sent: BTreeMap<u64, usize>,
    stored: BTreeMap<u64, usize>,
}

impl Times {
    fn of(run: &RunIndex<'_>, lobby: &BTreeMap<u64, &Message>) -> Self {
        let ids: BTreeMap<(u64, &str), u64> = lobby.values().map(|row| ((row.sender, key(row)), row.id)).collect();
        let (mut sent, mut stored) = (BTreeMap::new(), BTreeMap::new());
        for one in &run.exchanges {
            let RequestBody::Message { content, client_id, .. } = one.body else { continue };
            // The first attempt counts, even if it was never answered.
            let key = client_id.as_ref().unwrap_or(content).as_str();
            if let Some(id) = ids.get(&(one.socket.user, key)) {
                sent.entry(*id).or_insert(one.index);
            }
            if let Some((index, ack)) = one.ack::<Stored>() {
                let first = stored.entry(ack.id).or_insert(index);
                *first = index.min(*first);
            }
        }
        Self { sent, stored }
    }
}

/// The key that its sender knows a message by.
fn key(row: &Message) -> &str {
    row.client_id.as_deref().unwrap_or(&row.content)
}

type Problem = (Option<usize>, u64, String);

fn check_lobby(
    connection: &Connection<'_>,
    received: &Received<'_>,
    rows: &BTreeMap<u64, &Message>,
    lobby: &BTreeMap<u64, &Message>,
    times: &Times,
) -> Option<Problem> {
    let mut before = None;
    for &(index, id, user, content) in &received.lobby {
        let problem = |what: String| Some((Some(index), id, what));
        let Some(row) = rows.get(&id).filter(|row| row.room == LOBBY && row.sender == user) else {
            return problem(format!("{id} of user {user} is not in the lobby"));
        };
        if !row.edited && !row.deleted && row.content != content {
            return problem(format!("{id} was delivered as {content:?} and is stored as {:?}", row.content));
        }
        if before.is_some_and(|before| row.seq <= before) {
            return problem(format!("seq {} came after {before:?}", row.seq));
        }
        if before.is_none() && times.stored.get(&id).is_some_and(|stored| *stored < connection.begun.0) {
            return problem(format!("{id} was stored before this connection, which starts with new messages"));
        }
        // A message that was deleted before a slow connection reached it may be left out.
        let gap = before.and_then(|before| lobby.range(before + 1..row.seq).find(|(_, row)| !row.deleted));
        if let Some((seq, missing)) = gap {
            return Some((Some(index), missing.id, format!("seq {seq} ({}) is missing", missing.id)));
        }
        before = Some(row.seq);
    }
    // Messages sent after it opened must arrive: up to the last received one, or all once quiesced.
    let (opened, _) = connection.opened?;
    let first = received.lobby.first().and_then(|(_, id, _, _)| rows.get(id)).map(|row| row.seq);
    let last = if connection.quiesced && connection.ended.is_none() { u64::MAX } else { before.unwrap_or(0) };
    let missing = lobby.values().find(|row| {
        let is_later = times.sent.get(&row.id).is_some_and(|sent| *sent > opened);
        let outside = first.is_none_or(|first| row.seq < first) || before.is_some_and(|before| row.seq > before);
        is_later && outside && !row.deleted && row.seq <= last
    });
    missing
        .map(|row| (None, row.id, format!("{} (seq {}) was sent while it was open and never arrived", row.id, row.seq)))
}

fn check_private(
    connection: &Connection<'_>,
    received: &Received<'_>,
    rows: &BTreeMap<u64, &Message>,
    db: &DbState,
) -> Option<Problem> {
    let mut seen = BTreeSet::new();
    received.private.iter().find_map(|(index, id)| {
        let me = connection.socket.user;
        let is_for_me = rows.get(id).is_some_and(|row| {
            let room = db.rooms.get(&row.room);
            row.sender != me && room.is_some_and(|room| room.kind == "direct" && room.members.contains_key(&me))
        });
        let what = if !is_for_me {
            format!("{id} is no private message to user {me}")
        } else if !seen.insert(*id) {
            format!("private message {id} was delivered twice")
        } else {
            return None;
        };
        Some((Some(*index), *id, what))
    })
}
