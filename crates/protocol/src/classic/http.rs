//! The bodies of the classic HTTP routes (docs/protocol.md, "The classic routes"): requests and the `data` of
//! responses. None of them has a place for an IP address or for another user's e-mail address.

mod requests;
mod responses;

pub use requests::*;
pub use responses::*;

#[cfg(test)]
mod tests;
