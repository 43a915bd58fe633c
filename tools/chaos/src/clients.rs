//! Clients that record everything they send and receive, and assert nothing: a v1 device, a tab of the classic front end,
//! HTTP. The workload decides what they do.

mod device;
mod http;
mod tab;
mod user;
mod ws_client;

pub use device::Device;
pub use http::Http;
pub use tab::Tab;
pub use user::User;
pub use ws_client::{ConnectOptions, Disconnect, RecordedSocket};
