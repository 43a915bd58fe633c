//! What every use case works with: the store, the live half, tokens, passwords, limits, the
//! configuration and the clock. It decides nothing; it owns the tasks that must run to their end.

use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use teahouse_core::token::Revoked;
use teahouse_core::{Timestamp, UserId};
use teahouse_hub::Publication;
use teahouse_store::Store;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::config::Config;
use crate::crypto::random_bytes;
use crate::limits::Limits;
use crate::metrics::Rejections;
use crate::passwords::Passwords;
use crate::request_ids::RequestIds;
use crate::tokens::Tokens;

/// What the door needs of the live half.
#[async_trait]
pub trait Live: Send + Sync + 'static {
    /// Distinct users online.
    fn online_count(&self) -> u64;

    /// Who is online, in the order of their ids.
    fn online_users(&self) -> Vec<UserId>;

    /// Whether one user is online.
    fn is_online(&self, user: UserId) -> bool;

    /// Delivers what a site's backend published, to whom it concerns.
    async fn publish(&self, publication: Publication);

    /// Ends every session that a user has now; they hear why. It keeps nobody from coming back.
    async fn disconnect(&self, user: UserId, reason: String);

    /// Tokens are void from now on: live sockets that were opened with one of them close.
    async fn revoke(&self, revoked: Revoked);

    /// Whether every shard answers within `deadline`.
    async fn probe(&self, deadline: Duration) -> bool;
}

/// A clock: below the door time is an argument, so that tests choose it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What the server is made of, shared by all doors.
pub struct App {
    /// The durable half.
    pub store: Arc<dyn Store>,
    /// The live half.
    pub live: Arc<dyn Live>,
    /// Verifies and issues tokens.
    pub tokens: Tokens,
    /// Hashes and verifies passwords.
    pub passwords: Passwords,
    /// How fast is too fast.
    pub limits: Limits,
    /// What the operator wants.
    pub config: Config,
    /// How often what was refused.
    pub rejections: Rejections,
    /// The turn to ask who is online.
    pub online_turn: Semaphore,
    /// Names for requests that bring none.
    pub request_ids: RequestIds,
    clock: Clock,
    draining: AtomicBool,
    tasks: TaskTracker,
}

/// What an [`App`] is made from.
pub struct Parts {
    /// The durable half.
    pub store: Arc<dyn Store>,
    /// The live half.
    pub live: Arc<dyn Live>,
    /// Verifies and issues tokens.
    pub tokens: Tokens,
    /// Hashes and verifies passwords.
    pub passwords: Passwords,
    /// How fast is too fast.
    pub limits: Limits,
    /// What the operator wants.
    pub config: Config,
    /// The clock.
    pub clock: Clock,
}

impl App {
    /// A server that is not draining and has nothing to do yet.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { store, live, tokens, passwords, limits, config, clock } = parts;
        let (draining, tasks) = (AtomicBool::new(false), TaskTracker::new());
        let (rejections, online_turn) = (Rejections::default(), Semaphore::new(1));
        Arc::new(Self {
            store,
            live,
            tokens,
            passwords,
            limits,
            config,
            rejections,
            online_turn,
            request_ids: RequestIds::from_seed(random_bytes()),
            clock,
            draining,
            tasks,
        })
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Whether the server is on its way down.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// From now on `/ready` says no.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Runs work to its end whatever becomes of whoever waits for it: a client that hangs up must not
    /// leave it half done. [`App::idle`] waits for it. A panic in it is the caller's.
    pub async fn run_to_end<F>(&self, work: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match self.tasks.spawn(work.in_current_span()).await {
            Ok(output) => output,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // Nobody aborts these tasks; only a runtime that is shutting down does, and it drops this future too.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// How much is left that must run to its end.
    #[cfg(test)]
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.tasks.len()
    }

    /// Waits until nothing that must run to its end is left. New work may still come while it waits.
    pub async fn idle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}
