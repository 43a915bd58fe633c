//! Messages: writing, changing and reading them.

pub(crate) mod delete_message;
pub(crate) mod edit_message;
pub(crate) mod react;
pub(crate) mod read_changes;
pub(crate) mod read_conversation;
pub(crate) mod read_history;
pub(crate) mod read_lobby;
pub(crate) mod send_message;
