//! What honest people do, and how long each action took them in one phase of a run.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use serde::Serialize;
use teahouse_load::{Latency, Stopwatch};

/// An action of an honest person whose duration is measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// From the message to its ack.
    Send,
    /// From the first packet to the welcome.
    Connect,
    /// From the connection to the response with the token.
    LogIn,
    /// From the request for a page of history to its last byte, over the socket or HTTP.
    Read,
}

impl Action {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 4] = [Self::Send, Self::Connect, Self::LogIn, Self::Read];

    /// Its name in the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Connect => "connect",
            Self::LogIn => "log in",
            Self::Read => "read",
        }
    }
}

#[derive(Default)]
struct Measured {
    durations: BTreeMap<Action, Stopwatch>,
    failures: BTreeMap<String, u64>,
}

/// The actions of one phase. An action belongs to the phase in which it began.
#[derive(Default)]
pub struct Phase(Mutex<Measured>);

impl Phase {
    /// Records an action that has ended, and why it failed if it did. A failed action counts with the time that the
    /// person waited, so that a refusal does not look like a fast answer to a slow action.
    pub fn record(&self, action: Action, took: Duration, failure: Option<&str>) {
        let mut measured = self.0.lock().unwrap();
        measured.durations.entry(action).or_default().record(took);
        if let Some(why) = failure {
            *measured.failures.entry(format!("{}: {why}", action.name())).or_default() += 1;
        }
    }

    /// The durations of each action.
    #[must_use]
    pub fn latencies(&self) -> BTreeMap<Action, Latency> {
        let measured = self.0.lock().unwrap();
        measured.durations.iter().map(|(action, stopwatch)| (*action, stopwatch.summary())).collect()
    }

    /// How many actions failed, by action and reason.
    #[must_use]
    pub fn failures(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap().failures.clone()
    }
}
