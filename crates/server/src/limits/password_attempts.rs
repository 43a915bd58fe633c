//! Wrong passwords of an account, and whose attempts they delay. They never lock an account: an attempt is delayed, and
//! refused only while too many delayed ones wait.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use teahouse_core::UserId;
use teahouse_hub::Bounds;

use super::{Buckets, RetryAfter};
use crate::config;
use crate::ip_prefix::IpPrefix;

/// Maximum delay of a password check.
const DELAY_MAX: Duration = Duration::from_secs(5);
/// Maximum attempts of one address that are delayed at a time, and the number of all beyond which an address has only
/// one. Only accounts under attack have delayed attempts. Without a bound, an address could guess as fast as it can
/// send. The first attempt of an address always waits: each has a connection, and these are bounded.
const DELAYED_PER_ADDRESS_MAX: usize = 32;
const DELAYED_MAX: usize = 2048;

/// The account that an attempt names.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Account {
    /// A user, by name or by e-mail address.
    Known(UserId),
    /// A name that no user has.
    Unknown(String),
}

impl Account {
    /// The account of a name that no user has.
    #[must_use]
    pub(crate) fn unknown(name: &str) -> Self {
        // Names are unique regardless of case. Cut, since a long name must not use memory.
        Self::Unknown(name.trim().chars().take(64).flat_map(char::to_lowercase).collect())
    }
}

/// Who tries a password. Each guesser has a bucket for each account.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Guesser {
    /// A browser that logged in to the account before.
    Browser(u64),
    /// An address from which somebody logged in to the account before.
    Address(IpPrefix),
    /// The holder of a token of the account.
    SignedIn,
    /// All others.
    Stranger,
}

/// The buckets, and the delayed attempts.
#[derive(Debug)]
pub(super) struct PasswordAttempts {
    buckets: Buckets<(Account, Guesser)>,
    delayed: Arc<Delayed>,
}

#[derive(Debug, Default)]
struct Delayed(Mutex<DelayedCounts>);

#[derive(Debug, Default)]
struct DelayedCounts {
    /// Of each address; none is 0.
    of: HashMap<IpPrefix, usize>,
    all: usize,
}

/// Why an attempt is refused: the name of the bound, and when to retry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AttemptRefusal {
    /// The name of the bound, for the operator.
    pub bound: &'static str,
    /// How much waits already.
    pub waiting: u64,
    /// When to retry.
    pub retry_after: RetryAfter,
}

/// An attempt that may check its password after a delay.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// How long to wait first. Drop the attempt only then.
    pub delay: Duration,
    _delayed: Option<DelayedAttempt>,
}

/// One of the delayed attempts of an address.
#[derive(Debug)]
struct DelayedAttempt {
    delayed: Arc<Delayed>,
    prefix: IpPrefix,
}

impl Drop for DelayedAttempt {
    fn drop(&mut self) {
        let mut delayed = self.delayed.0.lock().unwrap_or_else(PoisonError::into_inner);
        delayed.all -= 1;
        if let Entry::Occupied(mut count) = delayed.of.entry(self.prefix) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Delayed {
    fn begin(self: &Arc<Self>, prefix: IpPrefix) -> Result<DelayedAttempt, AttemptRefusal> {
        let mut delayed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = delayed.of.get(&prefix).copied().unwrap_or(0);
        let refuse = |bound, waiting: usize| {
            Err(AttemptRefusal { bound, waiting: waiting as u64, retry_after: RetryAfter(DELAY_MAX) })
        };
        if count >= DELAYED_PER_ADDRESS_MAX {
            return refuse("DELAYED_PER_ADDRESS_MAX", count);
        }
        if count > 0 && delayed.all >= DELAYED_MAX {
            return refuse("DELAYED_MAX", delayed.all);
        }
        delayed.all += 1;
        delayed.of.insert(prefix, count + 1);
        Ok(DelayedAttempt { delayed: Arc::clone(self), prefix })
    }
}

impl PasswordAttempts {
    pub(super) fn new(config: &config::Limits, bounds: &Bounds) -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        let buckets = Buckets::new(config.wrong_passwords_per_minute, MINUTE, config.wrong_passwords_burst, bounds);
        Self { buckets, delayed: Arc::default() }
    }

    /// Takes one attempt, from this address.
    ///
    /// # Errors
    /// Too many attempts of this address are waiting, or the configuration lets nothing pass.
    pub(super) fn begin(
        &self,
        account: &Account,
        guesser: Guesser,
        prefix: IpPrefix,
        now: Instant,
    ) -> Result<Attempt, AttemptRefusal> {
        let refused = |retry_after| AttemptRefusal { bound: "limits.wrong_passwords_burst", waiting: 0, retry_after };
        let delay = self.buckets.take_capped((account.clone(), guesser), DELAY_MAX, now).map_err(refused)?;
        if delay.is_zero() {
            return Ok(Attempt { delay, _delayed: None });
        }
        let delayed = self.delayed.begin(prefix)?;
        Ok(Attempt { delay, _delayed: Some(delayed) })
    }

    /// Refunds the attempt of a right password.
    pub(super) fn refund(&self, account: &Account, guesser: Guesser) {
        self.buckets.refund(&(account.clone(), guesser));
    }

    pub(super) fn prune(&self, now: Instant) {
        self.buckets.prune(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const AMY: Account = Account::Known(UserId(7));

    fn attempts(per_minute: u32, burst: u32) -> PasswordAttempts {
        let mut config = config::load(config::Sources::default()).unwrap().config.limits;
        (config.wrong_passwords_per_minute, config.wrong_passwords_burst) = (per_minute, burst);
        PasswordAttempts::new(&config, &Bounds::default())
    }

    fn prefix(last: u8) -> IpPrefix {
        IpPrefix::of([192, 0, 2, last].into())
    }

    #[test]
    fn strangers_share_a_bucket_and_wait_at_most_five_seconds() {
        let (attempts, start) = (attempts(60, 2), clock::monotonic());
        let delay = |number: u8| attempts.begin(&AMY, Guesser::Stranger, prefix(number), start).unwrap().delay;
        let delays: Vec<_> = (0..100).map(|number| delay(number).as_secs()).collect();
        assert_eq!(delays[..8], [0, 0, 1, 2, 3, 4, 5, 5]);
        assert_eq!(delays[99], 5);
        // However many attempts there were, the bucket owes no more than the maximum delay.
        let later = start + Duration::from_secs(7);
        assert_eq!(attempts.begin(&AMY, Guesser::Stranger, prefix(1), later).unwrap().delay, Duration::ZERO);
    }

    #[test]
    fn a_known_browser_or_address_and_another_account_are_not_slowed() {
        let (attempts, start) = (attempts(1, 1), clock::monotonic());
        let known = prefix(7);
        for number in 0..50 {
            attempts.begin(&AMY, Guesser::Stranger, prefix(number), start).unwrap();
        }
        for (account, guesser) in [
            (AMY, Guesser::Browser(1)),
            (AMY, Guesser::Browser(2)),
            (AMY, Guesser::Address(known)),
            (AMY, Guesser::SignedIn),
            (Account::Known(UserId(8)), Guesser::Stranger),
            (Account::unknown("nobody"), Guesser::Stranger),
        ] {
            assert_eq!(attempts.begin(&account, guesser, known, start).unwrap().delay, Duration::ZERO, "{guesser:?}");
            assert_eq!(attempts.begin(&account, guesser, known, start).unwrap().delay, DELAY_MAX, "{guesser:?}");
        }
        assert_eq!(Account::unknown(" Nobody"), Account::unknown("NOBODY"));
    }

    #[test]
    fn delayed_attempts_are_bounded_for_each_address_and_end_with_their_attempt() {
        let (attempts, start) = (attempts(1, 1), clock::monotonic());
        let begin = |number| attempts.begin(&AMY, Guesser::Stranger, prefix(number), start);
        begin(1).unwrap();
        let mut waiting: Vec<_> = (0..DELAYED_PER_ADDRESS_MAX).map(|_| begin(1).unwrap()).collect();
        let refusal = begin(1).unwrap_err();
        assert_eq!((refusal.bound, refusal.retry_after), ("DELAYED_PER_ADDRESS_MAX", RetryAfter(DELAY_MAX)));
        begin(2).unwrap();
        waiting.pop();
        waiting.push(begin(1).unwrap());
        drop(waiting);
        assert!(attempts.delayed.0.lock().unwrap().of.is_empty());
    }

    #[test]
    fn an_address_with_nothing_waiting_is_never_refused() {
        let (attempts, start) = (attempts(1, 1), clock::monotonic());
        let begin = |number| attempts.begin(&AMY, Guesser::Stranger, prefix(number), start);
        let mut waiting = Vec::new();
        for number in 0..=(DELAYED_MAX / DELAYED_PER_ADDRESS_MAX) as u8 {
            waiting.extend((0..DELAYED_PER_ADDRESS_MAX).filter_map(|_| begin(number).ok()));
        }
        assert_eq!(waiting.len(), DELAYED_MAX + 1);
        waiting.push(begin(200).unwrap());
        assert_eq!(begin(200).unwrap_err().bound, "DELAYED_MAX", "one waits already");
        waiting.truncate(1);
        waiting.push(begin(200).unwrap());
        waiting.push(begin(200).unwrap());
    }

    #[test]
    fn a_right_password_is_refunded() {
        let (attempts, start) = (attempts(1, 1), clock::monotonic());
        for _ in 0..10 {
            let begun = attempts.begin(&AMY, Guesser::Browser(1), prefix(1), start).unwrap();
            assert_eq!(begun.delay, Duration::ZERO);
            attempts.refund(&AMY, Guesser::Browser(1));
        }
    }
}
