//! Revokes an API key; takes effect on the next request.

use teahouse_store::StoreError;

use super::AdminContext;

/// Removes the key of this name. Returns whether there was one.
///
/// # Errors
/// The store failed.
pub(crate) async fn revoke_key(context: &AdminContext<'_>, name: &str) -> Result<bool, StoreError> {
    context.store.revoke_api_key(name).await
}
