//! What arrives in the inbox: tails grow, cursors become due, and sessions are notified. First the deliveries in
//! order, then what there was no room for and was only noted.

use teahouse_core::{LOBBY, RoomId, Seq, UserId, Version};

use super::run_queues::Queue;
use super::state::Shard;
use crate::inbox::{Delivery, Gap, Mail, To, Told, Topic};
use crate::seams::Dialect;
use crate::tail::Entry;

impl Shard {
    /// Processes what was in the inbox.
    pub(super) fn deliver(&mut self, mail: Mail) {
        for delivery in mail.deliveries {
            match delivery {
                Delivery::Room { room, entry } => self.append_to_room(room, entry),
                Delivery::Told(told) => self.send_notification(&told),
                Delivery::Member { user, entry, asker } => self.add_member(user, &entry, asker),
                Delivery::Left { room, user, members } => self.remove_member(room, user, members),
                Delivery::Entries(room) => self.mark_entry_changed(room),
                Delivery::Typing { room, user, on } => self.rooms.set_typing(room, user, on, self.now),
            }
        }
        for ((room, receiver), gap) in mail.gaps {
            self.skip_gap(room, receiver, gap);
        }
        for told in mail.told.into_values() {
            self.send_notification(&told);
        }
        for to in mail.missed {
            self.mark_events_missed(to);
        }
        for room in mail.entries {
            self.mark_entry_changed(room);
        }
        for (room, user) in mail.unsure {
            self.mark_membership_unknown(room, user);
        }
    }

    fn append_to_room(&mut self, id: RoomId, entry: Entry) {
        self.hello.note_head(id, (entry.version, entry.last_seq));
        let receiver = entry.classic_only.filter(|_| entry.classic.is_some());
        let attached = receiver.map_or_else(Vec::new, |user| self.attach_direct_cursors(user, id, entry.before()));
        if entry.is_new {
            // Who sent a message is not typing it any more.
            self.rooms.set_typing(id, entry.author, false, self.now);
        }
        if let Some(room) = self.rooms.get_mut(id) {
            room.tail.push(entry);
            self.mark_room_due(id, attached);
        }
    }

    /// Commits of a room were lost: its tail begins again at the newest head, and sessions read the store.
    fn skip_gap(&mut self, id: RoomId, receiver: Option<UserId>, gap: Gap) {
        self.hello.note_head(id, gap.head);
        let attached = receiver.map_or_else(Vec::new, |user| self.attach_direct_cursors(user, id, gap.before));
        if let Some(room) = self.rooms.get_mut(id) {
            room.tail.skip_to(gap.head.0, gap.head.1);
        }
        self.mark_room_due(id, attached);
    }

    /// Lets a user's classic sessions read a direct room from `before` on. Such a session has a cursor in a direct
    /// room only while it is behind in it. Returns their slots.
    fn attach_direct_cursors(&mut self, user: UserId, id: RoomId, before: (Version, Seq)) -> Vec<usize> {
        let mut slots = self.slots_of(user);
        slots.retain(|index| self.slots[*index].session.dialect() == Dialect::Classic);
        for index in &slots {
            self.attach_cursor(*index, id, before);
            self.slots[*index].session.is_due_in(id);
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
            slot.session.is_due_in(id);
            self.queues.push(Queue::Ready, index, &mut slot.queued);
        }
        for index in attached {
            self.flush(index);
        }
    }

    fn send_notification(&mut self, told: &Told) {
        match told.to {
            To::Everyone => {
                if let Topic::Profile(_) = told.topic {
                    self.rooms.mark_names_changed();
                }
                self.broadcast.ring.push(told.classic.clone(), told.v1.clone());
                self.queues.begin_pass();
            }
            To::Room(room) => {
                self.hello.note_change(room);
                if let Some(frame) = &told.v1 {
                    self.notify_room(room, told.topic, frame);
                }
            }
            To::User(user) => {
                for index in self.slots_of(user) {
                    self.notify_own(index, told);
                }
            }
        }
    }

    fn notify_own(&mut self, index: usize, told: &Told) {
        let session = &self.slots[index].session;
        let frame = match session.dialect() {
            Dialect::Classic => &told.classic,
            Dialect::V1 => {
                // The snapshot that it was welcomed with can be newer than this, and not have the room any more.
                if session.is_live() && told.topic.room().is_some_and(|room| !session.is_in(room)) {
                    return;
                }
                &told.v1
            }
        };
        if let Some(frame) = frame {
            self.notify(index, told.topic, frame.clone());
        }
    }

    fn mark_events_missed(&mut self, to: To) {
        let slots = match to {
            To::Everyone => {
                self.broadcast.ring.skip();
                return self.queues.begin_pass();
            }
            To::User(user) => self.slots_of(user),
            To::Room(room) => self.rooms.subscribers(room),
        };
        for index in slots {
            self.slots[index].session.missed_something();
            self.mark_ready(index);
        }
    }
}
