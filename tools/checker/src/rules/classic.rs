//! What a classic connection is sent of the lobby is the lobby from where it came in: each message once, in order,
//! without a hole; and of private messages those to its user, each once.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Dialect, Fact};
use crate::ledger::{Ledger, Life};
use crate::truth::{Message, Truth};
use crate::verdict::{About, Rule, Violation};
use crate::wire::{Ask, Classic, Stored};

/// The lobby of the classic dialect.
const LOBBY: u64 = teahouse_core::LOBBY.0;

/// What a classic connection was sent, with the event of each.
#[derive(Default)]
struct Sent<'a> {
    lobby: Vec<(usize, u64, u64, &'a str)>,
    private: Vec<(usize, u64)>,
    deleted: Vec<(usize, u64)>,
    garbled: Option<(usize, &'a str)>,
}

/// Looks at every classic connection by itself.
#[must_use]
pub fn check(ledger: &Ledger<'_>, truth: &Truth) -> Vec<Violation> {
    let rows: BTreeMap<u64, &Message> = truth.messages.iter().map(|row| (row.id, row)).collect();
    let lobby: BTreeMap<u64, &Message> =
        truth.messages.iter().filter(|row| row.room == LOBBY).map(|row| (row.seq, row)).collect();
    let times = Times::of(ledger, &lobby);
    let mut sent: BTreeMap<u64, Sent<'_>> = BTreeMap::new();
    for (index, event) in ledger.events.iter().enumerate() {
        let Some(socket) = &event.socket else { continue };
        let sent = sent.entry(socket.number).or_default();
        let heard = match &event.fact {
            Fact::HeardClassic(heard) => heard,
            Fact::Garbled { text } => {
                sent.garbled = Some((index, text));
                continue;
            }
            _ => continue,
        };
        match heard {
            Classic::Message { id, user_id, content } => sent.lobby.push((index, *id, *user_id, content)),
            Classic::PrivateMessage { message } => sent.private.push((index, message.id)),
            Classic::MessageDeleted { id } => sent.deleted.push((index, *id)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for life in ledger.lives.values().filter(|life| life.socket.dialect == Dialect::Classic) {
        let sent = sent.remove(&life.socket.number).unwrap_or_default();
        let garbled = sent.garbled.map(|(index, text)| (Some(index), 0, format!("no envelope: {text}")));
        let problem = garbled
            .or_else(|| check_lobby(life, &sent, &rows, &lobby, &times))
            .or_else(|| check_private(life, &sent, &rows, truth))
            .or_else(|| {
                let kept = sent.deleted.iter().find(|(_, id)| rows.get(id).is_some_and(|row| !row.deleted));
                kept.map(|(index, id)| (Some(*index), *id, format!("{id} was told as deleted, and it is there")))
            });
        if let Some((until, message, what)) = problem {
            let socket = life.socket;
            let (user, device) = (Some(socket.user), Some(socket.device.to_string()));
            let what = format!("user {} on {}: {what}", socket.user, socket.device);
            let said = rows.get(&message).map(|row| (row.sender, key(row).to_owned()));
            let about =
                About { message: (message > 0).then_some(message), said, user, device, until, ..About::default() };
            found.push(Violation { rule: Rule::Classic, what, about });
        }
    }
    found
}

/// When each message was asked for first and when it was known to be stored, by its place among the events.
struct Times {
    asked: BTreeMap<u64, usize>,
    stored: BTreeMap<u64, usize>,
}

impl Times {
    fn of(ledger: &Ledger<'_>, lobby: &BTreeMap<u64, &Message>) -> Self {
        let ids: BTreeMap<(u64, &str), u64> = lobby.values().map(|row| ((row.sender, key(row)), row.id)).collect();
        let (mut asked, mut stored) = (BTreeMap::new(), BTreeMap::new());
        for one in &ledger.asked {
            let Ask::Message { content, client_id, .. } = one.ask else { continue };
            // The first try counts, also when it was never answered.
            let key = client_id.as_ref().unwrap_or(content).as_str();
            if let Some(id) = ids.get(&(one.socket.user, key)) {
                asked.entry(*id).or_insert(one.index);
            }
            if let Some((index, ack)) = one.ack::<Stored>() {
                let first = stored.entry(ack.id).or_insert(index);
                *first = index.min(*first);
            }
        }
        Self { asked, stored }
    }
}

/// What a message is known by to whoever said it.
fn key(row: &Message) -> &str {
    row.client_id.as_deref().unwrap_or(&row.content)
}

type Problem = (Option<usize>, u64, String);

fn check_lobby(
    life: &Life<'_>,
    sent: &Sent<'_>,
    rows: &BTreeMap<u64, &Message>,
    lobby: &BTreeMap<u64, &Message>,
    times: &Times,
) -> Option<Problem> {
    let mut before = None;
    for &(index, id, user, content) in &sent.lobby {
        let problem = |what: String| Some((Some(index), id, what));
        let Some(row) = rows.get(&id).filter(|row| row.room == LOBBY && row.sender == user) else {
            return problem(format!("{id} of user {user} is not in the lobby"));
        };
        if !row.edited && !row.deleted && row.content != content {
            return problem(format!("{id} came as {content:?} and is stored as {:?}", row.content));
        }
        if before.is_some_and(|before| row.seq <= before) {
            return problem(format!("seq {} came behind {before:?}", row.seq));
        }
        if before.is_none() && times.stored.get(&id).is_some_and(|stored| *stored < life.begun.0) {
            return problem(format!("{id} was stored before this connection, which begins at the head"));
        }
        // What was deleted before a slow connection came to it may be left out.
        let hole = before.and_then(|before| lobby.range(before + 1..row.seq).find(|(_, row)| !row.deleted));
        if let Some((seq, missing)) = hole {
            return Some((Some(index), missing.id, format!("seq {seq} ({}) was left out", missing.id)));
        }
        before = Some(row.seq);
    }
    // What was said once it was open comes as well; at rest, all of it.
    let (opened, _) = life.opened?;
    let first = sent.lobby.first().and_then(|(_, id, _, _)| rows.get(id)).map(|row| row.seq);
    let last = if life.rested && life.ended.is_none() { u64::MAX } else { before.unwrap_or(0) };
    let missing = lobby.values().find(|row| {
        let came_later = times.asked.get(&row.id).is_some_and(|asked| *asked > opened);
        let outside = first.is_none_or(|first| row.seq < first) || before.is_some_and(|before| row.seq > before);
        came_later && outside && !row.deleted && row.seq <= last
    });
    missing.map(|row| (None, row.id, format!("{} (seq {}) was said while it was open and never came", row.id, row.seq)))
}

fn check_private(life: &Life<'_>, sent: &Sent<'_>, rows: &BTreeMap<u64, &Message>, truth: &Truth) -> Option<Problem> {
    let mut seen = BTreeSet::new();
    sent.private.iter().find_map(|(index, id)| {
        let me = life.socket.user;
        let is_for_me = rows.get(id).is_some_and(|row| {
            let room = truth.rooms.get(&row.room);
            row.sender != me && room.is_some_and(|room| room.kind == "direct" && room.members.contains_key(&me))
        });
        let what = if !is_for_me {
            format!("{id} is no private message to user {me}")
        } else if !seen.insert(*id) {
            format!("private message {id} came twice")
        } else {
            return None;
        };
        Some((Some(*index), *id, what))
    })
}
