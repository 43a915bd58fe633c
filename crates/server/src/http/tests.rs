//! The routes as clients see them: the whole router in this process over a real SQLite store. A prefix such as `p12_`
//! names the row of docs/internals/regressions.md that the test guards.

mod accounts;
mod answers;
mod around;
mod conversations;
pub(crate) mod fixture;
mod lobby;
mod logins;
mod server_api;
mod v1;
mod v1_messages;
mod v1_rooms;
