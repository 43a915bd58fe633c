//! The classic dialect, which the old Vue front end speaks (docs/protocol.md, "The classic dialect"): reads the
//! client's envelopes, writes envelopes and bodies for it, field by field as it expects them.

mod bodies;
mod envelopes;
pub mod http;
mod request;

pub use bodies::*;
pub use envelopes::*;
pub use request::{ClassicRequest, ClassicRequestError, read_request};
