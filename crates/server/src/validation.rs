//! Rules for input that several use cases share. Pure functions; each gives the value to store, or why it is invalid.

pub(crate) mod client_id;
pub(crate) mod credentials;
pub(crate) mod profile;
pub(crate) mod room_name;
pub(crate) mod search_query;
