//! An attacker: its account, its address, its pace, and the counts of its successes and failures. An attack runs until it
//! is dropped, and goes on after every refusal and every lost connection.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use teahouse_chaos::clients::User;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::test_bed::TestBed;

mod raw_http;
mod session;

pub use raw_http::{RawHttp, json_request, request_bytes};
pub use session::AttackSession;

/// How often the parts of an attack succeeded.
#[derive(Default)]
pub struct Counts {
    done: AtomicU64,
    refused: AtomicU64,
    closed: AtomicU64,
}

/// The counts at one time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Counted {
    /// What the server did, or took without an answer.
    pub done: u64,
    /// What it refused.
    pub refused: u64,
    /// Connections that it refused, closed or lost.
    pub closed: u64,
}

impl Counts {
    /// The server did what it was to do.
    pub fn add_done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// It refused.
    pub fn add_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// It ended the connection, or there was none.
    pub fn add_closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the response to an HTTP request; none where the connection ended.
    pub fn add_response(&self, status: Option<u16>) {
        match status {
            Some(200..300) => self.add_done(),
            Some(_) => self.add_refused(),
            None => self.add_closed(),
        }
    }

    /// The counts so far.
    #[must_use]
    pub fn read(&self) -> Counted {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counted { done: read(&self.done), refused: read(&self.refused), closed: read(&self.closed) }
    }
}

/// One attacker: an account, or the address.
#[derive(Clone)]
pub struct Attack {
    /// The test bed.
    pub bed: Arc<TestBed>,
    /// The account. For the address it is the first hostile account, which few kinds use.
    pub user: User,
    /// Which of the hostile accounts it is.
    pub number: usize,
    /// Where its connections come from.
    pub source: IpAddr,
    /// Its successes and failures.
    pub counts: Arc<Counts>,
}

impl Attack {
    /// A pace of this many a second. Missed ticks are skipped.
    #[must_use]
    pub fn pace(&self, per_second: u32) -> Interval {
        let mut pace = interval(Duration::from_secs(1) / per_second.max(1));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pace
    }

    /// Waits before the next attempt, after the server gave no connection.
    pub async fn wait_after_refusal(&self) {
        self.counts.add_closed();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    /// A text of this account that no other message has, filled up to a number of characters.
    #[must_use]
    pub fn long_text(&self, begin: &str, fill: char, chars: usize) -> String {
        let mut text = format!("{begin}{} {} ", self.user.name, self.user.next_number());
        let length = text.chars().count();
        text.extend(std::iter::repeat_n(fill, chars.saturating_sub(length)));
        text
    }
}
