//! Lists the API keys.

use teahouse_core::Timestamp;
use teahouse_store::StoreError;

use super::AdminContext;

/// The name of every key and when it was created.
///
/// # Errors
/// The store failed.
pub(crate) async fn list_keys(context: &AdminContext<'_>) -> Result<Vec<(String, Timestamp)>, StoreError> {
    context.store.api_keys().await
}
