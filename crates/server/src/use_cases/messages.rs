//! Messages: writing, changing and reading them.

pub mod delete_message;
pub mod edit_message;
pub mod react;
pub mod read_changes;
pub mod read_conversation;
pub mod read_history;
pub mod read_lobby;
pub mod send_message;
