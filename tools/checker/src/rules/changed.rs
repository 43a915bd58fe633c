//! Acknowledged edits, deletions and reactions are stored, and none that no client requested.

use std::collections::BTreeMap;

use super::delivered::{self, Reactions, States};
use crate::db_state::{DbState, Message};
use crate::index::RunIndex;
use crate::verdict::{Rule, Violation};
use crate::wire::{Changed, RequestBody};

/// Requested changes of one message, without the refused ones: user, request, and version of the acknowledgement.
type Requests<'a> = Vec<(u64, &'a RequestBody, Option<u64>)>;

/// Compares all requested changes with all stored messages.
#[must_use]
pub fn check(run: &RunIndex<'_>, db: &DbState, states: &States<'_>) -> Vec<Violation> {
    let mut requests: BTreeMap<u64, Requests<'_>> = BTreeMap::new();
    for exchange in run.exchanges.iter().filter(|exchange| !exchange.is_refused()) {
        if let RequestBody::Edit { message, .. }
        | RequestBody::Delete { message }
        | RequestBody::React { message, .. } = exchange.body
        {
            let version = exchange.ack::<Changed>().map(|(_, changed)| changed.version);
            requests.entry(*message).or_default().push((exchange.socket.user, exchange.body, version));
        }
    }
    let (mut found, changed_reactions) = (Vec::new(), delivered::reactions(run));
    for row in &db.messages {
        let requests = requests.remove(&row.id).unwrap_or_default();
        let problem = versions(row, &requests, states, &changed_reactions)
            .or_else(|| deletion(row, &requests))
            .or_else(|| edit(row, &requests))
            .or_else(|| reactions(row, &requests));
        found.extend(problem.map(|what| violation(row.id, what)));
    }
    for (message, requests) in requests {
        if requests.iter().any(|(_, _, version)| version.is_some()) {
            found.push(violation(
                message,
                format!("a change of message {message} was acknowledged, which is not stored"),
            ));
        }
    }
    found
}

fn violation(message: u64, what: String) -> Violation {
    Violation::of_message(Rule::Changed, Some(message), None, what)
}

/// An acknowledged version of a room is the acknowledged change.
fn versions(row: &Message, requests: &Requests<'_>, states: &States<'_>, reactions: &Reactions<'_>) -> Option<String> {
    requests.iter().find_map(|(_, change, version)| {
        let version = (*version)?;
        if row.version < version {
            return Some(format!(
                "{change:?} was acknowledged as version {version}, and {} is at {}",
                row.id, row.version
            ));
        }
        let whole = states.get(&(row.room, version)).map(|(_, state)| state);
        let reaction = reactions.get(&(row.room, version));
        // An edit or a reaction without effect is acknowledged with the version of an earlier change.
        let is_whole = whole.is_none_or(|state| {
            state.id == row.id
                && match change {
                    RequestBody::Edit { content, .. } => state.deleted || state.content == *content,
                    RequestBody::Delete { .. } => state.deleted,
                    _ => true,
                }
        });
        let is_reaction =
            reaction.is_none_or(|reaction| reaction.id == row.id && !matches!(change, RequestBody::Delete { .. }));
        (!is_whole || !is_reaction)
            .then(|| format!("{change:?} was acknowledged as version {version}, which was delivered as another change"))
    })
}

fn deletion(row: &Message, requests: &Requests<'_>) -> Option<String> {
    let mut deletions = requests.iter().filter(|(_, change, _)| matches!(change, RequestBody::Delete { .. }));
    if row.deleted {
        let none = deletions.next().is_none();
        let left = !row.content.is_empty() || !row.reactions.is_empty();
        return none
            .then(|| format!("{} is deleted, which no client requested", row.id))
            .or_else(|| left.then(|| format!("{} is deleted, and still has content or reactions", row.id)));
    }
    deletions
        .any(|(_, _, version)| version.is_some())
        .then(|| format!("the deletion of {} was acknowledged, and it is not deleted", row.id))
}

fn edit(row: &Message, requests: &Requests<'_>) -> Option<String> {
    if row.deleted {
        return None;
    }
    let edits = || {
        requests.iter().filter_map(|(_, change, version)| match change {
            RequestBody::Edit { content, .. } => Some((content, *version)),
            _ => None,
        })
    };
    let last = edits().filter_map(|(content, version)| Some((version?, content))).max_by_key(|(version, _)| *version);
    let perhaps = || edits().any(|(content, version)| version.is_none() && *content == row.content);
    match last {
        Some((_, content)) if *content != row.content && !perhaps() => {
            Some(format!("{} was edited to {content:?}, as acknowledged, and is {:?}", row.id, row.content))
        }
        None if row.edited && !perhaps() => {
            Some(format!("{} was edited to {:?}, which no client requested", row.id, row.content))
        }
        _ => None,
    }
}

fn reactions(row: &Message, requests: &Requests<'_>) -> Option<String> {
    /// The last acknowledgement (version, on or off), and whether off or on was requested without an answer.
    type Reaction = (Option<(u64, bool)>, [bool; 2]);
    if row.deleted {
        return None;
    }
    let mut requested: BTreeMap<(&str, u64), Reaction> = BTreeMap::new();
    for (user, change, version) in requests {
        let RequestBody::React { emoji, on, .. } = change else { continue };
        let (last, perhaps) = requested.entry((emoji, *user)).or_default();
        match version {
            Some(version) if last.is_none_or(|(before, _)| before <= *version) => *last = Some((*version, *on)),
            Some(_) => {}
            None => perhaps[usize::from(*on)] = true,
        }
    }
    let wrong = requested.iter().find_map(|((emoji, user), (last, perhaps))| {
        let is = row.reactions.contains(&((*emoji).to_owned(), *user));
        let expected = last.is_some_and(|(_, on)| on);
        (is != expected && !perhaps[usize::from(is)])
            .then(|| format!("{emoji} of user {user} at {} is {is}, and was acknowledged to be {expected}", row.id))
    });
    wrong.or_else(|| {
        let unrequested =
            row.reactions.iter().find(|(emoji, user)| !requested.contains_key(&(emoji.as_str(), *user)))?;
        Some(format!("{} of user {} at {} was requested by no client", unrequested.0, unrequested.1, row.id))
    })
}
