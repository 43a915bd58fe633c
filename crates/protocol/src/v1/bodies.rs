//! The `data` of v1 envelopes, which is also the `data` of responses under `/api/v1`.

mod messages;
mod people;
mod rooms;
mod session;

pub use messages::*;
pub use people::*;
pub use rooms::*;
pub use session::*;
