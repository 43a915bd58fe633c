//! Decides whether a recorded run kept the promises of docs/reliability.md. Input: what clients recorded (`history`) and
//! what the store holds at the end (`db_state`). Output: violations, each with the shortest story (`verdict`). The crate
//! is pure: no I/O, no clock, no task, and none of the server's code but core's limits.

pub mod db_state;
pub mod history;
pub mod index;
pub mod rules;
pub mod verdict;
pub mod view;
pub mod wire;

pub use db_state::DbState;
pub use history::{Dialect, End, Event, Fact, History, ServerEvent, Socket};
pub use index::RunIndex;
pub use rules::{Bounds, judge};
pub use verdict::{Rule, Verdict, Violation};
pub use view::DeviceView;
