//! The one writer: it takes the waiting jobs, runs them in one transaction, commits with one fsync, and hands the
//! commits and their callers to the sink. It owns what happens when the disk fails. It does not know what its jobs do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use rusqlite::{Connection, ErrorCode, ffi};
use teahouse_core::Commit;
use teahouse_store::{CommitGroup, CommitSink, OverloadReason, StoreError, StoreMetrics};
use tokio::sync::oneshot;

use crate::checkpoint::Checkpointer;
use crate::group::{Group, WriterCache};
use crate::queue::Queue;
use crate::{OpenError, SqliteOptions};

/// Why a job did nothing.
pub(crate) enum JobError<E> {
    /// It is not allowed, or makes no sense. A job that refuses has written nothing.
    Refused(E),
    /// SQLite failed; the whole group is rolled back.
    Failed(rusqlite::Error),
}

impl<E> From<rusqlite::Error> for JobError<E> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

/// A write. It may run more than once, each time from the beginning, and is answered once.
pub(crate) trait Job: Send {
    fn run(&mut self, group: &mut Group<'_>) -> Result<(), rusqlite::Error>;
    /// `Ok`: it is durable. `Err`: nothing of it happened.
    fn answer(self: Box<Self>, verdict: Result<(), StoreError>);
}

/// A [`Job`] made of a closure, its outcome and its caller.
pub(crate) struct Write<T, E, W> {
    work: W,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, W> Write<T, E, W> {
    pub(crate) fn new(work: W, reply: oneshot::Sender<Result<T, E>>) -> Self {
        Self { work, outcome: None, reply }
    }
}

impl<T, E, W> Job for Write<T, E, W>
where
    T: Send,
    E: Send + From<StoreError>,
    W: FnMut(&mut Group<'_>) -> Result<T, JobError<E>> + Send,
{
    fn run(&mut self, group: &mut Group<'_>) -> Result<(), rusqlite::Error> {
        let written = group.conn.total_changes();
        self.outcome = Some(match (self.work)(group) {
            Ok(done) => Ok(done),
            Err(JobError::Refused(why)) => {
                assert_eq!(written, group.conn.total_changes(), "a job wrote before it refused");
                Err(why)
            }
            Err(JobError::Failed(error)) => return Err(error),
        });
        Ok(())
    }

    fn answer(self: Box<Self>, verdict: Result<(), StoreError>) {
        let outcome = match (verdict, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(StoreError::Internal("a job was never run".to_owned()).into()),
            (Err(error), _) => Err(error.into()),
        };
        // The caller may have gone; the commits were published all the same.
        let _ = self.reply.send(outcome);
    }
}

/// Why a group was rolled back.
enum GroupError {
    /// The disk refuses for now.
    Refused(rusqlite::Error),
    /// Nobody can know what is durable.
    DurabilityUnknown(rusqlite::Error),
    /// One job failed or panicked: a bug, or a damaged database.
    Job(String),
}

/// The state of the writer thread.
pub(crate) struct Writer {
    conn: Connection,
    queue: Arc<Queue<Box<dyn Job>>>,
    sink: Box<dyn CommitSink>,
    checkpointer: Checkpointer,
    cache: WriterCache,
    group_max: usize,
    strangers_per_day: usize,
    metrics: StoreMetrics,
    on_fatal: Arc<dyn Fn(&str) + Send + Sync>,
    stopped: bool,
}

impl Writer {
    pub(crate) fn new(
        mut conn: Connection,
        queue: Arc<Queue<Box<dyn Job>>>,
        sink: Box<dyn CommitSink>,
        checkpointer: Checkpointer,
        options: &SqliteOptions,
    ) -> Result<Self, OpenError> {
        checkpointer.watch(&mut conn)?;
        #[cfg(test)]
        crate::tests::worst::count_if_asked(&mut conn);
        Ok(Self {
            conn,
            queue,
            sink,
            checkpointer,
            cache: WriterCache::default(),
            group_max: options.group_max.max(1),
            strangers_per_day: options.strangers_per_day,
            metrics: options.metrics.common.clone(),
            on_fatal: Arc::clone(&options.on_fatal),
            stopped: false,
        })
    }

    /// Runs until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let mut jobs = Vec::with_capacity(self.group_max);
        while self.queue.take(self.group_max, &mut jobs) {
            self.write(&mut jobs);
            if !self.stopped
                && let Err(error) = self.checkpointer.maintain(&self.conn)
            {
                self.fatal(&format!("a checkpoint could not be synced ({error})"));
            }
        }
        self.checkpointer.stop();
    }

    fn write(&mut self, jobs: &mut Vec<Box<dyn Job>>) {
        if self.stopped {
            return answer_all(jobs, &Err(StoreError::Closed));
        }
        match self.attempt(jobs) {
            Ok(commits) => {
                self.metrics.groups.inc();
                self.metrics.group_size.observe(jobs.len() as f64);
                self.metrics.commits.inc_by(commits.len() as u64);
                if commits.is_empty() {
                    answer_all(jobs, &Ok(()));
                } else {
                    self.publish(commits, jobs);
                }
            }
            Err(GroupError::Refused(error)) => {
                tracing::warn!(%error, jobs = jobs.len(), "disk refused a group");
                for _ in 0..jobs.len() {
                    self.metrics.count_overload(OverloadReason::Disk);
                }
                answer_all(jobs, &Err(StoreError::Overloaded(error.to_string())));
            }
            Err(GroupError::DurabilityUnknown(error)) => {
                self.fatal(&format!("a commit failed in such a way that nobody can know what is durable ({error})"));
                answer_all(jobs, &Err(StoreError::Internal("the disk failed".to_owned())));
            }
            // The other jobs must not fail with it: each job runs again in a transaction of its own.
            Err(GroupError::Job(_)) if jobs.len() > 1 => {
                for job in std::mem::take(jobs) {
                    self.write(&mut vec![job]);
                }
            }
            Err(GroupError::Job(why)) => {
                tracing::error!(why, "write failed");
                answer_all(jobs, &Err(StoreError::Internal(why)));
            }
        }
    }

    /// Runs one transaction. If it fails, it is rolled back and the cache is cleared.
    fn attempt(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<Vec<Commit>, GroupError> {
        let commits = self.transact(jobs);
        if commits.is_err() {
            self.cache.clear();
            if !self.conn.is_autocommit()
                && let Err(error) = self.conn.execute_batch("ROLLBACK")
            {
                return Err(GroupError::DurabilityUnknown(error));
            }
        }
        commits
    }

    fn transact(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<Vec<Commit>, GroupError> {
        let run = |sql| self.conn.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        run("BEGIN IMMEDIATE").map_err(group_error)?;
        let mut group = Group::new(&self.conn, &mut self.cache, self.strangers_per_day, &self.metrics.on_bound);
        for job in jobs {
            match catch_unwind(AssertUnwindSafe(|| job.run(&mut group))) {
                Ok(done) => done.map_err(group_error)?,
                Err(_) => return Err(GroupError::Job("a write panicked".to_owned())),
            }
        }
        let commits = group.finish().map_err(group_error)?;
        let begun = Instant::now();
        run("COMMIT").map_err(|error| {
            let is_known = !is_io(&error) || is_refused_write(&error);
            if is_known { group_error(error) } else { GroupError::DurabilityUnknown(error) }
        })?;
        self.metrics.commit_seconds.observe(begun.elapsed().as_secs_f64());
        Ok(commits)
    }

    /// Hands the commits to the sink, which answers the callers or leaves that to us. A sink that panics has lost
    /// commits that nobody will see: as bad as a disk that lies.
    fn publish(&mut self, commits: Vec<Commit>, jobs: &mut Vec<Box<dyn Job>>) {
        let sink = &mut *self.sink;
        let mut answer_callers = || answer_all(jobs, &Ok(()));
        let group = CommitGroup::new(commits, &mut answer_callers);
        let published = catch_unwind(AssertUnwindSafe(|| sink.commit(group)));
        if published.is_err() {
            self.fatal("the commits could not be published");
        }
        // The jobs whose callers the sink has answered are gone from the list.
        answer_all(jobs, &published.map_err(|_| StoreError::Closed));
    }

    fn fatal(&mut self, why: &str) {
        tracing::error!(why, "store stopped");
        (self.on_fatal)(why);
        // Only a test gets here, whose `on_fatal` returns. Nothing is written any more.
        self.stopped = true;
        self.queue.close();
    }
}

fn answer_all(jobs: &mut Vec<Box<dyn Job>>, verdict: &Result<(), StoreError>) {
    for job in jobs.drain(..) {
        job.answer(verdict.clone());
    }
}

fn group_error(error: rusqlite::Error) -> GroupError {
    if leaves_durability_unknown(&error) {
        GroupError::DurabilityUnknown(error)
    } else if refuses(&error) {
        GroupError::Refused(error)
    } else {
        GroupError::Job(error.to_string())
    }
}

/// The disk or the machine refuses for now; nothing is wrong with the request.
fn refuses(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OutOfMemory
                | ErrorCode::CannotOpen
                | ErrorCode::SystemIoFailure
        )
    )
}

fn is_io(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
}

/// A write that the disk did not take, as after a remount read-only. The commit mark of a group is written last, so
/// without it nothing was committed, and the next group overwrites the rest.
fn is_refused_write(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|e| e.extended_code == ffi::SQLITE_IOERR_WRITE)
}

/// A sync failed: the kernel may have dropped the pages that it could not write, and the next sync would succeed.
pub(crate) fn leaves_durability_unknown(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error()
        .is_some_and(|e| matches!(e.extended_code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC))
}

/// The error that the caller of a failed read gets.
pub(crate) fn store_error(error: &rusqlite::Error, metrics: &StoreMetrics) -> StoreError {
    if refuses(error) {
        metrics.count_overload(OverloadReason::Disk);
        tracing::warn!(%error, "disk refused a read");
        StoreError::Overloaded(error.to_string())
    } else {
        tracing::error!(%error, "read failed");
        StoreError::Internal(error.to_string())
    }
}
