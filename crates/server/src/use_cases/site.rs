//! What the backend of a site does through the server API.

pub(crate) mod disconnect_user;
pub(crate) mod post_message;
pub(crate) mod publish;
pub(crate) mod put_users;
