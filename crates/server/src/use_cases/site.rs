//! What the backend of a site does through the server API.

pub mod disconnect_user;
pub mod post_message;
pub mod publish;
pub mod put_users;
