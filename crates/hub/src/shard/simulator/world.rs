//! The world of a run: several real shards with their feed and inboxes, the model store, and the devices. It takes one
//! small step at a time, which it draws.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use teahouse_core::token::Revoked;
use teahouse_core::{AcceptOrder, Language, Revocation, Seq, SessionId, Timestamp, UserId, Version};

use super::device::{ClientModel, Device};
use super::model_ports::{ModelHandler, ModelReader, SharedStore, mark};
use super::network::{Kernel, SharedPipe};
use super::random::Draw;
use super::store::Store;
use super::{Check, Plan, StepKind};
use crate::clock::MonotonicMs;
use crate::feed::{Feed, LobbyHead};
use crate::inbox::{Inbox, InboxMax};
use crate::metrics::HubMetrics;
use crate::online::Online;
use crate::options::HubOptions;
use crate::ports::{Dialect, Identity, NewConnection};
use crate::shard::connection::Connection;
use crate::shard::jobs::Job;
use crate::shard::state::Shard;
use crate::shard::{Environment, Ports, poll};
use crate::tail::TailMax;
use fastrand::Rng;

/// A real shard, and what its event loop would keep for it.
pub(super) struct DrivenShard {
    pub(super) state: Shard,
    pub(super) kernel: Kernel,
    pub(super) next_tick: u64,
    pub(super) waiting: Vec<Job>,
}

/// A connection after its handshake, on its way to its shard.
pub(super) struct PendingConnection {
    device: usize,
    line: SharedPipe,
    accepted: AcceptOrder,
    lobby: (Version, Seq),
    checked_at: u64,
    expires_at: i64,
}

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) now: u64,
    pub(super) options: HubOptions,
    pub(super) metrics: HubMetrics,
    pub(super) shards: Vec<DrivenShard>,
    pub(super) feed: Feed,
    pub(super) inboxes: Arc<[Arc<Inbox>]>,
    pub(super) online: Arc<Online>,
    lobby: Arc<LobbyHead>,
    pub(super) store: SharedStore,
    pub(super) devices: Vec<Device>,
    pub(super) pending_connections: Vec<PendingConnection>,
    next_session: Arc<AtomicU64>,
    accepted: u64,
    /// Each session's place in the order of acceptance, and its device.
    pub(super) sessions: BTreeMap<SessionId, (AcceptOrder, Option<String>)>,
    capacity: usize,
    pub(super) users: u64,
    pub(super) news: u64,
    buffer: Vec<u8>,
    weights: [u64; StepKind::ALL.len()],
    pub(super) steps: u64,
    pub(super) is_draining: bool,
    /// Whether the user was registered before a revocation or disconnect.
    pub(super) was_registered: bool,
    /// Users whose only connection was lost, and when.
    pub(super) lost: BTreeMap<u64, u64>,
    /// Users who closed cleanly since the last quiescent state; a shard may read that late.
    pub(super) left_cleanly: BTreeSet<u64>,
    /// The log of the run, if it is wanted.
    pub(super) events: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut rng = Rng::with_seed(plan.seed);
        let options = draw_options(&mut rng);
        let users = rng.u64(2..=5);
        let mut store = Store::new(users, rng.fork());
        store.slowness = rng.pick(&[0, 2, 8, 30]);
        store.failures = rng.pick(&[0, 3, 20]);
        let store = SharedStore::new(store);
        let metrics = HubMetrics::default();
        let inboxes: Arc<[_]> = (0..options.shards).map(|_| Arc::new(Inbox::new(InboxMax::new(&options)))).collect();
        let (lobby, online) = (Arc::new(LobbyHead::default()), Arc::new(Online::default()));
        let feed = Feed::new(Arc::clone(&inboxes), Arc::clone(&lobby), metrics.clone());
        let next_session = Arc::new(AtomicU64::new(1));
        let ports =
            Ports { handler: Arc::new(ModelHandler(store.clone())), history: Arc::new(ModelReader(store.clone())) };
        let shards = (0..options.shards).map(|index| {
            let environment = Environment {
                index,
                options: options.clone(),
                metrics: metrics.clone(),
                online: Arc::clone(&online),
                inboxes: Arc::clone(&inboxes),
                next_session: Arc::clone(&next_session),
                ports: ports.clone(),
            };
            let state = Shard::new(environment, (Version(0), Seq(0)));
            DrivenShard { state, kernel: Kernel::default(), next_tick: 0, waiting: Vec::new() }
        });
        let shards = shards.collect();
        let devices = draw_devices(&mut rng, users);
        let weights = StepKind::ALL.map(|kind| {
            let (weight, is_needed) = kind.weight();
            // A slow necessary step leaves room for more events in between.
            let tenths = if is_needed { rng.pick(&[1, 10, 10, 20, 40]) } else { rng.pick(&[0, 10, 10, 30]) };
            if plan.without.contains(&kind) { 0 } else { weight * tenths }
        });
        Self {
            now: 0,
            options,
            metrics,
            shards,
            feed,
            inboxes,
            online,
            lobby,
            store,
            devices,
            pending_connections: Vec::new(),
            next_session,
            accepted: 0,
            sessions: BTreeMap::new(),
            capacity: rng.pick(&[200, 600, 4000, 60_000]),
            users,
            news: 0,
            buffer: vec![0; 4096],
            weights,
            steps: 0,
            is_draining: false,
            was_registered: false,
            lost: BTreeMap::new(),
            left_cleanly: BTreeSet::new(),
            events: plan.records_events.then(Vec::new),
            rng,
        }
    }

    pub(super) fn log(&mut self, line: impl FnOnce() -> String) {
        if let Some(events) = &mut self.events {
            events.push(format!("step {} at {} ms: {}", self.steps, self.now, line()));
        }
    }

    pub(super) fn shard_of(&self, user: u64) -> usize {
        crate::shard_of(UserId(user), self.shards.len())
    }

    /// One turn of a shard, as its event loop makes it.
    pub(super) fn turn<T>(&mut self, index: usize, work: impl FnOnce(&mut Shard, &mut [u8]) -> T) -> T {
        let shard = &mut self.shards[index];
        shard.state.now = MonotonicMs(self.now);
        let result = work(&mut shard.state, &mut self.buffer);
        shard.waiting.extend(shard.state.take_jobs());
        result
    }

    // ── Steps ──

    /// Takes one step.
    pub(super) fn step(&mut self) -> Check {
        let total: u64 = self.weights.iter().sum();
        let mut place = self.rng.u64(..total);
        for (kind, weight) in StepKind::ALL.into_iter().zip(self.weights) {
            if place < weight {
                let happened = self.run_step(kind)?;
                self.steps += u64::from(happened);
                return Ok(());
            }
            place -= weight;
        }
        Ok(())
    }

    fn run_step(&mut self, kind: StepKind) -> Result<bool, String> {
        let device = self.rng.index(self.devices.len());
        let shard = self.rng.index(self.shards.len());
        Ok(match kind {
            StepKind::ClientRequest => {
                self.devices[device].send_random_request(self.users, &mut self.rng);
                true
            }
            StepKind::ClientDuty => self.devices[device].send_required(&mut self.rng),
            StepKind::Connect => self.connect(device),
            StepKind::Arrive => {
                let pending = self.rng.index(self.pending_connections.len());
                self.arrive(pending)?
            }
            StepKind::Upload => self.devices[device].send_some(&mut self.rng),
            StepKind::Download => self.devices[device].read_some(&self.store.lock(), &mut self.rng)?,
            StepKind::SocketEvent => self.deliver_socket_event(shard),
            StepKind::TimeSlice => {
                let mut visits = self.rng.u64(1..=6);
                self.slice(shard, move || {
                    visits = visits.saturating_sub(1);
                    visits == 0
                })
            }
            StepKind::Inbox => self.process_inbox(shard),
            StepKind::Job => self.poll_job(shard),
            StepKind::Commit => self.commit(),
            StepKind::PushCommits => self.push_commits(),
            StepKind::Time => {
                let ms = self.rng.u64(1..=60);
                self.advance_time(ms)?;
                true
            }
            StepKind::TimeJump => {
                let ms = self.rng.pick(&[300, 1000, 4000, 6000, 11_000, 26_000, 61_000]);
                self.log(|| format!("{ms} ms pass"));
                self.advance_time(ms)?;
                true
            }
            StepKind::Http => self.request_by_http(),
            StepKind::Publish => {
                self.publish();
                true
            }
            StepKind::Revoke => {
                let user = self.devices[device].user;
                self.log(|| format!("user {user} is revoked"));
                let what =
                    if self.rng.one_in(2) { Revocation::All } else { Revocation::Key(mark(UserId(user), 0).token) };
                let shard = self.shard_of(user);
                self.lost.remove(&user);
                self.was_registered = self.is_registered(user);
                self.turn(shard, |state, _| state.revoke(Revoked { user: UserId(user), what }));
                self.check_no_linger(user)?;
                true
            }
            StepKind::Disconnect => {
                let user = self.devices[device].user;
                self.log(|| format!("user {user} is disconnected"));
                let shard = self.shard_of(user);
                self.lost.remove(&user);
                self.was_registered = self.is_registered(user);
                self.turn(shard, |state, _| state.disconnect(UserId(user), "go"));
                self.check_no_linger(user)?;
                true
            }
            StepKind::Stall | StepKind::Cut | StepKind::Close | StepKind::Drop | StepKind::Reset => {
                self.inject_fault(kind, device)
            }
        })
    }

    pub(super) fn inject_fault(&mut self, kind: StepKind, device: usize) -> bool {
        let code = self.rng.pick(&[1000, 1000, 1001]);
        if self.devices[device].connection.is_some() && matches!(kind, StepKind::Drop | StepKind::Reset) {
            self.record_loss(device);
        }
        let Some(connection) = &mut self.devices[device].connection else { return false };
        match kind {
            StepKind::Stall => connection.is_stalled = !connection.is_stalled,
            StepKind::Cut => connection.is_cut = true,
            StepKind::Close => {
                let user = self.devices[device].user;
                self.lost.remove(&user);
                self.left_cleanly.insert(user);
                self.devices[device].close(code);
            }
            StepKind::Drop => {
                connection.line.borrow_mut().close();
                self.devices[device].lose();
            }
            _ => {
                connection.line.borrow_mut().reset();
                self.devices[device].lose();
            }
        }
        self.log(|| format!("device {device}: {kind:?}"));
        true
    }

    pub(super) fn connect(&mut self, device: usize) -> bool {
        if self.devices[device].connection.as_ref().is_some_and(|connection| connection.is_cut) {
            // The client notices that the network is gone.
            self.devices[device].lose();
        }
        if self.devices[device].connection.is_some() || self.is_draining {
            return false;
        }
        self.accepted += 1;
        let accepted = AcceptOrder(self.accepted);
        let line = self.devices[device].connect(self.capacity, accepted);
        let (now, seconds) = (self.now, self.rng.pick(&[20, 600, 600, 600]));
        let expires_at = (now / 1000) as i64 + seconds;
        let lobby = self.lobby.get();
        self.pending_connections.push(PendingConnection { device, line, accepted, lobby, checked_at: now, expires_at });
        self.log(|| format!("device {device} connects"));
        true
    }

    pub(super) fn arrive(&mut self, pending: usize) -> Result<bool, String> {
        if pending >= self.pending_connections.len() {
            return Ok(false);
        }
        let pending = self.pending_connections.swap_remove(pending);
        let device = &mut self.devices[pending.device];
        let user = device.user;
        let name = device.name.clone();
        let dialect = if matches!(device.client_model, ClientModel::V1(_)) { Dialect::V1 } else { Dialect::Classic };
        let mut early = Vec::new();
        // The response to the upgrade may have been written before.
        let answer = Bytes::from_static(self.rng.pick(&[b"", b"HTTP/1.1 101\r\n\r\n"]));
        // The client may have given up, or have another connection.
        if let Some(connection) = device.connection.as_mut().filter(|own| own.accepted == pending.accepted) {
            connection.has_arrived = true;
            connection.answer = answer.clone();
            if let ClientModel::Classic(classic) = &mut device.client_model {
                classic.lobby_seq = pending.lobby.1.0;
                classic.begun_at = self.store.lock().last_message();
            }
            if self.rng.one_in(3) {
                device.send_required(&mut self.rng);
                early = device.early();
            }
        }
        if dialect == Dialect::Classic {
            // The client may have given up long ago; if its token expired, the shard closes it for good.
            self.lost.remove(&user);
        }
        let shard = self.shard_of(user);
        let id = SessionId(self.next_session.load(Ordering::Relaxed));
        let arrival = NewConnection {
            identity: Identity {
                user: UserId(user),
                token: mark(UserId(user), pending.expires_at),
                language: Language::En,
                address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            },
            accepted: pending.accepted,
            dialect,
            device: name,
            checked_at: Instant::now(),
            lobby: pending.lobby,
            stream: pending.line,
            handshake_response: answer,
            early_bytes: Bytes::from(early),
            permit: None,
        };
        let before: Vec<SessionId> = self.shards[shard].state.registry.sessions_of(UserId(user)).collect();
        let (checked_at, wall) = (MonotonicMs(pending.checked_at), Timestamp(self.now as i64));
        let mut kernel = std::mem::take(&mut self.shards[shard].kernel);
        self.turn(shard, |state, _| {
            state.attach(arrival, checked_at, wall, |line, slot, id| {
                Ok(Connection::Simulated(kernel.watch(line, poll::event_data(slot, id))))
            });
        });
        self.shards[shard].kernel = kernel;
        self.log(|| format!("device {} of user {user} arrives, session {}", pending.device, id.0));
        let device = self.devices[pending.device].identity();
        self.sessions.insert(id, (pending.accepted, device));
        self.check_newest_stays(shard, user, id, before)?;
        Ok(true)
    }
}

/// Small limits, so that runs reach them often.
fn draw_options(rng: &mut Rng) -> HubOptions {
    HubOptions {
        shards: rng.u64(1..=3) as usize,
        devices_per_user: rng.pick(&[1, 1, 2, 3, 8]),
        presence_linger: Duration::from_millis(rng.pick(&[0, 1000, 5000])),
        // A change takes about 600 bytes.
        tail_max: TailMax { changes: rng.pick(&[1, 3, 8, 64]), bytes: rng.pick(&[2000, 1 << 20, 1 << 20]) },
        room_tail_max: TailMax { changes: rng.pick(&[1, 2, 6, 64]), bytes: rng.pick(&[2000, 1 << 20, 1 << 20]) },
        tails_bytes_max: rng.pick(&[500, 5000, 1 << 20, 1 << 20]),
        ring_events_max: rng.pick(&[1, 3, 64]),
        ring_bytes_max: rng.pick(&[500, 1 << 20]),
        inbox_commits_max: rng.pick(&[1, 2, 6, 1000]),
        inbox_bytes_max: rng.pick(&[2000, 1 << 20, 1 << 20]),
        entries_per_tick_max: rng.pick(&[1, 3, 200]),
        waiting_envelopes_max: rng.pick(&[2, 6, 64, 256]),
        reply_bytes_max: rng.pick(&[300, 5000, 512 * 1024]),
        notification_bytes_max: rng.pick(&[300, 5000, 512 * 1024]),
        ..HubOptions::default()
    }
}

/// One to four clients of each user, in either dialect, some with a name. Two with one name are one device, and so are
/// two classic ones.
fn draw_devices(rng: &mut Rng, users: u64) -> Vec<Device> {
    let mut devices = Vec::new();
    for user in 1..=users {
        for number in 0..rng.u64(1..=4) {
            let name = rng.one_in(2).then(|| format!("d{}", number / 2));
            devices.push(Device::new(user, name, rng.one_in(3)));
        }
    }
    devices
}
