//! The store itself: its epoch, its health, its end.

use async_trait::async_trait;

use crate::StoreError;

/// The store itself.
#[async_trait]
pub trait Lifecycle: Send + Sync {
    /// The name of this history. A restored copy has another one, so that clients do not resume across a restore.
    fn epoch(&self) -> &str;

    /// Whether the store can write now: a real transaction, down to the disk, that changes nothing visible.
    async fn check(&self) -> Result<(), StoreError>;

    /// Commits what is waiting, and stops. Later calls fail with [`StoreError::Closed`].
    async fn close(&self);
}
