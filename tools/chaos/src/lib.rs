//! Plays a workload of clients against the real server while a nemesis injects faults, records everything, and lets the
//! checker judge the history. It knows the wire and the database file, and nothing of the server's insides.
#![allow(clippy::unwrap_used, reason = "a test tool that cannot continue fails")]

pub mod clients;
pub mod db_state;
pub mod nemesis;
pub mod recorder;
pub mod run;
pub mod workload;
