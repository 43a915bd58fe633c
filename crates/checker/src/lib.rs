//! Decides whether a run kept the promises of DESIGN.md: it takes what clients recorded (`history`) and what the
//! store holds at the end (`truth`), and says what does not fit, with the shortest story of it (`verdict`). It is
//! pure: no I/O, no clock, no task, and none of the server's code but core's limits.

pub mod history;
pub mod truth;
pub mod wire;

pub use history::{Dialect, End, Event, Fact, History, Server, Socket};
pub use truth::Truth;
