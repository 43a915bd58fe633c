//! What happens to a run from outside of its sockets: requests over HTTP and what a backend publishes. Each is put
//! where the server would put it.

use super::store::Write;
use super::world::World;
use crate::inbox::{CoalesceKey, Delivery, Notification, Recipients};
use crate::websocket::text_frame;

impl World {
    /// Somebody asks for something over HTTP, by no device of these.
    pub(super) fn by_http(&mut self) -> bool {
        let chance = &mut self.chance;
        let (user, other) = (chance.between(1, self.users), chance.between(1, self.users));
        let mut store = self.store.lock();
        let rooms: Vec<u64> = store.rooms.keys().copied().collect();
        let (room, last) = (chance.pick(&rooms), store.last_message());
        // Mostly of what is new, and else of what most have not loaded.
        let message =
            if chance.one_in(3) { chance.between(1, last.max(1)) } else { last.saturating_sub(chance.below(6)).max(1) };
        let content = format!("h{}", self.steps);
        let write = match chance.below(20) {
            0..4 => Write::Say { room, content, client_id: None },
            4..7 if user != other => Write::SayTo { user: other, content },
            7 => Write::Edit { message, content },
            8 => Write::Delete { message },
            9 => Write::React { message, emoji: "+".to_owned(), on: chance.one_in(2) },
            10 => Write::Read { room, seq: chance.between(1, 50) },
            11 => Write::Join { room },
            12 => Write::Leave { room },
            13 => Write::Invite { room, user: other },
            14 => Write::Remove { room, user: other },
            15 => {
                // A guest comes in, is told something and reads it on another device.
                store.post(user, Write::Invite { room, user: other });
                store.post(user, Write::Say { room, content, client_id: None });
                store.post(other, Write::Read { room, seq: u64::MAX });
                return true;
            }
            16 => {
                // Somebody is taken out, and then spoken about.
                store.post(user, Write::Remove { room, user: other });
                for _ in 0..4 {
                    store.post(user, Write::Say { room, content: content.clone(), client_id: None });
                }
                return true;
            }
            17 => {
                // Somebody goes and comes back on another device, and there was talk meanwhile.
                store.post(user, Write::Leave { room });
                store.post(other, Write::Say { room, content, client_id: None });
                store.post(user, Write::Join { room });
                return true;
            }
            18 => Write::Role { room, user: other },
            _ => Write::Rename { room },
        };
        store.post(user, write);
        true
    }

    /// A backend tells everybody something.
    pub(super) fn publish(&mut self) {
        self.news += 1;
        let frame = text_frame(&format!(r#"{{"type":"news","data":{{"number":{}}}}}"#, self.news));
        let (classic, v1) = (Some(frame.clone()), Some(frame));
        let told = [Delivery::Notification(Notification {
            recipients: Recipients::Everyone,
            key: CoalesceKey::Published,
            classic,
            v1,
        })];
        self.inboxes.iter().for_each(|inbox| inbox.push(&told, &self.metrics));
    }
}
