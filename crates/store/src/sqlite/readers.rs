//! Reads: a few threads, each with a read-only connection, on one bounded queue. Every read sees one
//! snapshot, however many statements it takes. Nothing here writes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::writer::{Stop, store_error};
use super::{OpenError, SqliteOptions, schema};
use crate::queue::{PushError, Queue};
use crate::{StoreError, StoreMetrics};

type Ask = Box<dyn FnOnce(&mut Connection) + Send>;

/// The way to the reader threads.
#[derive(Clone)]
pub(super) struct Readers {
    pub(super) queue: Arc<Queue<Ask>>,
    metrics: StoreMetrics,
}

impl Readers {
    /// Opens the connections and starts the threads; whoever gets the handles waits for them.
    pub(super) fn start(path: &Path, options: &SqliteOptions) -> Result<(Self, Vec<JoinHandle<()>>), OpenError> {
        let queue = Arc::new(Queue::new(options.reads_max, options.metrics.reads_waiting.clone()));
        let readers = Self { queue, metrics: options.metrics.clone() };
        let mut threads = Vec::new();
        for number in 0..options.readers.max(1) {
            let started =
                schema::open_reader(path, options.busy_timeout).map_err(OpenError::from).and_then(|mut conn| {
                    let queue = Arc::clone(&readers.queue);
                    let thread = std::thread::Builder::new().name(format!("store-reader-{number}"));
                    thread.spawn(move || serve(&mut conn, &queue)).map_err(OpenError::Thread)
                });
            match started {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    readers.close();
                    return Err(error);
                }
            }
        }
        Ok((readers, threads))
    }

    /// Refuses from now on; the threads end when what waits is answered.
    pub(super) fn close(&self) {
        self.queue.close();
    }

    /// Runs `work` on a reader, in one snapshot.
    pub(super) async fn read<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        W: FnOnce(&Connection) -> Result<T, Stop<E>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let ask = Box::new(move |conn: &mut Connection| {
            let result = snapshot(conn, work);
            // Nobody is waiting any more: then nobody needs it.
            let _ = reply.send(result);
        });
        match self.queue.try_push(ask) {
            Ok(()) => {}
            Err(PushError::Full) => {
                self.metrics.refused("read_queue");
                return Err(StoreError::Overloaded("too many reads are waiting".to_owned()).into());
            }
            Err(PushError::Closed) => return Err(StoreError::Closed.into()),
        }
        match answer.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(Stop::Refused(why))) => Err(why),
            Ok(Err(Stop::Failed(error))) => Err(store_error(&error, &self.metrics).into()),
            Err(_) => Err(StoreError::Internal("a read panicked".to_owned()).into()),
        }
    }
}

fn serve(conn: &mut Connection, queue: &Queue<Ask>) {
    let mut asks = Vec::new();
    // One at a time, so that the others wait for any reader and not for this one.
    while queue.take(1, &mut asks) {
        for ask in asks.drain(..) {
            if catch_unwind(AssertUnwindSafe(|| ask(conn))).is_err() {
                tracing::error!("a read panicked");
            }
            if !conn.is_autocommit()
                && let Err(error) = conn.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "a reader cannot leave its snapshot");
            }
        }
    }
}

fn snapshot<T, E>(conn: &Connection, work: impl FnOnce(&Connection) -> Result<T, Stop<E>>) -> Result<T, Stop<E>> {
    conn.prepare_cached("BEGIN")?.execute([])?;
    let result = work(conn)?;
    conn.prepare_cached("COMMIT")?.execute([])?;
    Ok(result)
}
