//! What was acknowledged is in the store once, under the acknowledged place, as it was said; what was not is there
//! once or not at all; what was refused is not there; and nothing is there that nobody said.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::{Asked, Ledger};
use crate::truth::{Message, Truth};
use crate::verdict::{Rule, Violation};
use crate::wire::{Ask, Stored};

/// One saying, with every try to get it through.
#[derive(Default)]
struct Saying<'a> {
    tries: Vec<Try<'a>>,
}

struct Try<'a> {
    content: &'a str,
    /// None where the classic door names a person and not a room.
    room: Option<u64>,
    stored: Option<Stored>,
    refused: bool,
}

/// Looks at everything that was said and everything that is in the store.
#[must_use]
pub fn check(ledger: &Ledger<'_>, truth: &Truth) -> Vec<Violation> {
    let mut keyed: BTreeMap<(u64, &str), Saying<'_>> = BTreeMap::new();
    let mut keyless: BTreeMap<u64, Vec<Try<'_>>> = BTreeMap::new();
    for asked in &ledger.asked {
        let (room, content, client_id) = match asked.ask {
            Ask::Message { room, content, client_id, .. } => (Some(*room), content, client_id),
            Ask::Private { content, client_id, .. } => (None, content, client_id),
            _ => continue,
        };
        let stored = asked.ack::<Stored>().map(|(_, stored)| stored);
        let one = Try { content, room, stored, refused: Asked::is_refused(asked) };
        match client_id {
            Some(client_id) => keyed.entry((asked.socket.user, client_id)).or_default().tries.push(one),
            None => keyless.entry(asked.socket.user).or_default().push(one),
        }
    }

    let mut found = ids_and_places(truth);
    let mut rows: BTreeMap<(u64, &str), Vec<&Message>> = BTreeMap::new();
    for message in &truth.messages {
        if let Some(client_id) = &message.client_id {
            rows.entry((message.sender, client_id)).or_default().push(message);
        }
    }
    for (key, saying) in &keyed {
        found.extend(saying.check(*key, rows.remove(key).as_deref().unwrap_or_default()));
    }
    for (key, rows) in rows {
        let what = format!("nobody said what user {} is stored to have said as {}", key.0, key.1);
        found.push(violation(Some(rows[0].id), key, what));
    }
    let mut without: BTreeMap<u64, Vec<&Message>> = BTreeMap::new();
    for message in truth.messages.iter().filter(|message| message.client_id.is_none()) {
        without.entry(message.sender).or_default().push(message);
    }
    let senders: BTreeSet<u64> = without.keys().chain(keyless.keys()).copied().collect();
    for sender in senders {
        let tries = keyless.remove(&sender).unwrap_or_default();
        found.extend(check_keyless(sender, tries, without.remove(&sender).unwrap_or_default()));
    }
    found
}

fn violation(message: Option<u64>, (sender, said): (u64, &str), what: String) -> Violation {
    Violation::of_message(Rule::Said, message, Some((sender, said.to_owned())), what)
}

impl Saying<'_> {
    fn check(&self, key: (u64, &str), rows: &[&Message]) -> Vec<Violation> {
        let mut found = Vec::new();
        let first = rows.first().copied();
        let id = first.map(|row| row.id);
        let mut say = |what: String| found.push(violation(id, key, what));
        let acks = || self.tries.iter().filter_map(|one| Some((one, one.stored.as_ref()?)));
        if rows.len() > 1 {
            let ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
            say(format!("{} of user {} is stored more than once, as {ids:?}", key.1, key.0));
        }
        let Some(row) = first else {
            if let Some((_, stored)) = acks().next() {
                say(format!("{} of user {} was acknowledged as {} and is not in the store", key.1, key.0, stored.id));
            }
            return found;
        };
        if self.tries.iter().all(|one| one.refused) {
            say(format!("{} of user {} was refused and is in the store as {}", key.1, key.0, row.id));
        }
        for (one, stored) in acks() {
            if let Some(difference) = misplaced(stored, one.room, row) {
                say(difference);
            } else if is_as_stored(row) && one.content != row.content {
                say(format!("{:?} was acknowledged as {} and is stored as {:?}", one.content, row.id, row.content));
            }
        }
        if acks().next().is_none() && is_as_stored(row) && self.tries.iter().all(|one| one.content != row.content) {
            say(format!("{} is stored as {:?}, which nobody said", row.id, row.content));
        }
        // The classic door does not say whether it is a repeat.
        let firsts = acks().filter(|(_, stored)| stored.seq.is_some() && !stored.duplicate).count();
        if firsts > 1 {
            say(format!("{} of user {} was stored anew {firsts} times, as its acks say", key.1, key.0));
        }
        if self.tries.len() == 1 && acks().any(|(_, stored)| stored.duplicate) {
            say(format!("{} of user {} was said once and acknowledged as a repeat", key.1, key.0));
        }
        found
    }
}

/// Its content is still the one with which it was stored.
fn is_as_stored(row: &Message) -> bool {
    !row.edited && !row.deleted
}

fn misplaced(stored: &Stored, room: Option<u64>, row: &Message) -> Option<String> {
    let differs = |what: &str, said: u64, is: u64| {
        (said != is).then(|| format!("{} was acknowledged under {what} {said} and is stored under {is}", row.id))
    };
    differs("id", stored.id, row.id)
        .or_else(|| room.and_then(|room| differs("room", room, row.room)))
        .or_else(|| stored.seq.and_then(|seq| differs("seq", seq, row.seq)))
        .or_else(|| differs("version", stored.version?, row.first_version?))
}

/// What was said without a key is known by the id of its ack, or else by its content.
fn check_keyless(sender: u64, tries: Vec<Try<'_>>, mut rows: Vec<&Message>) -> Vec<Violation> {
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
        let Some(place) = rows.iter().position(|row| row.id == stored.id) else {
            let what =
                format!("{:?} of user {sender} was acknowledged as {} and is not in the store", one.content, stored.id);
            found.push(violation(Some(stored.id), key, what));
            continue;
        };
        let row = rows.swap_remove(place);
        if let Some(difference) = misplaced(stored, one.room, row) {
            found.push(violation(Some(row.id), key, difference));
        } else if is_as_stored(row) && row.content != one.content {
            let what = format!("{:?} was acknowledged as {} and is stored as {:?}", one.content, row.id, row.content);
            found.push(violation(Some(row.id), key, what));
        }
    }
    // Those that still show what they were go first; what became of the others only their number tells.
    rows.sort_by_key(|row| !is_as_stored(row));
    for row in rows {
        let place = if is_as_stored(row) {
            open.iter().position(|content| *content == row.content)
        } else {
            open.len().checked_sub(1)
        };
        match place {
            Some(place) => drop(open.swap_remove(place)),
            None => {
                let once = tries.iter().any(|one| one.content == row.content);
                let what = if once { "is stored more often than it was said" } else { "was never said" };
                let what = format!("{:?} of user {sender}, stored as {}, {what}", row.content, row.id);
                found.push(violation(Some(row.id), (sender, &row.content), what));
            }
        }
    }
    found
}

/// Ids are unique, a room's seqs are 1, 2, 3 … without a hole, and no two messages have one version.
fn ids_and_places(truth: &Truth) -> Vec<Violation> {
    let mut found = Vec::new();
    let (mut ids, mut versions) = (BTreeSet::new(), BTreeSet::new());
    let mut seqs: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for message in &truth.messages {
        seqs.entry(message.room).or_default().push(message.seq);
        if !ids.insert(message.id) || !versions.insert((message.room, message.version)) {
            let what = format!("message {} shares its id or its version with another", message.id);
            found.push(Violation::of_message(Rule::Said, Some(message.id), None, what));
        }
        if truth.rooms.get(&message.room).is_none_or(|room| room.version < message.version) {
            let what = format!("message {} is newer than its room", message.id);
            found.push(Violation::of_message(Rule::Said, Some(message.id), None, what));
        }
    }
    for (id, room) in &truth.rooms {
        let mut seqs = seqs.remove(id).unwrap_or_default();
        seqs.sort_unstable();
        if !seqs.iter().copied().eq(1..=room.last_seq) {
            let what = format!("room {id} has the seqs {seqs:?} and counted to {}", room.last_seq);
            found.push(Violation::of_message(Rule::Said, None, None, what));
        }
    }
    found
}
