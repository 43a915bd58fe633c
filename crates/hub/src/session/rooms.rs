//! A session's rooms: the cursors it has, the rooms it is entering, reading or resuming. It decides nothing about
//! membership: the store did.

use teahouse_core::{RoomId, Seq, Version};

use super::hello::{EnteredBy, Entering};
use super::{Cursor, Session};
use crate::inbox::CoalesceKey;

impl Session {
    fn cursor_index(&self, room: RoomId) -> Result<usize, usize> {
        self.cursors.binary_search_by_key(&room, |cursor| cursor.room)
    }

    pub(crate) fn cursor_in(&mut self, room: RoomId) -> Option<&mut Cursor> {
        let index = self.cursor_index(room).ok()?;
        self.cursors.get_mut(index)
    }

    pub(crate) fn is_in(&self, room: RoomId) -> bool {
        self.cursor_index(room).is_ok()
    }

    pub(crate) fn rooms(&self) -> impl Iterator<Item = RoomId> + '_ {
        self.cursors.iter().map(|cursor| cursor.room)
    }

    /// Adds a cursor. Returns false when the session has one in that room.
    pub(crate) fn add_cursor(&mut self, cursor: Cursor) -> bool {
        match self.cursor_index(cursor.room) {
            Ok(_) => false,
            Err(index) => {
                self.cursors.insert(index, cursor);
                true
            }
        }
    }

    /// Removes the cursor in a room, if there is one, and everything in progress in that room.
    pub(crate) fn remove_cursor(&mut self, room: RoomId) -> Option<Cursor> {
        // Without a cursor `resumes` stays as it is: the client has still to be sent `removed`.
        let index = self.cursor_index(room).ok()?;
        if let Some(v1) = &mut self.v1 {
            v1.resumes.retain(|other| *other != room);
            v1.reading.retain(|other| *other != room);
            v1.entering.retain(|entering| entering.room != room || entering.by == EnteredBy::Request);
        }
        Some(self.cursors.remove(index))
    }

    /// Removes the cursors that `is_settled` selects, and returns their rooms.
    pub(crate) fn remove_settled_cursors(&mut self, is_settled: impl Fn(&Cursor) -> bool) -> Vec<RoomId> {
        let mut removed = Vec::new();
        self.cursors.retain(|cursor| {
            let settled = is_settled(cursor);
            if settled {
                removed.push(cursor.room);
            }
            !settled
        });
        removed
    }

    /// Something changed in a room.
    pub(crate) fn mark_due(&mut self, room: RoomId) {
        // The lobby is the first room of nearly every session, and changes for all sessions at once.
        match self.cursors.first_mut() {
            Some(cursor) if cursor.room == room => cursor.due = true,
            _ => {
                if let Some(cursor) = self.cursor_in(room) {
                    cursor.due = true;
                }
            }
        }
    }

    /// A request of this session entered a room. Nothing of the room goes out until the request is answered with the
    /// room's entry at this version.
    pub(crate) fn begin_entering(&mut self, room: RoomId, version: Version) {
        if let Some(v1) = &mut self.v1 {
            v1.entering.retain(|entering| entering.room != room);
            v1.entering.push(Entering { room, at: (version, Seq(0)), by: EnteredBy::Request });
        }
    }

    /// The session enters a direct room. Nothing of the room goes out until the shard has read its entry, which is sent
    /// at this position. `shown`: the client has an entry already, from the answer to a request.
    pub(crate) fn begin_introduction(&mut self, room: RoomId, at: (Version, Seq), shown: bool) {
        if let Some(v1) = &mut self.v1 {
            let by = if shown { EnteredBy::ShownIntroduction } else { EnteredBy::Introduction };
            v1.entering.push(Entering { room, at, by });
        }
    }

    /// The entry of a room was read. If the room waited for it, returns the position of the entry, and whether the client
    /// has an entry already.
    pub(crate) fn finish_introduction(&mut self, room: RoomId) -> Option<((Version, Seq), bool)> {
        let v1 = self.v1.as_mut()?;
        let is_it = |entering: &Entering| entering.room == room && entering.by != EnteredBy::Request;
        let index = v1.entering.iter().position(is_it)?;
        let entering = v1.entering.swap_remove(index);
        Some((entering.at, entering.by == EnteredBy::ShownIntroduction))
    }

    /// A request was answered with a room's entry at this version. Returns whether the room waited for that answer.
    pub(crate) fn finish_entering(&mut self, room: RoomId, version: Version) -> bool {
        let Some(v1) = &mut self.v1 else { return false };
        let index = v1.entering.iter().position(|entering| entering.room == room && entering.at.0 == version);
        index.map(|index| v1.entering.swap_remove(index)).is_some()
    }

    /// Whether the client will hold the room once it has read all replies that are queued now. A client that holds a
    /// room continues from its version and ignores that of any entry.
    pub(crate) fn client_holds(&self, room: RoomId) -> bool {
        let is_entering = self.v1.as_ref().is_some_and(|v1| {
            v1.entering.iter().any(|entering| entering.room == room && entering.by != EnteredBy::ShownIntroduction)
        });
        self.is_in(room) && !is_entering && !self.has_pending(CoalesceKey::Membership(room))
    }

    /// A page of a room's past is about to be read. If the session is in the room, nothing of the room goes out before
    /// the page. Returns whether it is.
    pub(crate) fn begin_reading(&mut self, room: RoomId) -> bool {
        let is_in = self.is_in(room);
        if let Some(v1) = self.v1.as_mut().filter(|_| is_in) {
            v1.reading.push(room);
        }
        is_in
    }

    /// The page was read. Returns whether the room was held back for it the whole time.
    pub(crate) fn finish_read(&mut self, room: RoomId) -> bool {
        let Some(v1) = &mut self.v1 else { return false };
        let index = v1.reading.iter().position(|other| *other == room);
        index.map(|index| v1.reading.swap_remove(index)).is_some()
    }

    /// Queues a room of the hello to be caught up after the rooms that the client named before it. A room in which the
    /// session has no cursor is answered with `removed` when its turn comes.
    pub(crate) fn resume(&mut self, room: RoomId, held: Option<Version>) {
        if let Some(cursor) = self.cursor_in(room) {
            cursor.resume(held);
        }
        if let Some(v1) = &mut self.v1 {
            v1.resumes.push_back(room);
        }
    }

    /// Takes a room out of the queue of resumes. Returns whether it was there.
    pub(crate) fn cancel_resume(&mut self, room: RoomId) -> bool {
        let Some(v1) = &mut self.v1 else { return false };
        let index = v1.resumes.iter().position(|other| *other == room);
        index.and_then(|index| v1.resumes.remove(index)).is_some()
    }

    /// Whether some room is held back until a request is answered.
    #[cfg(test)]
    pub(crate) fn has_held_rooms(&self) -> bool {
        self.v1.as_ref().is_some_and(|v1| !v1.held_rooms().is_empty())
    }
}
