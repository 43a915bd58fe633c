//! The one writer: takes what is waiting, runs it in one transaction, commits with one fsync, hands the
//! commits to the sink in order, then answers, and says so to the sink. It owns what happens when the disk says no. It does not
//! know what its jobs are about.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use rusqlite::{Connection, ErrorCode, ffi};
use teahouse_core::Commit;
use tokio::sync::oneshot;

use crate::checkpoint::Checkpointer;
use crate::group::{Group, WriterCache};
use crate::queue::Queue;
use crate::{OpenError, SqliteOptions};
use teahouse_store::{CommitGroup, CommitSink, StoreError, StoreMetrics};

/// Why a piece of work came to nothing.
pub(crate) enum JobError<E> {
    /// It is not allowed or makes no sense. Whoever refuses has written nothing yet.
    Refused(E),
    /// SQLite failed; the whole group is undone.
    Failed(rusqlite::Error),
}

impl<E> From<rusqlite::Error> for JobError<E> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

/// Something to be written. It may be run more than once, each time from the beginning, and is
/// answered once.
pub(crate) trait Job: Send {
    fn run(&mut self, group: &mut Group<'_>) -> Result<(), rusqlite::Error>;
    /// `Ok`: it is durable. `Err`: nothing of it happened.
    fn answer(self: Box<Self>, verdict: Result<(), StoreError>);
}

/// A [`Job`] made of a closure and a place for its answer.
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
        // Whoever asked may have gone; what was committed was delivered all the same.
        let _ = self.reply.send(outcome);
    }
}

/// Why a group came to nothing.
enum GroupError {
    /// The disk refuses for now.
    Refused(rusqlite::Error),
    /// Nobody can know what is durable.
    Unknowable(rusqlite::Error),
    /// One job failed or panicked: a bug of ours or a damaged database.
    Job(String),
}

/// The writer thread's belongings.
pub(crate) struct Writer {
    conn: Connection,
    queue: Arc<Queue<Box<dyn Job>>>,
    sink: Box<dyn CommitSink>,
    checkpointer: Checkpointer,
    cache: WriterCache,
    group_max: usize,
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
        Ok(Self {
            conn,
            queue,
            sink,
            checkpointer,
            cache: WriterCache::default(),
            group_max: options.group_max.max(1),
            metrics: options.metrics.common.clone(),
            on_fatal: Arc::clone(&options.on_fatal),
            stopped: false,
        })
    }

    /// Until the queue is closed and empty.
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
                tracing::warn!(%error, jobs = jobs.len(), "the disk refuses; a group was undone");
                for _ in 0..jobs.len() {
                    self.metrics.count_overload("disk");
                }
                answer_all(jobs, &Err(StoreError::Overloaded(error.to_string())));
            }
            Err(GroupError::Unknowable(error)) => {
                self.fatal(&format!("a commit failed in such a way that nobody can know what is durable ({error})"));
                answer_all(jobs, &Err(StoreError::Internal("the disk failed".to_owned())));
            }
            // The others shall not suffer: the group is run again, each job in a transaction of its own.
            Err(GroupError::Job(_)) if jobs.len() > 1 => {
                for job in std::mem::take(jobs) {
                    self.write(&mut vec![job]);
                }
            }
            Err(GroupError::Job(why)) => {
                tracing::error!(why, "a write failed");
                answer_all(jobs, &Err(StoreError::Internal(why)));
            }
        }
    }

    /// One transaction: all of it, or nothing and everything forgotten.
    fn attempt(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<Vec<Commit>, GroupError> {
        let commits = self.transact(jobs);
        if commits.is_err() {
            self.cache.forget();
            if !self.conn.is_autocommit()
                && let Err(error) = self.conn.execute_batch("ROLLBACK")
            {
                return Err(GroupError::Unknowable(error));
            }
        }
        commits
    }

    fn transact(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<Vec<Commit>, GroupError> {
        let run = |sql| self.conn.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        run("BEGIN IMMEDIATE").map_err(group_error)?;
        let mut group = Group::new(&self.conn, &mut self.cache);
        for job in jobs {
            match catch_unwind(AssertUnwindSafe(|| job.run(&mut group))) {
                Ok(done) => done.map_err(group_error)?,
                Err(_) => return Err(GroupError::Job("a write panicked".to_owned())),
            }
        }
        let commits = group.finish().map_err(group_error)?;
        let begun = Instant::now();
        run("COMMIT").map_err(|error| {
            let is_knowable = !is_io(&error) || is_refused_write(&error);
            if is_knowable { group_error(error) } else { GroupError::Unknowable(error) }
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
        // Whoever the sink has answered is no longer among the jobs.
        answer_all(jobs, &published.map_err(|_| StoreError::Closed));
    }

    fn fatal(&mut self, why: &str) {
        tracing::error!(why, "the store stops");
        (self.on_fatal)(why);
        // Only a test comes here: nothing is written any more.
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
    if is_unknowable(&error) {
        GroupError::Unknowable(error)
    } else if refuses(&error) {
        GroupError::Refused(error)
    } else {
        GroupError::Job(error.to_string())
    }
}

/// The disk or the machine says "not now": nothing is wrong with what was asked.
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

/// A write that the disk did not take (it was mounted read-only, say). A group's commit mark is the last that is
/// written of it, so that without it nothing was committed, and what comes next is written over the rest.
fn is_refused_write(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|e| e.extended_code == ffi::SQLITE_IOERR_WRITE)
}

/// A sync that failed: the kernel may have dropped what it could not write, and would say "fine" next time.
pub(crate) fn is_unknowable(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error()
        .is_some_and(|e| matches!(e.extended_code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC))
}

/// What a failed read is to whoever asked.
pub(crate) fn store_error(error: &rusqlite::Error, metrics: &StoreMetrics) -> StoreError {
    if refuses(error) {
        metrics.count_overload("disk");
        tracing::warn!(%error, "a read was refused");
        StoreError::Overloaded(error.to_string())
    } else {
        tracing::error!(%error, "a read failed");
        StoreError::Internal(error.to_string())
    }
}
