//! A v1 device's view of a room equals the stored room: the envelopes are replayed by the protocol's rules, and the
//! resulting view is compared with the store.

use std::collections::{BTreeMap, BTreeSet};

use crate::db_state::{self, DbState};
use crate::history::{Dialect, Fact};
use crate::index::RunIndex;
use crate::verdict::{About, Rule, Violation};
use crate::view::{DeviceView, RoomView, RuleBroken};
use crate::wire::{Message, RequestBody};

/// A device: user id and name.
pub type DeviceKey<'a> = (u64, &'a str);

/// The replay of a device.
pub struct Replayed {
    /// The view at the end.
    pub view: DeviceView,
    /// The last socket that sent hello.
    pub socket: u64,
    /// The first broken rule and its event; the replay stops there.
    pub broken: Option<(usize, RuleBroken)>,
    /// The device quiesced on that socket, which is still open.
    pub quiesced: bool,
}

/// Replays every v1 device. Envelopes on another socket than the last one that sent hello are ignored.
#[must_use]
pub fn replay<'a>(run: &RunIndex<'a>) -> BTreeMap<DeviceKey<'a>, Replayed> {
    let mut devices: BTreeMap<DeviceKey<'a>, Replayed> = BTreeMap::new();
    for (index, event) in run.events.iter().enumerate() {
        let Some(socket) = event.socket.as_ref().filter(|socket| socket.dialect == Dialect::V1) else { continue };
        let device = devices.entry((socket.user, &*socket.device)).or_insert_with(|| Replayed {
            view: DeviceView::default(),
            socket: 0,
            broken: None,
            quiesced: false,
        });
        if let Fact::RequestSent(request) = &event.fact {
            if matches!(request.body, RequestBody::Hello { .. }) {
                (device.socket, device.quiesced) = (socket.number, false);
            }
            if device.socket == socket.number {
                device.view.record_request(request);
            }
        }
        if device.socket != socket.number || device.broken.is_some() {
            continue;
        }
        match &event.fact {
            Fact::EnvelopeReceived(envelope) => {
                device.broken = device.view.apply(envelope).err().map(|broken| (index, broken))
            }
            Fact::MalformedReceived { text } => {
                device.broken = Some((index, RuleBroken { what: format!("not an envelope: {text}"), room: None }))
            }
            Fact::Quiesced => device.quiesced = true,
            Fact::Ended(_) => device.quiesced = false,
            _ => {}
        }
    }
    devices
}

/// Checks the envelopes of each device, and the views of quiesced devices.
#[must_use]
pub fn check(db: &DbState, devices: &BTreeMap<DeviceKey<'_>, Replayed>) -> Vec<Violation> {
    let mut found = Vec::new();
    let violation = |(user, device): DeviceKey<'_>, room, message, until, what: String| {
        let what = format!("user {user} on {device}: {what}");
        let about = About { room, message, user: Some(user), device: Some(device.to_owned()), until, sent: None };
        Violation { rule: Rule::Viewed, what, about }
    };
    for (device, replayed) in devices {
        if let Some((index, broken)) = &replayed.broken {
            let place = broken.room.map_or(String::new(), |room| format!("room {room}: "));
            found.push(violation(*device, broken.room, None, Some(*index), place + &broken.what));
        } else if replayed.quiesced {
            if replayed.view.epoch.as_ref() != Some(&db.epoch) {
                found.push(violation(*device, None, None, None, "it quiesced in another epoch".to_owned()));
            }
            found.extend(rooms(&replayed.view, db).map(|what| violation(*device, None, None, None, what)));
            for (id, room) in &replayed.view.rooms {
                if let Some((message, what)) = difference(room, device.0, db) {
                    found.push(violation(*device, Some(*id), message, None, format!("room {id}: {what}")));
                }
            }
        }
    }
    found
}

/// Number of rooms of quiesced devices, which `check` compared.
#[must_use]
pub fn compared(devices: &BTreeMap<DeviceKey<'_>, Replayed>) -> u64 {
    devices.values().filter(|replayed| replayed.quiesced).map(|replayed| replayed.view.rooms.len() as u64).sum()
}

/// A device holds its user's rooms. A direct room is listed once it has a message, and earlier for its creator.
fn rooms(view: &DeviceView, db: &DbState) -> Option<String> {
    let is_in = |room: &db_state::Room| room.members.contains_key(&view.me);
    let must = db.rooms.iter().filter(|(_, room)| is_in(room) && (room.kind != "direct" || room.last_seq > 0));
    let missing: Vec<&u64> = must.map(|(id, _)| id).filter(|id| !view.rooms.contains_key(id)).collect();
    let unexpected: Vec<&u64> = view.rooms.keys().filter(|id| !db.rooms.get(id).is_some_and(is_in)).collect();
    (!missing.is_empty() || !unexpected.is_empty())
        .then(|| format!("it lacks rooms {missing:?} and holds {unexpected:?}, of which its user is no member"))
}

/// The first difference from the store, and its message.
fn difference(held: &RoomView, me: u64, db: &DbState) -> Option<(Option<u64>, String)> {
    let room = db.rooms.get(&held.id)?;
    let rows: BTreeMap<u64, &db_state::Message> =
        db.messages.iter().filter(|row| row.room == held.id).map(|row| (row.id, row)).collect();
    let shown: BTreeMap<u64, &Message> = held.shown().map(|message| (message.id, message)).collect();
    let unexpected = shown.values().find(|message| !rows.contains_key(&message.id));
    if let Some(unexpected) = unexpected {
        return Some((Some(unexpected.id), format!("it shows {:?}, which is not stored", unexpected.content)));
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

fn differs(message: &Message, row: &db_state::Message, mine: Option<&BTreeSet<String>>, me: u64) -> Option<String> {
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
