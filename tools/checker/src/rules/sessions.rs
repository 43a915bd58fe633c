//! The newest sessions of a user stay, and no more than allowed. The order of two sessions is known only as far as their
//! first bytes show it; the rule reports no case that could have gone either way.

use std::collections::BTreeMap;

use super::Bounds;
use crate::index::{Connection, RunIndex};
use crate::verdict::{Rule, Violation};

/// Close code "connected elsewhere".
const DISPLACED: u16 = 4501;

/// Returns the violations, and the number of displaced sessions.
#[must_use]
pub fn check(run: &RunIndex<'_>, bounds: &Bounds) -> (Vec<Violation>, u64) {
    // A process of the server knows no sessions of its predecessor.
    let mut users: BTreeMap<(u64, usize), Vec<&Connection<'_>>> = BTreeMap::new();
    for connection in run.connections.values().filter(|connection| connection.may_have_opened()) {
        let server = run.server_ends_us.partition_point(|death| *death < connection.begun.1);
        users.entry((connection.socket.user, server)).or_default().push(connection);
    }
    let (mut found, mut count) = (Vec::new(), 0);
    for ((user, _), connections) in users {
        let too_many = too_many(&connections, bounds.sessions_per_user);
        found.extend(
            too_many.map(|what| Violation::of_user(Rule::Sessions, user, None, format!("user {user}: {what}"))),
        );
        for connection in connections.iter().filter(|connection| connection.closed == Some(DISPLACED)) {
            count += 1;
            let problem = without_reason(connection, &connections, run, bounds)
                .or_else(|| older_stayed(connection, &connections));
            found.extend(
                problem.map(|what| Violation::of_user(Rule::Sessions, user, None, format!("user {user}: {what}"))),
            );
        }
    }
    (found, count)
}

/// Whether the server received its first byte before the other's was sent.
fn is_certainly_older(connection: &Connection<'_>, other: &Connection<'_>, bounds: &Bounds) -> bool {
    let opened = connection.opened.map_or(u64::MAX, |(_, at)| at);
    let arrived = connection.begun.1.saturating_add(bounds.arrival_us);
    opened.min(arrived) < other.begun.1
}

fn name(connection: &Connection<'_>) -> String {
    format!("socket {} ({})", connection.socket.number, connection.socket.device)
}

fn is_same_device(one: &Connection<'_>, other: &Connection<'_>) -> bool {
    one.named.is_some() && one.named == other.named
}

/// More sessions are live at one time than allowed, or two of one device.
fn too_many(connections: &[&Connection<'_>], sessions_per_user: usize) -> Option<String> {
    let certain = || connections.iter().filter_map(|connection| Some((*connection, connection.certain_us()?)));
    certain().find_map(|(connection, (from, _))| {
        let others = || certain().filter(|(_, span)| span.0 <= from && from <= span.1);
        let all: Vec<String> = others().map(|(connection, _)| name(connection)).collect();
        if all.len() > sessions_per_user {
            return Some(format!("{} are live at once: {}", all.len(), all.join(", ")));
        }
        let twin = others()
            .find(|(other, _)| other.socket.number != connection.socket.number && is_same_device(other, connection));
        twin.map(|(other, _)| format!("two of one device are live at once: {}, {}", name(connection), name(other)))
    })
}

/// It was displaced although fewer newer sessions than allowed can have existed.
fn without_reason(
    connection: &Connection<'_>,
    connections: &[&Connection<'_>],
    run: &RunIndex<'_>,
    bounds: &Bounds,
) -> Option<String> {
    let ended = connection.ended.map_or(u64::MAX, |(at, _)| at);
    let newer: Vec<&Connection<'_>> = connections
        .iter()
        .copied()
        .filter(|other| other.socket.number != connection.socket.number && other.begun.1 <= ended)
        .filter(|other| !is_certainly_older(other, connection, bounds))
        .collect();
    if newer.iter().any(|other| is_same_device(other, connection)) {
        return None;
    }
    let spans: Vec<(u64, u64)> =
        newer.iter().map(|other| other.possible_us(&run.server_ends_us, bounds.slack_us)).collect();
    let most = spans.iter().map(|(at, _)| spans.iter().filter(|span| span.0 <= *at && *at <= span.1).count()).max();
    (most.unwrap_or(0) < bounds.sessions_per_user)
        .then(|| format!("{} was displaced without a newer session", name(connection)))
}

/// It was displaced although an older session stayed.
fn older_stayed(connection: &Connection<'_>, connections: &[&Connection<'_>]) -> Option<String> {
    let (ended, _) = connection.ended?;
    if connections
        .iter()
        .any(|other| other.socket.number != connection.socket.number && is_same_device(other, connection))
    {
        return None;
    }
    let older = connections.iter().find(|other| {
        let was_there = other.opened.is_some_and(|(_, at)| at < connection.begun.1);
        was_there && other.proven_us.is_some_and(|proven| proven > ended)
    })?;
    Some(format!("{} was displaced, and the older {} stayed", name(connection), name(older)))
}
