//! Lists all accounts, page by page.

use teahouse_core::{User, UserId};
use teahouse_store::StoreError;

use super::AdminContext;

/// At most `limit` users after `after`, in the order of their ids, and whether more may follow.
///
/// # Errors
/// The store failed.
pub(crate) async fn list_users(
    context: &AdminContext<'_>,
    after: UserId,
    limit: u32,
) -> Result<(Vec<User>, bool), StoreError> {
    let users = context.store.list_users(after, limit).await?;
    let has_more = u32::try_from(users.len()) == Ok(limit);
    Ok((users, has_more))
}
