//! Read marks never go back, whatever device moved them; at rest all devices of a user agree with the store, and so
//! do their unread counts.

use std::collections::BTreeMap;

use super::views::{Device, Replayed};
use crate::history::Fact;
use crate::ledger::Ledger;
use crate::truth::Truth;
use crate::verdict::{About, Rule, Violation};
use crate::wire::{Ask, Entry, Marked, Said};

/// What was found, and how many marks were looked at.
#[must_use]
pub fn check(ledger: &Ledger<'_>, truth: &Truth, devices: &BTreeMap<Device<'_>, Replayed>) -> (Vec<Violation>, u64) {
    let mut found = acks(ledger, truth);
    found.extend(events(ledger));
    let mut compared = 0;
    for (&device, replayed) in devices.iter().filter(|(_, replayed)| replayed.rested && replayed.broken.is_none()) {
        for (id, view) in &replayed.view.rooms {
            let Some(room) = truth.rooms.get(id) else { continue };
            let Some(stored) = room.members.get(&device.0) else { continue };
            compared += 1;
            if view.read_seq != *stored {
                let what = format!("room {id} is read up to {} here and up to {stored} in the store", view.read_seq);
                found.push(violation(Some(*id), device, None, what));
            }
            // What newcomers begin with is told to nobody; where they read on is.
            let others = view.reads.iter().filter(|(user, _)| **user != device.0);
            for (user, seq) in others {
                if let Some(stored) = room.members.get(user)
                    && seq != stored
                {
                    let what =
                        format!("in room {id} user {user} has read up to {seq} as seen here, {stored} in the store");
                    found.push(violation(Some(*id), device, None, what));
                }
            }
        }
    }
    found.extend(unread(ledger, truth, &mut compared));
    (found, compared)
}

fn violation(room: Option<u64>, (user, device): Device<'_>, until: Option<usize>, what: String) -> Violation {
    let what = format!("user {user} on {device}: {what}");
    let about = About { room, user: Some(user), device: Some(device.to_owned()), until, ..About::default() };
    Violation { rule: Rule::Marked, what, about }
}

/// Whoever asks after an answer was heard is answered with that mark or a later one; and what was acknowledged stays.
fn acks(ledger: &Ledger<'_>, truth: &Truth) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut marks: BTreeMap<(u64, u64), Vec<(usize, u64)>> = BTreeMap::new();
    for asked in &ledger.asked {
        let Ask::Read { room, .. } = asked.ask else { continue };
        let Some((heard, Marked { read_seq, .. })) = asked.ack::<Marked>() else { continue };
        let marks = marks.entry((asked.socket.user, *room)).or_default();
        let floor = marks.iter().filter(|(before, _)| *before < asked.index).map(|(_, mark)| *mark).max();
        if floor.is_some_and(|floor| read_seq < floor) {
            let what = format!("the mark of room {room} was at {floor:?} and was acknowledged at {read_seq}");
            found.push(violation(Some(*room), (asked.socket.user, &asked.socket.device), Some(heard), what));
        }
        marks.push((heard, read_seq));
    }
    for ((user, room), marks) in marks {
        let most = marks.iter().map(|(_, mark)| *mark).max();
        let stored = truth.rooms.get(&room).and_then(|room| room.members.get(&user)).copied();
        if stored.is_some() && stored < most {
            let what = format!("the mark of room {room} was acknowledged at {most:?} and is {stored:?} in the store");
            found.push(violation(Some(room), (user, "any device"), None, what));
        }
    }
    found
}

/// What a socket is told of one user's mark only grows.
fn events(ledger: &Ledger<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut told: BTreeMap<(u64, u64, u64), u64> = BTreeMap::new();
    for (index, event) in ledger.events.iter().enumerate() {
        let (Fact::Heard(heard), Some(socket)) = (&event.fact, &event.socket) else { continue };
        let Said::Read { room, user, seq } = &heard.said else { continue };
        let before = told.entry((socket.number, *room, *user)).or_default();
        if *seq < *before {
            let what = format!("the mark of user {user} in room {room} went back from {before} to {seq}");
            found.push(violation(Some(*room), (socket.user, &socket.device), Some(index), what));
        }
        *before = *seq;
    }
    found
}

/// Entries that come when nobody changes anything any more say what the store says.
fn unread(ledger: &Ledger<'_>, truth: &Truth, compared: &mut u64) -> Vec<Violation> {
    let Some(quiet) = ledger.quiet else { return Vec::new() };
    let mut found = Vec::new();
    for asked in ledger.asked.iter().filter(|asked| asked.index > quiet) {
        let Some((heard, crate::ledger::Answer::Welcome(welcome))) = &asked.answer else { continue };
        let user = asked.socket.user;
        for Entry { id, read_seq, unread, .. } in &welcome.rooms {
            *compared += 1;
            let Some(stored) = truth.rooms.get(id).and_then(|room| room.members.get(&user)) else { continue };
            let (here, there) = ((*read_seq, *unread), (*stored, truth.unread(*id, user, *stored)));
            if here != there {
                let what = format!("mark and unread of room {id} are welcomed as {here:?} and are {there:?}");
                found.push(violation(Some(*id), (user, &asked.socket.device), Some(*heard), what));
            }
        }
    }
    found
}
