//! Stories: named people, real sockets, the real binary. Each test is named after the row of the catalogue that it
//! holds the server to (H and P of the ancestor's faults), or after a fault that somebody injects. They go through
//! the public doors only; what they know of the inside is the data directory and the log.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod stage;

mod connections;
mod crash;
mod devices;
mod edge;
mod faults;
mod frames;
mod shutdown;
mod golden;
mod journey;
mod lobby;
mod private;
mod slow_readers;
mod smuggling;
mod trust;
