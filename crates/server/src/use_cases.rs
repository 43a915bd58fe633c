//! What can be done here, one file each, whichever door or dialect the request came through. None of
//! them knows of HTTP or sockets; each has its own error.

pub mod authenticate;
pub mod change_password;
pub mod delete_message;
pub mod list_conversations;
pub mod log_in;
pub mod log_out;
pub mod mark_read;
pub mod open_conversation;
pub mod read_conversation;
pub mod read_history;
pub mod read_profile;
pub mod refresh_login;
pub mod register;
pub mod send_message;
pub mod send_private;
pub mod update_profile;
pub mod who_is_online;

mod credentials;
mod login;
