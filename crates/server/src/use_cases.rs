//! What users, sites and administrators can do, a file for each use case, grouped by noun. A use case checks, calls the
//! store and the hub, and has an error type of its own. It knows nothing of HTTP, sockets or JSON.

pub mod accounts;
pub mod admin;
pub mod messages;
pub mod presence;
pub mod rooms;
pub mod site;
