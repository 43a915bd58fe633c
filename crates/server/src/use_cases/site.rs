//! The server API for the backend of a site.

pub(crate) mod disconnect_user;
pub(crate) mod post_message;
pub(crate) mod publish;
pub(crate) mod put_users;
