//! The routes as a client meets them: the whole router in this process, over a real SQLite store. Named
//! after the rows of ANCESTOR.md where they come from one.

mod accounts;
mod around;
mod conversations;
mod lobby;
mod server_api;
pub(crate) mod stage;
mod v1;
mod v1_messages;
mod v1_rooms;
