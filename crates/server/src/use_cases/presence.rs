//! Who is online. The hub knows which users are, the store knows their names and rooms.

pub mod filter_online;
pub mod list_online_users;
pub mod list_room_presence;
