//! What is delivered was said before, lies where the store says, and one version of a room is one state of one
//! message, whoever hears of it, live, in a bracket or in a page of the past.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::Ledger;
use crate::truth::{self, Truth};
use crate::verdict::{Rule, Violation};
use crate::wire::{Ask, Entry, Message};

/// What every room's versions were, as they were heard: the first who heard of each, and what.
pub type States<'a> = BTreeMap<(u64, u64), (usize, &'a Message)>;

/// Every version of every room that anybody heard of.
#[must_use]
pub fn states<'a>(ledger: &'a Ledger<'_>) -> States<'a> {
    let mut states = States::new();
    for (index, _, message) in &ledger.messages {
        states.entry((message.room, message.version)).or_insert((*index, message));
    }
    states
}

/// Looks at everything that came over v1.
#[must_use]
pub fn check(ledger: &Ledger<'_>, truth: &Truth, states: &States<'_>) -> Vec<Violation> {
    let stored: BTreeMap<u64, &truth::Message> = truth.messages.iter().map(|message| (message.id, message)).collect();
    let (said, brought) = (first_said(ledger), brought_in(ledger));
    let mut found = Vec::new();
    let mut told = BTreeSet::new();
    for (index, socket, message) in &ledger.messages {
        let first = states[&(message.room, message.version)].1;
        let problem = lies_elsewhere(message, &stored)
            .or_else(|| nobody_said(*index, message, &said))
            .or_else(|| differs(message, first))
            .or_else(|| differs_from_store(message, stored[&message.id]))
            .or_else(|| {
                let is_theirs = may_read(truth, &brought, message.room, socket.user);
                (!is_theirs).then(|| format!("it came to user {}, who was never in room {}", socket.user, message.room))
            });
        // One message that is wrong is told once, however many heard of it.
        if let Some(problem) = problem
            && told.insert(message.id)
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
    found.extend(times(ledger));
    found
}

/// When each thing was said first, by its key or its content.
fn first_said<'a>(ledger: &Ledger<'a>) -> BTreeMap<(u64, &'a str), usize> {
    let mut said = BTreeMap::new();
    for asked in &ledger.asked {
        if let Ask::Message { content, client_id, .. } | Ask::Private { content, client_id, .. } = asked.ask {
            let key = client_id.as_ref().unwrap_or(content);
            said.entry((asked.socket.user, key.as_str())).or_insert(asked.index);
        }
    }
    said
}

fn lies_elsewhere(message: &Message, stored: &BTreeMap<u64, &truth::Message>) -> Option<String> {
    let Some(row) = stored.get(&message.id) else { return Some("it is not in the store".to_owned()) };
    let here = (message.room, message.seq, message.sender.id, message.client_id.as_ref());
    let there = (row.room, row.seq, row.sender, row.client_id.as_ref());
    if here != there {
        return Some(format!("it was delivered as {here:?} and is stored as {there:?}"));
    }
    (message.version > row.version).then(|| format!("it is at version {} in the store", row.version))
}

fn nobody_said(index: usize, message: &Message, said: &BTreeMap<(u64, &str), usize>) -> Option<String> {
    let is_new = message.edited_at.is_none() && !message.deleted;
    let key = match &message.client_id {
        Some(client_id) => client_id,
        None if is_new => &message.content,
        // What it was before is known by nobody who comes late.
        None => return None,
    };
    match said.get(&(message.sender.id, key.as_str())) {
        Some(asked) if *asked > index => Some("it was said after it was heard".to_owned()),
        // That nobody said what is in the store is told by the rule about what was said.
        _ => None,
    }
}

fn differs(message: &Message, first: &Message) -> Option<String> {
    let state = |message: &Message| {
        (message.id, message.content.clone(), message.deleted, message.edited_at.clone(), message.reactions.clone())
    };
    (state(message) != state(first))
        .then(|| format!("one version, two states: {:?} and {:?}", state(message), state(first)))
}

fn differs_from_store(message: &Message, row: &truth::Message) -> Option<String> {
    if message.version != row.version {
        return None;
    }
    let mut reactions = BTreeMap::new();
    for (emoji, _) in &row.reactions {
        *reactions.entry(emoji.clone()).or_insert(0) += 1;
    }
    let here = (&message.content, message.deleted, message.edited_at.is_some(), &message.reactions);
    let there = (&row.content, row.deleted, row.edited, &reactions);
    (here != there).then(|| format!("it was delivered as {here:?} and is stored as {there:?}"))
}

/// Whom somebody wanted to be in a room, at any time: they themselves, or who brought them in.
fn brought_in(ledger: &Ledger<'_>) -> BTreeSet<(u64, u64)> {
    let mut brought = BTreeSet::new();
    for asked in &ledger.asked {
        match asked.ask {
            Ask::Join { room } => brought.insert((*room, asked.socket.user)),
            Ask::Invite { room, user } => brought.insert((*room, *user)),
            Ask::Create { .. } => {
                asked.ack::<Entry>().is_some_and(|(_, entry)| brought.insert((entry.id, asked.socket.user)))
            }
            _ => false,
        };
    }
    brought
}

fn may_read(truth: &Truth, brought: &BTreeSet<(u64, u64)>, room: u64, user: u64) -> bool {
    let Some(there) = truth.rooms.get(&room) else { return false };
    there.kind == "public" || there.members.contains_key(&user) || brought.contains(&(room, user))
}

/// Within a room times never decrease.
fn times(ledger: &Ledger<'_>) -> Vec<Violation> {
    let mut by_seq: BTreeMap<(u64, u64), &Message> = BTreeMap::new();
    for (_, _, message) in &ledger.messages {
        by_seq.entry((message.room, message.seq)).or_insert(message);
    }
    let messages: Vec<&&Message> = by_seq.values().collect();
    let back = messages.windows(2).filter(|two| two[0].room == two[1].room && two[0].send_time > two[1].send_time);
    back.map(|two| {
        let what = format!(
            "message {} was sent at {} and {}, behind it, at {}",
            two[0].id, two[0].send_time, two[1].id, two[1].send_time
        );
        Violation::of_message(Rule::Delivered, Some(two[1].id), None, what)
    })
    .collect()
}
