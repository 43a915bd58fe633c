//! Reads: a few threads, each with a read-only connection, on one bounded queue. Every read sees one snapshot, however
//! many statements it takes. Nothing here writes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use teahouse_store::{OverloadReason, StoreError, StoreMetrics};
use tokio::sync::oneshot;

use crate::queue::{PushError, Queue};
use crate::row::Sql;
use crate::writer::{JobError, store_error};
use crate::{OpenError, SqliteOptions, schema};

type ReadJob = Box<dyn FnOnce(&mut Connection) + Send>;
/// A read that shares its snapshot with others. It gets an error when there is no snapshot.
type SmallRead = Box<dyn FnOnce(Result<&Connection, &StoreError>) + Send>;

/// The most small reads in one snapshot: some milliseconds of work, so that none waits long for the others.
const SMALL_MAX: usize = 128;

/// A handle on the reader threads.
#[derive(Clone)]
pub(crate) struct Readers {
    pub(crate) queue: Arc<Queue<ReadJob>>,
    /// Small reads that wait for a reader, which the first of them scheduled. Locked to push one or to take some.
    small: Arc<Mutex<Vec<SmallRead>>>,
    small_max: usize,
    metrics: StoreMetrics,
}

impl Readers {
    /// Opens the connections and starts the threads, which the caller joins.
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

    /// Refuses from now on; the threads end when the waiting reads are answered.
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
        let job = Box::new(move |conn: &mut Connection| {
            let result = snapshot(conn, work);
            // The caller may have gone.
            let _ = reply.send(result);
        });
        self.submit(job)?;
        match answer.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(JobError::Refused(why))) => Err(why),
            Ok(Err(JobError::Failed(error))) => Err(store_error(&error, &self.metrics).into()),
            Err(_) => Err(StoreError::Internal("a read panicked".to_owned()).into()),
        }
    }

    /// Runs `work`, which takes some microseconds, in one snapshot with all other small reads that wait. In a reconnect
    /// storm a snapshot for each, and waking a reader for each, would cost more than the reads.
    pub(crate) async fn read_small<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Sql<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let metrics = self.metrics.clone();
        let small: SmallRead = Box::new(move |conn| {
            let found = match conn {
                Ok(conn) => work(conn).map_err(|error| store_error(&error, &metrics)),
                Err(error) => Err(error.clone()),
            };
            // The caller may have gone.
            let _ = reply.send(found);
        });
        let is_first = {
            let mut waiting = lock(&self.small);
            if waiting.len() >= self.small_max {
                return Err(self.overloaded());
            }
            waiting.push(small);
            waiting.len() == 1
        };
        if is_first {
            // Other tasks that are ready add their reads meanwhile. Without any, this takes no time.
            let schedule = ScheduleOnDrop(self);
            tokio::task::yield_now().await;
            drop(schedule);
        }
        answer.await.unwrap_or_else(|_| Err(StoreError::Internal("a read panicked".to_owned())))
    }

    /// Makes a reader take the small reads that wait.
    fn schedule_small(&self) {
        let readers = self.clone();
        let submitted = self.submit(Box::new(move |conn| {
            let batch: Vec<SmallRead> = {
                let mut waiting = lock(&readers.small);
                let count = waiting.len().min(SMALL_MAX);
                waiting.drain(..count).collect()
            };
            if !lock(&readers.small).is_empty() {
                readers.schedule_small();
            }
            readers.run_small(conn, batch);
        }));
        if let Err(error) = submitted {
            // The reads that came after the first one depend on it.
            let all = std::mem::take(&mut *lock(&self.small));
            all.into_iter().for_each(|small| small(Err(&error)));
        }
    }

    fn run_small(&self, conn: &Connection, batch: Vec<SmallRead>) {
        if batch.is_empty() {
            return;
        }
        let execute = |sql| conn.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        if let Err(error) = execute("BEGIN") {
            let error = store_error(&error, &self.metrics);
            return batch.into_iter().for_each(|small| small(Err(&error)));
        }
        for small in batch {
            // The other reads must not fail with it.
            if catch_unwind(AssertUnwindSafe(|| small(Ok(conn)))).is_err() {
                tracing::error!("a read panicked");
            }
        }
        if let Err(error) = execute("COMMIT") {
            tracing::error!(%error, "reader cannot end its snapshot");
        }
    }

    fn submit(&self, job: ReadJob) -> Result<(), StoreError> {
        self.queue.try_push(job).map_err(|error| match error {
            PushError::Full => self.overloaded(),
            PushError::Closed => StoreError::Closed,
        })
    }

    fn overloaded(&self) -> StoreError {
        self.metrics.count_overload(OverloadReason::ReadQueue);
        self.metrics.on_bound.record("store.reads_max", self.queue.len_max as u64);
        StoreError::Overloaded("too many reads are waiting".to_owned())
    }
}

/// Schedules the small reads on drop, so also when the first caller gave up: others wait for it.
struct ScheduleOnDrop<'a>(&'a Readers);

impl Drop for ScheduleOnDrop<'_> {
    fn drop(&mut self) {
        self.0.schedule_small();
    }
}

fn lock(small: &Mutex<Vec<SmallRead>>) -> MutexGuard<'_, Vec<SmallRead>> {
    // No panic can leave the list half changed.
    small.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(conn: &mut Connection, queue: &Queue<ReadJob>) {
    let mut jobs = Vec::new();
    // One at a time, so that the other reads wait for any reader and not for this one.
    while queue.take(1, &mut jobs) {
        for job in jobs.drain(..) {
            if catch_unwind(AssertUnwindSafe(|| job(conn))).is_err() {
                tracing::error!("a read panicked");
            }
            if !conn.is_autocommit()
                && let Err(error) = conn.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "reader cannot end its snapshot");
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
