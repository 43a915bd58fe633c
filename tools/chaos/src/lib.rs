//! A server process and what can be done to it from outside: killed, starved, its disk and its clock bent. It
//! knows the process and the wire, and nothing of the server's insides. A test tool: what cannot go on, panics.
#![allow(clippy::unwrap_used, reason = "a test tool that cannot go on fails")]

pub mod befalls;
pub mod cast;
pub mod chance;
pub mod faults;
pub mod people;
pub mod recorder;
pub mod run;
pub mod server;
pub mod truth;

pub use faults::{Disk, Faults};
pub use server::Server;
