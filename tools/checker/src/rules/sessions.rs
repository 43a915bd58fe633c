//! The newest sessions of a user stay, and no more than allowed. Which of two is newer is known only as far as their
//! first bytes tell: what could have been either way is held against nobody.

use std::collections::BTreeMap;

use super::Bounds;
use crate::ledger::{Ledger, Life};
use crate::verdict::{Rule, Violation};

/// "Connected elsewhere".
const DISPLACED: u16 = 4501;

/// What was found, and how many sessions were displaced.
#[must_use]
pub fn check(ledger: &Ledger<'_>, bounds: &Bounds) -> (Vec<Violation>, u64) {
    // A life of the server knows nothing of the sessions of the one before.
    let mut users: BTreeMap<(u64, usize), Vec<&Life<'_>>> = BTreeMap::new();
    for life in ledger.lives.values().filter(|life| life.may_have_opened()) {
        let server = ledger.deaths_us.partition_point(|death| *death < life.begun.1);
        users.entry((life.socket.user, server)).or_default().push(life);
    }
    let (mut found, mut count) = (Vec::new(), 0);
    for ((user, _), lives) in users {
        let too_many = too_many(&lives, bounds.sessions_per_user);
        found.extend(too_many.map(|what| Violation::of_user(Rule::Newest, user, None, format!("user {user}: {what}"))));
        for life in lives.iter().filter(|life| life.closed == Some(DISPLACED)) {
            count += 1;
            let problem = without_reason(life, &lives, ledger, bounds).or_else(|| older_stayed(life, &lives));
            found.extend(
                problem.map(|what| Violation::of_user(Rule::Newest, user, None, format!("user {user}: {what}"))),
            );
        }
    }
    (found, count)
}

/// The server noted its first byte before the other one's was sent.
fn is_surely_older(life: &Life<'_>, other: &Life<'_>, bounds: &Bounds) -> bool {
    let opened = life.opened.map_or(u64::MAX, |(_, at)| at);
    let arrived = life.begun.1.saturating_add(bounds.arrival_us);
    opened.min(arrived) < other.begun.1
}

fn name(life: &Life<'_>) -> String {
    format!("socket {} ({})", life.socket.number, life.socket.device)
}

fn is_same_device(one: &Life<'_>, other: &Life<'_>) -> bool {
    one.named.is_some() && one.named == other.named
}

/// More sessions were registered at one time than are allowed, or two of one device.
fn too_many(lives: &[&Life<'_>], sessions_per_user: usize) -> Option<String> {
    let surely = || lives.iter().filter_map(|life| Some((*life, life.surely_us()?)));
    surely().find_map(|(life, (from, _))| {
        let others = || surely().filter(|(_, span)| span.0 <= from && from <= span.1);
        let all: Vec<String> = others().map(|(life, _)| name(life)).collect();
        if all.len() > sessions_per_user {
            return Some(format!("{} are live at once: {}", all.len(), all.join(", ")));
        }
        let twin = others().find(|(other, _)| other.socket.number != life.socket.number && is_same_device(other, life));
        twin.map(|(other, _)| format!("two of one device are live at once: {}, {}", name(life), name(other)))
    })
}

/// It made room although there can not have been as many newer ones as are allowed.
fn without_reason(life: &Life<'_>, lives: &[&Life<'_>], ledger: &Ledger<'_>, bounds: &Bounds) -> Option<String> {
    let ended = life.ended.map_or(u64::MAX, |(at, _)| at);
    let newer: Vec<&Life<'_>> = lives
        .iter()
        .copied()
        .filter(|other| other.socket.number != life.socket.number && other.begun.1 <= ended)
        .filter(|other| !is_surely_older(other, life, bounds))
        .collect();
    if newer.iter().any(|other| is_same_device(other, life)) {
        return None;
    }
    let spans: Vec<(u64, u64)> =
        newer.iter().map(|other| other.possibly_us(&ledger.deaths_us, bounds.slack_us)).collect();
    let most = spans.iter().map(|(at, _)| spans.iter().filter(|span| span.0 <= *at && *at <= span.1).count()).max();
    (most.unwrap_or(0) < bounds.sessions_per_user)
        .then(|| format!("{} was displaced, and nothing newer was there to displace it", name(life)))
}

/// It made room, and one that was there before it stayed.
fn older_stayed(life: &Life<'_>, lives: &[&Life<'_>]) -> Option<String> {
    let (ended, _) = life.ended?;
    if lives.iter().any(|other| other.socket.number != life.socket.number && is_same_device(other, life)) {
        return None;
    }
    let older = lives.iter().find(|other| {
        let was_there = other.opened.is_some_and(|(_, at)| at < life.begun.1);
        was_there && other.proven_us.is_some_and(|proven| proven > ended)
    })?;
    Some(format!("{} was displaced, and the older {} stayed", name(life), name(older)))
}
