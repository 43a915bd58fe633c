//! The v1 dialect: what every client of a new site speaks (docs/protocol.md). Requests are read here,
//! whether they came over a socket or by HTTP; answers and events are written here.

mod bodies;
mod envelopes;
pub(crate) mod events;
mod fields;
mod presence;
pub(crate) mod request;

pub use bodies::*;
pub use envelopes::*;
pub use fields::HELD_ROOMS_MAX;
pub use request::{
    Envelope, HistoryFrom, REQUEST_TYPES, Request, RequestError, RequestFault, read_envelope, read_request,
};
