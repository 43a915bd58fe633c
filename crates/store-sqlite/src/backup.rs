//! Copying the store beside whatever else goes on: one snapshot, a thread and a connection of its own, a new
//! file under another name until it is whole. It never looks at what it copies.

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

/// The copy's name until it is whole.
const PART: &str = "teahouse.db.part";
/// Pages that are copied at once, a megabyte: so often one hears how far it is, and so soon it stops when
/// the store is closed.
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
    // Guards the handle of the newest, so that none is put there that nobody waits for. Held for no longer than
    // a thread takes to start.
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

    /// Whether one is reading now.
    pub(crate) fn is_running(&self) -> bool {
        self.0.running.load(Ordering::Relaxed)
    }

    /// Copies the store, as it is at one moment, into a new directory while it is in use. The first start from the
    /// copy takes a new epoch. A second backup at the same time is refused. Dropping the future ends the backup and
    /// removes what it wrote.
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
        let copying = move || {
            let is_wanted = || !reply.is_closed();
            let copied = catch_unwind(AssertUnwindSafe(|| copy(&shared, &into, progress, is_wanted)));
            shared.running.store(false, Ordering::Relaxed);
            // Whoever asked may have gone just now.
            let _ = reply.send(copied.unwrap_or_else(|_| Err(internal("a backup panicked"))));
        };
        self.0.running.store(true, Ordering::Relaxed);
        let started = std::thread::Builder::new().name("store-backup".to_owned()).spawn(copying);
        let started = started.map_err(|error| {
            self.0.running.store(false, Ordering::Relaxed);
            internal(&error.to_string())
        })?;
        // The one before it has ended, or is about to: nothing is left in it to wait for.
        *thread = Some(started);
        Ok(answer)
    }

    /// Refuses from now on; the one that is going on stops where it is.
    pub(crate) fn stop(&self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }

    /// The same, and waits until it has stopped.
    pub(crate) fn close(&self) {
        self.stop();
        let thread = self.lock().take();
        if let Some(thread) = thread {
            // It catches the panics of what it does.
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

/// A copy that is not whole yet: what is there of it goes with this value.
struct Unfinished {
    part: PathBuf,
    // The directory, when it was made for this copy.
    made: Option<PathBuf>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // What cannot be removed is under no name that anybody would start from.
        for beside in ["", "-journal", "-wal", "-shm"] {
            let mut file = self.part.clone().into_os_string();
            file.push(beside);
            let _ = fs::remove_file(file);
        }
        if let Some(made) = &self.made {
            let _ = fs::remove_dir(made);
        }
    }
}

fn copy(
    shared: &Shared,
    into: &Path,
    mut progress: BackupProgress,
    is_wanted: impl Fn() -> bool,
) -> Result<(), BackupError> {
    let whole = into.join(DATABASE_FILE);
    if exists(&whole)? {
        return Err(BackupError::Exists(whole.display().to_string()));
    }
    let unfinished = begin(into)?;
    progress(0.0);
    copy_pages(shared, &unfinished.part, &mut progress)?;
    schema::mark_as_copy(&unfinished.part).map_err(write)?;
    File::open(&unfinished.part).and_then(|part| part.sync_all()).map_err(write)?;
    if !is_wanted() {
        // Whoever gave it up took away what belongs to it; alone it must not look like a whole one.
        return Err(BackupError::Write("nobody waits for it any more".to_owned()));
    }
    fs::rename(&unfinished.part, &whole).map_err(write)?;
    // It is whole, and stays.
    std::mem::forget(unfinished);
    sync_directory(into).and_then(|()| sync_directory(&into.join(".."))).map_err(write)?;
    progress(1.0);
    Ok(())
}

fn begin(into: &Path) -> Result<Unfinished, BackupError> {
    let made = if exists(into)? { None } else { Some(into.to_owned()) };
    DirBuilder::new().recursive(true).mode(0o700).create(into).map_err(write)?;
    let part = into.join(PART);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part) {
        Ok(_) => Ok(Unfinished { part, made }),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(BackupError::Exists(part.display().to_string()))
        }
        Err(error) => Err(write(error)),
    }
}

fn copy_pages(shared: &Shared, part: &Path, progress: &mut BackupProgress) -> Result<(), BackupError> {
    let source = schema::open_reader(&shared.path, shared.busy_timeout).map_err(write)?;
    // All steps see what this transaction sees, so that nothing is begun anew when others write.
    source.execute_batch("BEGIN; SELECT count(*) FROM meta").map_err(write)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut target = Connection::open_with_flags(part, flags).map_err(write)?;
    // A copy that fails is removed, and one that succeeds is synced as a whole.
    target.pragma_update(None, "synchronous", "off").map_err(write)?;
    target.pragma_update(None, "journal_mode", "off").map_err(write)?;
    let backup = Backup::new(&source, &mut target).map_err(write)?;
    loop {
        if shared.stop.load(Ordering::Relaxed) {
            return Err(StoreError::Closed.into());
        }
        match backup.step(STEP_PAGES).map_err(write)? {
            StepResult::Done => return Ok(()),
            StepResult::More => {
                let pages = backup.progress();
                progress(1.0 - f64::from(pages.remaining) / f64::from(pages.pagecount.max(1)));
            }
            // Both files are held by nobody else in a way that could matter.
            other => return Err(BackupError::Write(format!("{other:?}"))),
        }
    }
}

fn exists(path: &Path) -> Result<bool, BackupError> {
    path.try_exists().map_err(write)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn write(error: impl std::fmt::Display) -> BackupError {
    BackupError::Write(error.to_string())
}
