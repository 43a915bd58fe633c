//! Plays what ten hostile accounts and one hostile address may do at worst, each kind of attack in turn, beside fifty
//! honest people. It measures how long the honest people wait, with and without the attack, and the server's peak
//! memory; the checker judges what the honest people saw. It knows the wire and the database file, and nothing of the
//! server's insides.
#![allow(clippy::unwrap_used, reason = "a test tool that cannot continue fails")]

pub mod attack;
pub mod honest;
pub mod kinds;
pub mod latencies;
pub mod memory;
pub mod report;
pub mod run;
pub mod test_bed;
pub mod witness;

pub use kinds::{Actor, KINDS, Kind};
pub use report::Report;
pub use run::{Plan, run};
