//! The life of a server: it opens and connects all parts, serves until a signal, and shuts down gracefully. This file
//! defines only the order of starting and stopping.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use prometheus_client::registry::Registry;
use teahouse_core::LOBBY;
use teahouse_hub::{Feed, Hub, HubOptions};
use teahouse_store::{CommitGroup, CommitSink, StoreError};
use teahouse_store_sqlite::OpenError;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::{Listener, Serving};
use crate::app::{App, Clock, Parts};
use crate::config::Config;
use crate::connection::{BoundNames, PlaceRules};
use crate::control::{AppHandler, BindError, ControlServer};
use crate::limits::Limits;
use crate::passwords::Passwords;
use crate::secrets::{Secrets, SecretsError};
use crate::socket::{SocketHandler, StoreHistory};
use crate::storage::Storage;
use crate::tokens::{KeyError, Tokens};
use crate::websocket::{self, Handshakes};
use crate::{accept, clock, http, metrics};

/// Sessions closed per second during a shutdown, so that their reconnects are not a storm. The drain time bounds it.
const CLOSES_PER_SECOND: u64 = 1000;
/// The part of the drain time in which sessions are closed; the rest is for close handshakes and the store.
const CLOSING_SHARE: f64 = 0.6;
/// Interval at which rate limits drop idle keys.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// Interval at which the store drops expired tokens; long, since it wakes the disk of an idle server.
const EXPIRED_TOKENS_MINUTES: u32 = 60;
/// Maximum open connections of the metrics listener. A few collectors poll it.
const METRICS_CONNECTIONS_MAX: usize = 64;
/// Exit status after an ungraceful shutdown (128 and the number of SIGTERM, as in shells).
const EXIT_KILLED: i32 = 143;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// An address cannot be bound.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        error: io::Error,
    },
    /// The secrets in the data directory.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The keys that verify tokens.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// Opening the store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Reading the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The control socket.
    #[error(transparent)]
    Control(#[from] BindError),
    /// A thread or a signal handler.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Passes the store's commits to the hub.
struct FeedSink(Feed);

impl CommitSink for FeedSink {
    fn commit(&mut self, mut group: CommitGroup<'_>) {
        self.0.push_commits(group.take_commits());
        // The shards are notified after the responses, so that a response and its commit leave in one write.
        group.answer_callers();
        self.0.flush_notify();
    }
}

/// Runs a server until a signal stops it.
///
/// # Errors
/// The server cannot start.
pub(crate) fn run(config: Config) -> Result<ExitCode, StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("http").enable_all().build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<ExitCode, StartError> {
    let mut signals = StopSignals::install()?;
    let server = Server::start(config).await?;
    signals.wait().await;
    tokio::select! {
        () = server.shut_down() => {}
        // A second signal ends the process at once; acknowledged messages are on disk.
        () = signals.wait() => std::process::exit(EXIT_KILLED),
    }
    Ok(ExitCode::SUCCESS)
}

/// SIGTERM and SIGINT.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn install() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A running server.
struct Server {
    app: Arc<App>,
    hub: Hub,
    handshakes: Handshakes,
    closing: CancellationToken,
    accepting: JoinHandle<()>,
    /// All other tasks that end with `closing`.
    tasks: TaskTracker,
}

impl Server {
    async fn start(config: Config) -> Result<Self, StartError> {
        let secrets = Secrets::load_or_create(&config.server.data)?;
        let tokens = Tokens::new(&config.auth, &secrets)?;
        let (prepared, feed) = Hub::prepare(hub_options(&config));
        let mut registry = Registry::with_prefix("teahouse");
        prepared.metrics().register(&mut registry);
        // Opening the store blocks this thread; nothing else can start before it.
        let storage = Storage::open(&config, Box::new(FeedSink(feed)), prepared.metrics().bounds.clone())?;
        storage.register_metrics(&mut registry);
        let Storage { store, backups, .. } = storage;
        let control = ControlServer::bind(&config.server.data).await?;
        let listener = bind(config.server.listen)?;
        let metrics_listener = config.metrics.listen.map(bind).transpose()?;

        let clock: Clock = Arc::new(clock::wall);
        let bounds = prepared.metrics().bounds.clone();
        let app = App::new(Parts {
            store: Arc::clone(&store),
            backups,
            live: Arc::new(prepared.handle()),
            tokens,
            passwords: Passwords::new(&config.auth, bounds.clone()),
            limits: Limits::new(&config.limits, &bounds),
            bounds,
            clock: Arc::clone(&clock),
            config,
        });
        app.rejections.register(&mut registry);
        app.answers.register(&mut registry);
        let lobby = store.room_head(LOBBY).await?.map_or_else(Default::default, |head| (head.version, head.last_seq));
        let hub = prepared.start(
            Arc::new(SocketHandler::new(Arc::clone(&app))),
            Arc::new(StoreHistory::new(Arc::clone(&store), clock)),
            lobby,
        )?;

        let closing = CancellationToken::new();
        let tasks = TaskTracker::new();
        let handshakes = Handshakes::new(Arc::clone(&app), hub.clone());
        let address = listener.local_addr()?;
        let accepting = spawn_listener(&tasks, &app, &handshakes, listener, &closing);
        if let Some(listener) = metrics_listener {
            spawn_metrics_listener(&tasks, &app, listener, registry, &closing)?;
        }
        let handler = AppHandler::new(Arc::clone(&app), closing.clone());
        tasks.spawn(control.serve(Arc::new(handler), closing.clone()));
        tasks.spawn(maintain(Arc::clone(&app), closing.clone()));
        if let Err(error) = print_welcome(&app.config, address) {
            // A closed standard output is no reason not to serve.
            tracing::info!(%error, %address, "listening; standard output is closed");
        }
        Ok(Self { app, hub, handshakes, closing, accepting, tasks })
    }

    /// Shuts down within the drain time: it accepts nothing new, finishes accepted requests, and tells clients when to
    /// reconnect.
    async fn shut_down(self) {
        let Self { app, hub, handshakes, closing, accepting, tasks } = self;
        let drain_timeout = app.config.server.drain_timeout;
        app.begin_draining();
        // `/ready` fails before this line appears.
        tracing::info!(sessions = hub.metrics().sessions.get(), "draining");
        closing.cancel();
        tasks.close();
        let sessions = u64::try_from(hub.metrics().sessions.get()).unwrap_or(0);
        let unhurried = Duration::from_millis(sessions.saturating_mul(1000) / CLOSES_PER_SECOND);
        let close_over = unhurried.min(drain_timeout.mul_f64(CLOSING_SHARE));
        let drained = tokio::time::timeout(drain_timeout, async {
            let requests = async {
                let _ = accepting.await;
                handshakes.finished().await;
                app.finish_tasks().await;
                tasks.wait().await;
            };
            tokio::join!(hub.drain(close_over), requests);
        });
        if drained.await.is_err() {
            tracing::warn!(?drain_timeout, "drain timeout; remaining connections are dropped");
        }
        // The store closes before the shards stop, so that every accepted write is committed and delivered.
        if tokio::time::timeout(drain_timeout, app.store.close()).await.is_err() {
            tracing::error!(?drain_timeout, "store close timeout; exiting; acknowledged messages are on disk");
            std::process::exit(EXIT_KILLED);
        }
        hub.stop().await;
        tracing::info!("shutdown complete");
    }
}

fn spawn_listener(
    tasks: &TaskTracker,
    app: &Arc<App>,
    handshakes: &Handshakes,
    listener: Listener,
    closing: &CancellationToken,
) -> JoinHandle<()> {
    let websocket = Router::new().route(websocket::PATH, get(websocket::handle)).with_state(handshakes.clone());
    let config = &app.config.server;
    let places = config.connections_max;
    let serving = Serving {
        router: http::router::router(Arc::clone(app), websocket),
        router_when_full: http::router::router_when_full(Arc::clone(app)),
        handshakes: Some(handshakes.clone()),
        rules: PlaceRules {
            places,
            unauthenticated_max: config.connections_unauthenticated_max.unwrap_or(places - places / 8).max(1),
            per_prefix_max: config.connections_per_address_max.unwrap_or(places / 4).max(1),
        },
        names: BoundNames {
            places: "server.connections_max",
            unauthenticated: "server.connections_unauthenticated_max",
            per_prefix: "server.connections_per_address_max",
        },
        bounds: app.bounds.clone(),
    };
    let (app, closing) = (Arc::clone(app), closing.clone());
    tasks.spawn(async move { accept::serve(listener, serving, &app.config.server, closing).await })
}

fn spawn_metrics_listener(
    tasks: &TaskTracker,
    app: &Arc<App>,
    listener: Listener,
    registry: Registry,
    closing: &CancellationToken,
) -> io::Result<()> {
    const NAME: &str = "METRICS_CONNECTIONS_MAX";
    tracing::info!(address = %listener.local_addr()?, "metrics listening");
    let router = metrics::router(registry);
    let places = METRICS_CONNECTIONS_MAX;
    let serving = Serving {
        // When every place is taken, the reserve answers the same few requests.
        router_when_full: router.clone(),
        router,
        handshakes: None,
        rules: PlaceRules { places, unauthenticated_max: places, per_prefix_max: places / 4 },
        names: BoundNames { places: NAME, unauthenticated: NAME, per_prefix: NAME },
        bounds: app.bounds.clone(),
    };
    let (app, closing) = (Arc::clone(app), closing.clone());
    tasks.spawn(async move { accept::serve(listener, serving, &app.config.server, closing).await });
    Ok(())
}

/// Periodically drops idle rate limit keys and expired tokens, and logs bounds that were reached again.
async fn maintain(app: Arc<App>, closing: CancellationToken) {
    let mut minutes = 0_u32;
    loop {
        tokio::select! {
            () = closing.cancelled() => return,
            () = tokio::time::sleep(PRUNE_INTERVAL) => app.limits.prune(),
        }
        app.bounds.log_repeated();
        minutes += 1;
        if minutes.is_multiple_of(EXPIRED_TOKENS_MINUTES)
            && let Err(error) = app.store.forget_expired(app.now()).await
        {
            tracing::warn!(%error, "expired tokens not removed");
        }
    }
}

fn bind(address: SocketAddr) -> Result<Listener, StartError> {
    Listener::bind(address).map_err(|error| StartError::Listen { address, error })
}

fn hub_options(config: &Config) -> HubOptions {
    let sessions = &config.sessions;
    HubOptions {
        shards: config.server.shards,
        devices_per_user: sessions.per_user,
        presence_linger: sessions.presence_linger,
        ping_interval: sessions.ping_interval,
        pong_timeout: sessions.pong_timeout,
        stall_timeout: sessions.stall_timeout,
        token_grace: sessions.token_grace,
        hello_timeout: sessions.hello_timeout,
        heartbeat_interval: sessions.heartbeat_interval,
        reply_bytes_max: config.answers.bytes_per_session.0,
        ..HubOptions::default()
    }
}

/// Prints the address and the operator's next steps on standard output.
fn print_welcome(config: &Config, address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "Teahouse {} listens on http://{address}", env!("CARGO_PKG_VERSION"))?;
    if config.auth.registration_open() {
        writeln!(out, "Open this address in a browser and register. Then make yourself an administrator:")?;
    } else {
        writeln!(out, "Users log in with tokens of your site. To make one of them an administrator:")?;
    }
    writeln!(out, "    teahouse user role NAME admin --data {}", config.server.data.display())?;
    writeln!(out, "Press Ctrl-C to stop.")?;
    out.flush()
}
