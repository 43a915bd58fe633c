//! What a v1 device shows of a room is the room: its envelopes are replayed by the protocol's own rules, and what it
//! holds at rest is what the store holds.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Dialect, Fact};
use crate::ledger::Ledger;
use crate::truth::{self, Truth};
use crate::verdict::{About, Rule, Violation};
use crate::view::{Broken, DeviceView, RoomView};
use crate::wire::{Ask, Message};

/// A device of somebody.
pub type Device<'a> = (u64, &'a str);

/// What became of a device.
pub struct Replayed {
    /// What it holds at the end.
    pub view: DeviceView,
    /// The socket that it believed last.
    pub socket: u64,
    /// What broke a rule, and the event; it was not replayed any further.
    pub broken: Option<(usize, Broken)>,
    /// It was brought to rest on that socket, which is still open.
    pub rested: bool,
}

/// Replays every v1 device. What comes on another socket than the one that said hello last is not believed.
#[must_use]
pub fn replay<'a>(ledger: &Ledger<'a>) -> BTreeMap<Device<'a>, Replayed> {
    let mut devices: BTreeMap<Device<'a>, Replayed> = BTreeMap::new();
    for (index, event) in ledger.events.iter().enumerate() {
        let Some(socket) = event.socket.as_ref().filter(|socket| socket.dialect == Dialect::V1) else { continue };
        let device = devices.entry((socket.user, &*socket.device)).or_insert_with(|| Replayed {
            view: DeviceView::default(),
            socket: 0,
            broken: None,
            rested: false,
        });
        if let Fact::Asked(request) = &event.fact {
            if matches!(request.ask, Ask::Hello { .. }) {
                (device.socket, device.rested) = (socket.number, false);
            }
            if device.socket == socket.number {
                device.view.asks(request);
            }
        }
        if device.socket != socket.number || device.broken.is_some() {
            continue;
        }
        match &event.fact {
            Fact::Heard(heard) => device.broken = device.view.hears(heard).err().map(|broken| (index, broken)),
            Fact::Garbled { text } => {
                device.broken = Some((index, Broken { what: format!("no envelope: {text}"), room: None }))
            }
            Fact::Rested => device.rested = true,
            Fact::Ended(_) => device.rested = false,
            _ => {}
        }
    }
    devices
}

/// Looks at what each device was told, and at what those at rest hold.
#[must_use]
pub fn check(truth: &Truth, devices: &BTreeMap<Device<'_>, Replayed>) -> Vec<Violation> {
    let mut found = Vec::new();
    let violation = |(user, device): Device<'_>, room, message, until, what: String| {
        let what = format!("user {user} on {device}: {what}");
        let about = About { room, message, user: Some(user), device: Some(device.to_owned()), until, said: None };
        Violation { rule: Rule::Viewed, what, about }
    };
    for (device, replayed) in devices {
        if let Some((index, broken)) = &replayed.broken {
            let place = broken.room.map_or(String::new(), |room| format!("room {room}: "));
            found.push(violation(*device, broken.room, None, Some(*index), place + &broken.what));
        } else if replayed.rested {
            if replayed.view.epoch.as_ref() != Some(&truth.epoch) {
                found.push(violation(*device, None, None, None, "it rests in another epoch".to_owned()));
            }
            found.extend(rooms(&replayed.view, truth).map(|what| violation(*device, None, None, None, what)));
            for (id, room) in &replayed.view.rooms {
                if let Some((message, what)) = difference(room, device.0, truth) {
                    found.push(violation(*device, Some(*id), message, None, format!("room {id}: {what}")));
                }
            }
        }
    }
    found
}

/// Rooms of devices at rest, which `check` compared.
#[must_use]
pub fn compared(devices: &BTreeMap<Device<'_>, Replayed>) -> u64 {
    devices.values().filter(|replayed| replayed.rested).map(|replayed| replayed.view.rooms.len() as u64).sum()
}

/// It holds the rooms that its user is in. A direct room is listed once somebody spoke in it, or for who opened it.
fn rooms(view: &DeviceView, truth: &Truth) -> Option<String> {
    let is_in = |room: &truth::Room| room.members.contains_key(&view.me);
    let must = truth.rooms.iter().filter(|(_, room)| is_in(room) && (room.kind != "direct" || room.last_seq > 0));
    let missing: Vec<&u64> = must.map(|(id, _)| id).filter(|id| !view.rooms.contains_key(id)).collect();
    let strange: Vec<&u64> = view.rooms.keys().filter(|id| !truth.rooms.get(id).is_some_and(is_in)).collect();
    (!missing.is_empty() || !strange.is_empty())
        .then(|| format!("it does not hold rooms {missing:?}, and holds {strange:?}, which are not its"))
}

/// What differs from the store, and in which message.
fn difference(held: &RoomView, me: u64, truth: &Truth) -> Option<(Option<u64>, String)> {
    let room = truth.rooms.get(&held.id)?;
    let rows: BTreeMap<u64, &truth::Message> =
        truth.messages.iter().filter(|row| row.room == held.id).map(|row| (row.id, row)).collect();
    let shown: BTreeMap<u64, &Message> = held.shown().map(|message| (message.id, message)).collect();
    let strange = shown.values().find(|message| !rows.contains_key(&message.id));
    if let Some(strange) = strange {
        return Some((Some(strange.id), format!("it shows {:?}, which is not there", strange.content)));
    }
    for row in rows.values().filter(|row| row.seq >= held.low) {
        let Some(message) = shown.get(&row.id) else {
            return Some((Some(row.id), format!("it does not show {} (seq {})", row.id, row.seq)));
        };
        if let Some(what) = differs(message, row, held.mine.get(&row.id), me) {
            return Some((Some(row.id), what));
        }
    }
    let (here, there) = ((held.version, held.last_seq), (room.version, room.last_seq));
    (here != there).then(|| (None, format!("it is at version and seq {here:?}, and the room at {there:?}")))
}

fn differs(message: &Message, row: &truth::Message, mine: Option<&BTreeSet<String>>, me: u64) -> Option<String> {
    let mut counts = BTreeMap::new();
    row.reactions.iter().for_each(|(emoji, _)| *counts.entry(emoji.clone()).or_insert(0) += 1);
    let own: BTreeSet<String> =
        row.reactions.iter().filter(|(_, user)| *user == me).map(|(emoji, _)| emoji.clone()).collect();
    let shown =
        (message.seq, message.version, message.sender.id, &message.client_id, &message.content, message.deleted);
    let stored = (row.seq, row.version, row.sender, &row.client_id, &row.content, row.deleted);
    let differ =
        |here: String, there: String| (here != there).then(|| format!("it shows {} as {here} and not {there}", row.id));
    differ(format!("{shown:?}"), format!("{stored:?}"))
        .or_else(|| differ(format!("{:?}", message.edited_at.is_some()), format!("{:?}", row.edited)))
        .or_else(|| differ(format!("{:?}", message.reactions), format!("{counts:?}")))
        .or_else(|| differ(format!("own {:?}", mine.cloned().unwrap_or_default()), format!("own {own:?}")))
}
