//! A server's life: everything is opened and tied together, people come, a signal ends it quietly.
//! What the parts do is theirs; this file says in which order they begin and end.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use prometheus_client::registry::Registry;
use teahouse_core::token::Revoked;
use teahouse_core::{Commit, LOBBY, Timestamp, UserId};
use teahouse_hub::{Feed, Hub, HubOptions, Publication};
use teahouse_store::{CommitSink, OpenError, SqliteOptions, SqliteStore, Store, StoreError};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::Listener;
use crate::app::{App, Clock, LiveSessions, Parts};
use crate::config::Config;
use crate::control::{AppHandler, BindError, ControlServer};
use crate::limits::Limits;
use crate::passwords::{PasswordError, Passwords};
use crate::secrets::{Secrets, SecretsError};
use crate::socket::{SocketHandler, StoreHistory};
use crate::tokens::{KeyError, Tokens};
use crate::websocket::{self, Handshakes};
use crate::{accept, http, metrics};

/// How many sessions are sent away a second, so that their coming back is no storm; the drain time bounds it.
const SENT_AWAY_PER_SECOND: u64 = 1000;
/// Of the drain time, what sending away may take; the rest is for goodbyes and the store.
const SENDING_AWAY_SHARE: f64 = 0.6;
/// How often limits forget those who have been quiet.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// How often expired tokens are forgotten; rarely, since it wakes the disk of a sleeping server.
const FORGET_MINUTES: u32 = 60;
/// Exit status of a server that could not go down quietly (128 and SIGTERM's number, as shells have it).
const EXIT_HURRIED: i32 = 143;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address that cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The data directory's secrets.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The keys that tokens are verified with.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// Passwords cannot be hashed.
    #[error(transparent)]
    Passwords(#[from] PasswordError),
    /// The store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store, once open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The control socket.
    #[error(transparent)]
    Control(#[from] BindError),
    /// A thread, a signal handler.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The hub's feed as the store's sink.
struct FeedSink(Feed);

impl CommitSink for FeedSink {
    fn committed(&mut self, commits: Vec<Commit>) {
        self.0.push_commits(commits);
    }

    fn answered(&mut self) {
        self.0.flush_notify();
    }
}

/// The hub as the app sees it. The app is there first, since the hub's door leads into it.
#[derive(Default)]
struct LiveHub(OnceLock<Hub>);

#[async_trait]
impl LiveSessions for LiveHub {
    fn online_count(&self) -> u64 {
        self.0.get().map_or(0, Hub::online_count)
    }

    fn online_users(&self) -> Vec<UserId> {
        self.0.get().map(Hub::online_users).unwrap_or_default()
    }

    fn is_online(&self, user: UserId) -> bool {
        self.0.get().is_some_and(|hub| hub.is_online(user))
    }

    async fn publish(&self, publication: Publication) {
        if let Some(hub) = self.0.get() {
            hub.publish(publication).await;
        }
    }

    async fn disconnect(&self, user: UserId, reason: String) {
        if let Some(hub) = self.0.get() {
            hub.disconnect(user, reason).await;
        }
    }

    async fn revoke(&self, revoked: Revoked) {
        if let Some(hub) = self.0.get() {
            hub.revoke(revoked).await;
        }
    }

    async fn probe(&self, deadline: Duration) -> bool {
        match self.0.get() {
            Some(hub) => hub.probe(deadline).await,
            None => false,
        }
    }
}

/// Runs a server until a signal ends it.
///
/// # Errors
/// When it cannot start.
pub fn run(config: Config) -> Result<ExitCode, StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("http").enable_all().build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<ExitCode, StartError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let secrets = Secrets::load_or_make(&config.server.data)?;
    let tokens = Tokens::new(&config.auth, &secrets)?;
    let passwords = Passwords::new(config.auth.password_hashes_parallel)?;

    let (prepared, feed) = Hub::prepare(hub_options(&config));
    let mut registry = Registry::with_prefix("teahouse");
    prepared.metrics().register(&mut registry);
    let options = SqliteOptions {
        queue_max: config.store.queue_max,
        group_max: config.store.group_max,
        ..SqliteOptions::new(&config.server.data)
    };
    options.metrics.register(&mut registry);
    // Opening blocks, and nothing else is to be done before it is over.
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options, Box::new(FeedSink(feed)))?);
    let control = ControlServer::bind(&config.server.data).await?;
    let listener = bind(config.server.listen)?;
    let metrics_listener = config.metrics.listen.map(bind).transpose()?;

    let live = Arc::new(LiveHub::default());
    let clock: Clock = Arc::new(|| Timestamp::from(SystemTime::now()));
    let app = App::new(Parts {
        store: Arc::clone(&store),
        live: Arc::clone(&live) as Arc<dyn LiveSessions>,
        tokens,
        passwords,
        limits: Limits::new(&config.limits),
        clock: Arc::clone(&clock),
        config,
    });
    app.rejections.register(&mut registry);
    let lobby = store.room_head(LOBBY).await?.map_or_else(Default::default, |head| (head.version, head.last_seq));
    let hub = prepared.start(
        Arc::new(SocketHandler::new(Arc::clone(&app))),
        Arc::new(StoreHistory::new(Arc::clone(&store), clock)),
        lobby,
    )?;
    // It is set here and nowhere else.
    let _ = live.0.set(hub.clone());

    let closing = CancellationToken::new();
    let tasks = TaskTracker::new();
    let handshakes = Handshakes::new(Arc::clone(&app), hub.clone());
    let more = Router::new().route(websocket::PATH, get(websocket::handshake)).with_state(handshakes.clone());
    let router = http::router::router(Arc::clone(&app), more);
    let address = listener.local_addr()?;
    let accepting = {
        let (app, handshakes, closing) = (Arc::clone(&app), handshakes.clone(), closing.clone());
        tasks.spawn(async move { accept::serve(listener, router, Some(handshakes), &app.config.server, closing).await })
    };
    if let Some(listener) = metrics_listener {
        tracing::info!(address = %listener.local_addr()?, "metrics are served");
        let (app, closing, router) = (Arc::clone(&app), closing.clone(), metrics::router(registry));
        tasks.spawn(async move { accept::serve(listener, router, None, &app.config.server, closing).await });
    }
    {
        let (handler, closing) = (AppHandler::new(Arc::clone(&app), closing.clone()), closing.clone());
        tasks.spawn(control.serve(Arc::new(handler), closing));
    }
    tasks.spawn(prune(Arc::clone(&app), closing.clone()));
    if let Err(error) = greet(&app.config, address) {
        // Whoever started us does not read; that is no reason not to serve.
        tracing::info!(%error, %address, "listening, though nobody reads standard output");
    }

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let quietly = go_down(&app, &hub, &handshakes, &closing, accepting, &tasks);
    tokio::select! {
        () = quietly => {}
        // Whoever asks twice does not want to wait; what was acknowledged is on the disk.
        _ = terminate.recv() => std::process::exit(EXIT_HURRIED),
        _ = interrupt.recv() => std::process::exit(EXIT_HURRIED),
    }
    Ok(ExitCode::SUCCESS)
}

/// Promise 7: nobody new, what was begun is finished, people are told when to come back, all within the drain time.
async fn go_down(
    app: &App,
    hub: &Hub,
    handshakes: &Handshakes,
    closing: &CancellationToken,
    accepting: tokio::task::JoinHandle<()>,
    tasks: &TaskTracker,
) {
    let within = app.config.server.drain_timeout;
    app.begin_draining();
    // Whoever reads this finds that `/ready` says so too.
    tracing::info!(sessions = hub.metrics().sessions.get(), "going down");
    closing.cancel();
    tasks.close();
    let sessions = u64::try_from(hub.metrics().sessions.get()).unwrap_or(0);
    let unhurried = Duration::from_millis(sessions.saturating_mul(1000) / SENT_AWAY_PER_SECOND);
    let over = unhurried.min(within.mul_f64(SENDING_AWAY_SHARE));
    let drained = tokio::time::timeout(within, async {
        let requests = async {
            let _ = accepting.await;
            handshakes.finished().await;
            app.finish_tasks().await;
            tasks.wait().await;
        };
        tokio::join!(hub.drain(over), requests);
    });
    if drained.await.is_err() {
        tracing::warn!(?within, "not everything ended within the drain time; the rest is cut");
    }
    // What was accepted is committed and told before the shards end.
    if tokio::time::timeout(within, app.store.close()).await.is_err() {
        tracing::error!(?within, "the disk does not answer; what was acknowledged is on it, the process ends");
        std::process::exit(EXIT_HURRIED);
    }
    hub.stop().await;
    tracing::info!("gone");
}

async fn prune(app: Arc<App>, closing: CancellationToken) {
    let mut minutes = 0_u32;
    loop {
        tokio::select! {
            () = closing.cancelled() => return,
            () = tokio::time::sleep(PRUNE_INTERVAL) => app.limits.prune(),
        }
        minutes += 1;
        if minutes.is_multiple_of(FORGET_MINUTES)
            && let Err(error) = app.store.forget_expired(app.now()).await
        {
            tracing::warn!(%error, "expired tokens are kept for now");
        }
    }
}

fn bind(address: std::net::SocketAddr) -> Result<Listener, StartError> {
    Listener::bind(address).map_err(|error| StartError::Listen { address, error })
}

fn hub_options(config: &Config) -> HubOptions {
    let sessions = &config.sessions;
    HubOptions {
        shards: config.server.shards,
        sessions_per_user: sessions.per_user,
        presence_linger: sessions.presence_linger,
        ping_interval: sessions.ping_interval,
        pong_timeout: sessions.pong_timeout,
        stall_timeout: sessions.stall_timeout,
        token_grace: sessions.token_grace,
        hello_timeout: sessions.hello_timeout,
        heartbeat_interval: sessions.heartbeat_interval,
        ..HubOptions::default()
    }
}

/// Says where it listens and what comes next, on standard output.
fn greet(config: &Config, address: std::net::SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "Teahouse {} listens on http://{address}", env!("CARGO_PKG_VERSION"))?;
    if config.auth.registration_open() {
        writeln!(out, "Open that address and register; then make yourself the administrator:")?;
        writeln!(out, "    teahouse user role NAME admin --data {}", config.server.data.display())?;
    } else {
        writeln!(out, "Your site's tokens let its users in. To make one of them an administrator:")?;
        writeln!(out, "    teahouse user role NAME admin --data {}", config.server.data.display())?;
    }
    writeln!(out, "Stop it with Ctrl-C.")?;
    out.flush()
}
