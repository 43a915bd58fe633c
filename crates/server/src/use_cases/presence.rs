//! Who is online. The hub knows which users are, the store knows their names and rooms.

pub(crate) mod filter_online;
pub(crate) mod list_online_users;
pub(crate) mod list_room_presence;
