//! Random bytes, hexadecimal digits, and the fingerprints under which the store keeps secrets. It stores nothing.

use sha2::{Digest, Sha256};
use teahouse_core::TokenKey;

/// `N` random bytes as hexadecimal digits.
///
/// # Panics
/// When the kernel has no randomness to give; nothing here is safe without it.
#[must_use]
pub(crate) fn random_hex<const N: usize>() -> String {
    hex(&random_bytes::<N>())
}

/// `N` random bytes.
///
/// # Panics
/// As [`random_hex`].
#[must_use]
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    bytes
}

/// Bytes as hexadecimal digits.
#[must_use]
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| DIGITS[usize::from(digit)]).collect()
}

/// The fingerprint under which the server stores a token or any other secret that a client presents.
#[must_use]
pub(crate) fn fingerprint(secret: &[u8]) -> TokenKey {
    let digest: [u8; 32] = Sha256::digest(secret).into();
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    TokenKey(key)
}
