//! Rooms and their members, direct rooms included.

pub mod browse_rooms;
pub mod change_membership;
pub mod count_unread;
pub mod create_room;
pub mod list_conversations;
pub mod list_members;
pub mod list_rooms;
pub mod load_welcome;
pub mod mark_read;
pub mod open_direct_room;
pub mod read_room;
pub mod update_room;
