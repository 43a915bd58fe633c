//! Rules for input that several use cases share. Pure functions; each gives the value to store, or why it is invalid.

pub mod client_id;
pub mod credentials;
pub mod profile;
pub mod room_name;
pub mod search_query;
