//! The v1 dialect, for every client of a new site (docs/protocol.md, "The v1 dialect"): reads requests from the socket
//! and from HTTP, writes responses and events.

mod bodies;
mod envelopes;
pub(crate) mod events;
mod fields;
mod presence;
pub(crate) mod request;

pub use bodies::*;
pub use envelopes::*;
pub use events::EVENT_TYPES;
pub use fields::{FieldKind, HELD_ROOMS_MAX};
pub use request::{
    HistoryFrom, REQUEST_TYPES, Request, RequestEnvelope, RequestError, RequestFault, RequestKind, read_envelope,
    read_request,
};
