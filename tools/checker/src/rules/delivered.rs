//! Every delivered message was sent before, has its stored position, and each version of a room is one state of one
//! message for all clients, whether live (as a whole, or its reactions alone), in a catch-up or in a history page.

use std::collections::{BTreeMap, BTreeSet};

use crate::db_state::{self, DbState};
use crate::index::RunIndex;
use crate::verdict::{Rule, Violation};
use crate::wire::{Entry, Message, ReactionsChange, RequestBody};

/// The first delivery of each (room, version): event and message.
pub type States<'a> = BTreeMap<(u64, u64), (usize, &'a Message)>;

/// Collects the first delivery of each version.
#[must_use]
pub fn states<'a>(run: &'a RunIndex<'_>) -> States<'a> {
    let mut states = States::new();
    for (index, _, message) in &run.messages {
        states.entry((message.room, message.version)).or_insert((*index, message));
    }
    states
}

/// The first delivery of each (room, version) that was a change of reactions.
pub type Reactions<'a> = BTreeMap<(u64, u64), &'a ReactionsChange>;

/// Collects the first delivery of each change of reactions.
#[must_use]
pub fn reactions<'a>(run: &RunIndex<'a>) -> Reactions<'a> {
    let mut reactions = Reactions::new();
    for (_, _, change) in &run.reactions {
        reactions.entry((change.room, change.version)).or_insert(change);
    }
    reactions
}

/// Checks every message received over v1.
#[must_use]
pub fn check(run: &RunIndex<'_>, db: &DbState, states: &States<'_>) -> Vec<Violation> {
    let stored: BTreeMap<u64, &db_state::Message> = db.messages.iter().map(|message| (message.id, message)).collect();
    let (sent, members) = (first_sent(run), possible_members(run));
    let mut found = Vec::new();
    let mut reported = BTreeSet::new();
    for (index, socket, message) in &run.messages {
        let first = states[&(message.room, message.version)].1;
        let problem = is_misplaced(message, &stored)
            .or_else(|| sent_too_late(*index, message, &sent))
            .or_else(|| differs(message, first))
            .or_else(|| differs_from_store(message, stored[&message.id]))
            .or_else(|| {
                let may_read = may_read(db, &members, message.room, socket.user);
                (!may_read).then(|| {
                    format!("it was delivered to user {}, who was never in room {}", socket.user, message.room)
                })
            });
        // A wrong message is reported once, however many clients received it.
        if let Some(problem) = problem
            && reported.insert(message.id)
        {
            let what =
                format!("message {} (room {}, version {}): {problem}", message.id, message.room, message.version);
            let key = message.client_id.clone().unwrap_or_else(|| message.content.clone());
            let mut violation =
                Violation::of_message(Rule::Delivered, Some(message.id), Some((message.sender.id, key)), what);
            violation.about.until = Some(*index);
            found.push(violation);
        }
    }
    found.extend(times(run));
    found.extend(changes_of_reactions(run, db, states, &stored, &members));
    found
}

/// Checks every live change of reactions.
fn changes_of_reactions(
    run: &RunIndex<'_>,
    db: &DbState,
    states: &States<'_>,
    stored: &BTreeMap<u64, &db_state::Message>,
    members: &BTreeSet<(u64, u64)>,
) -> Vec<Violation> {
    let (first, mut found, mut reported) = (reactions(run), Vec::new(), BTreeSet::new());
    for (index, socket, change) in &run.reactions {
        let key = (change.room, change.version);
        let row = stored.get(&change.id).filter(|row| row.room == change.room && row.version >= change.version);
        let whole = states.get(&key).map(|(_, message)| message);
        let problem = if row.is_none() {
            Some("it is not stored there at that version".to_owned())
        } else if whole.is_some_and(|whole| (whole.id, &whole.reactions) != (change.id, &change.reactions)) {
            Some(format!("one version with two states: {change:?} and {whole:?}"))
        } else if first[&key] != *change {
            Some(format!("one version with two changes: {change:?} and {:?}", first[&key]))
        } else if let Some(row) = row.filter(|row| row.version == change.version)
            && counts(row) != change.reactions
        {
            Some(format!("it was delivered with {:?} and is stored with {:?}", change.reactions, row.reactions))
        } else if !may_read(db, members, change.room, socket.user) {
            Some(format!("it was delivered to user {}, who was never in room {}", socket.user, change.room))
        } else {
            None
        };
        if let Some(problem) = problem
            && reported.insert(change.id)
        {
            let what = format!(
                "reactions to message {} (room {}, version {}): {problem}",
                change.id, change.room, change.version
            );
            let mut violation = Violation::of_message(Rule::Delivered, Some(change.id), None, what);
            violation.about.until = Some(*index);
            found.push(violation);
        }
    }
    found
}

/// The number of reactions to a stored message, by emoji.
fn counts(row: &db_state::Message) -> BTreeMap<String, u64> {
    let mut reactions = BTreeMap::new();
    for (emoji, _) in &row.reactions {
        *reactions.entry(emoji.clone()).or_insert(0) += 1;
    }
    reactions
}

/// The event at which each message was first sent, by user and key or content.
fn first_sent<'a>(run: &RunIndex<'a>) -> BTreeMap<(u64, &'a str), usize> {
    let mut sent = BTreeMap::new();
    for exchange in &run.exchanges {
        if let RequestBody::Message { content, client_id, .. } | RequestBody::Private { content, client_id, .. } =
            exchange.body
        {
            let key = client_id.as_ref().unwrap_or(content);
            sent.entry((exchange.socket.user, key.as_str())).or_insert(exchange.index);
        }
    }
    sent
}

fn is_misplaced(message: &Message, stored: &BTreeMap<u64, &db_state::Message>) -> Option<String> {
    let Some(row) = stored.get(&message.id) else { return Some("it is not stored".to_owned()) };
    let here = (message.room, message.seq, message.sender.id, message.client_id.as_ref());
    let there = (row.room, row.seq, row.sender, row.client_id.as_ref());
    if here != there {
        return Some(format!("it was delivered as {here:?} and is stored as {there:?}"));
    }
    (message.version > row.version).then(|| format!("it is at version {} in the store", row.version))
}

fn sent_too_late(index: usize, message: &Message, sent: &BTreeMap<(u64, &str), usize>) -> Option<String> {
    let is_new = message.edited_at.is_none() && !message.deleted;
    let key = match &message.client_id {
        Some(client_id) => client_id,
        None if is_new => &message.content,
        // The original content of a changed message is unknown to a late client.
        None => return None,
    };
    match sent.get(&(message.sender.id, key.as_str())) {
        Some(sent) if *sent > index => Some("it was sent after it was delivered".to_owned()),
        // The rule `Stored` reports messages that no client sent.
        _ => None,
    }
}

fn differs(message: &Message, first: &Message) -> Option<String> {
    let state = |message: &Message| {
        (message.id, message.content.clone(), message.deleted, message.edited_at.clone(), message.reactions.clone())
    };
    (state(message) != state(first))
        .then(|| format!("one version with two states: {:?} and {:?}", state(message), state(first)))
}

fn differs_from_store(message: &Message, row: &db_state::Message) -> Option<String> {
    if message.version != row.version {
        return None;
    }
    let reactions = counts(row);
    let here = (&message.content, message.deleted, message.edited_at.is_some(), &message.reactions);
    let there = (&row.content, row.deleted, row.edited, &reactions);
    (here != there).then(|| format!("it was delivered as {here:?} and is stored as {there:?}"))
}

/// Who may have been a member of a room at any time, by join, invitation or creation.
fn possible_members(run: &RunIndex<'_>) -> BTreeSet<(u64, u64)> {
    let mut members = BTreeSet::new();
    for exchange in &run.exchanges {
        match exchange.body {
            RequestBody::Join { room } | RequestBody::Accept { room } => members.insert((*room, exchange.socket.user)),
            RequestBody::Invite { room, user } => members.insert((*room, *user)),
            RequestBody::Create { .. } => {
                exchange.ack::<Entry>().is_some_and(|(_, entry)| members.insert((entry.id, exchange.socket.user)))
            }
            _ => false,
        };
    }
    members
}

fn may_read(db: &DbState, members: &BTreeSet<(u64, u64)>, room: u64, user: u64) -> bool {
    let Some(there) = db.rooms.get(&room) else { return false };
    there.kind == "public" || there.members.contains_key(&user) || members.contains(&(room, user))
}

/// Within a room, times never decrease.
fn times(run: &RunIndex<'_>) -> Vec<Violation> {
    let mut by_seq: BTreeMap<(u64, u64), &Message> = BTreeMap::new();
    for (_, _, message) in &run.messages {
        by_seq.entry((message.room, message.seq)).or_insert(message);
    }
    let messages: Vec<&&Message> = by_seq.values().collect();
    let decreasing =
        messages.windows(2).filter(|two| two[0].room == two[1].room && two[0].send_time > two[1].send_time);
    decreasing
        .map(|two| {
            let what = format!(
                "message {} was sent at {} and its successor {} at {}",
                two[0].id, two[0].send_time, two[1].id, two[1].send_time
            );
            Violation::of_message(Rule::Delivered, Some(two[1].id), None, what)
        })
        .collect()
}
