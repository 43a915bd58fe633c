//! Backups: a copy of one snapshot while the store is in use, by a thread with a connection of its own, into a file
//! that gets its name when it is complete. It never interprets what it copies.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use teahouse_store::StoreError;
use tokio::sync::oneshot;

use crate::{DATABASE_FILE, schema};

/// The copy's name until it is complete.
const PART: &str = "teahouse.db.part";
/// Pages in one step, a megabyte: after each step it reports its progress, and ends if the store was closed.
const STEP_PAGES: i32 = 256;

/// Receives the share of a backup that is done, from 0 to 1.
pub type BackupProgress = Box<dyn FnMut(f64) + Send>;

/// Why a backup failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BackupError {
    /// The target exists; it is left as it is.
    #[error("there is something at {0} already")]
    Exists(String),
    /// The copy could not be written.
    #[error("the copy could not be written: {0}")]
    Write(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A handle on a store's backups. A store runs one at a time.
#[derive(Clone)]
pub struct Backups(Arc<Shared>);

struct Shared {
    path: PathBuf,
    busy_timeout: Duration,
    running: AtomicBool,
    stop: AtomicBool,
    // The newest thread. The lock is held while a thread starts, so that `close` joins every thread that started.
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Backups {
    pub(crate) fn new(path: &Path, busy_timeout: Duration) -> Self {
        Self(Arc::new(Shared {
            path: path.to_owned(),
            busy_timeout,
            running: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            thread: Mutex::new(None),
        }))
    }

    /// Whether a backup is running.
    pub(crate) fn is_running(&self) -> bool {
        self.0.running.load(Ordering::Relaxed)
    }

    /// Copies the store, as it is at one moment, into a new directory while it is in use. The first start from the
    /// copy takes a new epoch. A second backup at the same time is refused. A backup whose future is
    /// dropped does not complete, and removes what it wrote.
    ///
    /// # Errors
    /// See [`BackupError`]; nothing of the backup is left.
    pub async fn copy_to(&self, into: &Path, progress: BackupProgress) -> Result<(), BackupError> {
        let answer = self.start(into, progress)?;
        answer.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    fn start(
        &self,
        into: &Path,
        progress: BackupProgress,
    ) -> Result<oneshot::Receiver<Result<(), BackupError>>, BackupError> {
        let mut thread = self.lock();
        if self.0.stop.load(Ordering::Relaxed) {
            return Err(StoreError::Closed.into());
        }
        if self.is_running() {
            return Err(StoreError::Overloaded("another backup is going on".to_owned()).into());
        }
        let (reply, answer) = oneshot::channel();
        let (shared, into) = (Arc::clone(&self.0), into.to_owned());
        let run = move || {
            let is_wanted = || !reply.is_closed();
            let copied = catch_unwind(AssertUnwindSafe(|| copy(&shared, &into, progress, is_wanted)));
            shared.running.store(false, Ordering::Relaxed);
            // The caller may have gone.
            let _ = reply.send(copied.unwrap_or_else(|_| Err(internal("a backup panicked"))));
        };
        self.0.running.store(true, Ordering::Relaxed);
        let started = std::thread::Builder::new().name("store-backup".to_owned()).spawn(run);
        let started = started.map_err(|error| {
            self.0.running.store(false, Ordering::Relaxed);
            internal(&error.to_string())
        })?;
        // The thread before it has ended, or is about to.
        *thread = Some(started);
        Ok(answer)
    }

    /// Refuses from now on, and stops the running backup.
    pub(crate) fn stop(&self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }

    /// The same, and joins the thread.
    pub(crate) fn close(&self) {
        self.stop();
        let thread = self.lock().take();
        if let Some(thread) = thread {
            // The thread catches panics itself.
            let _ = thread.join();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.0.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn internal(why: &str) -> BackupError {
    StoreError::Internal(why.to_owned()).into()
}

/// A copy that is not complete yet. Dropping it removes what was written.
struct PartialCopy {
    part: PathBuf,
    // The directory, if it was created for this copy.
    created: Option<PathBuf>,
}

impl Drop for PartialCopy {
    fn drop(&mut self) {
        // A file that cannot be removed has a name that no server opens.
        for beside in ["", "-journal", "-wal", "-shm"] {
            let mut file = self.part.clone().into_os_string();
            file.push(beside);
            let _ = fs::remove_file(file);
        }
        if let Some(created) = &self.created {
            let _ = fs::remove_dir(created);
        }
    }
}

fn copy(
    shared: &Shared,
    into: &Path,
    mut progress: BackupProgress,
    is_wanted: impl Fn() -> bool,
) -> Result<(), BackupError> {
    let complete = into.join(DATABASE_FILE);
    if exists(&complete)? {
        return Err(BackupError::Exists(complete.display().to_string()));
    }
    let partial = create_part(into)?;
    progress(0.0);
    copy_pages(shared, &partial.part, &mut progress)?;
    schema::mark_as_copy(&partial.part).map_err(write_error)?;
    File::open(&partial.part).and_then(|part| part.sync_all()).map_err(write_error)?;
    if !is_wanted() {
        // The caller has removed the other files of the backup; the database alone must not look complete.
        return Err(BackupError::Write("the caller gave up".to_owned()));
    }
    fs::rename(&partial.part, &complete).map_err(write_error)?;
    // It is complete, and stays.
    std::mem::forget(partial);
    sync_directory(into).and_then(|()| sync_directory(&into.join(".."))).map_err(write_error)?;
    progress(1.0);
    Ok(())
}

fn create_part(into: &Path) -> Result<PartialCopy, BackupError> {
    let created = if exists(into)? { None } else { Some(into.to_owned()) };
    DirBuilder::new().recursive(true).mode(0o700).create(into).map_err(write_error)?;
    let part = into.join(PART);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part) {
        Ok(_) => Ok(PartialCopy { part, created }),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(BackupError::Exists(part.display().to_string()))
        }
        Err(error) => Err(write_error(error)),
    }
}

fn copy_pages(shared: &Shared, part: &Path, progress: &mut BackupProgress) -> Result<(), BackupError> {
    let source = schema::open_reader(&shared.path, shared.busy_timeout).map_err(write_error)?;
    // All steps see this snapshot, so that no write restarts the copy.
    source.execute_batch("BEGIN; SELECT count(*) FROM meta").map_err(write_error)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut target = Connection::open_with_flags(part, flags).map_err(write_error)?;
    // A copy that fails is removed; one that succeeds is synced at the end.
    target.pragma_update(None, "synchronous", "off").map_err(write_error)?;
    target.pragma_update(None, "journal_mode", "off").map_err(write_error)?;
    let backup = Backup::new(&source, &mut target).map_err(write_error)?;
    loop {
        if shared.stop.load(Ordering::Relaxed) {
            return Err(StoreError::Closed.into());
        }
        match backup.step(STEP_PAGES).map_err(write_error)? {
            StepResult::Done => return Ok(()),
            StepResult::More => {
                let pages = backup.progress();
                progress(1.0 - f64::from(pages.remaining) / f64::from(pages.pagecount.max(1)));
            }
            // Nothing else locks either file.
            other => return Err(BackupError::Write(format!("{other:?}"))),
        }
    }
}

fn exists(path: &Path) -> Result<bool, BackupError> {
    path.try_exists().map_err(write_error)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn write_error(error: impl std::fmt::Display) -> BackupError {
    BackupError::Write(error.to_string())
}
