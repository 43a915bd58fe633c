//! Sends commands to the running server or, when none runs, opens its store and runs them here.

use teahouse_hub::Bounds;
use teahouse_store_sqlite::OpenError;
use tokio::sync::watch;

use super::connection::{ConnectionError, connect, send_command};
use super::execute::execute;
use super::{ControlRequest, ControlResponse};
use crate::clock;
use crate::config::Config;
use crate::offline::{DATABASE_FILE, NullSink};
use crate::storage::Storage;
use crate::use_cases::admin::AdminContext;

/// Why a command could be sent neither to a server nor to a store.
#[derive(Debug, thiserror::Error)]
pub(super) enum ControlClientError {
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

/// A client of a running server, or of the store.
pub(super) struct ControlClient<'a> {
    config: &'a Config,
    /// Open only when no server runs.
    storage: Option<Storage>,
}

impl<'a> ControlClient<'a> {
    /// Looks for a running server, and opens the store if there is none.
    ///
    /// # Errors
    /// There is neither.
    pub(super) async fn open(config: &'a Config) -> Result<Self, ControlClientError> {
        let directory = &config.server.data;
        match connect(directory).await {
            Ok(_) => return Ok(Self { config, storage: None }),
            Err(ConnectionError::NotRunning) => {}
            Err(error) => return Err(error.into()),
        }
        if !directory.join(DATABASE_FILE).exists() {
            return Err(ControlClientError::NoData(directory.display().to_string()));
        }
        let storage = Storage::open(config, Box::new(NullSink), Bounds::default())?;
        Ok(Self { config, storage: Some(storage) })
    }

    /// Runs a command. `progress` is called with the share that is done, from 0 to 1.
    ///
    /// # Errors
    /// The server does not respond.
    pub(super) async fn run(
        &self,
        command: ControlRequest,
        progress: &mut dyn FnMut(f64),
    ) -> Result<ControlResponse, ControlClientError> {
        let Some(storage) = &self.storage else {
            return Ok(send_command(&self.config.server.data, &command, progress).await?);
        };
        let (sender, mut done) = watch::channel(0.0);
        let context = AdminContext {
            store: storage.store.as_ref(),
            backups: storage.backups.as_ref(),
            live: None,
            config: self.config,
            now: clock::wall(),
        };
        let mut executing = std::pin::pin!(execute(&context, command, sender));
        loop {
            tokio::select! {
                response = &mut executing => return Ok(response),
                Ok(()) = done.changed() => progress(*done.borrow_and_update()),
            }
        }
    }

    /// Closes the store, if this client opened it.
    pub(super) async fn close(self) {
        if let Some(storage) = self.storage {
            storage.store.close().await;
        }
    }
}
