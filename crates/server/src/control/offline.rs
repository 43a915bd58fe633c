//! Whom the command line asks: the running server or, when there is none, the store, which it then opens
//! itself and closes in the end.

use std::time::SystemTime;

use teahouse_core::Timestamp;
use teahouse_store::{CommitGroup, CommitSink};
use teahouse_store_sqlite::OpenError;
use tokio::sync::watch;

use super::apply::{Desk, apply};
use super::client::connect;
use super::{ControlAnswer, ControlRequest, ReachError, ask};
use crate::backup::DATABASE;
use crate::config::Config;
use crate::storage::Storage;

/// Why neither a server nor the store could be asked.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A server runs, but does not answer.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// Nothing is there; making an empty store would hide that the directory is the wrong one.
    #[error("there is no data in {0}; is this the server's directory? (flag --data)")]
    NoData(String),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Nobody listens to commits when no server runs; what is stored is read when one starts.
pub struct Nobody;

impl CommitSink for Nobody {
    fn commit(&mut self, _: CommitGroup<'_>) {}
}

/// Whoever can be asked: a running server, or the store.
pub struct Answerer<'a> {
    config: &'a Config,
    /// The store, when no server runs.
    storage: Option<Storage>,
}

impl<'a> Answerer<'a> {
    /// Finds out who can be asked.
    ///
    /// # Errors
    /// Nobody can.
    pub async fn open(config: &'a Config) -> Result<Self, ChangeError> {
        let directory = &config.server.data;
        match connect(directory).await {
            Ok(_) => return Ok(Self { config, storage: None }),
            Err(ReachError::NotRunning) => {}
            Err(error) => return Err(error.into()),
        }
        if !directory.join(DATABASE).exists() {
            return Err(ChangeError::NoData(directory.display().to_string()));
        }
        let storage = Storage::open(config, Box::new(Nobody))?;
        Ok(Self { config, storage: Some(storage) })
    }

    /// Asks; `progress` hears how much is done, from 0 to 1.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn ask(
        &self,
        request: ControlRequest,
        progress: &mut dyn FnMut(f64),
    ) -> Result<ControlAnswer, ChangeError> {
        let Some(storage) = &self.storage else {
            return Ok(ask(&self.config.server.data, &request, progress).await?);
        };
        let (sender, mut done) = watch::channel(0.0);
        let desk = Desk {
            store: &*storage.store,
            backups: storage.backups.as_ref(),
            config: self.config,
            now: Timestamp::from(SystemTime::now()),
        };
        let mut applying = std::pin::pin!(apply(&desk, request, sender));
        loop {
            tokio::select! {
                applied = &mut applying => return Ok(applied.answer),
                Ok(()) = done.changed() => progress(*done.borrow_and_update()),
            }
        }
    }

    /// Closes what was opened.
    pub async fn close(self) {
        if let Some(storage) = self.storage {
            storage.store.close().await;
        }
    }
}
