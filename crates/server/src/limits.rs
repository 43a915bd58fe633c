//! Rate limits: per user over HTTP, WebSocket and reconnects, and per client address before the user is known. It
//! counts and decides; its callers refuse. Memory is bounded.

mod password_attempts;

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use teahouse_core::UserId;
use teahouse_hub::Bounds;

use password_attempts::PasswordAttempts;
pub(crate) use password_attempts::{Account, Attempt, AttemptRefusal, Guesser};

use crate::clock;
use crate::config;
use crate::ip_prefix::IpPrefix;

/// Maximum keys of one limit, about 4 MB. At the maximum idle keys are dropped; while none is idle, all new keys share
/// one overflow bucket.
const KEYS_MAX: usize = 100_000;

/// A limited action of a user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum UserLimit {
    /// Sends text to others: sends or edits a message, changes the profile, renames a room.
    Send,
    /// Sends any other envelope.
    Envelope,
    /// Opens a connection.
    Connect,
    /// Reads over HTTP.
    Read,
}

impl UserLimit {
    /// The key of the rate in the configuration, and its value.
    pub(crate) fn rate(self, config: &config::Limits) -> (&'static str, u32) {
        match self {
            Self::Send => ("limits.sends_per_second", config.sends_per_second),
            Self::Envelope => ("limits.envelopes_per_second", config.envelopes_per_second),
            Self::Connect => ("limits.connects_per_second", config.connects_per_second),
            Self::Read => ("limits.reads_per_second", config.reads_per_second),
        }
    }
}

/// A limited action of a client address, before the user is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AddressLimit {
    /// Logs in.
    Login,
    /// Registers.
    Register,
    /// Presents an invalid token.
    BadToken,
}

impl AddressLimit {
    /// The key of the burst in the configuration, and its value.
    pub(crate) fn burst(self, config: &config::Limits) -> (&'static str, u32) {
        match self {
            Self::Login => ("limits.logins_burst", config.logins_burst),
            Self::Register => ("limits.registrations_burst", config.registrations_burst),
            Self::BadToken => ("limits.bad_tokens_burst", config.bad_tokens_burst),
        }
    }
}

/// Too fast: the action passes after this long, not before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("rate limit exceeded; retry after {0:?}")]
pub struct RetryAfter(pub Duration);

impl RetryAfter {
    /// Whole seconds for a `Retry-After` header, rounded up.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
    }
}

/// All limits.
#[derive(Debug)]
pub(crate) struct Limits {
    sends: Buckets<UserId>,
    envelopes: Buckets<UserId>,
    connects: Buckets<UserId>,
    reads: Buckets<UserId>,
    logins: Buckets<IpPrefix>,
    registrations: Buckets<IpPrefix>,
    bad_tokens: Buckets<IpPrefix>,
    password_attempts: PasswordAttempts,
}

impl Limits {
    /// Limits with the configured rates, which report to `bounds` when they have too many keys.
    #[must_use]
    pub(crate) fn new(config: &config::Limits, bounds: &Bounds) -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        Self {
            sends: Buckets::new(config.sends_per_second, SECOND, config.sends_burst, bounds),
            envelopes: Buckets::new(config.envelopes_per_second, SECOND, config.envelopes_burst, bounds),
            connects: Buckets::new(config.connects_per_second, SECOND, config.connects_burst, bounds),
            reads: Buckets::new(config.reads_per_second, SECOND, config.reads_burst, bounds),
            logins: Buckets::new(config.logins_per_second, SECOND, config.logins_burst, bounds),
            registrations: Buckets::new(config.registrations_per_second, SECOND, config.registrations_burst, bounds),
            bad_tokens: Buckets::new(config.bad_tokens_per_second, SECOND, config.bad_tokens_burst, bounds),
            password_attempts: PasswordAttempts::new(config, bounds),
        }
    }

    /// Takes one token of a user.
    ///
    /// # Errors
    /// Too fast; nothing is taken.
    pub(crate) fn take_for_user(&self, what: UserLimit, user: UserId) -> Result<(), RetryAfter> {
        self.users(what).take(user, clock::monotonic())
    }

    /// Refunds one token of a user.
    pub(crate) fn refund_user(&self, what: UserLimit, user: UserId) {
        self.users(what).refund(&user);
    }

    /// Takes one token of a client address.
    ///
    /// # Errors
    /// Too fast; nothing is taken.
    pub(crate) fn take_for_address(&self, what: AddressLimit, address: IpAddr) -> Result<(), RetryAfter> {
        self.addresses(what).take(IpPrefix::of(address), clock::monotonic())
    }

    /// Takes one password attempt for an account from this address. A fast one is delayed instead of refused, so that
    /// the right password still passes; [`Limits::refund_password_attempt`] refunds it.
    ///
    /// # Errors
    /// Too many attempts of this address are waiting.
    pub(crate) fn password_attempt(
        &self,
        account: &Account,
        guesser: Guesser,
        address: IpAddr,
    ) -> Result<Attempt, AttemptRefusal> {
        self.password_attempts.begin(account, guesser, IpPrefix::of(address), clock::monotonic())
    }

    /// Refunds the attempt of a right password.
    pub(crate) fn refund_password_attempt(&self, account: &Account, guesser: Guesser) {
        self.password_attempts.refund(account, guesser);
    }

    /// Drops idle keys. Call it about once a minute; memory is bounded without it too.
    pub(crate) fn prune(&self) {
        let now = clock::monotonic();
        for users in [&self.sends, &self.envelopes, &self.connects, &self.reads] {
            users.prune(now);
        }
        for addresses in [&self.logins, &self.registrations, &self.bad_tokens] {
            addresses.prune(now);
        }
        self.password_attempts.prune(now);
    }

    fn users(&self, what: UserLimit) -> &Buckets<UserId> {
        match what {
            UserLimit::Send => &self.sends,
            UserLimit::Envelope => &self.envelopes,
            UserLimit::Connect => &self.connects,
            UserLimit::Read => &self.reads,
        }
    }

    fn addresses(&self, what: AddressLimit) -> &Buckets<IpPrefix> {
        match what {
            AddressLimit::Login => &self.logins,
            AddressLimit::Register => &self.registrations,
            AddressLimit::BadToken => &self.bad_tokens,
        }
    }
}

/// Token buckets, one a key, by the generic cell rate algorithm: each is the single time at which it will be full
/// again. A full bucket needs no memory.
#[derive(Debug)]
struct Buckets<K> {
    /// The time in which one token is refilled; `None` when nothing ever passes.
    period: Option<Duration>,
    /// How far ahead the time may be for another token to be taken.
    tolerance: Duration,
    keys_max: usize,
    bounds: Bounds,
    /// Held for a look-up, or for one sweep when the map is full.
    buckets: Mutex<BucketMap<K>>,
}

#[derive(Debug)]
struct BucketMap<K> {
    full_at: HashMap<K, Instant>,
    /// The bucket that new keys share at the maximum; `None` when it is full.
    overflow: Option<Instant>,
    /// No sweep before this time: at the maximum each new key would cost one.
    next_sweep: Option<Instant>,
}

impl<K: Hash + Eq> Buckets<K> {
    fn new(rate: u32, per: Duration, burst: u32, bounds: &Bounds) -> Self {
        let period = if burst == 0 { None } else { per.checked_div(rate) };
        let tolerance = period.unwrap_or_default().saturating_mul(burst.saturating_sub(1));
        let buckets = BucketMap { full_at: HashMap::new(), overflow: None, next_sweep: None };
        Self { period, tolerance, keys_max: KEYS_MAX, bounds: bounds.clone(), buckets: Mutex::new(buckets) }
    }

    fn take(&self, key: K, now: Instant) -> Result<(), RetryAfter> {
        self.take_at(key, now, |delay| if delay.is_zero() { Ok(delay) } else { Err(RetryAfter(delay)) }).map(drop)
    }

    /// Takes a token in any case, and returns the delay until it is refilled, or `delay_max` where that is sooner.
    ///
    /// # Errors
    /// Nothing ever passes.
    fn take_capped(&self, key: K, delay_max: Duration, now: Instant) -> Result<Duration, RetryAfter> {
        self.take_at(key, now, |delay| Ok(delay.min(delay_max)))
    }

    /// Takes a token if `decide` grants it, given the delay until it is refilled. The token is the one that is refilled
    /// after the granted delay.
    fn take_at(
        &self,
        key: K,
        now: Instant,
        decide: impl FnOnce(Duration) -> Result<Duration, RetryAfter>,
    ) -> Result<Duration, RetryAfter> {
        // Nothing ever passes, so the answer is arbitrary.
        let period = self.period.ok_or(RetryAfter(Duration::from_secs(3600)))?;
        let mut buckets = self.lock();
        let known = buckets.full_at.contains_key(&key);
        if !known && buckets.full_at.len() >= self.keys_max && buckets.next_sweep.is_none_or(|next| next <= now) {
            buckets.full_at.retain(|_, full_at| *full_at > now);
            buckets.next_sweep = Some(now + Duration::from_secs(1));
        }
        let full_at = match buckets.full_at.get(&key).copied() {
            Some(full_at) => full_at.max(now),
            None if buckets.full_at.len() < self.keys_max => now,
            None => {
                self.bounds.record("KEYS_MAX", self.keys_max as u64);
                buckets.overflow.unwrap_or(now).max(now)
            }
        };
        let ahead = (full_at - now).saturating_sub(self.tolerance);
        let delay = decide(ahead)?;
        let full_at = full_at - (ahead - delay) + period;
        if known || buckets.full_at.len() < self.keys_max {
            buckets.full_at.insert(key, full_at);
        } else {
            buckets.overflow = Some(full_at);
        }
        Ok(delay)
    }

    /// Puts a token back.
    fn refund(&self, key: &K) {
        let period = self.period.unwrap_or_default();
        if let Some(full_at) = self.lock().full_at.get_mut(key) {
            *full_at -= period;
        }
    }

    fn prune(&self, now: Instant) {
        let mut buckets = self.lock();
        buckets.full_at.retain(|_, full_at| *full_at > now);
        buckets.full_at.shrink_to(1024);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BucketMap<K>> {
        // Every change is a single insertion, so that a panic leaves the map consistent.
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let start = clock::monotonic();
        // Three a second, five at once: the defaults of docs/protocol.md.
        let buckets = Buckets::new(3, Duration::from_secs(1), 5, &Bounds::default());
        let taken = |after| buckets.take(UserId(7), start + MS(after)).is_ok();
        for (after, expect) in [
            (0, true),
            (0, true),
            (0, true),
            (0, true),
            (0, true),
            (0, false),
            (333, false),
            (334, true),
            (334, false),
            (1000, true),
            (1000, true),
            (1000, false),
            (60_000, true),
            (60_000, true),
            (60_000, true),
            (60_000, true),
            (60_000, true),
            (60_000, false),
        ] {
            assert_eq!(taken(after), expect, "after {after} ms");
        }
        assert!(buckets.take(UserId(8), start).is_ok(), "other keys are not affected");
    }

    #[test]
    fn a_refusal_says_when_to_retry_and_costs_nothing() {
        let start = clock::monotonic();
        let buckets = Buckets::new(1, Duration::from_secs(1), 1, &Bounds::default());
        buckets.take((), start).unwrap();
        for _ in 0..10 {
            assert_eq!(buckets.take((), start + MS(400)), Err(RetryAfter(MS(600))));
        }
        assert_eq!(RetryAfter(MS(600)).seconds(), 1);
        assert_eq!(RetryAfter(MS(1001)).seconds(), 2);
        assert!(buckets.take((), start + MS(1000)).is_ok());
    }

    #[test]
    fn a_rate_or_burst_of_zero_lets_nothing_pass() {
        for (rate, burst) in [(0, 5), (5, 0), (0, 0)] {
            let buckets = Buckets::new(rate, Duration::from_secs(1), burst, &Bounds::default());
            assert!(buckets.take((), clock::monotonic()).is_err(), "{rate} {burst}");
        }
    }

    #[test]
    fn memory_is_bounded_and_new_keys_share_a_bucket_at_the_maximum() {
        let start = clock::monotonic();
        let mut buckets = Buckets::new(1, Duration::from_secs(1), 1, &Bounds::default());
        buckets.keys_max = 10;
        for key in 0..10 {
            buckets.take(key, start).unwrap();
        }
        assert_eq!(buckets.bounds.times("KEYS_MAX"), 0);
        assert!(buckets.take(10, start).is_ok(), "the first key beyond the maximum takes from the overflow bucket");
        assert!(buckets.take(11, start).is_err(), "the second key finds it empty");
        assert_eq!((buckets.lock().full_at.len(), buckets.bounds.times("KEYS_MAX")), (10, 2));
        // A second later all buckets are full again, and therefore dropped.
        assert!(buckets.take(12, start + MS(1000)).is_ok() && buckets.take(13, start + MS(1000)).is_ok());
        assert_eq!(buckets.lock().full_at.len(), 2);
        buckets.prune(start + MS(3000));
        assert_eq!(buckets.lock().full_at.len(), 0);
    }
}
