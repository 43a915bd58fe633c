//! The rows by name, each a function that measures one round, and the goals.

mod connections;
mod delivery;
mod growth;
mod messages;
mod past;

use std::time::Duration;

use teahouse_load::Progress;

use crate::error::BenchError;
use crate::process::TestBed;
use crate::results::Results;

/// The context of a round.
pub(crate) struct Bench {
    pub bed: TestBed,
    pub progress: Progress,
    /// Scale of all sizes; 1 is the full size.
    pub scale: f64,
    /// Measured time per rate.
    pub time: Duration,
    /// Messages in the database of the `past` row.
    pub past: u64,
}

impl Bench {
    /// A size at the current scale, at least 2.
    pub(crate) fn scaled(&self, full: usize) -> usize {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "people of one machine"
        )]
        let scaled = (full as f64 * self.scale).round() as usize;
        scaled.max(full.min(2))
    }
}

/// A group of measurements.
pub(crate) struct Row {
    pub name: &'static str,
    pub about: &'static str,
    /// Whether it is measured in the first round only.
    pub once: bool,
    pub run: fn(&mut Bench, &mut Results) -> Result<(), BenchError>,
}

const fn row(
    name: &'static str,
    about: &'static str,
    run: fn(&mut Bench, &mut Results) -> Result<(), BenchError>,
) -> Row {
    Row { name, about, once: false, run }
}

/// All rows, in the order of the table.
pub(crate) const ROWS: &[Row] = &[
    row("idle", "memory of 19,000 idle connections", connections::idle),
    row("storm", "memory growth after reconnect storms of 19,000", connections::storm),
    row("fanout", "lobby messages to 1,000 and 10,000: w1, w8, deep", delivery::fanout),
    row("latency", "400 messages a second to 1,000", delivery::latency),
    row("connect", "10,000 new sessions", connections::connect),
    row("resume-storm", "19,000 sessions reconnect and resume the lobby, v1", connections::resume_storm),
    row("observer", "traffic to an observer during storms, by size", connections::observer),
    row("durable", "durable messages over WebSockets", messages::durable),
    row("rooms", "10,000 rooms of 10", messages::rooms),
    row("resume", "1,000 sessions resume after 500 changes each", messages::resume),
    row("shards", "one and two shards, sharing all cores with the load", delivery::shards),
    row("growth", "cost over the number of connections", growth::growth),
    Row { name: "past", about: "start-up and history with many stored messages", once: true, run: past::past },
    Row { name: "size", about: "size of the binary", once: true, run: past::size },
    Row { name: "allocations", about: "allocations, from the allocation test", once: true, run: past::allocations },
];
