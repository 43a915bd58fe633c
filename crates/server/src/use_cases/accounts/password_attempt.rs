//! Delays an attempt to log in by the wrong passwords before it.

use std::net::IpAddr;

use crate::app::App;
use crate::limits::{Account, Guesser, RetryAfter};

/// Waits until the password may be checked.
///
/// # Errors
/// Too many attempts of this address are waiting.
pub(super) async fn wait_for_attempt(
    app: &App,
    account: &Account,
    guesser: Guesser,
    address: IpAddr,
) -> Result<(), RetryAfter> {
    let attempt = match app.limits.password_attempt(account, guesser, address) {
        Ok(attempt) => attempt,
        Err(refusal) => {
            app.bounds.record(refusal.bound, refusal.waiting);
            return Err(refusal.retry_after);
        }
    };
    if !attempt.delay.is_zero() {
        app.bounds.record("limits.wrong_passwords_burst", attempt.delay.as_secs());
        tokio::time::sleep(attempt.delay).await;
    }
    Ok(())
}
