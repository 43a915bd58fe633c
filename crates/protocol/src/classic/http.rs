//! The bodies of the classic HTTP routes (docs/protocol.md, The classic routes): requests and the `data` of responses.
//! None of them has a place for an IP address or for another user's e-mail address.

mod requests;
mod responses;

pub use requests::*;
pub use responses::*;

// Old names, until the server's branch has the new ones.
pub use crate::http::{
    Done, HealthBody as Wellness, error as http_refusal, raw_json as http_data, success as http_success,
};
pub use responses::{ConversationBody as ConversationEntry, ConversationReader as Glance};

#[cfg(test)]
mod tests;
