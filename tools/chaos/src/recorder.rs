//! Records what all clients send and receive and what happens to the server, in one order and under one clock, and counts
//! the faults that really happened.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use teahouse_checker::{Dialect, Fact, History, ServerEvent, Socket};

/// The recorder of one run. Clones write into the same history.
#[derive(Clone)]
pub struct Recorder {
    inner: Arc<Inner>,
}

struct Inner {
    began: Instant,
    history: Mutex<History>,
    faults: Mutex<BTreeMap<&'static str, u64>>,
    sockets: AtomicU64,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            inner: Arc::new(Inner {
                began: Instant::now(),
                history: Mutex::default(),
                faults: Mutex::default(),
                sockets: AtomicU64::new(1),
            }),
        }
    }
}

impl Recorder {
    /// A socket with a new number.
    #[must_use]
    pub fn new_socket(&self, user: u64, device: &str, dialect: Dialect) -> Socket {
        let number = self.inner.sockets.fetch_add(1, Ordering::Relaxed);
        Socket { user, device: device.into(), dialect, number }
    }

    /// Records a fact of a socket. An action is recorded before it is done.
    pub fn note(&self, socket: &Socket, fact: Fact) {
        self.add(Some(socket), fact);
    }

    /// Records an event of the server.
    pub fn note_server(&self, event: ServerEvent) {
        self.add(None, Fact::Server(event));
    }

    /// Records that no client requests a change from here on.
    pub fn note_quiet(&self) {
        self.add(None, Fact::ChangesEnded);
    }

    fn add(&self, socket: Option<&Socket>, fact: Fact) {
        // Reading the clock under the lock keeps events in the order of their times.
        let mut history = self.inner.history.lock().unwrap();
        let at_us = u64::try_from(self.inner.began.elapsed().as_micros()).unwrap();
        history.record(at_us, socket, fact);
    }

    /// Counts a fault that happened.
    pub fn count_fault(&self, kind: &'static str) {
        *self.inner.faults.lock().unwrap().entry(kind).or_default() += 1;
    }

    /// How often each fault happened.
    #[must_use]
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.inner.faults.lock().unwrap().clone()
    }

    /// Number of recorded events.
    #[must_use]
    pub fn events(&self) -> usize {
        self.inner.history.lock().unwrap().events.len()
    }

    /// The history so far.
    #[must_use]
    pub fn history(&self) -> History {
        self.inner.history.lock().unwrap().clone()
    }
}
