//! Load generator: thousands of chat clients on one thread, for tests, benchmarks and capacity planning.
//! It speaks the wire protocol as documented and shares no code with the server.

mod cli;
mod client;
mod client_pool;
mod deliveries;
mod envelopes;
mod error;
mod latency;
mod paced_sender;
pub mod process;
mod progress;
pub mod scenarios;
mod schedule;
mod single_client;
mod target;
mod wire;

pub use cli::Cli;
pub use client_pool::{ClientPool, Counters, Incoming};
pub use deliveries::Receipts;
pub use error::LoadError;
pub use latency::{Latency, Stopwatch};
pub use paced_sender::SenderReport;
pub use progress::Progress;
pub use single_client::{Observer, ObserverReport, Probe, ProbeReport, SingleClient};
pub use target::{Dialect, Target, Transport};
