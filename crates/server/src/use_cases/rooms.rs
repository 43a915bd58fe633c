//! Rooms and their members, direct rooms included.

pub(crate) mod answer_request;
pub(crate) mod browse_rooms;
pub(crate) mod change_membership;
pub(crate) mod count_unread;
pub(crate) mod create_room;
pub(crate) mod list_conversations;
pub(crate) mod list_directs;
pub(crate) mod list_members;
pub(crate) mod list_rooms;
pub(crate) mod load_welcome;
pub(crate) mod mark_read;
pub(crate) mod open_direct_room;
pub(crate) mod read_room;
pub(crate) mod update_room;
