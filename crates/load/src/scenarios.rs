//! What a crowd does and what is measured of it, one file a question. Each gives a summary that a person
//! or a program can read.

pub mod durable;
pub mod fanout;
pub mod idle;
pub mod storm;

use std::time::Duration;

/// Handshakes that the crowd has under way at once.
pub const IN_FLIGHT_MAX: usize = 2000;
/// The first user of the crowd; below are those who watch.
pub const FIRST_USER: u64 = 1001;
/// The users who watch.
pub const PROBE_USER: u64 = 1;
/// The user who only listens.
pub const ONLOOKER_USER: u64 = 2;
/// How long anything may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(120);

#[expect(clippy::cast_precision_loss, reason = "counts and bytes of one machine")]
fn per(amount: u64, of: usize) -> f64 {
    amount as f64 / of.max(1) as f64
}
