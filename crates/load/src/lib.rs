//! A crowd of classic clients: thousands of sockets on one thread, for tests, benches and capacity
//! planning. It knows the wire as a stranger would, from the protocol's page, and shares no code with
//! the server.

mod crowd;
mod error;
mod latency;
pub mod process;
mod progress;
pub mod scenarios;
mod solo;
mod target;
mod wire;

pub use crowd::{Counters, Crowd, Heard};
pub use error::LoadError;
pub use latency::Latency;
pub use progress::Progress;
pub use solo::{Onlooker, OnlookerReport, Probe, ProbeReport, Solo};
pub use target::{Door, Target};
