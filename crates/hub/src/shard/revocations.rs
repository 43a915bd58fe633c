//! Revocations of the last minute, for sockets that were authenticated just before one and attach just after it.
//! It knows no sessions; the shard ends those that are live.

use std::time::Duration;

use teahouse_core::{Revocation, TokenMark, UserId};

use crate::clock::MonotonicMs;
use crate::maps::HashMap;

/// How long a revocation is remembered: longer than any handshake may take.
const MEMORY: Duration = Duration::from_secs(60);

/// Revocations of the last minute.
#[derive(Debug, Default)]
pub(crate) struct Revocations(HashMap<UserId, Vec<(MonotonicMs, Revocation)>>);

impl Revocations {
    pub(super) fn record(&mut self, user: UserId, revocation: Revocation, now: MonotonicMs) {
        self.0.entry(user).or_default().push((now, revocation));
    }

    /// Whether a token was revoked at `since` or later. An earlier revocation was known when the token was checked,
    /// and a token that was accepted then is valid again (a user was enabled again).
    pub(super) fn cover(&self, user: UserId, mark: &TokenMark, since: MonotonicMs) -> bool {
        let covered = |(at, revocation): &(MonotonicMs, Revocation)| *at >= since && revocation.covers(mark);
        self.0.get(&user).is_some_and(|list| list.iter().any(covered))
    }

    pub(super) fn forget_old(&mut self, now: MonotonicMs) {
        self.0.retain(|_, list| {
            list.retain(|(at, _)| now.since(*at) < MEMORY);
            !list.is_empty()
        });
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use teahouse_core::TokenKey;

    use super::*;

    const AMY: UserId = UserId(1);

    #[test]
    fn a_revocation_covers_tokens_that_were_checked_before_it_for_a_minute() {
        let mark = TokenMark { token: TokenKey([1; 16]), login: None, issued_at: 0, expires_at: 0 };
        let mut revocations = Revocations::default();
        revocations.record(AMY, Revocation::Key(mark.token), MonotonicMs(10));
        assert!(revocations.cover(AMY, &mark, MonotonicMs(10)));
        assert!(!revocations.cover(AMY, &mark, MonotonicMs(11)));
        assert!(!revocations.cover(UserId(2), &mark, MonotonicMs(10)));
        assert!(!revocations.cover(AMY, &TokenMark { token: TokenKey([2; 16]), ..mark }, MonotonicMs(10)));
        revocations.forget_old(MonotonicMs(10).plus(MEMORY - Duration::from_millis(1)));
        assert!(!revocations.is_empty());
        revocations.forget_old(MonotonicMs(10).plus(MEMORY));
        assert!(revocations.is_empty());
    }
}
