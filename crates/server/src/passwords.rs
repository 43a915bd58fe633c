//! Hashes passwords with argon2id, and verifies them against that or against the bcrypt of an older site. A few run at
//! a time, on blocking threads; more wait, and still more are refused. It logs nothing.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

/// Maximum waiting logins and registrations. At 20 to 40 ms each the last one waits a few seconds.
const WAITING_MAX: usize = 200;

/// The prefix of new hashes: the defaults of the argon2 crate, OWASP's first recommendation (19 MiB, two passes, one
/// lane). Any other hash is replaced at the next login.
const CURRENT_PREFIX: &str = "$argon2id$v=19$m=19456,t=2,p=1$";

/// bcrypt ignores the bytes of a password after these.
const BCRYPT_BYTES_MAX: usize = 72;

/// The result of checking a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// The password is right.
    Right,
    /// The password is right, and its hash is outdated: hash it again.
    RightButRehash,
    /// The password is wrong, or there is no such user.
    Wrong,
}

/// Why a password was not hashed or checked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many are waiting.
    #[error("too many passwords are waiting to be hashed")]
    Overloaded,
    /// The stored hash is invalid, or hashing failed.
    #[error("password hashing failed: {0}")]
    Internal(String),
}

/// Hashes and verifies passwords, a few at a time. Clones share the limit.
#[derive(Clone, Debug)]
pub(crate) struct Passwords {
    /// Running hashes.
    running: Arc<Semaphore>,
    /// Running and waiting hashes; none left means refused.
    admitted: Arc<Semaphore>,
    /// A hash that no password matches, for users that do not exist.
    dummy: Arc<str>,
}

impl Passwords {
    /// Allows this many hashes in parallel. Computes one, which takes about 20 ms.
    ///
    /// # Errors
    /// Hashing failed: no randomness or no memory.
    pub(crate) fn new(parallel: usize) -> Result<Self, PasswordError> {
        let dummy = hash(&crate::crypto::random_hex::<16>())?.into();
        let parallel = parallel.max(1);
        Ok(Self {
            running: Arc::new(Semaphore::new(parallel)),
            admitted: Arc::new(Semaphore::new(parallel + WAITING_MAX)),
            dummy,
        })
    }

    /// Hashes a password, in PHC format.
    ///
    /// # Errors
    /// Too many are waiting, or hashing failed.
    pub(crate) async fn hash(&self, password: String) -> Result<String, PasswordError> {
        self.run(move || hash(&password)).await
    }

    /// Checks a password against a hash. Without a hash the check takes as long and the password is wrong, so that
    /// timing does not reveal who has an account. (A bcrypt hash takes another time, until it is replaced.)
    ///
    /// # Errors
    /// Too many are waiting, or the hash is invalid.
    pub(crate) async fn verify(&self, password: String, hash: Option<String>) -> Result<Verdict, PasswordError> {
        let dummy = Arc::clone(&self.dummy);
        self.run(move || match hash {
            Some(hash) => verify(&password, &hash),
            None => verify(&password, &dummy).map(|_| Verdict::Wrong),
        })
        .await
    }

    /// The work owns the permits, so that a caller that leaves does not admit one more while its hash still runs.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| PasswordError::Overloaded)?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(internal)?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop((running, admitted));
            result
        });
        done.await.map_err(internal)?
    }
}

fn hash(password: &str) -> Result<String, PasswordError> {
    Ok(Argon2::default().hash_password(password.as_bytes()).map_err(internal)?.to_string())
}

fn verify(password: &str, hash: &str) -> Result<Verdict, PasswordError> {
    if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix)) {
        return Ok(match bcrypt::verify(password, hash).map_err(internal)? {
            false => Verdict::Wrong,
            // bcrypt did not compare the bytes after the 72nd, so they must not become part of the password.
            true if password.len() > BCRYPT_BYTES_MAX => Verdict::Right,
            true => Verdict::RightButRehash,
        });
    }
    let parsed = PasswordHash::new(hash).map_err(internal)?;
    match Argon2::default().verify_password(password.as_bytes(), &parsed) {
        Ok(()) if hash.starts_with(CURRENT_PREFIX) => Ok(Verdict::Right),
        Ok(()) => Ok(Verdict::RightButRehash),
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
    async fn a_password_matches_its_own_hash_only() {
        let passwords = Passwords::new(2).unwrap();
        let own = passwords.hash("correct horse 1".to_owned()).await.unwrap();
        assert!(own.starts_with(CURRENT_PREFIX), "{own}");
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
            ("correct horse 1", Some(&weak), Verdict::RightButRehash),
            ("correct horse 2", Some(&weak), Verdict::Wrong),
            ("correct horse 1", None, Verdict::Wrong),
        ] {
            let verdict = passwords.verify(password.to_owned(), hash.cloned()).await;
            assert_eq!(verdict, Ok(expect), "{password} {hash:?}");
        }
    }

    #[test]
    fn bcrypt_is_accepted_with_its_three_prefixes_and_rehashed() {
        let hash = bcrypt::hash("secret1", 4).unwrap();
        for kind in ["$2a$", "$2b$", "$2y$"] {
            let hash = format!("{kind}{}", &hash[4..]);
            assert_eq!(verify("secret1", &hash), Ok(Verdict::RightButRehash), "{kind}");
            assert_eq!(verify("secret2", &hash), Ok(Verdict::Wrong), "{kind}");
        }
    }

    #[test]
    fn bytes_that_bcrypt_ignores_do_not_become_the_password() {
        let (seen, tail) = ("a".repeat(72), "b".repeat(10));
        let hash = bcrypt::hash(&seen, 4).unwrap();
        assert_eq!(verify(&format!("{seen}{tail}"), &hash), Ok(Verdict::Right));
        assert_eq!(verify(&seen, &hash), Ok(Verdict::RightButRehash));
    }

    #[test]
    fn an_invalid_hash_matches_no_password() {
        for hash in ["", "plain", "$2b$", "$2b$04$short", "$argon2id$v=19$m=19456,t=2,p=1$", "$unknown$v=1$x$y"] {
            assert!(!matches!(verify("plain", hash), Ok(Verdict::Right | Verdict::RightButRehash)), "{hash:?}");
        }
    }

    #[tokio::test]
    async fn too_many_waiting_hashes_are_refused_and_permits_return() {
        let passwords = Passwords::new(1).unwrap();
        let running = Arc::clone(&passwords.running).acquire_owned().await.unwrap();
        let mut waiting: Vec<_> = (0..=WAITING_MAX).map(|_| Box::pin(passwords.run(|| Ok(())))).collect();
        for waiter in &mut waiting {
            assert!(poll_once(waiter).await.is_none());
        }
        assert_eq!(passwords.run(|| Ok(())).await, Err(PasswordError::Overloaded));
        drop(running);
        for waiter in waiting {
            assert_eq!(waiter.await, Ok(()));
        }
        assert_eq!(passwords.run(|| Ok(())).await, Ok(()));
    }

    async fn poll_once<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> Option<T> {
        std::future::poll_fn(|context| match future.as_mut().poll(context) {
            std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        })
        .await
    }
}
