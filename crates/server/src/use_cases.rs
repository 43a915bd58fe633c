//! What can be done here, one file each, whichever door or dialect the request came through. None of
//! them knows of HTTP or sockets; each has its own error.

pub mod authenticate;
pub mod browse_rooms;
pub mod catch_up;
pub mod change_membership;
pub mod change_password;
pub mod create_room;
pub mod credentials;
pub mod delete_message;
pub mod disconnect_user;
pub mod edit_message;
pub mod greet;
pub mod list_conversations;
pub mod list_members;
pub mod list_rooms;
pub mod log_in;
pub mod log_out;
pub mod look_around;
pub mod mark_read;
pub mod open_conversation;
pub mod post_as_site;
pub mod publish;
pub mod put_site_users;
pub mod react;
pub mod read_conversation;
pub mod read_history;
pub mod read_presence;
pub mod read_profile;
pub mod read_room_history;
pub mod refresh_login;
pub mod register;
pub mod renew_token;
pub mod search_users;
pub mod send_message;
pub mod send_private;
pub mod update_profile;
pub mod update_room;
pub mod who_is_online;

mod login;
mod queries;
mod room_words;
