//! The secrets that the server generates, in files of the data directory that only it can read (directory 0700,
//! files 0600), and the API keys of a site's backend, of which it keeps only fingerprints. A file appears complete and
//! synced or not at all. This module never prints a secret.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use teahouse_core::TokenKey;

use crate::config::Secret;
use crate::crypto::{fingerprint, random_bytes, random_hex};

const TOKEN_SECRET: &str = "token.secret";
/// The files of all secrets in the data directory. A backup contains them beside the store.
pub(crate) const FILES: &[&str] = &[TOKEN_SECRET];
/// 32 random bytes, the most that HS256 can use (RFC 7518, section 3.2), written as 64 hexadecimal digits.
const SECRET_BYTES: usize = 32;

/// The generated secrets.
#[derive(Debug)]
pub(crate) struct Secrets {
    /// Signs the tokens of local accounts, unless `auth.jwt_secret` is set.
    pub token: Secret,
}

/// Why the secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretsError {
    /// The data directory cannot be created, read or written.
    #[error("{path}: {error}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The file does not contain a secret that this server wrote.
    #[error(
        "{0} does not contain a secret of {SECRET_BYTES} bytes in hex; restore the file, or remove it (ends all logins)"
    )]
    Damaged(PathBuf),
}

/// Creates the data directory with mode 0700 unless it exists.
fn create_data_directory(directory: &Path) -> Result<(), SecretsError> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| io_error(directory, error))
}

impl Secrets {
    /// Reads the secrets of this data directory, and generates them on the first start. Two processes that start at
    /// the same time read the same secrets.
    ///
    /// # Errors
    /// The directory cannot be read or written, or a secret's file is damaged.
    pub(crate) fn load_or_create(directory: &Path) -> Result<Self, SecretsError> {
        create_data_directory(directory)?;
        Ok(Self { token: load_or_create(directory, TOKEN_SECRET)? })
    }
}

fn load_or_create(directory: &Path, name: &str) -> Result<Secret, SecretsError> {
    let path = directory.join(name);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(directory, &path).map_err(|error| io_error(&path, error))?;
        }
        Err(error) => return Err(io_error(&path, error)),
        Ok(_) => {}
    }
    // Read it even after creating it: another process may have been first.
    let text = fs::read_to_string(&path).map_err(|error| io_error(&path, error))?;
    let mode = fs::metadata(&path).map_err(|error| io_error(&path, error))?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "secret file is readable by other users; set mode 0600");
    }
    let text = text.trim();
    if text.len() != 2 * SECRET_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(SecretsError::Damaged(path));
    }
    Ok(Secret::new(text.to_owned()))
}

/// Links the file to its name only when it is complete and synced. A link fails where a rename would replace the file
/// that another process created in the meantime.
fn create(directory: &Path, path: &Path) -> io::Result<()> {
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

/// An API key of a site's backend. Its holder acts for the site.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ApiKey(String);

impl ApiKey {
    /// Every key starts with this, so that scanners find a key that leaked into a log or a repository.
    const PREFIX: &str = "thk_";
    /// 32 bytes in base64 without padding.
    const CHARS: usize = 43;

    /// A new key of 256 random bits.
    #[must_use]
    pub(crate) fn random() -> Self {
        Self(format!("{}{}", Self::PREFIX, URL_SAFE_NO_PAD.encode(random_bytes::<32>())))
    }

    /// The key that a request presents, if it has the form of one.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(Self::PREFIX)?;
        let plain = rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        (rest.len() == Self::CHARS && plain).then(|| Self(text.to_owned()))
    }

    /// The key itself, for its holder only.
    #[must_use]
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The hash of the key, which the store keeps.
    #[must_use]
    pub(crate) fn fingerprint(&self) -> TokenKey {
        fingerprint(self.0.as_bytes())
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

fn io_error(path: &Path, error: io::Error) -> SecretsError {
    SecretsError::Io { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_creates_a_secret_that_later_starts_read() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("a/b");
        let first = Secrets::load_or_create(&directory).unwrap();
        let second = Secrets::load_or_create(&directory).unwrap();
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
    fn an_api_key_is_recognized_by_its_form_and_never_printed() {
        let key = ApiKey::random();
        assert_eq!(ApiKey::parse(key.expose()), Some(key.clone()));
        assert_ne!(key, ApiKey::random());
        assert_eq!(format!("{key:?}"), "ApiKey(…)");
        let text = key.expose();
        for other in ["", "thk_", &text[4..], &text[..46], &format!("{text}a"), &format!("thk_{}", "é".repeat(43))] {
            assert_eq!(ApiKey::parse(other), None, "{other}");
        }
    }

    #[test]
    fn two_first_starts_at_once_agree() {
        let directory = tempfile::tempdir().unwrap();
        let start = || Secrets::load_or_create(directory.path()).unwrap().token;
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
            let error = Secrets::load_or_create(directory.path()).unwrap_err().to_string();
            assert!(error.contains("token.secret"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }
}
