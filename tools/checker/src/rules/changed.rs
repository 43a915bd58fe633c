//! Acknowledged edits, deletions and reactions are there, and none that nobody asked for.

use std::collections::BTreeMap;

use super::delivered::States;
use crate::ledger::Ledger;
use crate::truth::{Message, Truth};
use crate::verdict::{Rule, Violation};
use crate::wire::{Ask, Changed};

/// What was asked to be done to one message: by whom, what, and the version of the ack; those that were refused
/// left out.
type Wishes<'a> = Vec<(u64, &'a Ask, Option<u64>)>;

/// Looks at every change that was asked for and every message.
#[must_use]
pub fn check(ledger: &Ledger<'_>, truth: &Truth, states: &States<'_>) -> Vec<Violation> {
    let mut wishes: BTreeMap<u64, Wishes<'_>> = BTreeMap::new();
    for asked in ledger.asked.iter().filter(|asked| !asked.is_refused()) {
        if let Ask::Edit { message, .. } | Ask::Delete { message } | Ask::React { message, .. } = asked.ask {
            let version = asked.ack::<Changed>().map(|(_, changed)| changed.version);
            wishes.entry(*message).or_default().push((asked.socket.user, asked.ask, version));
        }
    }
    let mut found = Vec::new();
    for row in &truth.messages {
        let wishes = wishes.remove(&row.id).unwrap_or_default();
        let problem = versions(row, &wishes, states)
            .or_else(|| deletion(row, &wishes))
            .or_else(|| edit(row, &wishes))
            .or_else(|| reactions(row, &wishes));
        found.extend(problem.map(|what| violation(row.id, what)));
    }
    for (message, wishes) in wishes {
        if wishes.iter().any(|(_, _, version)| version.is_some()) {
            found
                .push(violation(message, format!("a change of {message} was acknowledged, which is not in the store")));
        }
    }
    found
}

fn violation(message: u64, what: String) -> Violation {
    Violation::of_message(Rule::Changed, Some(message), None, what)
}

/// A change was acknowledged under a version, and that version of the room is this change.
fn versions(row: &Message, wishes: &Wishes<'_>, states: &States<'_>) -> Option<String> {
    wishes.iter().find_map(|(_, ask, version)| {
        let version = (*version)?;
        if row.version < version {
            return Some(format!(
                "{ask:?} was acknowledged as version {version}, and {} is at {}",
                row.id, row.version
            ));
        }
        let (_, heard) = states.get(&(row.room, version))?;
        let is_it = heard.id == row.id
            && match ask {
                Ask::Edit { content, .. } => heard.deleted || heard.content == *content,
                Ask::Delete { .. } => heard.deleted,
                _ => true,
            };
        (!is_it).then(|| format!("{ask:?} was acknowledged as version {version}, which was heard to be another change"))
    })
}

fn deletion(row: &Message, wishes: &Wishes<'_>) -> Option<String> {
    let mut deletions = wishes.iter().filter(|(_, ask, _)| matches!(ask, Ask::Delete { .. }));
    if row.deleted {
        let none = deletions.next().is_none();
        let left = !row.content.is_empty() || !row.reactions.is_empty();
        return none
            .then(|| format!("{} is deleted, and nobody asked for it", row.id))
            .or_else(|| left.then(|| format!("{} is deleted, and something is left of it", row.id)));
    }
    deletions
        .any(|(_, _, version)| version.is_some())
        .then(|| format!("the deletion of {} was acknowledged, and it is there", row.id))
}

fn edit(row: &Message, wishes: &Wishes<'_>) -> Option<String> {
    if row.deleted {
        return None;
    }
    let edits = || {
        wishes.iter().filter_map(|(_, ask, version)| match ask {
            Ask::Edit { content, .. } => Some((content, *version)),
            _ => None,
        })
    };
    let last = edits().filter_map(|(content, version)| Some((version?, content))).max_by_key(|(version, _)| *version);
    let perhaps = || edits().any(|(content, version)| version.is_none() && *content == row.content);
    match last {
        Some((_, content)) if *content != row.content && !perhaps() => {
            Some(format!("{} was edited to {content:?}, as acknowledged, and is {:?}", row.id, row.content))
        }
        None if row.edited && !perhaps() => Some(format!("{} was edited to {:?}, by nobody", row.id, row.content)),
        _ => None,
    }
}

fn reactions(row: &Message, wishes: &Wishes<'_>) -> Option<String> {
    /// What was acknowledged last: version, on or off; and whether off or on was asked for and never answered.
    type Asked = (Option<(u64, bool)>, [bool; 2]);
    if row.deleted {
        return None;
    }
    let mut asked: BTreeMap<(&str, u64), Asked> = BTreeMap::new();
    for (user, ask, version) in wishes {
        let Ask::React { emoji, on, .. } = ask else { continue };
        let (last, perhaps) = asked.entry((emoji, *user)).or_default();
        match version {
            Some(version) if last.is_none_or(|(before, _)| before <= *version) => *last = Some((*version, *on)),
            Some(_) => {}
            None => perhaps[usize::from(*on)] = true,
        }
    }
    let wrong = asked.iter().find_map(|((emoji, user), (last, perhaps))| {
        let is = row.reactions.contains(&((*emoji).to_owned(), *user));
        let expected = last.is_some_and(|(_, on)| on);
        (is != expected && !perhaps[usize::from(is)])
            .then(|| format!("{emoji} of user {user} at {} is {is}, and was acknowledged to be {expected}", row.id))
    });
    wrong.or_else(|| {
        let nobodys = row.reactions.iter().find(|(emoji, user)| !asked.contains_key(&(emoji.as_str(), *user)))?;
        Some(format!("{} of user {} at {} was asked for by nobody", nobodys.0, nobodys.1, row.id))
    })
}
