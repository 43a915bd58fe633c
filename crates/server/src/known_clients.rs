//! Recognizes clients that logged in to an account before: browsers by a signed cookie that outlives a logout, addresses
//! by a keyed hash of their prefix. A known client still needs the password. `http::cookie` carries the cookie; the store
//! keeps the hashes.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use teahouse_core::{Timestamp, TokenKey, UserId};
use teahouse_store::LOGIN_PREFIXES_KEPT;

use crate::crypto::fingerprint;
use crate::ip_prefix::IpPrefix;
use crate::secrets::Secrets;

/// How long a browser is known after a login: as long as the store remembers an address.
pub(crate) const KNOWN_FOR: Duration = LOGIN_PREFIXES_KEPT;
/// How many accounts a browser is known to. A family shares one; more would only make the cookie long.
const ACCOUNTS_MAX: usize = 4;
/// Separates the accounts in a cookie.
const SEPARATOR: char = '~';

/// Signs and verifies what clients are known by.
pub(crate) struct KnownClients {
    sign: EncodingKey,
    verify: DecodingKey,
}

/// The accounts that a browser is known to, newest first.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct KnownBrowser(Vec<KnownAccount>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct KnownAccount {
    user: UserId,
    /// As it is in the cookie.
    text: String,
}

impl KnownBrowser {
    /// The user who logged in last, of those to whom it is known.
    #[must_use]
    pub(crate) fn newest_user(&self) -> Option<UserId> {
        self.0.first().map(|account| account.user)
    }

    /// A number that distinguishes this browser from others that are known to the same account.
    #[must_use]
    pub(crate) fn id_for(&self, user: UserId) -> Option<u64> {
        let account = self.0.iter().find(|account| account.user == user)?;
        let TokenKey(key) = fingerprint(account.text.as_bytes());
        let mut id = [0; 8];
        id.copy_from_slice(&key[..8]);
        Some(u64::from_le_bytes(id))
    }
}

impl KnownClients {
    /// Uses a key of its own, derived from the secret of the data directory.
    #[must_use]
    pub(crate) fn new(secrets: &Secrets) -> Self {
        let master = EncodingKey::from_secret(secrets.token.expose().as_bytes());
        let key = sign(b"known clients", &master);
        Self { sign: EncodingKey::from_secret(key.as_bytes()), verify: DecodingKey::from_secret(key.as_bytes()) }
    }

    /// Reads a browser's cookie. Parts that are forged or older than [`KNOWN_FOR`] are left out.
    #[must_use]
    pub(crate) fn read(&self, cookie: &str, now: Timestamp) -> KnownBrowser {
        let accounts = cookie.split(SEPARATOR).take(ACCOUNTS_MAX);
        KnownBrowser(accounts.filter_map(|text| self.read_account(text, now)).collect())
    }

    fn read_account(&self, text: &str, now: Timestamp) -> Option<KnownAccount> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (user, second) = signed.split_once('.')?;
        let (user, since) = (user.parse().ok()?, Timestamp(second.parse::<i64>().ok()?.checked_mul(1000)?));
        let is_genuine = || crypto::verify(signature, &message(signed), &self.verify, Algorithm::HS256);
        let is_known = since.plus(KNOWN_FOR) > now && is_genuine().unwrap_or(false);
        is_known.then(|| KnownAccount { user: UserId(user), text: text.to_owned() })
    }

    /// The cookie of a browser after a login to this account.
    #[must_use]
    pub(crate) fn remember(&self, browser: &KnownBrowser, user: UserId, now: Timestamp) -> String {
        let signed = format!("{}.{}", user.0, now.seconds());
        let mut cookie = format!("{signed}.{}", sign(&message(&signed), &self.sign));
        for other in browser.0.iter().filter(|account| account.user != user).take(ACCOUNTS_MAX - 1) {
            cookie.push(SEPARATOR);
            cookie.push_str(&other.text);
        }
        cookie
    }

    /// The key under which the store remembers an address.
    #[must_use]
    pub(crate) fn prefix_key(&self, prefix: IpPrefix) -> TokenKey {
        fingerprint(sign(format!("prefix {}", prefix.first_address()).as_bytes(), &self.sign).as_bytes())
    }
}

fn message(signed: &str) -> Vec<u8> {
    format!("browser {signed}").into_bytes()
}

fn sign(message: &[u8], key: &EncodingKey) -> String {
    // HMAC with a secret key has no error. An empty signature would verify nothing.
    crypto::sign(message, key, Algorithm::HS256).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_328_736_000);

    fn clients() -> KnownClients {
        KnownClients::new(&Secrets::load_or_create(tempfile::tempdir().unwrap().path()).unwrap())
    }

    #[test]
    fn a_browser_is_known_for_ninety_days_to_its_newest_accounts() {
        let clients = clients();
        let mut browser = KnownBrowser::default();
        for user in 1..=6 {
            let cookie = clients.remember(&browser, UserId(user), NOW);
            assert!(cookie.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_~".contains(&byte)), "{cookie}");
            browser = clients.read(&cookie, NOW);
        }
        let known: Vec<_> = (1..=6).filter(|user| browser.id_for(UserId(*user)).is_some()).collect();
        assert_eq!(known, [3, 4, 5, 6]);
        let again =
            clients.read(&clients.remember(&browser, UserId(4), NOW.plus(KNOWN_FOR / 2)), NOW.plus(KNOWN_FOR / 2));
        assert_eq!(again.0.iter().map(|account| account.user.0).collect::<Vec<_>>(), [4, 6, 5, 3]);
        let cookie = clients.remember(&again, UserId(4), NOW.plus(KNOWN_FOR / 2));
        let later = clients.read(&cookie, NOW.plus(KNOWN_FOR));
        assert_eq!(later.0.iter().map(|account| account.user.0).collect::<Vec<_>>(), [4], "the others are too old");
        assert_ne!(again.id_for(UserId(4)), browser.id_for(UserId(4)));
    }

    #[test]
    fn a_forged_cookie_is_worth_nothing() {
        let clients = clients();
        let cookie = clients.remember(&KnownBrowser::default(), UserId(7), NOW);
        let signature = cookie.rsplit_once('.').unwrap().1;
        let others = self::clients().remember(&KnownBrowser::default(), UserId(7), NOW);
        for forged in [
            "",
            "~~~~",
            "7",
            "7.1795328736",
            "7.1795328736.",
            &format!("8.1795328736.{signature}"),
            &format!("7.1795328737.{signature}"),
            &format!("7.9223372036854775807.{signature}"),
            &format!("x.1795328736.{signature}"),
            &format!("{cookie}x"),
            &others,
        ] {
            assert!(clients.read(forged, NOW).newest_user().is_none(), "{forged}");
        }
        assert_eq!(clients.read(&format!("{others}~{cookie}~x"), NOW).0.len(), 1);
    }

    #[test]
    fn the_key_of_a_prefix_depends_on_the_secret() {
        let prefix = |last| IpPrefix::of([192, 0, 2, last].into());
        let (one, another) = (clients(), clients());
        assert_eq!(one.prefix_key(prefix(1)), one.prefix_key(prefix(1)));
        assert_ne!(one.prefix_key(prefix(1)), one.prefix_key(prefix(2)));
        assert_ne!(one.prefix_key(prefix(1)), another.prefix_key(prefix(1)));
    }
}
