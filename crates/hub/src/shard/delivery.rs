//! Deliveries of the inbox: tails grow, cursors become due, and sessions are notified. First the deliveries in order,
//! then those that the inbox had no room for, of which it only noted what is affected.

use teahouse_core::{LOBBY, RoomId, Seq, UserId, Version};

use super::run_queues::Queue;
use super::state::Shard;
use crate::inbox::{CoalesceKey, Delivery, Gap, InboxBatch, Notification, Recipients};
use crate::ports::Dialect;
use crate::tail::EncodedChange;

impl Shard {
    /// Processes what was in the inbox.
    pub(super) fn deliver(&mut self, batch: InboxBatch) {
        for delivery in batch.deliveries {
            match delivery {
                // Only sessions that wait for their welcome keep those.
                Delivery::Unlisted { .. } => {}
                Delivery::RoomChange { room, change } => self.append_to_room(room, change),
                Delivery::Notification(notification) => self.send_notification(&notification),
                Delivery::Member { user, entry, requester } => self.add_member(user, &entry, requester),
                Delivery::Left { room, user, members } => self.remove_member(room, user, members),
                Delivery::Hidden { room, user } => self.hide_from(room, user),
                Delivery::EntriesChanged(room) => self.mark_entry_changed(room),
                Delivery::Typing { room, user, on } => self.rooms.set_typing(room, user, on, self.now),
            }
        }
        // A direct room may have a gap for each of its users. A session enters it before the first one.
        let mut gaps: Vec<_> = batch.gaps.into_iter().collect();
        gaps.sort_unstable_by_key(|(_, gap)| gap.before);
        for ((room, receiver), gap) in gaps {
            self.skip_gap(room, receiver, gap);
        }
        for notification in batch.notifications.into_values() {
            self.send_notification(&notification);
        }
        for recipients in batch.events_dropped {
            self.mark_events_missed(recipients);
        }
        for room in batch.entries_changed {
            self.mark_entry_changed(room);
        }
        for (room, user) in batch.membership_unknown {
            self.mark_membership_unknown(room, user);
        }
    }

    fn append_to_room(&mut self, id: RoomId, change: EncodedChange) {
        self.hello.note_head(id, (change.version, change.last_seq));
        let receiver = change.receiver.filter(|_| change.classic.is_some());
        let attached =
            receiver.map_or_else(Vec::new, |user| self.attach_direct_cursors(user, id, change.position_before()));
        if let Some(pair) = change.pair() {
            self.introduce_to_pair(id, pair, change.position_before());
        }
        if change.is_new {
            // The sender of a message is no longer typing it.
            self.rooms.set_typing(id, change.author, false, self.now);
        }
        if self.rooms.append(id, change) {
            self.mark_room_due(id, attached);
        }
    }

    /// Commits of a room were lost: its tail begins again at the newest head, and sessions read the store.
    fn skip_gap(&mut self, id: RoomId, receiver: Option<UserId>, gap: Gap) {
        self.hello.note_head(id, gap.head);
        let attached = receiver.map_or_else(Vec::new, |user| self.attach_direct_cursors(user, id, gap.before));
        if let Some(pair) = gap.pair {
            self.introduce_to_pair(id, pair, gap.before);
        }
        self.rooms.skip_gap(id, gap.head);
        self.mark_room_due(id, attached);
    }

    /// Lets a user's classic sessions read a direct room from `before` on. Such a session has a cursor in a direct
    /// room only while it is behind in it. Returns their slots.
    fn attach_direct_cursors(&mut self, user: UserId, id: RoomId, before: (Version, Seq)) -> Vec<usize> {
        let mut slots = self.slots_of(user);
        slots.retain(|index| self.slots[*index].session.dialect() == Dialect::Classic);
        for index in &slots {
            self.attach_cursor(*index, id, before);
            self.slots[*index].session.mark_due(id);
        }
        slots
    }

    /// A room has something new for its readers. `attached` are the classic sessions that read it.
    fn mark_room_due(&mut self, id: RoomId, attached: Vec<usize>) {
        if id == LOBBY {
            return self.queues.begin_pass();
        }
        let Some(room) = self.rooms.get(id) else { return };
        for &index in &room.subscribers {
            let Some(slot) = self.slots.get_mut(index) else { continue };
            slot.session.mark_due(id);
            self.queues.push(Queue::Ready, index, &mut slot.queued);
        }
        for index in attached {
            self.flush(index);
        }
    }

    fn send_notification(&mut self, notification: &Notification) {
        match notification.recipients {
            Recipients::Everyone => {
                if let CoalesceKey::Profile(_) = notification.key {
                    self.rooms.mark_names_changed();
                }
                let (classic, v1) = (notification.classic.clone(), notification.v1.clone());
                self.broadcast.ring.push(classic, v1);
                self.queues.begin_pass();
            }
            Recipients::Room(room) => {
                self.hello.note_change(room);
                if let Some(frame) = &notification.v1 {
                    self.notify_room(room, notification.key, frame);
                }
            }
            Recipients::User(user) => {
                for index in self.slots_of(user) {
                    self.notify_own(index, notification);
                }
            }
        }
    }

    fn notify_own(&mut self, index: usize, notification: &Notification) {
        let session = &self.slots[index].session;
        let frame = match session.dialect() {
            Dialect::Classic => &notification.classic,
            Dialect::V1 => {
                // The snapshot of its welcome can be newer than this change, and lack the room.
                if session.is_live() && notification.key.member_room().is_some_and(|room| !session.is_in(room)) {
                    return;
                }
                &notification.v1
            }
        };
        if let Some(frame) = frame {
            self.notify(index, notification.key, frame.clone());
        }
    }

    fn mark_events_missed(&mut self, recipients: Recipients) {
        let slots = match recipients {
            Recipients::Everyone => {
                self.broadcast.ring.skip();
                return self.queues.begin_pass();
            }
            Recipients::User(user) => self.slots_of(user),
            Recipients::Room(room) => self.rooms.subscribers(room),
        };
        for index in slots {
            self.slots[index].session.mark_events_missed();
            self.mark_ready(index);
        }
    }
}
