//! The state that every use case works with: store, hub, tokens, passwords, limits, configuration, clock. It also owns
//! the tasks that must run to their end, and decides nothing.

use std::future::Future;
use std::net::IpAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use teahouse_core::ids::OWN_IDS_START;
use teahouse_core::token::Revoked;
use teahouse_core::{Timestamp, UserId};
use teahouse_hub::{AnswerOptions, AnswerPermit, Answers, Bounds, Hub, Publication};
use teahouse_store::Store;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::config::Config;
use crate::crypto::random_bytes;
use crate::errors::ApiError;
use crate::http::address::UnlistedProxies;
use crate::http::body_budget::BodyBudget;
use crate::limits::{AddressLimit, Limits, RetryAfter, UserLimit};
use crate::metrics::Rejections;
use crate::passwords::Passwords;
use crate::request_ids::RequestIds;
use crate::storage::Backups;
use crate::tokens::Tokens;

/// The hub, as use cases see it.
#[async_trait]
pub(crate) trait LiveSessions: Send + Sync + 'static {
    /// Distinct users online.
    fn online_count(&self) -> u64;

    /// The users online, in the order of their ids.
    fn online_users(&self) -> Vec<UserId>;

    /// Whether a user is online.
    fn is_online(&self, user: UserId) -> bool;

    /// Delivers an event of a site to connected users.
    async fn publish(&self, publication: Publication);

    /// Ends every live session of a user, with this reason. The user may reconnect.
    async fn disconnect(&self, user: UserId, reason: String);

    /// Ends every live session whose token was revoked.
    async fn revoke(&self, revoked: Revoked);

    /// Whether every shard responds within `deadline`.
    async fn probe(&self, deadline: Duration) -> bool;
}

#[async_trait]
impl LiveSessions for Hub {
    fn online_count(&self) -> u64 {
        self.online_count()
    }

    fn online_users(&self) -> Vec<UserId> {
        self.online_users()
    }

    fn is_online(&self, user: UserId) -> bool {
        self.is_online(user)
    }

    async fn publish(&self, publication: Publication) {
        self.publish(publication).await;
    }

    async fn disconnect(&self, user: UserId, reason: String) {
        self.disconnect(user, reason).await;
    }

    async fn revoke(&self, revoked: Revoked) {
        self.revoke(revoked).await;
    }

    async fn probe(&self, deadline: Duration) -> bool {
        self.probe(deadline).await
    }
}

/// A clock. Below the server crate the time is an argument, so that tests choose it.
pub(crate) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// State that all requests share.
pub(crate) struct App {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Copies the store; `None` when the database has its own tools for that.
    pub backups: Option<Backups>,
    /// The hub.
    pub live: Arc<dyn LiveSessions>,
    /// Verifies and issues tokens.
    pub tokens: Tokens,
    /// Hashes and verifies passwords.
    pub passwords: Passwords,
    /// The rate limits.
    pub limits: Limits,
    /// The large answers in memory.
    pub answers: Answers,
    /// The request bodies that are being received.
    pub bodies: BodyBudget,
    /// Reports bounds that were reached.
    pub bounds: Bounds,
    /// The operator's configuration.
    pub config: Config,
    /// Counts refused requests.
    pub rejections: Rejections,
    /// Logs peers that may be proxies.
    pub unlisted_proxies: UnlistedProxies,
    /// Lets one request at a time list all users online.
    pub online_users_permit: Semaphore,
    /// Makes ids for requests that have none.
    pub request_ids: RequestIds,
    clock: Clock,
    draining: AtomicBool,
    tasks: TaskTracker,
}

/// The parts of a new [`App`].
pub(crate) struct Parts {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Copies the store; `None` when the database has its own tools for that.
    pub backups: Option<Backups>,
    /// The hub.
    pub live: Arc<dyn LiveSessions>,
    /// Verifies and issues tokens.
    pub tokens: Tokens,
    /// Hashes and verifies passwords.
    pub passwords: Passwords,
    /// The rate limits.
    pub limits: Limits,
    /// Reports bounds that were reached; the hub reports to the same.
    pub bounds: Bounds,
    /// The operator's configuration.
    pub config: Config,
    /// The clock.
    pub clock: Clock,
}

impl App {
    /// An app that is not draining and has no tasks.
    #[must_use]
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts { store, backups, live, tokens, passwords, limits, bounds, config, clock } = parts;
        Arc::new(Self {
            store,
            backups,
            live,
            tokens,
            passwords,
            limits,
            answers: Answers::new(answer_options(&config), bounds.clone()),
            bodies: BodyBudget::default(),
            bounds,
            config,
            rejections: Rejections::default(),
            unlisted_proxies: UnlistedProxies::default(),
            online_users_permit: Semaphore::new(1),
            request_ids: RequestIds::from_seed(random_bytes()),
            clock,
            draining: AtomicBool::new(false),
            tasks: TaskTracker::new(),
        })
    }

    /// Reports that a user has approached as many strangers as they may in a day.
    pub(crate) fn record_too_many_strangers(&self) {
        self.bounds.record("limits.strangers_per_day", self.config.limits.strangers_per_day as u64);
    }

    /// The time.
    #[must_use]
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The permit for a large answer of this user. The request waits for it while too many of theirs are in memory.
    ///
    /// # Errors
    /// Too many of the user's requests wait already, or the answers of all users together take too much memory.
    pub(crate) async fn begin_answer(&self, user: UserId) -> Result<AnswerPermit, ApiError> {
        self.answers.begin(user).await.map_err(ApiError::from)
    }

    /// The same for an answer that no page bounds: one of a user is made at a time.
    ///
    /// # Errors
    /// As above.
    pub(crate) async fn begin_whole_answer(&self, user: UserId) -> Result<AnswerPermit, ApiError> {
        self.answers.begin_whole(user).await.map_err(ApiError::from)
    }

    /// Takes one token of a user's rate, and reports a refusal.
    ///
    /// # Errors
    /// Too fast; nothing is taken.
    pub(crate) fn take_rate_token(&self, what: UserLimit, user: UserId) -> Result<(), RetryAfter> {
        self.limits.take_for_user(what, user).inspect_err(|_| {
            let (key, rate) = what.rate(&self.config.limits);
            self.bounds.record(key, rate.into());
        })
    }

    /// Takes one token of a client address, and reports a refusal.
    ///
    /// # Errors
    /// Too fast; nothing is taken.
    pub(crate) fn take_address_token(&self, what: AddressLimit, address: IpAddr) -> Result<(), RetryAfter> {
        self.limits.take_for_address(what, address).inspect_err(|_| {
            let (key, burst) = what.burst(&self.config.limits);
            self.bounds.record(key, burst.into());
        })
    }

    /// Takes the token of an attempt to send text to others. An invalid attempt counts as any other envelope, so that a
    /// mistake does not cost a token of sending.
    ///
    /// # Errors
    /// Too fast; nothing is taken.
    pub(crate) fn take_send_token(&self, user: UserId, is_valid: bool) -> Result<(), RetryAfter> {
        self.take_rate_token(if is_valid { UserLimit::Send } else { UserLimit::Envelope }, user)
    }

    /// Whether the server is shutting down.
    #[must_use]
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Makes `/ready` fail and refuses new handshakes.
    pub(crate) fn begin_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Runs work to its end, even when the returned future is dropped: a client that disconnects must not leave it half
    /// done. A panic in the work is passed on to the caller. [`App::finish_tasks`] waits for the work.
    pub(crate) async fn run_to_end<F>(&self, work: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match self.tasks.spawn(work.in_current_span()).await {
            Ok(output) => output,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // Only a runtime that shuts down cancels these tasks, and it drops this future too.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// How many tasks must still run to their end.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn unfinished_tasks(&self) -> usize {
        self.tasks.len()
    }

    /// Waits until every task has run to its end. New tasks may start meanwhile.
    pub(crate) async fn finish_tasks(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn answer_options(config: &Config) -> AnswerOptions {
    let answers = &config.answers;
    AnswerOptions { bytes_max: answers.bytes_max.0 as u64, bytes_per_user: answers.bytes_per_user.0 as u64 }
}

/// The lowest id of an account that the server creates itself. With site tokens these ids stay out of the site's range.
#[must_use]
pub(crate) fn own_ids_start(config: &Config) -> u64 {
    if config.auth.site_tokens() { OWN_IDS_START } else { 1 }
}
