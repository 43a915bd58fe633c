//! The command line when no server runs: it opens the store itself, does what was asked, and closes it.

use std::path::Path;

use teahouse_core::Commit;
use teahouse_store::{CommitSink, OpenError, SqliteOptions, SqliteStore, Store};

use super::{ControlAnswer, ControlRequest, ReachError, apply, ask};

/// Why neither a server nor the store could be asked.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A server runs, but does not answer.
    #[error(transparent)]
    Reach(ReachError),
    /// Nothing is there; making an empty store would hide that the directory is the wrong one.
    #[error("there is no data in {0}; is this the server's directory? (flag --data)")]
    NoData(String),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// The store's file, whose name is its own business but for this one look.
const DATABASE: &str = "teahouse.db";

/// Nobody listens to commits when no server runs; what is stored is read when one starts.
struct Nobody;

impl CommitSink for Nobody {
    fn committed(&mut self, _: Vec<Commit>) {}
}

/// Asks the running server or, when there is none, the store.
///
/// # Errors
/// Neither can be asked.
pub async fn change(directory: &Path, request: &ControlRequest) -> Result<ControlAnswer, ChangeError> {
    match ask(directory, request).await {
        Err(ReachError::NotRunning) => {}
        asked => return asked.map_err(ChangeError::Reach),
    }
    if !directory.join(DATABASE).exists() {
        return Err(ChangeError::NoData(directory.display().to_string()));
    }
    let store = SqliteStore::open(SqliteOptions::new(directory), Box::new(Nobody))?;
    let (answer, _) = apply(&store, request).await;
    store.close().await;
    Ok(answer)
}
