//! How any operation of a store can fail.

/// An error that any operation can return.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// A queue is full, or the disk refuses for now. Nothing happened; a retry can succeed.
    #[error("the store cannot take this now: {0}")]
    Overloaded(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A bug, or a damaged database.
    #[error("the store failed: {0}")]
    Internal(String),
}
