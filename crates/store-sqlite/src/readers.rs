//! Reads: a few threads, each with a read-only connection, on one bounded queue. Every read sees one
//! snapshot, however many statements it takes. Nothing here writes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::queue::{PushError, Queue};
use crate::row::Sql;
use crate::writer::{JobError, store_error};
use crate::{OpenError, SqliteOptions, schema};
use teahouse_store::{StoreError, StoreMetrics};

type Ask = Box<dyn FnOnce(&mut Connection) + Send>;
/// A read that shares its snapshot with others; or why there is none.
type Small = Box<dyn FnOnce(Result<&Connection, &StoreError>) + Send>;

/// Small reads in one snapshot: some milliseconds of work, so that nobody waits long for the others.
const SMALL_MAX: usize = 128;

/// The way to the reader threads.
#[derive(Clone)]
pub(crate) struct Readers {
    pub(crate) queue: Arc<Queue<Ask>>,
    /// Small reads that wait for a reader, which was asked when the first of them came. Guarded while one is put in,
    /// or some are taken out.
    small: Arc<Mutex<Vec<Small>>>,
    small_max: usize,
    metrics: StoreMetrics,
}

impl Readers {
    /// Opens the connections and starts the threads; whoever gets the handles waits for them.
    pub(crate) fn start(path: &Path, options: &SqliteOptions) -> Result<(Self, Vec<JoinHandle<()>>), OpenError> {
        let queue = Arc::new(Queue::new(options.reads_max, options.metrics.common.reads_waiting.clone()));
        let (small, small_max, metrics) = (Arc::default(), options.reads_max, options.metrics.common.clone());
        let readers = Self { queue, small, small_max, metrics };
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
    pub(crate) fn close(&self) {
        self.queue.close();
    }

    /// Runs `work` on a reader, in one snapshot.
    pub(crate) async fn read<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        W: FnOnce(&Connection) -> Result<T, JobError<E>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let ask = Box::new(move |conn: &mut Connection| {
            let result = snapshot(conn, work);
            // Nobody is waiting any more: then nobody needs it.
            let _ = reply.send(result);
        });
        self.ask(ask)?;
        match answer.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(JobError::Refused(why))) => Err(why),
            Ok(Err(JobError::Failed(error))) => Err(store_error(&error, &self.metrics).into()),
            Err(_) => Err(StoreError::Internal("a read panicked".to_owned()).into()),
        }
    }

    /// Runs `work`, which takes some microseconds, in one snapshot with all others that wait, taken after the last of
    /// them came: in a storm of reconnects beginning and ending one would cost more than the reads, and so would
    /// waking a reader for each.
    pub(crate) async fn read_small<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Sql<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let metrics = self.metrics.clone();
        let small: Small = Box::new(move |conn| {
            let found = match conn {
                Ok(conn) => work(conn).map_err(|error| store_error(&error, &metrics)),
                Err(error) => Err(error.clone()),
            };
            // Nobody is waiting any more: then nobody needs it.
            let _ = reply.send(found);
        });
        let is_first = {
            let mut waiting = lock(&self.small);
            if waiting.len() >= self.small_max {
                return Err(self.too_many());
            }
            waiting.push(small);
            waiting.len() == 1
        };
        if is_first {
            // Everybody else who is about to ask does so meanwhile; when there is nobody, this takes no time.
            let asking = AskWhenDropped(self);
            tokio::task::yield_now().await;
            drop(asking);
        }
        answer.await.unwrap_or_else(|_| Err(StoreError::Internal("a read panicked".to_owned())))
    }

    /// Asks a reader to take the small reads that wait.
    fn ask_for_small(&self) {
        let readers = self.clone();
        let asked = self.ask(Box::new(move |conn| {
            let some: Vec<Small> = {
                let mut waiting = lock(&readers.small);
                let count = waiting.len().min(SMALL_MAX);
                waiting.drain(..count).collect()
            };
            if !lock(&readers.small).is_empty() {
                readers.ask_for_small();
            }
            readers.run_small(conn, some);
        }));
        if let Err(error) = asked {
            // Whoever came behind the first waits in vain too.
            let all = std::mem::take(&mut *lock(&self.small));
            all.into_iter().for_each(|small| small(Err(&error)));
        }
    }

    fn run_small(&self, conn: &Connection, some: Vec<Small>) {
        if some.is_empty() {
            return;
        }
        let execute = |sql| conn.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        if let Err(error) = execute("BEGIN") {
            let error = store_error(&error, &self.metrics);
            return some.into_iter().for_each(|small| small(Err(&error)));
        }
        for small in some {
            // The others shall not suffer.
            if catch_unwind(AssertUnwindSafe(|| small(Ok(conn)))).is_err() {
                tracing::error!("a read panicked");
            }
        }
        if let Err(error) = execute("COMMIT") {
            tracing::error!(%error, "a reader cannot leave its snapshot");
        }
    }

    fn ask(&self, ask: Ask) -> Result<(), StoreError> {
        self.queue.try_push(ask).map_err(|error| match error {
            PushError::Full => self.too_many(),
            PushError::Closed => StoreError::Closed,
        })
    }

    fn too_many(&self) -> StoreError {
        self.metrics.count_overload("read_queue");
        StoreError::Overloaded("too many reads are waiting".to_owned())
    }
}

/// Asks for the small reads that wait, also when whoever was to ask gave up waiting: others wait behind them.
struct AskWhenDropped<'a>(&'a Readers);

impl Drop for AskWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.ask_for_small();
    }
}

fn lock(small: &Mutex<Vec<Small>>) -> MutexGuard<'_, Vec<Small>> {
    // Nothing under it can leave it half changed.
    small.lock().unwrap_or_else(PoisonError::into_inner)
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

fn snapshot<T, E>(
    conn: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, JobError<E>>,
) -> Result<T, JobError<E>> {
    conn.prepare_cached("BEGIN")?.execute([])?;
    let result = work(conn)?;
    conn.prepare_cached("COMMIT")?.execute([])?;
    Ok(result)
}
