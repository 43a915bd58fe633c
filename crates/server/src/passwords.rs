//! Hashes passwords with argon2id, and verifies them against that or against the bcrypt of an older site. A few run at
//! a time, on blocking threads, each in memory that is used again. More wait in a queue in which their requesters take
//! turns, and still more are refused. It logs nothing.

use std::sync::Arc;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use teahouse_core::UserId;
use teahouse_hub::Bounds;

use crate::config::Auth;
use crate::crypto::random_bytes;
use crate::fair_permits::{FairPermits, NoPermit};
use crate::fair_queue::QueueBound;
use crate::ip_prefix::IpPrefix;

/// The prefix of new hashes: the defaults of the argon2 crate, OWASP's first recommendation (19 MiB, two passes, one
/// lane). Any other hash is replaced at the next login.
const CURRENT_PREFIX: &str = "$argon2id$v=19$m=19456,t=2,p=1$";

/// The most memory, passes and lanes of a stored hash: twice the 64 MiB of RFC 9106's second recommendation. A hash
/// that needs more did not come from a site's login, and would stop the server's.
const STORED_KIB_MAX: u32 = 128 * 1024;
const STORED_PASSES_MAX: u32 = 10;
const STORED_LANES_MAX: u32 = 16;

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

/// For whom a password is hashed. Requesters take turns.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Requester {
    /// Anybody at these addresses, before the user is known.
    Prefix(IpPrefix),
    /// A user with a valid token.
    User(UserId),
}

/// Hashes and verifies passwords, a few at a time. Clones share the queue.
#[derive(Clone)]
pub(crate) struct Passwords {
    permits: Arc<FairPermits<Requester, Memory>>,
    bounds: Bounds,
    /// A hash that no password matches, for users that do not exist.
    dummy: Arc<str>,
}

/// The memory of a permit: empty before the first hash, then 19 MiB. It is used again, since an allocator keeps blocks
/// of this size that many threads free.
type Memory = Vec<Block>;

impl Passwords {
    /// Hashes with the configured bounds, and reports those that are reached.
    #[must_use]
    pub(crate) fn new(config: &Auth, bounds: Bounds) -> Self {
        let free = std::iter::repeat_with(Memory::new).take(config.password_hashes_parallel.max(1)).collect();
        let permits = FairPermits::new(free, config.passwords_waiting_max, config.passwords_waiting_per_address_max);
        Self { permits, bounds, dummy: dummy_hash().into() }
    }

    /// Hashes a password, in PHC format.
    ///
    /// # Errors
    /// Too many are waiting, or hashing failed.
    pub(crate) async fn hash(&self, requester: Requester, password: String) -> Result<String, PasswordError> {
        self.run(requester, move |memory| hash(&password, memory)).await
    }

    /// Checks a password against a hash. Without a hash the check takes as long and the password is wrong, so that
    /// timing does not reveal who has an account. (A bcrypt hash takes another time, until it is replaced.)
    ///
    /// # Errors
    /// Too many are waiting, or the hash is invalid.
    pub(crate) async fn verify(
        &self,
        requester: Requester,
        password: String,
        hash: Option<String>,
    ) -> Result<Verdict, PasswordError> {
        let dummy = Arc::clone(&self.dummy);
        self.run(requester, move |memory| match hash {
            Some(hash) => verify(&password, &hash, memory),
            None => verify(&password, &dummy, memory).map(|_| Verdict::Wrong),
        })
        .await
    }

    /// The work owns the permit, so that a caller that leaves does not admit one more while its hash still runs.
    async fn run<T: Send + 'static>(
        &self,
        requester: Requester,
        work: impl FnOnce(&mut Memory) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let on_bound = |bound, waiting| {
            let name = match bound {
                QueueBound::All => "auth.passwords_waiting_max",
                QueueBound::PerKey => "auth.passwords_waiting_per_address_max",
            };
            self.bounds.record(name, waiting);
        };
        let mut permit =
            self.permits.acquire(requester, on_bound).await.map_err(|NoPermit| PasswordError::Overloaded)?;
        let done = tokio::task::spawn_blocking(move || permit.resource.as_mut().map_or_else(no_memory, work));
        done.await.map_err(internal)?
    }
}

fn no_memory<T>() -> Result<T, PasswordError> {
    Err(internal("a permit without memory"))
}

/// Hashes a password for a caller that has no server, in memory of its own.
///
/// # Errors
/// Hashing failed.
pub(crate) fn hash_once(password: &str) -> Result<String, PasswordError> {
    hash(password, &mut Memory::new())
}

fn hash(password: &str, memory: &mut Memory) -> Result<String, PasswordError> {
    let params = Params::default();
    let salt = random_bytes::<16>();
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    fill(&argon2, password, &salt, &mut output, memory)?;
    phc(&params, &salt, &output)
}

/// A hash of random bytes instead of a password.
fn dummy_hash() -> String {
    let output = random_bytes::<{ Params::DEFAULT_OUTPUT_LEN }>();
    // A salt and an output of these lengths are valid.
    phc(&Params::default(), &random_bytes::<16>(), &output).unwrap_or_default()
}

fn phc(params: &Params, salt: &[u8], output: &[u8]) -> Result<String, PasswordError> {
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).map_err(internal)?,
        salt: Some(Salt::new(salt).map_err(internal)?),
        hash: Some(Output::new(output).map_err(internal)?),
    };
    Ok(hash.to_string())
}

fn verify(password: &str, hash: &str, memory: &mut Memory) -> Result<Verdict, PasswordError> {
    if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix)) {
        return Ok(match bcrypt::verify(password, hash).map_err(internal)? {
            false => Verdict::Wrong,
            // bcrypt did not compare the bytes after the 72nd, so they must not become part of the password.
            true if password.len() > BCRYPT_BYTES_MAX => Verdict::Right,
            true => Verdict::RightButRehash,
        });
    }
    let stored = PasswordHash::new(hash).map_err(internal)?;
    let (Some(salt), Some(expected)) = (&stored.salt, &stored.hash) else {
        return Err(internal("the stored hash is incomplete"));
    };
    let params = Params::try_from(&stored).map_err(internal)?;
    let is_too_large =
        params.m_cost() > STORED_KIB_MAX || params.t_cost() > STORED_PASSES_MAX || params.p_cost() > STORED_LANES_MAX;
    if is_too_large {
        return Err(internal("the stored hash needs too much memory or time"));
    }
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).map_err(internal)?;
    let version = stored.version.map_or(Ok(Version::default()), Version::try_from).map_err(internal)?;
    let mut output = vec![0; expected.len()];
    fill(&Argon2::new(algorithm, version, params), password, salt, &mut output, memory)?;
    // Outputs are compared in constant time.
    Ok(match Output::new(&output).map_err(internal)? == *expected {
        true if hash.starts_with(CURRENT_PREFIX) => Verdict::Right,
        true => Verdict::RightButRehash,
        false => Verdict::Wrong,
    })
}

/// Hashes in this memory, which grows to what a current hash needs. An older hash that needs more gets memory of its own.
fn fill(
    argon2: &Argon2<'_>,
    password: &str,
    salt: &[u8],
    output: &mut [u8],
    memory: &mut Memory,
) -> Result<(), PasswordError> {
    let (needed, kept) = (argon2.params().block_count(), Params::default().block_count());
    let filled = if needed > kept {
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, vec![Block::new(); needed])
    } else {
        if memory.len() < kept {
            *memory = vec![Block::new(); kept];
        }
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, memory)
    };
    filled.map_err(internal)
}

fn internal(error: impl std::fmt::Display) -> PasswordError {
    PasswordError::Internal(error.to_string())
}

#[cfg(test)]
mod tests;
