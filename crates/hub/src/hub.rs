//! The hub's handle: it hands connections and control messages to the shards, and owns their threads.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use teahouse_core::token::Revoked;
use teahouse_core::{Seq, UserId, Version};
use tokio::sync::{mpsc, oneshot};

use crate::feed::{Feed, LobbyHead};
use crate::inbox::{CoalesceKey, Delivery, Inbox, InboxMax, Notification, Recipients};
use crate::metrics::HubMetrics;
use crate::online::Online;
use crate::options::HubOptions;
use crate::ports::{HistoryReader, NewConnection, Publication, PublishTo, RequestHandler};
use crate::shard::{self, Control, Environment, Ports};
use crate::websocket;

/// Control messages that wait for one shard. Senders of more wait, which slows down handshakes and nothing else.
const CONTROLS_WAITING_MAX: usize = 1024;

/// The hub is shutting down and accepts nothing more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the hub is shutting down")]
pub struct HubClosed;

/// The live half. Clones share it.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    /// Filled when the shards start and emptied when the hub stops, which ends them. Locked only to clone a sender.
    shards: Mutex<Vec<mpsc::Sender<Control>>>,
    online: Arc<Online>,
    inboxes: Arc<[Arc<Inbox>]>,
    lobby: Arc<LobbyHead>,
    metrics: HubMetrics,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// A hub that has its [`Feed`], with which the store is opened, and no shards yet.
pub struct PreparedHub {
    options: HubOptions,
    hub: Hub,
}

impl Hub {
    /// The first of two steps to a hub: makes the feed, which the store is opened with.
    #[must_use]
    pub fn prepare(options: HubOptions) -> (PreparedHub, Feed) {
        let metrics = HubMetrics::default();
        let options = HubOptions { shards: options.shards.max(1), ..options };
        let inboxes: Arc<[_]> = (0..options.shards).map(|_| Arc::new(Inbox::new(InboxMax::new(&options)))).collect();
        let lobby = Arc::new(LobbyHead::default());
        let feed = Feed::new(Arc::clone(&inboxes), Arc::clone(&lobby), metrics.clone());
        let (shards, threads, online) = (Mutex::default(), Mutex::default(), Arc::default());
        let hub = Hub { inner: Arc::new(Inner { shards, online, inboxes, lobby, metrics, threads }) };
        (PreparedHub { options, hub }, feed)
    }

    /// Hands a connection to its user's shard. Waits while that shard's control queue is full.
    ///
    /// # Errors
    /// When the hub is shutting down.
    pub async fn attach(&self, connection: NewConnection) -> Result<(), HubClosed> {
        let shard = self.shard(connection.identity.user)?;
        shard.send(Control::Attach(Box::new(connection))).await.map_err(|_| HubClosed)
    }

    /// The lobby's position after the newest commit. A handshake reads it before it is answered.
    #[must_use]
    pub fn lobby_head(&self) -> (Version, Seq) {
        self.inner.lobby.get()
    }

    /// Ends every live session that the revocation covers, and sessions that arrive just after it.
    pub async fn revoke(&self, revoked: Revoked) {
        let Ok(shard) = self.shard(revoked.user) else { return };
        let (done, waits) = oneshot::channel();
        if shard.send(Control::Revoke(revoked, done)).await.is_ok() {
            let _ = waits.await;
        }
    }

    /// Ends a user's live sessions with this reason (at most 123 bytes). The user may reconnect.
    pub async fn disconnect(&self, user: UserId, reason: String) {
        let Ok(shard) = self.shard(user) else { return };
        let (done, waits) = oneshot::channel();
        if shard.send(Control::Disconnect(user, reason, done)).await.is_ok() {
            let _ = waits.await;
        }
    }

    /// Sends an event to the sessions that are connected, once.
    pub async fn publish(&self, publication: Publication) {
        let Publication { to, envelope } = publication;
        let frame = websocket::text_frame(&envelope);
        let delivery = |to| {
            let (classic, v1) = (Some(frame.clone()), Some(frame.clone()));
            [Delivery::Notification(Notification { recipients: to, key: CoalesceKey::Published, classic, v1 })]
        };
        let metrics = &self.inner.metrics;
        match to {
            PublishTo::Users(users) => {
                for user in users {
                    let shard = crate::shard_of(user, self.inner.inboxes.len());
                    self.inner.inboxes[shard].push(&delivery(Recipients::User(user)), metrics);
                }
            }
            PublishTo::All => {
                self.inner.inboxes.iter().for_each(|inbox| inbox.push(&delivery(Recipients::Everyone), metrics))
            }
        }
    }

    /// Distinct users online, lingering ones included.
    #[must_use]
    pub fn online_count(&self) -> u64 {
        self.inner.online.count()
    }

    /// Whether a user is online.
    #[must_use]
    pub fn is_online(&self, user: UserId) -> bool {
        self.inner.online.contains(user)
    }

    /// The users who are online, by id.
    #[must_use]
    pub fn online_users(&self) -> Vec<UserId> {
        self.inner.online.all()
    }

    /// Whether every shard answers within `deadline`.
    pub async fn probe(&self, deadline: Duration) -> bool {
        let answers = tokio::time::timeout(deadline, self.ask_all(Control::Probe)).await;
        answers.is_ok_and(|answers| !answers.is_empty() && answers.iter().all(Option::is_some))
    }

    /// Closes every session, spread over this time, and resolves when the last socket is closed.
    pub async fn drain(&self, over: Duration) {
        self.ask_all(|done| Control::Drain(over, done)).await;
    }

    /// Ends the shards and waits for their threads. Sockets that are left are closed.
    pub async fn stop(&self) {
        self.lock_shards().clear();
        let threads = std::mem::take(&mut *self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().all(|thread| thread.join().is_ok())).await;
        if !matches!(joined, Ok(true)) {
            tracing::error!("shard thread panicked");
        }
    }

    /// The hub's metrics.
    #[must_use]
    pub fn metrics(&self) -> &HubMetrics {
        &self.inner.metrics
    }

    async fn ask_all<T>(&self, message: impl Fn(oneshot::Sender<T>) -> Control) -> Vec<Option<T>> {
        let shards = self.lock_shards().clone();
        let mut waits = Vec::with_capacity(shards.len());
        for shard in shards {
            let (answer, wait) = oneshot::channel();
            let sent = shard.send(message(answer)).await.is_ok();
            waits.push(sent.then_some(wait));
        }
        let mut answers = Vec::with_capacity(waits.len());
        for wait in waits {
            answers.push(match wait {
                Some(wait) => wait.await.ok(),
                None => None,
            });
        }
        answers
    }

    fn shard(&self, user: UserId) -> Result<mpsc::Sender<Control>, HubClosed> {
        let shards = self.lock_shards();
        if shards.is_empty() {
            return Err(HubClosed);
        }
        Ok(shards[crate::shard_of(user, shards.len())].clone())
    }

    fn lock_shards(&self) -> std::sync::MutexGuard<'_, Vec<mpsc::Sender<Control>>> {
        self.inner.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PreparedHub {
    /// A handle to the hub. Until its shards start nobody is online, and it accepts nothing.
    #[must_use]
    pub fn handle(&self) -> Hub {
        self.hub.clone()
    }

    /// The metrics of the hub.
    #[must_use]
    pub fn metrics(&self) -> &HubMetrics {
        self.hub.metrics()
    }

    /// The second step: starts the shards, with the lobby at this position.
    ///
    /// # Errors
    /// When a thread or its event loop cannot be started.
    pub fn start(
        self,
        handler: Arc<dyn RequestHandler>,
        history: Arc<dyn HistoryReader>,
        lobby: (Version, Seq),
    ) -> std::io::Result<Hub> {
        let Self { options, hub } = self;
        let inner = &hub.inner;
        inner.lobby.advance(lobby);
        let next_session = Arc::new(AtomicU64::new(1));
        let ports = Ports { handler, history };
        let mut shards = Vec::new();
        let mut threads = Vec::new();
        for index in 0..inner.inboxes.len() {
            let (control, controls) = mpsc::channel(CONTROLS_WAITING_MAX);
            let environment = Environment {
                index,
                options: options.clone(),
                metrics: inner.metrics.clone(),
                online: Arc::clone(&inner.online),
                inboxes: Arc::clone(&inner.inboxes),
                next_session: Arc::clone(&next_session),
                ports: ports.clone(),
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let sockets = {
                let _entered = runtime.enter();
                shard::Poll::new()?
            };
            let thread = std::thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(move || shard::run(&runtime, sockets, environment, lobby, controls))?;
            shards.push(control);
            threads.push(thread);
        }
        *hub.lock_shards() = shards;
        *inner.threads.lock().unwrap_or_else(PoisonError::into_inner) = threads;
        Ok(hub)
    }
}
