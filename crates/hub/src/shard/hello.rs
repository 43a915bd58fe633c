//! From a v1 session's hello to its welcome.
//!
//! The welcome is read from the store in one snapshot, and the store does not wait for it. So the shard listens first:
//! from the hello on it keeps changes of the user's memberships, and the hello window keeps every room's newest head.
//! Only then does it poll the handler's future. With the welcome each cursor is at the snapshot's version, and a room
//! that no session of this shard read until then gets a tail that begins at the window's head, so that a cursor
//! before it reads the store. Kept changes of membership are applied as if they happened now.

use teahouse_protocol::v1;

use super::state::Shard;
use crate::answers::AnswerPermit;
use crate::inbox::Delivery;
use crate::ports::{RequestOutcome, WelcomeData};
use crate::session::Phase;
use crate::websocket::text_frame;

impl Shard {
    /// A session said hello: from now on, changes are kept for it until its welcome.
    pub(super) fn begin_hello(&mut self, index: usize) {
        if self.slots[index].session.begin_welcome() {
            self.hello.open();
        }
    }

    /// A session's welcome could not be read, and it may say hello again. Returns its requests after the hello.
    pub(super) fn abort_hello(&mut self, index: usize) -> Vec<RequestOutcome> {
        let Some(v1) = &mut self.slots[index].session.v1 else { return Vec::new() };
        let Phase::Welcoming { until, deferred_requests, .. } = &mut v1.phase else { return Vec::new() };
        let deferred = std::mem::take(deferred_requests);
        v1.phase = Phase::AwaitingHello { until: *until };
        self.hello.close();
        deferred
    }

    /// Welcomes a session. Returns its requests after the hello.
    pub(super) fn welcome(
        &mut self,
        index: usize,
        data: WelcomeData,
        permit: Option<AnswerPermit>,
    ) -> Vec<RequestOutcome> {
        if !self.slots[index].session.is_awaiting_welcome() {
            return Vec::new();
        }
        for entry in &data.rooms.rooms {
            self.enter_room(index, entry);
        }
        for (room, held) in &data.held {
            self.slots[index].session.resume(*room, *held);
        }
        let (deferred, memberships) = self.send_welcome(index, &data, permit);
        // The kept changes go out before notifications that wait already, which may be newer.
        let aside = self.slots[index].session.take_notifications();
        for change in memberships {
            match change {
                Delivery::Member { entry, requester, .. } => self.show_room(index, &entry, requester),
                Delivery::Left { room, .. } | Delivery::Hidden { room, .. } => self.hide_room(index, room),
                Delivery::Unlisted { room, before } => self.introduce(index, room, before),
                _ => {}
            }
        }
        let session = &mut self.slots[index].session;
        session.append_notifications(aside);
        session.drop_pending_of_other_rooms();
        let user = session.identity.user;
        let changed: Vec<_> = session.rooms().filter(|room| self.hello.has_changed(*room)).collect();
        for room in changed {
            // Its entry may have changed since the snapshot, or since the session entered it.
            self.read_entries(room, &[user]);
        }
        self.hello.close();
        self.mark_ready(index);
        deferred
    }

    fn send_welcome(
        &mut self,
        index: usize,
        data: &WelcomeData,
        permit: Option<AnswerPermit>,
    ) -> (Vec<RequestOutcome>, Vec<Delivery>) {
        let options = &self.environment.options;
        let online = &self.environment.online;
        let users = online.count();
        let slot = &mut self.slots[index];
        let expires_in = slot.expires_at.since(self.now).saturating_sub(options.token_grace);
        let welcome = v1::Welcome {
            session: slot.session.id,
            epoch: &data.epoch,
            user: &data.user,
            time: data.time,
            heartbeat_ms: millis(options.heartbeat_interval),
            token_expires_in_ms: millis(expires_in),
            limits: data.limits,
            online: users,
            rooms: &data.rooms,
        };
        let frame = text_frame(&v1::welcome(data.id.as_deref(), &welcome, |user| online.contains(user)));
        let frame = AnswerPermit::hold_if_any(permit, frame);
        self.broadcast.note_welcome(users);
        slot.session.welcome(frame, users)
    }
}

fn millis(time: std::time::Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
