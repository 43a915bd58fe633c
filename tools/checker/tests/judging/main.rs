//! The checker judged: clean histories are accepted, and each thing that can go wrong is found by its rule and by no
//! other.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod model;
mod mutations;
mod random;
