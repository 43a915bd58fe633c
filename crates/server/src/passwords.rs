//! Passwords: hashed with argon2id, verified against that or against the bcrypt of an older site. Few
//! at a time, off the threads that chat; more wait, still more are refused. Nothing here is logged.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

/// Logins and registrations that may wait for their turn. At 20 to 40 ms each the last of them waits a
/// few seconds; whoever would wait longer is better told to come back.
const WAITERS_MAX: usize = 200;

/// What our own hashes begin with: argon2's defaults, which are OWASP's first recommendation (19 MiB,
/// two passes, one lane). Any other hash is renewed at the next login.
const CURRENT: &str = "$argon2id$v=19$m=19456,t=2,p=1$";

/// bcrypt never saw more of a password than this.
const BCRYPT_BYTES_MAX: usize = 72;

/// What became of a password that was tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is the right one.
    Right,
    /// It is the right one, and its hash is of an older kind: hash it again.
    RightButRenew,
    /// It is not, or there is no such user.
    Wrong,
}

/// Why nothing was hashed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many wait already.
    #[error("too many passwords are waiting to be hashed")]
    Overloaded,
    /// The stored hash is no hash, or hashing itself failed.
    #[error("a password could not be hashed: {0}")]
    Internal(String),
}

/// Hashes and verifies, a few at a time. Clones share the same turns.
#[derive(Clone, Debug)]
pub struct Passwords {
    /// Who is being hashed.
    turns: Arc<Semaphore>,
    /// Who is being hashed or waits; full means refused.
    places: Arc<Semaphore>,
    /// A hash that no password fits, for users that do not exist.
    dummy: Arc<str>,
}

impl Passwords {
    /// With so many hashes at once. Computes one, which takes some 20 ms.
    ///
    /// # Errors
    /// The system gives no randomness or memory.
    pub fn new(parallel: usize) -> Result<Self, PasswordError> {
        let dummy = hash(&crate::secrets::random_hex::<16>())?.into();
        let parallel = parallel.max(1);
        Ok(Self {
            turns: Arc::new(Semaphore::new(parallel)),
            places: Arc::new(Semaphore::new(parallel + WAITERS_MAX)),
            dummy,
        })
    }

    /// A new hash of a password, in PHC format.
    ///
    /// # Errors
    /// Too many wait, or hashing failed.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        self.in_turn(move || hash(&password)).await
    }

    /// Whether a password fits a hash. Without a hash it takes as long and is wrong, so that nobody
    /// learns who has an account. (A bcrypt hash takes its own time, until it is renewed.)
    ///
    /// # Errors
    /// Too many wait, or the hash is no hash.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<Verdict, PasswordError> {
        let dummy = Arc::clone(&self.dummy);
        self.in_turn(move || match hash {
            Some(hash) => verify(&password, &hash),
            None => verify(&password, &dummy).map(|_| Verdict::Wrong),
        })
        .await
    }

    /// The permits go into the work: a caller that hangs up does not make room for one more.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| PasswordError::Overloaded)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(internal)?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop((turn, place));
            result
        });
        done.await.map_err(internal)?
    }
}

fn hash(password: &str) -> Result<String, PasswordError> {
    Ok(Argon2::default().hash_password(password.as_bytes()).map_err(internal)?.to_string())
}

fn verify(password: &str, hash: &str) -> Result<Verdict, PasswordError> {
    if ["$2a$", "$2b$", "$2y$"].iter().any(|kind| hash.starts_with(kind)) {
        return Ok(match bcrypt::verify(password, hash).map_err(internal)? {
            false => Verdict::Wrong,
            // What comes after the 72nd byte was not compared, so it must not become the password.
            true if password.len() > BCRYPT_BYTES_MAX => Verdict::Right,
            true => Verdict::RightButRenew,
        });
    }
    let parsed = PasswordHash::new(hash).map_err(internal)?;
    match Argon2::default().verify_password(password.as_bytes(), &parsed) {
        Ok(()) if hash.starts_with(CURRENT) => Ok(Verdict::Right),
        Ok(()) => Ok(Verdict::RightButRenew),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(Verdict::Wrong),
        Err(error) => Err(internal(error)),
    }
}

fn internal(error: impl std::fmt::Display) -> PasswordError {
    PasswordError::Internal(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_own_hash_only() {
        let passwords = Passwords::new(2).unwrap();
        let own = passwords.hash("correct horse 1".to_owned()).await.unwrap();
        assert!(own.starts_with(CURRENT), "{own}");
        assert_ne!(own, passwords.hash("correct horse 1".to_owned()).await.unwrap(), "salted");
        let weaker = "$argon2id$v=19$m=16,t=1,p=1$";
        let weak_params = argon2::Params::new(16, 1, 1, None).unwrap();
        let weak = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, weak_params)
            .hash_password(b"correct horse 1")
            .unwrap()
            .to_string();
        assert!(weak.starts_with(weaker), "{weak}");
        for (password, hash, expect) in [
            ("correct horse 1", Some(&own), Verdict::Right),
            ("correct horse 2", Some(&own), Verdict::Wrong),
            ("", Some(&own), Verdict::Wrong),
            ("correct horse 1", Some(&weak), Verdict::RightButRenew),
            ("correct horse 2", Some(&weak), Verdict::Wrong),
            ("correct horse 1", None, Verdict::Wrong),
        ] {
            let verdict = passwords.verify(password.to_owned(), hash.cloned()).await;
            assert_eq!(verdict, Ok(expect), "{password} {hash:?}");
        }
    }

    #[test]
    fn bcrypt_is_accepted_in_its_three_spellings_and_renewed() {
        let hash = bcrypt::hash("secret1", 4).unwrap();
        for kind in ["$2a$", "$2b$", "$2y$"] {
            let hash = format!("{kind}{}", &hash[4..]);
            assert_eq!(verify("secret1", &hash), Ok(Verdict::RightButRenew), "{kind}");
            assert_eq!(verify("secret2", &hash), Ok(Verdict::Wrong), "{kind}");
        }
    }

    #[test]
    fn what_bcrypt_did_not_see_does_not_become_the_password() {
        let (seen, tail) = ("a".repeat(72), "b".repeat(10));
        let hash = bcrypt::hash(&seen, 4).unwrap();
        assert_eq!(verify(&format!("{seen}{tail}"), &hash), Ok(Verdict::Right));
        assert_eq!(verify(&seen, &hash), Ok(Verdict::RightButRenew));
    }

    #[test]
    fn a_hash_that_is_none_is_an_error_and_no_password_fits_it() {
        for hash in ["", "plain", "$2b$", "$2b$04$short", "$argon2id$v=19$m=19456,t=2,p=1$", "$unknown$v=1$x$y"] {
            assert!(!matches!(verify("plain", hash), Ok(Verdict::Right | Verdict::RightButRenew)), "{hash:?}");
        }
    }

    #[tokio::test]
    async fn who_would_wait_too_long_is_refused_and_turns_come_back() {
        let passwords = Passwords::new(1).unwrap();
        let turn = Arc::clone(&passwords.turns).acquire_owned().await.unwrap();
        let mut waiting: Vec<_> = (0..=WAITERS_MAX).map(|_| Box::pin(passwords.in_turn(|| Ok(())))).collect();
        for waiter in &mut waiting {
            assert!(poll_once(waiter).await.is_none());
        }
        assert_eq!(passwords.in_turn(|| Ok(())).await, Err(PasswordError::Overloaded));
        drop(turn);
        for waiter in waiting {
            assert_eq!(waiter.await, Ok(()));
        }
        assert_eq!(passwords.in_turn(|| Ok(())).await, Ok(()));
    }

    async fn poll_once<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> Option<T> {
        std::future::poll_fn(|context| match future.as_mut().poll(context) {
            std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        })
        .await
    }
}
