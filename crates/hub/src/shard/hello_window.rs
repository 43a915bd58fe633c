//! Changes of rooms while sessions wait for their welcome.
//!
//! A session's welcome is read from the store at some moment after its hello, and commits keep arriving meanwhile.
//! From the first hello until the last welcome the window remembers each room's newest head and which rooms'
//! entries may have changed, so that nothing after the snapshot is lost. It is empty while no session waits.

use teahouse_core::{RoomId, Seq, Version};

use crate::maps::{HashMap, HashSet};

/// Changes of rooms since the first hello that waits for its welcome.
#[derive(Debug, Default)]
pub(crate) struct HelloWindow {
    waiting: usize,
    heads_during_hello: HashMap<RoomId, (Version, Seq)>,
    rooms_changed_during_hello: HashSet<RoomId>,
}

impl HelloWindow {
    /// A session said hello.
    pub(super) fn open(&mut self) {
        self.waiting += 1;
    }

    /// A session was welcomed, may say hello again, or is gone.
    pub(super) fn close(&mut self) {
        self.waiting -= 1;
        if self.waiting == 0 {
            self.heads_during_hello.clear();
            self.rooms_changed_during_hello.clear();
        }
    }

    /// A commit moved a room to this head.
    pub(super) fn note_head(&mut self, room: RoomId, (version, seq): (Version, Seq)) {
        if self.waiting > 0 {
            let head = self.heads_during_hello.entry(room).or_default();
            *head = (head.0.max(version), head.1.max(seq));
        }
    }

    /// A room's entry may have changed for its members.
    pub(super) fn note_change(&mut self, room: RoomId) {
        if self.waiting > 0 {
            self.rooms_changed_during_hello.insert(room);
        }
    }

    /// The newer of this head and the newest one of the window. A tail that begins there claims nothing that it
    /// does not have.
    pub(super) fn newest_head(&self, room: RoomId, (version, seq): (Version, Seq)) -> (Version, Seq) {
        let noted = self.heads_during_hello.get(&room).copied().unwrap_or_default();
        (version.max(noted.0), seq.max(noted.1))
    }

    pub(super) fn has_changed(&self, room: RoomId) -> bool {
        self.rooms_changed_during_hello.contains(&room)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0 && self.heads_during_hello.is_empty() && self.rooms_changed_during_hello.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: RoomId = RoomId(7);

    fn head(version: u64, seq: u64) -> (Version, Seq) {
        (Version(version), Seq(seq))
    }

    #[test]
    fn it_remembers_from_the_first_hello_until_the_last_welcome() {
        let mut window = HelloWindow::default();
        window.note_head(ROOM, head(4, 4));
        window.note_change(ROOM);
        assert!(window.is_empty());
        window.open();
        window.open();
        window.note_head(ROOM, head(6, 5));
        window.note_change(ROOM);
        window.close();
        assert_eq!(window.newest_head(ROOM, head(5, 5)), head(6, 5));
        assert!(window.has_changed(ROOM));
        window.close();
        assert!(window.is_empty() && !window.has_changed(ROOM));
        assert_eq!(window.newest_head(ROOM, head(5, 5)), head(5, 5));
    }

    #[test]
    fn a_head_never_moves_back() {
        let mut window = HelloWindow::default();
        window.open();
        window.note_head(ROOM, head(6, 5));
        window.note_head(ROOM, head(5, 6));
        assert_eq!(window.newest_head(ROOM, head(1, 1)), head(6, 6));
    }
}
