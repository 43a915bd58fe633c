//! Small clients that write down everything they do and hear, and assert nothing: a v1 device, a tab of the classic
//! page, HTTP. What they do is decided by `cast`.

mod device;
mod http;
mod line;
mod person;
mod tab;

pub use device::Device;
pub use http::Http;
pub use line::{Gone, Handshake, Line};
pub use person::{Person, SITE_SECRET};
pub use tab::Tab;
