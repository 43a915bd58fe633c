//! Decides whether a run kept the promises of DESIGN.md: it takes what clients recorded (`history`) and what the
//! store holds at the end (`truth`), and says what does not fit, with the shortest story of it (`verdict`). It is
//! pure: no I/O, no clock, no task, and none of the server's code but core's limits.

pub mod history;
pub mod ledger;
pub mod rules;
pub mod truth;
pub mod verdict;
pub mod view;
pub mod wire;

pub use history::{Dialect, End, Event, Fact, History, Server, Socket};
pub use ledger::Ledger;
pub use rules::{Bounds, judge};
pub use truth::Truth;
pub use verdict::{Rule, Verdict, Violation};
pub use view::DeviceView;
