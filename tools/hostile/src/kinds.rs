//! The table of all kinds of attacks, in the order in which a run plays them. Kinds that leave something behind (many
//! rooms, for example) come last.

use std::pin::Pin;

use serde::Serialize;

use crate::attack::Attack;

mod address;
mod connecting;
mod frames;
mod messages;
mod reading;
mod rooms;

/// Who attacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// Every hostile account, from an address of its own.
    Accounts,
    /// One address, without a right to anything.
    Address,
}

/// An attack, which ends when it is dropped.
pub type Attacking = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A kind of attack.
pub struct Kind {
    /// Its name, as `--kinds` takes it.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// Who does it.
    pub actor: Actor,
    /// Begins it for one attacker.
    pub begin: fn(Attack) -> Attacking,
}

macro_rules! kinds {
    ($( $name:literal, $actor:ident, $attack:path, $about:literal; )+) => {
        /// All kinds of attacks.
        pub const KINDS: &[Kind] = &[$(
            Kind { name: $name, about: $about, actor: Actor::$actor, begin: |attack| Box::pin($attack(attack)) },
        )+];
    };
}

kinds! {
    "mentions", Accounts, messages::mentions,
        "Sends and edits messages of one @ and 4,000 CJK characters, as often as allowed.";
    "reactions", Accounts, messages::reactions,
        "Sends messages of 16 KB and adds and removes 50 reactions on each, as often as allowed.";
    "unread-history", Accounts, reading::unread_history,
        "Requests pages of history over 8 sockets that never read.";
    "unread-changes", Accounts, reading::unread_changes,
        "Requests all changes of a room over HTTP on many connections that never read.";
    "hello", Accounts, reading::hello,
        "Connects 8 devices again and again for a large welcome that nobody reads.";
    "reconnects", Accounts, connecting::reconnects,
        "Reconnects 8 devices as often as allowed.";
    "slow-readers", Accounts, connecting::slow_readers,
        "Holds 8 sockets that never read, while one of them writes as much as allowed.";
    "presence", Accounts, rooms::presence_and_typing,
        "Switches presence and typing on and off in many rooms.";
    "read-marks", Accounts, rooms::read_marks,
        "Moves read marks in a room in which all members see them.";
    "moving", Accounts, rooms::moving,
        "Joins and leaves a room, and renames rooms.";
    "searches", Accounts, reading::searches,
        "Searches for users and rooms with queries that match everything or nothing.";
    "profiles", Accounts, rooms::profiles,
        "Changes its profile to a long picture address, as often as allowed.";
    "flood", Accounts, frames::flood,
        "Sends requests without a pause, far beyond every rate.";
    "malformed", Accounts, frames::malformed,
        "Sends frames that break the protocol, and reconnects after each close.";
    "deep-json", Accounts, frames::deep_json,
        "Sends frames of 64 KB of nested or wide JSON.";
    "heads", Address, address::heads,
        "Opens thousands of connections that send only the first byte of a request.";
    "idle", Address, address::idle,
        "Keeps thousands of connections open after one request each.";
    "bodies", Address, address::bodies,
        "Sends the bodies of logins a byte at a time, on hundreds of connections.";
    "slow-frames", Address, address::slow_frames,
        "Sends WebSocket frames a byte at a time.";
    "bad-tokens", Address, address::bad_tokens,
        "Presents forged tokens, to the socket and to HTTP.";
    "one-account", Address, address::logins_to_one,
        "Sends 300 wrong logins at once to the account of one honest person.";
    "all-accounts", Address, address::logins_to_all,
        "Sends 300 wrong logins at once to the accounts of all honest people.";
    "registrations", Address, address::registrations,
        "Registers accounts without a pause.";
    "health", Address, address::health,
        "Requests /health without a pause on many connections.";
    "invitations", Accounts, rooms::invitations,
        "Creates rooms, invites all honest people to them, and opens a direct room with each.";
}

/// The kinds with these names; all of them without a name.
///
/// # Errors
/// A name that no kind has.
pub fn select(names: &[String]) -> Result<Vec<&'static Kind>, String> {
    if names.is_empty() {
        return Ok(KINDS.iter().collect());
    }
    names
        .iter()
        .map(|name| KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| format!("there is no kind {name:?}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_select_their_kind() {
        let names: BTreeSet<&str> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), KINDS.len());
        let selected = select(&["heads".to_owned(), "mentions".to_owned()]).unwrap();
        assert_eq!(selected.iter().map(|kind| kind.name).collect::<Vec<_>>(), ["heads", "mentions"]);
        assert_eq!(select(&[]).unwrap().len(), KINDS.len());
        assert!(select(&["nothing".to_owned()]).is_err());
    }
}
