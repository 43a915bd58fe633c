//! The classic dialect: what the old Vue front end speaks (PROTOCOL.md section 3). Envelopes from the
//! client are read here, envelopes and bodies for it are written here, field by field as it expects them.

mod bodies;
mod envelopes;
pub mod http;
mod request;

pub use bodies::*;
pub use envelopes::*;
pub use request::{Request, RequestError, read_request};
