//! How fast is too fast, for users over all doors and reconnects, and for addresses before a user is
//! known. It decides and remembers; it never refuses anybody itself. Memory is bounded.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use teahouse_core::UserId;

use crate::config;

/// Keys that one limit remembers, some 4 MB. Beyond it idle ones are forgotten; when none is idle, all
/// newcomers share one bucket until some are.
const KEYS_MAX: usize = 100_000;

/// The longest that a password waits for its turn; one that would wait longer is refused.
const PASSWORD_WAIT_MAX: Duration = Duration::from_secs(5);

/// What a user does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UserLimit {
    /// Sends a message.
    Send,
    /// Sends any other envelope.
    Envelope,
    /// Opens a connection.
    Connect,
    /// Reads over HTTP.
    Read,
}

/// What an address does before it is known who is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressLimit {
    /// Logs in.
    Login,
    /// Registers.
    Register,
    /// Shows a token that turns out to be bad.
    BadToken,
}

/// Too fast: nothing before this long will pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("too fast, by {0:?}")]
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
pub struct Limits {
    sends: Buckets<UserId>,
    envelopes: Buckets<UserId>,
    connects: Buckets<UserId>,
    reads: Buckets<UserId>,
    logins: Buckets<Block>,
    registrations: Buckets<Block>,
    bad_tokens: Buckets<Block>,
    wrong_passwords: Buckets<(String, Block)>,
}

impl Limits {
    /// With the rates of the configuration.
    #[must_use]
    pub fn new(config: &config::Limits) -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        const MINUTE: Duration = Duration::from_secs(60);
        Self {
            sends: Buckets::new(config.sends_per_second, SECOND, config.sends_burst),
            envelopes: Buckets::new(config.envelopes_per_second, SECOND, config.envelopes_burst),
            connects: Buckets::new(config.connects_per_second, SECOND, config.connects_burst),
            reads: Buckets::new(config.reads_per_second, SECOND, config.reads_burst),
            logins: Buckets::new(config.logins_per_second, SECOND, config.logins_burst),
            registrations: Buckets::new(config.registrations_per_second, SECOND, config.registrations_burst),
            bad_tokens: Buckets::new(config.bad_tokens_per_second, SECOND, config.bad_tokens_burst),
            wrong_passwords: Buckets::new(config.wrong_passwords_per_minute, MINUTE, config.wrong_passwords_burst),
        }
    }

    /// Counts one act of a user.
    ///
    /// # Errors
    /// Too fast; nothing was counted.
    pub fn user(&self, what: UserLimit, user: UserId) -> Result<(), RetryAfter> {
        self.users(what).take(user, now())
    }

    /// An act that was counted turned out to be none.
    pub fn user_back(&self, what: UserLimit, user: UserId) {
        self.users(what).give_back(&user);
    }

    /// Counts one act from an address.
    ///
    /// # Errors
    /// Too fast; nothing was counted.
    pub fn address(&self, what: AddressLimit, address: IpAddr) -> Result<(), RetryAfter> {
        self.addresses(what).take(Block::of(address), now())
    }

    /// A turn to try a password for an account: how long to wait before it is looked at. Turns are
    /// counted by account *and* address, so that a stranger slows down only itself; and faster tries
    /// wait rather than fail, so that the right password still gets in. A right one gives its turn back
    /// with [`Limits::account_right`].
    ///
    /// # Errors
    /// Too many wait already.
    pub fn account(&self, name: &str, address: IpAddr) -> Result<Duration, RetryAfter> {
        self.wrong_passwords.wait(account_key(name, address), PASSWORD_WAIT_MAX, now())
    }

    /// The password was right: it costs nothing.
    pub fn account_right(&self, name: &str, address: IpAddr) {
        self.wrong_passwords.give_back(&account_key(name, address));
    }

    /// Forgets who has been idle. To be called once a minute or so; without it memory is bounded all the same.
    pub fn prune(&self) {
        let now = now();
        for users in [&self.sends, &self.envelopes, &self.connects, &self.reads] {
            users.prune(now);
        }
        for addresses in [&self.logins, &self.registrations, &self.bad_tokens] {
            addresses.prune(now);
        }
        self.wrong_passwords.prune(now);
    }

    fn users(&self, what: UserLimit) -> &Buckets<UserId> {
        match what {
            UserLimit::Send => &self.sends,
            UserLimit::Envelope => &self.envelopes,
            UserLimit::Connect => &self.connects,
            UserLimit::Read => &self.reads,
        }
    }

    fn addresses(&self, what: AddressLimit) -> &Buckets<Block> {
        match what {
            AddressLimit::Login => &self.logins,
            AddressLimit::Register => &self.registrations,
            AddressLimit::BadToken => &self.bad_tokens,
        }
    }
}

/// The one place here that looks at a clock; everything below takes the time as an argument.
fn now() -> Instant {
    Instant::now()
}

fn account_key(name: &str, address: IpAddr) -> (String, Block) {
    // Names are unique whatever their case. A long one is a wrong one, and must not fill the memory.
    (name.trim().chars().take(64).flat_map(char::to_lowercase).collect(), Block::of(address))
}

/// What one customer of a network has: an IPv4 address, or the /64 of an IPv6 address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Block(IpAddr);

impl Block {
    fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
            address => address,
        })
    }
}

/// Token buckets, one a key, each a single moment: the one at which the bucket will be full again
/// (the generic cell rate algorithm). A bucket that is full needs no memory.
#[derive(Debug)]
struct Buckets<K> {
    /// The time in which one token comes back; `None` when nothing ever passes.
    period: Option<Duration>,
    /// How far the moment may lie ahead for another token to be taken.
    slack: Duration,
    keys_max: usize,
    /// Guards the moments; held for a look-up, or for one sweep when the map is full. `None` is the
    /// bucket that newcomers share then.
    full_at: Mutex<Moments<K>>,
}

#[derive(Debug)]
struct Moments<K> {
    of_keys: HashMap<K, Instant>,
    of_the_rest: Option<Instant>,
    /// No sweep before this moment: at the bound each newcomer would cost one.
    swept_until: Option<Instant>,
}

impl<K: Hash + Eq> Buckets<K> {
    fn new(rate: u32, per: Duration, burst: u32) -> Self {
        let period = if burst == 0 { None } else { per.checked_div(rate) };
        let slack = period.unwrap_or_default().saturating_mul(burst.saturating_sub(1));
        let moments = Moments { of_keys: HashMap::new(), of_the_rest: None, swept_until: None };
        Self { period, slack, keys_max: KEYS_MAX, full_at: Mutex::new(moments) }
    }

    fn take(&self, key: K, now: Instant) -> Result<(), RetryAfter> {
        self.wait(key, Duration::ZERO, now).map(drop)
    }

    /// Takes a token, if need be one that comes back within `wait_max`; says how long until then.
    fn wait(&self, key: K, wait_max: Duration, now: Instant) -> Result<Duration, RetryAfter> {
        // Nothing passes, ever; an hour is as good as any other answer.
        let period = self.period.ok_or(RetryAfter(Duration::from_secs(3600)))?;
        let mut moments = self.lock();
        let known = moments.of_keys.contains_key(&key);
        if !known && moments.of_keys.len() >= self.keys_max && moments.swept_until.is_none_or(|until| until <= now) {
            moments.of_keys.retain(|_, full_at| *full_at > now);
            moments.swept_until = Some(now + Duration::from_secs(1));
        }
        let full_at = match moments.of_keys.get(&key).copied() {
            Some(full_at) => full_at.max(now),
            None if moments.of_keys.len() < self.keys_max => now,
            None => moments.of_the_rest.unwrap_or(now).max(now),
        };
        let wait = (full_at - now).saturating_sub(self.slack);
        if wait > wait_max {
            return Err(RetryAfter(wait - wait_max));
        }
        let full_at = full_at + period;
        if known || moments.of_keys.len() < self.keys_max {
            moments.of_keys.insert(key, full_at);
        } else {
            moments.of_the_rest = Some(full_at);
        }
        Ok(wait)
    }

    /// Puts a token back.
    fn give_back(&self, key: &K) {
        let period = self.period.unwrap_or_default();
        if let Some(full_at) = self.lock().of_keys.get_mut(key) {
            *full_at -= period;
        }
    }

    fn prune(&self, now: Instant) {
        let mut moments = self.lock();
        moments.of_keys.retain(|_, full_at| *full_at > now);
        moments.of_keys.shrink_to(1024);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Moments<K>> {
        // Every change is one insertion, so a panic elsewhere leaves nothing half done.
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let start = now();
        // Three a second, five at once: PROTOCOL.md's own numbers.
        let buckets = Buckets::new(3, Duration::from_secs(1), 5);
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
        assert!(buckets.take(UserId(8), start).is_ok(), "others are not touched");
    }

    #[test]
    fn a_refusal_says_when_it_would_pass_and_costs_nothing() {
        let start = now();
        let buckets = Buckets::new(1, Duration::from_secs(1), 1);
        buckets.take((), start).unwrap();
        for _ in 0..10 {
            assert_eq!(buckets.take((), start + MS(400)), Err(RetryAfter(MS(600))));
        }
        assert_eq!(RetryAfter(MS(600)).seconds(), 1);
        assert_eq!(RetryAfter(MS(1001)).seconds(), 2);
        assert!(buckets.take((), start + MS(1000)).is_ok());
    }

    #[test]
    fn zero_is_zero() {
        for (rate, burst) in [(0, 5), (5, 0), (0, 0)] {
            let buckets = Buckets::new(rate, Duration::from_secs(1), burst);
            assert!(buckets.take((), now()).is_err(), "{rate} {burst}");
        }
    }

    #[test]
    fn wrong_passwords_wait_for_their_turn_and_right_ones_are_free() {
        let start = now();
        let buckets = Buckets::new(60, Duration::from_secs(60), 2);
        let try_once = || buckets.wait((), MS(2500), start);
        assert_eq!(try_once(), Ok(MS(0)));
        assert_eq!(try_once(), Ok(MS(0)));
        assert_eq!(try_once(), Ok(MS(1000)));
        assert_eq!(try_once(), Ok(MS(2000)));
        assert_eq!(try_once(), Err(RetryAfter(MS(500))));
        buckets.give_back(&());
        assert_eq!(try_once(), Ok(MS(2000)));
    }

    #[test]
    fn a_stranger_slows_down_only_itself() {
        let mut config = config::load(config::Sources::default()).unwrap().config.limits;
        (config.wrong_passwords_burst, config.wrong_passwords_per_minute) = (1, 1);
        let limits = Limits::new(&config);
        let (stranger, owner) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        assert_eq!(limits.account("amy", stranger), Ok(Duration::ZERO));
        assert!(limits.account(" AMY", stranger).is_err());
        assert_eq!(limits.account("amy", owner), Ok(Duration::ZERO));
        assert_eq!(limits.account("bob", stranger), Ok(Duration::ZERO));
    }

    #[test]
    fn an_ipv6_customer_is_a_64_and_a_mapped_address_is_its_ipv4() {
        let same = |a: &str, b: &str| Block::of(a.parse().unwrap()) == Block::of(b.parse().unwrap());
        for (a, b, expect) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            assert_eq!(same(a, b), expect, "{a} {b}");
        }
    }

    #[test]
    fn memory_is_bounded_and_newcomers_share_a_bucket_at_the_bound() {
        let start = now();
        let mut buckets = Buckets::new(1, Duration::from_secs(1), 1);
        buckets.keys_max = 10;
        for key in 0..10 {
            buckets.take(key, start).unwrap();
        }
        assert!(buckets.take(10, start).is_ok(), "the first one beyond the bound has the shared bucket");
        assert!(buckets.take(11, start).is_err(), "the second one finds it empty");
        assert_eq!(buckets.lock().of_keys.len(), 10);
        // A second later all buckets are full again, which is to say forgotten.
        assert!(buckets.take(12, start + MS(1000)).is_ok() && buckets.take(13, start + MS(1000)).is_ok());
        assert_eq!(buckets.lock().of_keys.len(), 2);
        buckets.prune(start + MS(3000));
        assert_eq!(buckets.lock().of_keys.len(), 0);
    }
}
