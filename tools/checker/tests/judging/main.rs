//! Tests of the checker itself: it accepts clean histories, and reports each defect by its rule and by no other.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

mod model;
mod mutations;
mod random;
mod reactions;
mod sessions;
