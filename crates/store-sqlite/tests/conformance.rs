//! The conformance suite of the store contract, run on SQLite.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use teahouse_conformance::{StoreFactory, conformance_tests};
use teahouse_store::{CommitSink, Store};
use teahouse_store_sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

struct InDirectory(TempDir);

#[async_trait::async_trait]
impl StoreFactory for InDirectory {
    async fn open(&self, sink: Box<dyn CommitSink>) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(SqliteOptions::new(self.0.path()), sink).unwrap())
    }
}

conformance_tests!(InDirectory(tempfile::tempdir().unwrap()));
