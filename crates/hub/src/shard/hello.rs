//! From a v1 session's hello to its welcome.
//!
//! The welcome is read from the store in one snapshot, and the store does not wait for it. So the shard listens first:
//! from the hello on it keeps changes of the user's memberships, and the hello window keeps every room's newest head.
//! Only then the handler's future is polled. With the welcome each cursor is at the snapshot's version, and a room
//! that no session of this shard read until then gets a tail that begins at the window's head, so that a cursor
//! before it reads the store. Changes of membership that were kept are applied as if they happened now.

use teahouse_protocol::v1;

use super::state::Shard;
use crate::inbox::Delivery;
use crate::seams::{Greeting, Receipt};
use crate::session::Stage;
use crate::websocket::text_frame;

impl Shard {
    /// A session said hello: what happens until its welcome is kept for it.
    pub(super) fn begin_hello(&mut self, index: usize) {
        if self.slots[index].session.begin_greeting() {
            self.hello.open();
        }
    }

    /// A session's welcome could not be read, and it may say hello again. Returns what it asked after its hello.
    pub(super) fn give_up_hello(&mut self, index: usize) -> Vec<Receipt> {
        let Some(v1) = &mut self.slots[index].session.v1 else { return Vec::new() };
        let Stage::Greeting { until, asked, .. } = &mut v1.stage else { return Vec::new() };
        let asked = std::mem::take(asked);
        v1.stage = Stage::Ungreeted { until: *until };
        self.hello.close();
        asked
    }

    /// Welcomes a session. Returns what it asked after its hello.
    pub(super) fn welcome(&mut self, index: usize, greeting: Greeting) -> Vec<Receipt> {
        if !self.slots[index].session.is_greeting() {
            return Vec::new();
        }
        for entry in &greeting.rooms {
            self.enter_room(index, entry);
        }
        for (room, held) in &greeting.held {
            self.slots[index].session.resume(*room, *held);
        }
        let (asked, changes) = self.send_welcome(index, &greeting);
        // The kept changes are sent before what waits already, which may be newer.
        let aside = self.slots[index].session.set_told_aside();
        for change in changes {
            match change {
                Delivery::Member { entry, asker, .. } => self.show_room(index, &entry, asker),
                Delivery::Left { room, .. } => self.hide_room(index, room),
                _ => {}
            }
        }
        let session = &mut self.slots[index].session;
        session.put_behind(aside);
        session.forget_told_elsewhere();
        let user = session.user;
        let changed: Vec<_> = session.rooms().filter(|room| self.hello.has_changed(*room)).collect();
        for room in changed {
            // It may look different by now than in the snapshot, or than when the session entered it.
            self.read_entries(room, &[user]);
        }
        self.hello.close();
        self.mark_ready(index);
        asked
    }

    fn send_welcome(&mut self, index: usize, greeting: &Greeting) -> (Vec<Receipt>, Vec<Delivery>) {
        let options = &self.environment.options;
        let online = &self.environment.online;
        let users = online.count();
        let slot = &mut self.slots[index];
        let expires_in = slot.expires_at.since(self.now).saturating_sub(options.token_grace);
        let welcome = v1::Welcome {
            session: slot.session.id,
            epoch: &greeting.epoch,
            user: &greeting.user,
            time: greeting.time,
            heartbeat_ms: millis(options.heartbeat_interval),
            token_expires_in_ms: millis(expires_in),
            limits: greeting.limits,
            online: users,
            rooms: &greeting.rooms,
        };
        let frame = text_frame(&v1::welcome(greeting.id.as_deref(), &welcome, |user| online.contains(user)));
        self.broadcast.note_welcome(users);
        slot.session.welcome(frame, users)
    }
}

fn millis(time: std::time::Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
