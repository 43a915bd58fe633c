//! Copies of everything that is needed to come back: the secrets and the store. A copy is a directory; one
//! without the database in it is not whole, since that comes last. What is in the database is the store's.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use teahouse_core::Timestamp;
use teahouse_protocol::rfc3339;
use teahouse_store::{BackupError, OpenError, SqliteOptions, SqliteStore, Store};

use crate::control::NullSink;
use crate::secrets;

/// The store's file, whose name is its own business but for this look.
pub const DATABASE: &str = "teahouse.db";
/// The file by which a store holds its directory.
const LOCK: &str = "teahouse.lock";
/// Where what is restored lies in the data directory until it has shown that it is good.
const STAGE: &str = ".restoring";
/// What is read of a file at once.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackUpError {
    /// Something is there already, and is left as it is.
    #[error("{0} is not empty and is left as it is; name a directory that is empty or not there yet")]
    NotEmpty(PathBuf),
    /// A file or a directory could not be written or read.
    #[error("{path}: {error} (a running server does the copying, as its own user)")]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The store could not be copied.
    #[error(transparent)]
    Store(#[from] BackupError),
}

/// Copies the secrets of a data directory and its store, beside whatever else goes on with that. `progress`
/// hears how much is done, from 0 to 1. The first start from a copy takes a new epoch.
///
/// # Errors
/// There is no backup; what was there before is as it was.
pub async fn back_up(
    store: &dyn Store,
    data: &Path,
    into: &Path,
    progress: impl FnMut(f64) + Send + 'static,
) -> Result<(), BackUpError> {
    let mut unfinished = begin(into)?;
    for name in secrets::FILES {
        let (from, to) = (data.join(name), into.join(name));
        match copy(&from, &to, &mut |_| {}) {
            Ok(()) => unfinished.written.push(to),
            // Where the configuration has the secrets there may be none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(BackUpError::Io { path: from, error }),
        }
    }
    match store.backup(into, Box::new(progress)).await {
        Ok(()) => {
            // It is whole, and stays.
            std::mem::forget(unfinished);
            Ok(())
        }
        Err(BackupError::Exists(_)) => Err(BackUpError::NotEmpty(into.to_owned())),
        Err(error) => Err(error.into()),
    }
}

/// A copy that is not whole yet: what we wrote of it goes with this value.
struct Unfinished {
    written: Vec<PathBuf>,
    /// The directory, when it was made for this copy.
    made: Option<PathBuf>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // What cannot be removed is no backup all the same, without a database.
        for path in &self.written {
            let _ = fs::remove_file(path);
        }
        if let Some(made) = &self.made {
            let _ = fs::remove_dir(made);
        }
    }
}

fn begin(into: &Path) -> Result<Unfinished, BackUpError> {
    let io = |error| BackUpError::Io { path: into.to_owned(), error };
    let made = (!into.try_exists().map_err(io)?).then(|| into.to_owned());
    make_directory(into).map_err(io)?;
    if fs::read_dir(into).map_err(io)?.next().is_some() {
        return Err(BackUpError::NotEmpty(into.to_owned()));
    }
    Ok(Unfinished { written: Vec::new(), made })
}

/// What becomes of data that is in the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InTheWay {
    /// It stays, and nothing is restored.
    Refuse,
    /// It is moved aside.
    MoveAside,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It holds no backup.
    #[error("{0} is no backup: there is no {DATABASE} in it")]
    NoBackup(PathBuf),
    /// It is a directory that a server works in, whose database alone is not all there is.
    #[error("{0} is a server's data directory and no backup; `teahouse backup DIRECTORY --data {0}` makes one of it")]
    IsData(PathBuf),
    /// Something is there.
    #[error("{0} is not empty; with --replace it is moved aside, and nothing of it is lost")]
    NotEmpty(PathBuf),
    /// A server works in it.
    #[error("a server is running on {0}; stop it first")]
    Running(PathBuf),
    /// The old data cannot be moved.
    #[error(
        "{path} cannot be moved aside ({error}); if it is a mount point, empty it by hand and restore without --replace"
    )]
    Aside {
        /// The data directory.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A file or a directory.
    #[error("{path}: {error}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// What is in the backup is no store that this program can open.
    #[error("the backup cannot be used: {0}")]
    Open(#[from] OpenError),
}

impl RestoreError {
    /// Whether something is only not as it should be, and nothing failed.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::NoBackup(_) | Self::IsData(_) | Self::NotEmpty(_) | Self::Running(_))
    }
}

/// Puts a backup into the data directory. It is opened once before anything else is touched, which shows that
/// it is good and gives it its new epoch. Gives the place to which old data was moved.
///
/// # Errors
/// Nothing was restored, and what was there is there.
pub async fn restore(
    backup: &Path,
    data: &Path,
    in_the_way: InTheWay,
    progress: &mut dyn FnMut(f64),
) -> Result<Option<PathBuf>, RestoreError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| RestoreError::Io { path, error }
    };
    if !backup.join(DATABASE).is_file() {
        return Err(RestoreError::NoBackup(backup.to_owned()));
    }
    if backup.join(LOCK).exists() {
        return Err(RestoreError::IsData(backup.to_owned()));
    }
    let new = !data.try_exists().map_err(io(data))?;
    make_directory(data).map_err(io(data))?;
    let moves = fs::read_dir(data).map_err(io(data))?.next().is_some();
    if moves && in_the_way == InTheWay::Refuse {
        return Err(RestoreError::NotEmpty(data.to_owned()));
    }
    // Where it really is: a link to it is to lead to the new data as well.
    let data = &fs::canonicalize(data).map_err(io(data))?;
    let hold = Hold::take(data)?;
    let stage = data.join(STAGE);
    let restored = match fill(backup, &stage, progress).await {
        Ok(()) => settle(data, &stage, moves),
        Err(error) => Err(error),
    };
    if restored.is_err() {
        // It is the error that matters; what cannot be taken away now can be by hand.
        let _ = fs::remove_dir_all(&stage);
        if !moves {
            let _ = fs::remove_file(data.join(LOCK));
        }
        if new {
            let _ = fs::remove_dir(data);
        }
    }
    drop(hold);
    restored
}

/// Copies the backup, and opens the copy once.
async fn fill(backup: &Path, stage: &Path, progress: &mut dyn FnMut(f64)) -> Result<(), RestoreError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| RestoreError::Io { path, error }
    };
    // Nobody else is at it: what lies there is of a restoring that was cut short.
    match fs::remove_dir_all(stage) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(stage)(error)),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(stage).map_err(io(stage))?;
    for name in secrets::FILES {
        let from = backup.join(name);
        match copy(&from, &stage.join(name), &mut |_| {}) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            copied => copied.map_err(io(&from))?,
        }
    }
    let from = backup.join(DATABASE);
    copy(&from, &stage.join(DATABASE), progress).map_err(io(&from))?;
    let store = SqliteStore::open(SqliteOptions::new(stage), Box::new(NullSink))?;
    store.close().await;
    drop(store);
    fs::remove_file(stage.join(LOCK)).map_err(io(stage))
}

/// Puts the copy into its place.
fn settle(data: &Path, stage: &Path, moves: bool) -> Result<Option<PathBuf>, RestoreError> {
    let io = |error| RestoreError::Io { path: data.to_owned(), error };
    if !moves {
        move_all(stage, data).map_err(io)?;
        sync_directory(data).map_err(io)?;
        return Ok(None);
    }
    let aside = aside(data);
    fs::rename(data, &aside).map_err(|error| RestoreError::Aside { path: data.to_owned(), error })?;
    let settled = (|| {
        DirBuilder::new().mode(0o700).create(data)?;
        move_all(&aside.join(STAGE), data)?;
        sync_directory(data)
    })();
    settled.map_err(|error| {
        let error = io::Error::new(error.kind(), format!("{error}; the old data is in {}", aside.display()));
        io(error)
    })?;
    Ok(Some(aside))
}

/// Beside the data, under a name that says what it is.
fn aside(data: &Path) -> PathBuf {
    let now = rfc3339(Timestamp::from(SystemTime::now()));
    let plain: String = now.chars().filter(char::is_ascii_alphanumeric).collect();
    let mut name = data.file_name().unwrap_or_default().to_owned();
    name.push(format!(".before-restore-{plain}"));
    data.with_file_name(name)
}

/// The hold on a data directory that no server works in, as its store would take it.
struct Hold {
    _file: File,
}

impl Hold {
    fn take(data: &Path) -> Result<Self, RestoreError> {
        let path = data.join(LOCK);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|error| RestoreError::Io { path: path.clone(), error })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(RestoreError::Running(data.to_owned())),
            Err(error) => Err(RestoreError::Io { path, error: error.into() }),
        }
    }
}

/// For its owner alone, unless it is there already.
fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A copy for its owner alone, on the disk when this returns.
fn copy(from: &Path, to: &Path, progress: &mut dyn FnMut(f64)) -> io::Result<()> {
    let mut source = File::open(from)?;
    let bytes = source.metadata()?.len().max(1);
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut copied = 0;
    loop {
        let length = source.read(&mut chunk)?;
        if length == 0 {
            return target.sync_all();
        }
        target.write_all(&chunk[..length])?;
        copied += length as u64;
        #[expect(clippy::cast_precision_loss, reason = "it is shown in percent")]
        progress(copied as f64 / bytes as f64);
    }
}

/// Moves all files of a directory into another one on the same disk, the database last, and removes it.
fn move_all(from: &Path, to: &Path) -> io::Result<()> {
    let mut names = fs::read_dir(from)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort_by_key(|name| name == DATABASE);
    for name in names {
        fs::rename(from.join(&name), to.join(&name))?;
    }
    fs::remove_dir(from)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}
