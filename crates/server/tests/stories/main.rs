//! Stories: named users, real sockets, the real binary. Tests with a row number in their name guard that row of
//! docs/internals/regressions.md. They use the public interfaces only; of the inside they know the data directory and
//! the log. Each test has a server, a port and a directory of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

mod fixture;

mod connections;
mod crash;
mod devices;
mod edge;
mod faults;
mod frames;
mod golden;
mod journey;
mod lobby;
mod logins;
mod memory;
mod places;
mod private;
mod proxies;
mod shutdown;
mod slow_readers;
mod smuggling;
mod trust;
