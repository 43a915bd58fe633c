//! The key under which a repeated message is stored only once.

use teahouse_core::limits::CLIENT_ID_CHARS_MAX;
use teahouse_core::text::longer_than;

/// The `client_id` is empty or too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a client_id must have 1 to {CLIENT_ID_CHARS_MAX} characters")]
pub struct InvalidClientId;

/// Checks the length.
///
/// # Errors
/// The `client_id` is empty or too long.
pub(crate) fn check_client_id(client_id: &str) -> Result<(), InvalidClientId> {
    if client_id.is_empty() || longer_than(client_id, CLIENT_ID_CHARS_MAX) { Err(InvalidClientId) } else { Ok(()) }
}
