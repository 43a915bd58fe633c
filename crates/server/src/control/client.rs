//! Sends commands to the running server or, when none runs, opens its store and runs them here.

use std::time::SystemTime;

use teahouse_core::{Commit, Timestamp};
use teahouse_store::{CommitSink, OpenError, SqliteOptions, SqliteStore, Store};
use tokio::sync::watch;

use super::connection::{ConnectionError, connect, send_command};
use super::execute::execute;
use super::{ControlRequest, ControlResponse};
use crate::backup::DATABASE;
use crate::config::Config;
use crate::use_cases::admin::AdminContext;

/// Why a command could be sent neither to a server nor to a store.
#[derive(Debug, thiserror::Error)]
pub enum ControlClientError {
    /// A server runs, but does not respond.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// There is no store. Creating an empty one would hide that the directory is the wrong one.
    #[error("there is no data in {0}; is this the server's directory? (flag --data)")]
    NoData(String),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Ignores commits. Without a running server nobody needs them; the next server reads the store when it starts.
pub struct NullSink;

impl CommitSink for NullSink {
    fn committed(&mut self, _: Vec<Commit>) {}
}

/// A client of a running server, or of the store.
pub struct ControlClient<'a> {
    config: &'a Config,
    /// Open only when no server runs.
    store: Option<SqliteStore>,
}

impl<'a> ControlClient<'a> {
    /// Looks for a running server, and opens the store if there is none.
    ///
    /// # Errors
    /// There is neither.
    pub async fn open(config: &'a Config) -> Result<Self, ControlClientError> {
        let directory = &config.server.data;
        match connect(directory).await {
            Ok(_) => return Ok(Self { config, store: None }),
            Err(ConnectionError::NotRunning) => {}
            Err(error) => return Err(error.into()),
        }
        if !directory.join(DATABASE).exists() {
            return Err(ControlClientError::NoData(directory.display().to_string()));
        }
        let store = SqliteStore::open(SqliteOptions::new(directory), Box::new(NullSink))?;
        Ok(Self { config, store: Some(store) })
    }

    /// Runs a command. `progress` is called with the share that is done, from 0 to 1.
    ///
    /// # Errors
    /// The server does not respond.
    pub async fn run(
        &self,
        command: ControlRequest,
        progress: &mut dyn FnMut(f64),
    ) -> Result<ControlResponse, ControlClientError> {
        let Some(store) = &self.store else {
            return Ok(send_command(&self.config.server.data, &command, progress).await?);
        };
        let (sender, mut done) = watch::channel(0.0);
        let context = AdminContext { store, live: None, config: self.config, now: Timestamp::from(SystemTime::now()) };
        let mut executing = std::pin::pin!(execute(&context, command, sender));
        loop {
            tokio::select! {
                response = &mut executing => return Ok(response),
                Ok(()) = done.changed() => progress(*done.borrow_and_update()),
            }
        }
    }

    /// Closes the store, if this client opened it.
    pub async fn close(self) {
        if let Some(store) = self.store {
            store.close().await;
        }
    }
}
