//! The use cases of users, sites and administrators, a file each, grouped by noun. A use case checks, calls the
//! store and the hub, and has an error type of its own. It knows nothing of HTTP, sockets or JSON.

pub(crate) mod accounts;
pub(crate) mod admin;
pub(crate) mod messages;
pub(crate) mod presence;
pub(crate) mod rooms;
pub(crate) mod site;
