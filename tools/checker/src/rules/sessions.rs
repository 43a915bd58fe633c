//! A device has one live session, the newest; a user has no more devices than allowed, and the oldest is displaced. The
//! order of two sessions is known only as far as their first bytes show it; the rule reports no case that could have gone
//! either way.

use std::collections::{BTreeMap, BTreeSet};

use super::Bounds;
use crate::history::Dialect;
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
        let too_many = too_many(&connections, bounds.devices_per_user);
        found.extend(
            too_many.map(|what| Violation::of_user(Rule::Sessions, user, None, format!("user {user}: {what}"))),
        );
        for connection in connections.iter().filter(|connection| connection.closed == Some(DISPLACED)) {
            count += 1;
            let newer = possibly_newer(connection, &connections, bounds);
            if newer.iter().any(|other| Device::of(other) == Device::of(connection)) {
                continue;
            }
            let problem =
                without_reason(connection, &newer, run, bounds).or_else(|| older_stayed(connection, &connections));
            found.extend(
                problem.map(|what| Violation::of_user(Rule::Sessions, user, None, format!("user {user}: {what}"))),
            );
        }
    }
    (found, count)
}

/// The device of a session, among those of its user.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Device<'a> {
    Classic,
    Named(&'a str),
    /// A device of its own: the number of the socket.
    Unnamed(u64),
}

impl<'a> Device<'a> {
    fn of(connection: &Connection<'a>) -> Self {
        match (connection.socket.dialect, connection.named) {
            (Dialect::Classic, _) => Self::Classic,
            (_, Some(name)) => Self::Named(name),
            (_, None) => Self::Unnamed(connection.socket.number),
        }
    }
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

/// More devices are live at one time than allowed, or two sessions of one device.
fn too_many(connections: &[&Connection<'_>], devices_per_user: usize) -> Option<String> {
    let certain = || connections.iter().filter_map(|connection| Some((*connection, connection.certain_us()?)));
    certain().find_map(|(connection, (from, _))| {
        let others = || certain().filter(|(_, span)| span.0 <= from && from <= span.1);
        let is_twin = |other: &Connection<'_>| {
            other.socket.number != connection.socket.number && Device::of(other) == Device::of(connection)
        };
        if let Some((twin, _)) = others().find(|(other, _)| is_twin(other)) {
            return Some(format!("two of one device are live at once: {}, {}", name(connection), name(twin)));
        }
        let all: Vec<String> = others().map(|(connection, _)| name(connection)).collect();
        (all.len() > devices_per_user).then(|| format!("{} are live at once: {}", all.len(), all.join(", ")))
    })
}

/// The sessions that may be newer, of those that may have begun before it ended.
fn possibly_newer<'a, 'b>(
    connection: &Connection<'_>,
    connections: &[&'b Connection<'a>],
    bounds: &Bounds,
) -> Vec<&'b Connection<'a>> {
    let ended = connection.ended.map_or(u64::MAX, |(at, _)| at);
    let others = connections.iter().copied().filter(|other| other.socket.number != connection.socket.number);
    others.filter(|other| other.begun.1 <= ended && !is_certainly_older(other, connection, bounds)).collect()
}

/// It was displaced although fewer newer devices than allowed can have been live at once.
fn without_reason(
    connection: &Connection<'_>,
    newer: &[&Connection<'_>],
    run: &RunIndex<'_>,
    bounds: &Bounds,
) -> Option<String> {
    let spans: Vec<_> = newer
        .iter()
        .map(|other| (other.possible_us(&run.server_ends_us, bounds.slack_us), Device::of(other)))
        .collect();
    let devices_at = |at: u64| {
        let there = spans.iter().filter(|((from, until), _)| *from <= at && at <= *until);
        there.map(|(_, device)| *device).collect::<BTreeSet<_>>().len()
    };
    let most = spans.iter().map(|((from, _), _)| devices_at(*from)).max();
    (most.unwrap_or(0) < bounds.devices_per_user)
        .then(|| format!("{} was displaced without a newer session", name(connection)))
}

/// It was displaced although an older device stayed.
fn older_stayed(connection: &Connection<'_>, connections: &[&Connection<'_>]) -> Option<String> {
    let (ended, _) = connection.ended?;
    let older = connections.iter().find(|other| {
        let was_there = other.opened.is_some_and(|(_, at)| at < connection.begun.1);
        was_there && other.proven_us.is_some_and(|proven| proven > ended)
    })?;
    Some(format!("{} was displaced, and the older {} stayed", name(connection), name(older)))
}
