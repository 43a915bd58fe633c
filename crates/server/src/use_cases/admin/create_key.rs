//! Adds an API key for a site's backend.

use teahouse_core::TokenKey;
use teahouse_store::ApiKeyError;

use super::AdminContext;

/// Stores the hash of a key under a name.
///
/// # Errors
/// The name is taken, or the store failed.
pub(crate) async fn create_key(context: &AdminContext<'_>, name: &str, key: TokenKey) -> Result<(), ApiKeyError> {
    context.store.add_api_key(name, key, context.now).await
}
