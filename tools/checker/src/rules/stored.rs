//! Every acknowledged message is stored once, in the acknowledged position, as sent. Unanswered messages are stored at most
//! once, refused ones not at all, and nothing is stored that no client sent.

use std::collections::{BTreeMap, BTreeSet};

use crate::db_state::{DbState, Message};
use crate::index::{Exchange, RunIndex};
use crate::verdict::{Rule, Violation};
use crate::wire::{RequestBody, Stored};

/// A message and all attempts to send it.
#[derive(Default)]
struct Sending<'a> {
    attempts: Vec<Attempt<'a>>,
}

struct Attempt<'a> {
    content: &'a str,
    /// None for a classic private message, which names a user instead of a room.
    room: Option<u64>,
    stored: Option<Stored>,
    refused: bool,
}

/// Compares all messages that were sent with all that are stored.
#[must_use]
pub fn check(run: &RunIndex<'_>, db: &DbState) -> Vec<Violation> {
    let mut keyed: BTreeMap<(u64, &str), Sending<'_>> = BTreeMap::new();
    let mut keyless: BTreeMap<u64, Vec<Attempt<'_>>> = BTreeMap::new();
    for exchange in &run.exchanges {
        let (room, content, client_id) = match exchange.body {
            RequestBody::Message { room, content, client_id, .. } => (Some(*room), content, client_id),
            RequestBody::Private { content, client_id, .. } => (None, content, client_id),
            _ => continue,
        };
        let stored = exchange.ack::<Stored>().map(|(_, stored)| stored);
        let one = Attempt { content, room, stored, refused: Exchange::is_refused(exchange) };
        match client_id {
            Some(client_id) => keyed.entry((exchange.socket.user, client_id)).or_default().attempts.push(one),
            None => keyless.entry(exchange.socket.user).or_default().push(one),
        }
    }

    let mut found = ids_and_positions(db);
    let mut rows: BTreeMap<(u64, &str), Vec<&Message>> = BTreeMap::new();
    for message in &db.messages {
        if let Some(client_id) = &message.client_id {
            rows.entry((message.sender, client_id)).or_default().push(message);
        }
    }
    for (key, sending) in &keyed {
        found.extend(sending.check(*key, rows.remove(key).as_deref().unwrap_or_default()));
    }
    for (key, rows) in rows {
        let what = format!("no client sent the message that is stored for user {} under {}", key.0, key.1);
        found.push(violation(Some(rows[0].id), key, what));
    }
    let mut without: BTreeMap<u64, Vec<&Message>> = BTreeMap::new();
    for message in db.messages.iter().filter(|message| message.client_id.is_none()) {
        without.entry(message.sender).or_default().push(message);
    }
    let senders: BTreeSet<u64> = without.keys().chain(keyless.keys()).copied().collect();
    for sender in senders {
        let tries = keyless.remove(&sender).unwrap_or_default();
        found.extend(check_keyless(sender, tries, without.remove(&sender).unwrap_or_default()));
    }
    found
}

fn violation(message: Option<u64>, (sender, key): (u64, &str), what: String) -> Violation {
    Violation::of_message(Rule::Stored, message, Some((sender, key.to_owned())), what)
}

impl Sending<'_> {
    fn check(&self, key: (u64, &str), rows: &[&Message]) -> Vec<Violation> {
        let mut found = Vec::new();
        let first = rows.first().copied();
        let id = first.map(|row| row.id);
        let mut report = |what: String| found.push(violation(id, key, what));
        let acks = || self.attempts.iter().filter_map(|one| Some((one, one.stored.as_ref()?)));
        if rows.len() > 1 {
            let ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
            report(format!("{} of user {} is stored more than once, as {ids:?}", key.1, key.0));
        }
        let Some(row) = first else {
            if let Some((_, stored)) = acks().next() {
                report(format!(
                    "{} of user {} was acknowledged as {} and is not in the store",
                    key.1, key.0, stored.id
                ));
            }
            return found;
        };
        if self.attempts.iter().all(|one| one.refused) {
            report(format!("{} of user {} was refused and is stored as {}", key.1, key.0, row.id));
        }
        for (one, stored) in acks() {
            if let Some(difference) = misplaced(stored, one.room, row) {
                report(difference);
            } else if is_as_stored(row) && one.content != row.content {
                report(format!("{:?} was acknowledged as {} and is stored as {:?}", one.content, row.id, row.content));
            }
        }
        if acks().next().is_none() && is_as_stored(row) && self.attempts.iter().all(|one| one.content != row.content) {
            report(format!("{} is stored as {:?}, which no client sent", row.id, row.content));
        }
        // Classic acknowledgements do not mark repeats.
        let firsts = acks().filter(|(_, stored)| stored.seq.is_some() && !stored.duplicate).count();
        if firsts > 1 {
            report(format!("{} of user {} was acknowledged {firsts} times as new", key.1, key.0));
        }
        if self.attempts.len() == 1 && acks().any(|(_, stored)| stored.duplicate) {
            report(format!("{} of user {} was sent once and acknowledged as a repeat", key.1, key.0));
        }
        found
    }
}

/// Whether the content is still the original one.
fn is_as_stored(row: &Message) -> bool {
    !row.edited && !row.deleted
}

fn misplaced(stored: &Stored, room: Option<u64>, row: &Message) -> Option<String> {
    let differs = |what: &str, acked: u64, is: u64| {
        (acked != is).then(|| format!("{} was acknowledged under {what} {acked} and is stored under {is}", row.id))
    };
    differs("id", stored.id, row.id)
        .or_else(|| room.and_then(|room| differs("room", room, row.room)))
        .or_else(|| stored.seq.and_then(|seq| differs("seq", seq, row.seq)))
        .or_else(|| differs("version", stored.version?, row.first_version?))
}

/// Matches messages without a key by the id of their ack, or else by content.
fn check_keyless(sender: u64, tries: Vec<Attempt<'_>>, mut rows: Vec<&Message>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    for one in &tries {
        let key = (sender, one.content);
        let Some(stored) = &one.stored else {
            if !one.refused {
                open.push(one.content);
            }
            continue;
        };
        let Some(position) = rows.iter().position(|row| row.id == stored.id) else {
            let what =
                format!("{:?} of user {sender} was acknowledged as {} and is not in the store", one.content, stored.id);
            found.push(violation(Some(stored.id), key, what));
            continue;
        };
        let row = rows.swap_remove(position);
        if let Some(difference) = misplaced(stored, one.room, row) {
            found.push(violation(Some(row.id), key, difference));
        } else if is_as_stored(row) && row.content != one.content {
            let what = format!("{:?} was acknowledged as {} and is stored as {:?}", one.content, row.id, row.content);
            found.push(violation(Some(row.id), key, what));
        }
    }
    // Match unchanged rows by content first; deleted and edited ones can only be counted.
    rows.sort_by_key(|row| !is_as_stored(row));
    for row in rows {
        let position = if is_as_stored(row) {
            open.iter().position(|content| *content == row.content)
        } else {
            open.len().checked_sub(1)
        };
        match position {
            Some(position) => drop(open.swap_remove(position)),
            None => {
                let once = tries.iter().any(|one| one.content == row.content);
                let what = if once { "is stored more often than it was sent" } else { "was never sent" };
                let what = format!("{:?} of user {sender}, stored as {}, {what}", row.content, row.id);
                found.push(violation(Some(row.id), (sender, &row.content), what));
            }
        }
    }
    found
}

/// Ids are unique, a room's seqs are 1, 2, 3 … without a gap, and no two messages share a version.
fn ids_and_positions(db: &DbState) -> Vec<Violation> {
    let mut found = Vec::new();
    let (mut ids, mut versions) = (BTreeSet::new(), BTreeSet::new());
    let mut seqs: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for message in &db.messages {
        seqs.entry(message.room).or_default().push(message.seq);
        if !ids.insert(message.id) || !versions.insert((message.room, message.version)) {
            let what = format!("message {} shares its id or its version with another", message.id);
            found.push(Violation::of_message(Rule::Stored, Some(message.id), None, what));
        }
        if db.rooms.get(&message.room).is_none_or(|room| room.version < message.version) {
            let what = format!("message {} is newer than its room", message.id);
            found.push(Violation::of_message(Rule::Stored, Some(message.id), None, what));
        }
    }
    for (id, room) in &db.rooms {
        let mut seqs = seqs.remove(id).unwrap_or_default();
        seqs.sort_unstable();
        if !seqs.iter().copied().eq(1..=room.last_seq) {
            let what = format!("room {id} has the seqs {seqs:?} and counted to {}", room.last_seq);
            found.push(Violation::of_message(Rule::Stored, None, None, what));
        }
    }
    found
}
