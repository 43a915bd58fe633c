//! Where everybody writes down what they do and hear, in one order, under one clock; and how often each fault was
//! really done.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use teahouse_checker::{Dialect, Fact, History, ServerEvent, Socket};

/// The record of one run; copies write into the same one.
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
    /// A socket that was never there before.
    #[must_use]
    pub fn socket(&self, user: u64, device: &str, dialect: Dialect) -> Socket {
        let number = self.inner.sockets.fetch_add(1, Ordering::Relaxed);
        Socket { user, device: device.into(), dialect, number }
    }

    /// Something happened on a socket. What is about to be done is noted before.
    pub fn note(&self, socket: &Socket, fact: Fact) {
        self.add(Some(socket), fact);
    }

    /// Something befell the server.
    pub fn server(&self, what: ServerEvent) {
        self.add(None, Fact::Server(what));
    }

    /// From here on nobody asks for a change.
    pub fn quiet(&self) {
        self.add(None, Fact::ChangesEnded);
    }

    fn add(&self, socket: Option<&Socket>, fact: Fact) {
        // The clock is read under the lock, so that the order of events is that of their times.
        let mut history = self.inner.history.lock().unwrap();
        let at_us = u64::try_from(self.inner.began.elapsed().as_micros()).unwrap();
        history.record(at_us, socket, fact);
    }

    /// A fault was done.
    pub fn fault(&self, kind: &'static str) {
        *self.inner.faults.lock().unwrap().entry(kind).or_default() += 1;
    }

    /// How often each was.
    #[must_use]
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.inner.faults.lock().unwrap().clone()
    }

    /// How much was written down.
    #[must_use]
    pub fn events(&self) -> usize {
        self.inner.history.lock().unwrap().events.len()
    }

    /// What was written down until now.
    #[must_use]
    pub fn history(&self) -> History {
        self.inner.history.lock().unwrap().clone()
    }
}
