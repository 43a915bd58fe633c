//! A crowd of clients: thousands of sockets on one thread, for tests, benches and capacity planning. It
//! knows the wire as a stranger would, from the protocol's page, and shares no code with the server.

mod cli;
mod client;
mod crowd;
mod envelopes;
mod error;
mod latency;
mod ledger;
pub mod process;
mod progress;
pub mod scenarios;
mod schedule;
mod solo;
mod speaker;
mod target;
mod wire;

pub use cli::Load;
pub use crowd::{Counters, Crowd, Heard};
pub use error::LoadError;
pub use latency::Latency;
pub use ledger::Receipts;
pub use progress::Progress;
pub use solo::{Onlooker, OnlookerReport, Probe, ProbeReport, Solo};
pub use speaker::SpeakerReport;
pub use target::{Dialect, Door, Target};
