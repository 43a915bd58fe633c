//! Steps that come from outside of the simulated sockets: requests over HTTP, and events of a site's backend.

use super::random::Draw;
use super::store::Write;
use super::world::World;
use crate::inbox::{CoalesceKey, Delivery, Notification, Recipients};
use crate::websocket::text_frame;

impl World {
    /// A user sends a request over HTTP.
    pub(super) fn request_by_http(&mut self) -> bool {
        let rng = &mut self.rng;
        let (user, other) = (rng.u64(1..=self.users), rng.u64(1..=self.users));
        let mut store = self.store.lock();
        let rooms: Vec<u64> = store.rooms.keys().copied().collect();
        let (room, last) = (rng.pick(&rooms), store.last_message());
        // Mostly a recent message, otherwise one that most clients have not loaded.
        let message = if rng.one_in(3) { rng.u64(1..=last.max(1)) } else { last.saturating_sub(rng.u64(..6)).max(1) };
        let content = format!("h{}", self.steps);
        let write = match rng.u64(..20) {
            0..4 => Write::Post { room, content, client_id: None },
            4..7 if user != other => Write::PostPrivate { user: other, content },
            7 => Write::Edit { message, content },
            8 => Write::Delete { message },
            9 => Write::React { message, emoji: "+".to_owned(), on: rng.one_in(2) },
            10 => Write::Read { room, seq: rng.u64(1..=50) },
            11 => Write::Join { room },
            12 => Write::Leave { room },
            13 => Write::Invite { room, user: other },
            14 => Write::Remove { room, user: other },
            15 => {
                // A user is invited, receives a message, and reads it on another device.
                store.post(user, Write::Invite { room, user: other });
                store.post(user, Write::Post { room, content, client_id: None });
                store.post(other, Write::Read { room, seq: u64::MAX });
                return true;
            }
            16 => {
                // A member is removed, and messages follow.
                store.post(user, Write::Remove { room, user: other });
                for _ in 0..4 {
                    store.post(user, Write::Post { room, content: content.clone(), client_id: None });
                }
                return true;
            }
            17 => {
                // A member leaves and rejoins on another device, with a message in between.
                store.post(user, Write::Leave { room });
                store.post(other, Write::Post { room, content, client_id: None });
                store.post(user, Write::Join { room });
                return true;
            }
            18 if rng.one_in(2) => Write::Decline { room },
            18 => Write::Role { room, user: other },
            _ => Write::Rename { room },
        };
        store.post(user, write);
        true
    }

    /// A backend publishes an event to all sessions.
    pub(super) fn publish(&mut self) {
        self.news += 1;
        let frame = text_frame(&format!(r#"{{"type":"news","data":{{"number":{}}}}}"#, self.news));
        let (classic, v1) = (Some(frame.clone()), Some(frame));
        let deliveries = [Delivery::Notification(Notification {
            recipients: Recipients::Everyone,
            key: CoalesceKey::Published,
            classic,
            v1,
        })];
        self.inboxes.iter().for_each(|inbox| inbox.push(&deliveries, &self.metrics));
    }
}
