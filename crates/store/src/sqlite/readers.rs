//! Reads: a few threads, each with a read-only connection, on one bounded queue. Every read sees one
//! snapshot, however many statements it takes. Nothing here writes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use teahouse_core::{TokenMark, UserId};
use tokio::sync::oneshot;

use super::writer::{Stop, store_error};
use super::{OpenError, SqliteOptions, schema, tokens};
use crate::queue::{PushError, Queue};
use crate::{Standing, StoreError, StoreMetrics};

type Ask = Box<dyn FnOnce(&mut Connection) + Send>;

/// The way to the reader threads.
#[derive(Clone)]
pub(super) struct Readers {
    pub(super) queue: Arc<Queue<Ask>>,
    /// Looks at tokens that wait for a reader, which was asked when the first of them came. Guarded while one is
    /// put in, or all are taken out.
    looks: Arc<Mutex<Vec<Look>>>,
    looks_max: usize,
    metrics: StoreMetrics,
}

/// A look at a token, and who waits for what it finds.
struct Look {
    user: UserId,
    mark: TokenMark,
    reply: oneshot::Sender<Result<Standing, StoreError>>,
}

impl Readers {
    /// Opens the connections and starts the threads; whoever gets the handles waits for them.
    pub(super) fn start(path: &Path, options: &SqliteOptions) -> Result<(Self, Vec<JoinHandle<()>>), OpenError> {
        let queue = Arc::new(Queue::new(options.reads_max, options.metrics.reads_waiting.clone()));
        let (looks, looks_max, metrics) = (Arc::default(), options.reads_max, options.metrics.clone());
        let readers = Self { queue, looks, looks_max, metrics };
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
        self.ask(ask)?;
        match answer.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(Stop::Refused(why))) => Err(why),
            Ok(Err(Stop::Failed(error))) => Err(store_error(&error, &self.metrics).into()),
            Err(_) => Err(StoreError::Internal("a read panicked".to_owned()).into()),
        }
    }

    /// Whether a token still lets a user in. All looks that wait share one snapshot, which is taken after the last
    /// of them came: in a storm of reconnects beginning and ending one would cost more than the looks.
    pub(super) async fn standing(&self, user: UserId, mark: TokenMark) -> Result<Standing, StoreError> {
        let (reply, answer) = oneshot::channel();
        let is_first = {
            let mut looks = lock(&self.looks);
            if looks.len() >= self.looks_max {
                return Err(self.too_many());
            }
            looks.push(Look { user, mark, reply });
            looks.len() == 1
        };
        if is_first {
            // Everybody else who is about to ask does so meanwhile; when there is nobody, this takes no time.
            let asking = AskWhenDropped(self);
            tokio::task::yield_now().await;
            drop(asking);
        }
        answer.await.unwrap_or_else(|_| Err(StoreError::Internal("a look at a token panicked".to_owned())))
    }

    /// Asks a reader to take all looks that wait.
    fn ask_for_looks(&self) {
        let (looks, metrics) = (Arc::clone(&self.looks), self.metrics.clone());
        let asked = self.ask(Box::new(move |conn| {
            let looks = std::mem::take(&mut *lock(&looks));
            look_at_all(conn, looks, |error| store_error(error, &metrics));
        }));
        if let Err(error) = asked {
            // Whoever came behind the first waits in vain too.
            let looks = std::mem::take(&mut *lock(&self.looks));
            fail(looks, &error);
        }
    }

    fn ask(&self, ask: Ask) -> Result<(), StoreError> {
        self.queue.try_push(ask).map_err(|error| match error {
            PushError::Full => self.too_many(),
            PushError::Closed => StoreError::Closed,
        })
    }

    fn too_many(&self) -> StoreError {
        self.metrics.refused("read_queue");
        StoreError::Overloaded("too many reads are waiting".to_owned())
    }
}

/// Asks for the looks that wait, also when whoever was to ask gave up waiting: others wait behind them.
struct AskWhenDropped<'a>(&'a Readers);

impl Drop for AskWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.ask_for_looks();
    }
}

/// Looks at tokens in one snapshot.
fn look_at_all(conn: &Connection, looks: Vec<Look>, told: impl Fn(&rusqlite::Error) -> StoreError) {
    let found = snapshot(conn, |conn| {
        let each = looks.iter().map(|look| tokens::standing(conn, look.user, &look.mark));
        each.collect::<Result<Vec<_>, _>>().map_err(Stop::<StoreError>::Failed)
    });
    match found {
        Ok(found) => looks.into_iter().zip(found).for_each(|(look, standing)| {
            // Nobody is waiting any more: then nobody needs it.
            let _ = look.reply.send(Ok(standing));
        }),
        Err(Stop::Refused(error)) => fail(looks, &error),
        Err(Stop::Failed(error)) => fail(looks, &told(&error)),
    }
}

fn fail(looks: Vec<Look>, error: &StoreError) {
    for look in looks {
        let _ = look.reply.send(Err(error.clone()));
    }
}

fn lock(looks: &Mutex<Vec<Look>>) -> MutexGuard<'_, Vec<Look>> {
    // Nothing under it can leave it half changed.
    looks.lock().unwrap_or_else(PoisonError::into_inner)
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
