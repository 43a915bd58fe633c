//! Read marks never go back, whatever device moved them. Once quiesced, all devices of a user agree with the store, and
//! so do their unread counts.

use std::collections::BTreeMap;

use super::views::{DeviceKey, Replayed};
use crate::db_state::DbState;
use crate::history::Fact;
use crate::index::RunIndex;
use crate::verdict::{About, Rule, Violation};
use crate::wire::{Entry, Marked, RequestBody, ServerBody};

/// Returns the violations, and the number of marks that were compared.
#[must_use]
pub fn check(run: &RunIndex<'_>, db: &DbState, devices: &BTreeMap<DeviceKey<'_>, Replayed>) -> (Vec<Violation>, u64) {
    let mut found = acks(run, db);
    found.extend(events(run));
    let mut compared = 0;
    for (&device, replayed) in devices.iter().filter(|(_, replayed)| replayed.quiesced && replayed.broken.is_none()) {
        for (id, view) in &replayed.view.rooms {
            let Some(room) = db.rooms.get(id) else { continue };
            let Some(stored) = room.members.get(&device.0) else { continue };
            compared += 1;
            if view.read_seq != *stored {
                let what = format!("room {id} is read up to {} here and up to {stored} in the store", view.read_seq);
                found.push(violation(Some(*id), device, None, what));
            }
            // The initial mark of a new member is not notified; later movements are.
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
    found.extend(unread(run, db, &mut compared));
    (found, compared)
}

fn violation(room: Option<u64>, (user, device): DeviceKey<'_>, until: Option<usize>, what: String) -> Violation {
    let what = format!("user {user} on {device}: {what}");
    let about = About { room, user: Some(user), device: Some(device.to_owned()), until, ..About::default() };
    Violation { rule: Rule::ReadMarks, what, about }
}

/// An acknowledged mark is a lower bound for later acknowledgements and for the store.
fn acks(run: &RunIndex<'_>, db: &DbState) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut marks: BTreeMap<(u64, u64), Vec<(usize, u64)>> = BTreeMap::new();
    for exchange in &run.exchanges {
        let RequestBody::Read { room, .. } = exchange.body else { continue };
        let Some((received, Marked { read_seq, .. })) = exchange.ack::<Marked>() else { continue };
        let marks = marks.entry((exchange.socket.user, *room)).or_default();
        let floor = marks.iter().filter(|(before, _)| *before < exchange.index).map(|(_, mark)| *mark).max();
        if floor.is_some_and(|floor| read_seq < floor) {
            let what = format!("the mark of room {room} was at {floor:?} and was acknowledged at {read_seq}");
            found.push(violation(Some(*room), (exchange.socket.user, &exchange.socket.device), Some(received), what));
        }
        marks.push((received, read_seq));
    }
    for ((user, room), marks) in marks {
        let most = marks.iter().map(|(_, mark)| *mark).max();
        let stored = db.rooms.get(&room).and_then(|room| room.members.get(&user)).copied();
        if stored.is_some() && stored < most {
            let what = format!("the mark of room {room} was acknowledged at {most:?} and is {stored:?} in the store");
            found.push(violation(Some(room), (user, "any device"), None, what));
        }
    }
    found
}

/// On one socket, the notified marks of a user never go back.
fn events(run: &RunIndex<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut notified: BTreeMap<(u64, u64, u64), u64> = BTreeMap::new();
    for (index, event) in run.events.iter().enumerate() {
        let (Fact::EnvelopeReceived(envelope), Some(socket)) = (&event.fact, &event.socket) else { continue };
        let ServerBody::Read { room, user, seq } = &envelope.body else { continue };
        let before = notified.entry((socket.number, *room, *user)).or_default();
        if *seq < *before {
            let what = format!("the mark of user {user} in room {room} went back from {before} to {seq}");
            found.push(violation(Some(*room), (socket.user, &socket.device), Some(index), what));
        }
        *before = *seq;
    }
    found
}

/// Entries welcomed after the last change equal the store.
fn unread(run: &RunIndex<'_>, db: &DbState, compared: &mut u64) -> Vec<Violation> {
    let Some(quiet) = run.changes_ended else { return Vec::new() };
    let mut found = Vec::new();
    for exchange in run.exchanges.iter().filter(|exchange| exchange.index > quiet) {
        let Some((received, crate::index::Response::Welcome(welcome))) = &exchange.response else { continue };
        let user = exchange.socket.user;
        for Entry { id, read_seq, unread, .. } in &welcome.rooms {
            *compared += 1;
            let Some(stored) = db.rooms.get(id).and_then(|room| room.members.get(&user)) else { continue };
            let (here, there) = ((*read_seq, *unread), (*stored, db.unread(*id, user, *stored)));
            if here != there {
                let what = format!("mark and unread of room {id} are in the welcome as {here:?} and are {there:?}");
                found.push(violation(Some(*id), (user, &exchange.socket.device), Some(*received), what));
            }
        }
    }
    found
}
