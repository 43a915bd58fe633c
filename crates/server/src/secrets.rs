//! The secrets that the server makes for itself, kept in the data directory for it alone (directory
//! 0700, files 0600). A file appears whole and synced or not at all. Secrets are never printed; keys of a
//! site's backend, which are made here too, are shown once and kept nowhere but hashed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use teahouse_core::TokenKey;

use crate::config::Secret;

const TOKEN_SECRET: &str = "token.secret";
/// The names of all secrets in the data directory: what a backup must have beside the store.
pub const FILES: &[&str] = &[TOKEN_SECRET];
/// 32 bytes of chance, as many as HS256 can use (RFC 7518, section 3.2), written as 64 hex digits.
const SECRET_BYTES: usize = 32;

/// What the server made for itself.
#[derive(Debug)]
pub struct Secrets {
    /// Signs the tokens of our own accounts, unless the configuration says with what.
    pub token: Secret,
}

/// Why there are no secrets.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The data directory cannot be made or written to.
    #[error("{path}: {error}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A secret's file is not one that we wrote.
    #[error(
        "{0} does not hold a secret of {SECRET_BYTES} bytes in hex; put the right file back or remove it (which ends all logins)"
    )]
    Damaged(PathBuf),
}

/// Makes the data directory, for its owner alone, unless it exists.
///
/// # Errors
/// The directory cannot be made.
pub fn make_data_directory(directory: &Path) -> Result<(), SecretsError> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| io_error(directory, error))
}

impl Secrets {
    /// Reads the secrets of this data directory, made on the first start. Two processes that start at
    /// once come to have the same ones.
    ///
    /// # Errors
    /// The directory cannot be read or written, or holds something else under the name of a secret.
    pub fn load_or_make(directory: &Path) -> Result<Self, SecretsError> {
        make_data_directory(directory)?;
        Ok(Self { token: load_or_make(directory, TOKEN_SECRET)? })
    }
}

fn load_or_make(directory: &Path, name: &str) -> Result<Secret, SecretsError> {
    let path = directory.join(name);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(directory, &path).map_err(|error| io_error(&path, error))?;
        }
        Err(error) => return Err(io_error(&path, error)),
        Ok(_) => {}
    }
    // Read again also after making it: another process may have been first.
    let text = fs::read_to_string(&path).map_err(|error| io_error(&path, error))?;
    let mode = fs::metadata(&path).map_err(|error| io_error(&path, error))?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "others on this machine can read this secret; make it mode 0600");
    }
    let text = text.trim();
    if text.len() != 2 * SECRET_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(SecretsError::Damaged(path));
    }
    Ok(Secret::new(text.to_owned()))
}

/// The file is linked to its name only when it is whole and on the disk; linking fails where rename
/// would replace what another process made in the meantime.
fn make(directory: &Path, path: &Path) -> io::Result<()> {
    let temporary = path.with_extension(random_hex::<8>());
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        writeln!(file, "{}", random_hex::<SECRET_BYTES>())?;
        file.sync_all()?;
        match fs::hard_link(&temporary, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    })();
    let removed = fs::remove_file(&temporary);
    written.and(removed)?;
    File::open(directory)?.sync_all()
}

/// A key of a site's backend. Whoever holds it speaks for the site.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// What every key begins with, so that one that leaked into a log or a repository is found.
    const PREFIX: &str = "thk_";
    /// 32 bytes in base64 without padding.
    const CHARS: usize = 43;

    /// A new one: 256 random bits.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("{}{}", Self::PREFIX, URL_SAFE_NO_PAD.encode(random_bytes::<32>())))
    }

    /// What somebody presents as one, if it looks like one.
    #[must_use]
    pub fn presented(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(Self::PREFIX)?;
        let plain = rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        (rest.len() == Self::CHARS && plain).then(|| Self(text.to_owned()))
    }

    /// The key itself, for its holder.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the store knows of it.
    #[must_use]
    pub fn key(&self) -> TokenKey {
        crate::tokens::key_of(self.0.as_bytes())
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// `N` bytes of chance, in hex.
///
/// # Panics
/// When the kernel has no randomness to give; nothing here is safe without it.
#[must_use]
pub fn random_hex<const N: usize>() -> String {
    hex(&random_bytes::<N>())
}

/// `N` bytes of chance.
///
/// # Panics
/// As [`random_hex`].
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    bytes
}

/// Bytes as hex digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| DIGITS[usize::from(digit)]).collect()
}

fn io_error(path: &Path, error: io::Error) -> SecretsError {
    SecretsError::Io { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_makes_a_secret_that_later_starts_find() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("a/b");
        let first = Secrets::load_or_make(&directory).unwrap();
        let second = Secrets::load_or_make(&directory).unwrap();
        assert_eq!(first.token, second.token);
        assert_eq!(first.token.expose().len(), 64);
        assert_eq!(format!("{first:?}"), "Secrets { token: (set) }");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&directory.join("token.secret")), 0o600);
        let names: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["token.secret"], "nothing temporary is left");
    }

    #[test]
    fn a_key_is_recognized_by_its_looks_and_never_printed() {
        let key = ApiKey::random();
        assert_eq!(ApiKey::presented(key.expose()), Some(key.clone()));
        assert_ne!(key, ApiKey::random());
        assert_eq!(format!("{key:?}"), "ApiKey(…)");
        let text = key.expose();
        for other in ["", "thk_", &text[4..], &text[..46], &format!("{text}a"), &format!("thk_{}", "é".repeat(43))] {
            assert_eq!(ApiKey::presented(other), None, "{other}");
        }
    }

    #[test]
    fn two_first_starts_at_once_agree() {
        let directory = tempfile::tempdir().unwrap();
        let start = || Secrets::load_or_make(directory.path()).unwrap().token;
        let tokens = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(tokens.iter().all(|token| *token == tokens[0]));
    }

    #[test]
    fn a_damaged_secret_is_refused_and_never_replaced() {
        for content in ["", "short", &"g".repeat(64), &"a".repeat(63)] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("token.secret");
            fs::write(&path, content).unwrap();
            let error = Secrets::load_or_make(directory.path()).unwrap_err().to_string();
            assert!(error.contains("token.secret"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }
}
