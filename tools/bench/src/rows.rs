//! What can be measured, by name; each is a function of one round. What is to be reached stands beside it.

mod connections;
mod delivery;
mod growth;
mod messages;
mod past;

pub use growth::PICTURES;

use std::time::Duration;

use teahouse_load::Progress;

use crate::book::Book;
use crate::error::BenchError;
use crate::running::House;

/// What a round is given.
pub struct Bench {
    pub house: House,
    pub progress: Progress,
    /// Everything is this much smaller than it should be; 1 is all of it.
    pub scale: f64,
    /// How long a rate is measured.
    pub time: Duration,
    /// Messages in the database of the past.
    pub past: u64,
}

impl Bench {
    /// A number of people, or of whatever, as the scale has it.
    pub fn some(&self, full: usize) -> usize {
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

/// Something that is measured.
pub struct Row {
    pub name: &'static str,
    pub about: &'static str,
    /// Whether it is measured in the first round alone.
    pub once: bool,
    pub run: fn(&mut Bench, &mut Book) -> Result<(), BenchError>,
}

const fn row(name: &'static str, about: &'static str, run: fn(&mut Bench, &mut Book) -> Result<(), BenchError>) -> Row {
    Row { name, about, once: false, run }
}

/// All of them, in the order of the table.
pub const ROWS: &[Row] = &[
    row("idle", "memory of 19,000 open and quiet connections", connections::idle),
    row("storm", "growth after a reconnect storm of 19,000", connections::storm),
    row("fanout", "lobby messages to 1,000 and 10,000: w1, w8, deep", delivery::fanout),
    row("latency", "400 messages a second to 1,000", delivery::latency),
    row("connect", "10,000 new sessions", connections::connect),
    row("resume-storm", "19,000 come back and resume the lobby, v1", connections::resume_storm),
    row("onlooker", "what an onlooker hears of storms, by their size", connections::onlooker),
    row("durable", "durable messages over sockets", messages::durable),
    row("rooms", "10,000 rooms of 10", messages::rooms),
    row("resume", "1,000 sessions, 500 changes each", messages::resume),
    row("shards", "one shard and two, both cores for all", delivery::shards),
    row("growth", "cost over the number of connections; the pictures", growth::growth),
    Row { name: "past", about: "start-up and history with many messages stored", once: true, run: past::past },
    Row { name: "size", about: "the binary's size", once: true, run: past::size },
    Row { name: "allocations", about: "allocations, as their test told them", once: true, run: past::allocations },
];
