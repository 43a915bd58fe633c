//! A classic client. It checks that it receives each message once and in order, and nothing meant for others.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::store::Store;
use super::{Check, ensure};

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Data<'a> {
    id: u64,
    user_id: u64,
    message_id: u64,
    sender_id: u64,
    conversation_id: u64,
    reader_id: u64,
    count: u64,
    number: u64,
    code: &'a str,
}

/// A classic client.
#[derive(Default)]
pub(super) struct ClassicClient {
    pub(super) user: u64,
    /// The lobby's seq when its session began.
    pub(super) lobby_seq: u64,
    /// The newest message before its session began.
    pub(super) begun_at: u64,
    pub(super) shown: BTreeSet<u64>,
    pub(super) deleted: BTreeSet<u64>,
    pub(super) private: BTreeSet<u64>,
    pub(super) count: Option<u64>,
    pub(super) news: u64,
    pub(super) missed: bool,
    pub(super) displaced: bool,
}

impl ClassicClient {
    pub(super) fn read(&mut self, store: &Store, text: &str) -> Check {
        let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))?;
        let step = self.envelope(store, &envelope);
        step.map_err(|violation| format!("{violation}; it was sent {text}"))
    }

    fn envelope(&mut self, store: &Store, envelope: &Envelope<'_>) -> Check {
        let small: Data<'_> = serde_json::from_str(envelope.data.get()).map_err(|error| error.to_string())?;
        match envelope.kind {
            "message" => {
                let (room, _) = store.message_index.get(&small.id).ok_or("a message that never existed")?;
                ensure!(*room == 1, "a message of another room than the lobby");
                ensure!(
                    store.rooms[room].messages[store.message_index[&small.id].1].sender.id.0 == small.user_id,
                    "its sender"
                );
                let last = self.shown.last().copied().unwrap_or(0);
                ensure!(small.id > last, "message {} after {last}", small.id);
                self.shown.insert(small.id);
            }
            "private_message" => {
                let (room, place) = store.message_index.get(&small.message_id).ok_or("a message that never existed")?;
                let room = &store.rooms[room];
                ensure!(room.pair.is_some_and(|pair| pair.contains(&self.user)), "a conversation of other users");
                ensure!(small.sender_id != self.user, "its own message");
                ensure!(room.messages[*place].sender.id.0 == small.sender_id, "its sender");
                let of_room = room.messages.iter().map(|message| message.id.0);
                let later = of_room.filter(|id| *id >= small.message_id && self.private.contains(id)).count();
                ensure!(later == 0, "private message {} again, or after a later one", small.message_id);
                self.private.insert(small.message_id);
            }
            "message_deleted" => {
                self.deleted.insert(small.id);
            }
            "message_read" => {
                let room = store.rooms.get(&small.conversation_id).ok_or("a room that never existed")?;
                let pair = room.pair.ok_or("a read mark outside of a conversation")?;
                ensure!(pair.contains(&self.user) && small.reader_id != self.user, "a read mark for another user");
            }
            "online_count" => self.count = Some(small.count),
            "notification" => {
                self.missed |= small.code == "events_missed";
                self.displaced |= small.code == "displaced";
            }
            "heartbeat" => {}
            "news" => {
                ensure!(small.number > self.news, "publication {} after {}", small.number, self.news);
                ensure!(self.missed || self.news == 0 || small.number == self.news + 1, "a publication is missing");
                self.news = small.number;
            }
            other => return Err(format!("an unknown type: {other}")),
        }
        Ok(())
    }

    /// Checks in the quiescent state that the client shows every message.
    pub(super) fn check_complete(&self, store: &Store) -> Check {
        for message in &store.rooms[&1].messages {
            let (id, is_shown) = (message.id.0, self.shown.contains(&message.id.0));
            if message.seq.0 > self.lobby_seq && !message.deleted {
                ensure!(is_shown, "classic message {id} is missing");
            }
            ensure!(
                !is_shown || !message.deleted || self.deleted.contains(&id),
                "message {id} is deleted and still shown"
            );
        }
        let direct = store.rooms.values().filter(|room| room.pair.is_some_and(|pair| pair.contains(&self.user)));
        for message in direct.flat_map(|room| &room.messages) {
            let must = message.id.0 > self.begun_at && !message.deleted && message.sender.id.0 != self.user;
            ensure!(!must || self.private.contains(&message.id.0), "private message {} is missing", message.id.0);
        }
        Ok(())
    }
}
