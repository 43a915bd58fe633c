//! The world of a run: several real shards with their feed and inboxes, the model store, and the devices. It
//! does one small thing at a time; which one, chance decides.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use teahouse_core::token::Revoked;
use teahouse_core::{AcceptOrder, Language, Revocation, Seq, SessionId, Timestamp, UserId, Version};

use super::chance::Chance;
use super::device::{Device, Speaks};
use super::door::{ModelDoor, ModelHistory, Shared, mark};
use super::socket::{Kernel, Line};
use super::store::Store;
use super::{Check, Kind, Plan};
use crate::clock::MonotonicMs;
use crate::feed::{Feed, LobbyHead};
use crate::inbox::Inbox;
use crate::metrics::HubMetrics;
use crate::online::Online;
use crate::options::HubOptions;
use crate::ports::{Dialect, Identity, NewConnection};
use crate::shard::connection::Connection;
use crate::shard::jobs::Job;
use crate::shard::state::Shard;
use crate::shard::{Environment, Ports, poll};

/// A real shard, and what its loop would keep for it.
pub(super) struct DrivenShard {
    pub(super) state: Shard,
    pub(super) kernel: Kernel,
    pub(super) next_tick: u64,
    pub(super) waiting: Vec<Job>,
}

/// A connection whose handshake is done and that is on its way to its shard.
pub(super) struct Knock {
    device: usize,
    line: Line,
    accepted: AcceptOrder,
    lobby: (Version, Seq),
    checked_at: u64,
    expires_at: i64,
}

pub(super) struct World {
    pub(super) chance: Chance,
    pub(super) now: u64,
    pub(super) options: HubOptions,
    pub(super) metrics: HubMetrics,
    pub(super) shards: Vec<DrivenShard>,
    pub(super) feed: Feed,
    pub(super) inboxes: Arc<[Arc<Inbox>]>,
    pub(super) online: Arc<Online>,
    lobby: Arc<LobbyHead>,
    pub(super) store: Shared,
    pub(super) devices: Vec<Device>,
    pub(super) knocks: Vec<Knock>,
    next_session: Arc<AtomicU64>,
    accepted: u64,
    pub(super) sessions: BTreeMap<SessionId, (AcceptOrder, Option<String>)>,
    capacity: usize,
    pub(super) users: u64,
    pub(super) news: u64,
    buffer: Vec<u8>,
    weights: [u64; Kind::ALL.len()],
    pub(super) steps: u64,
    pub(super) is_draining: bool,
    /// Whether a user was here before something was done to them.
    pub(super) was_here: bool,
    /// Whose only connection was lost, and when.
    pub(super) lost: BTreeMap<u64, u64>,
    /// Who said goodbye since all was still the last time; it may be read late.
    pub(super) parted: BTreeSet<u64>,
    /// What happened, if somebody wants to know.
    pub(super) story: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut chance = Chance::new(plan.seed);
        let options = HubOptions {
            shards: chance.between(1, 3) as usize,
            sessions_per_user: chance.between(1, 3) as usize,
            presence_linger: Duration::from_millis(chance.pick(&[0, 1000, 5000])),
            tail_envelopes_max: chance.pick(&[1, 3, 8, 64]),
            room_tail_envelopes_max: chance.pick(&[1, 2, 6, 64]),
            ring_events_max: chance.pick(&[1, 3, 64]),
            inbox_commits_max: chance.pick(&[1, 2, 6, 1000]),
            waiting_envelopes_max: chance.pick(&[2, 6, 64, 256]),
            ..HubOptions::default()
        };
        let users = chance.between(2, 5);
        let mut store = Store::new(users, chance.fork());
        store.slowness = chance.pick(&[0, 2, 8, 30]);
        store.failures = chance.pick(&[0, 3, 20]);
        let store = Shared::new(store);
        let metrics = HubMetrics::default();
        let inboxes: Arc<[_]> = (0..options.shards).map(|_| Arc::new(Inbox::new(options.inbox_commits_max))).collect();
        let (lobby, online) = (Arc::new(LobbyHead::default()), Arc::new(Online::default()));
        let feed = Feed::new(Arc::clone(&inboxes), Arc::clone(&lobby), metrics.clone());
        let next_session = Arc::new(AtomicU64::new(1));
        let ports =
            Ports { handler: Arc::new(ModelDoor(store.clone())), history: Arc::new(ModelHistory(store.clone())) };
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
        let mut devices = Vec::new();
        for user in 1..=users {
            for number in 0..chance.between(1, 3) {
                let name = chance.one_in(3).then(|| format!("d{}", number / 2));
                devices.push(Device::new(user, name, chance.one_in(4)));
            }
        }
        let weights = Kind::ALL.map(|kind| {
            let (weight, is_needed) = kind.weight();
            // What must go on may be slow: then more happens meanwhile.
            let tenths = if is_needed { chance.pick(&[1, 10, 10, 20, 40]) } else { chance.pick(&[0, 10, 10, 30]) };
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
            knocks: Vec::new(),
            next_session,
            accepted: 0,
            sessions: BTreeMap::new(),
            capacity: chance.pick(&[200, 600, 4000, 60_000]),
            users,
            news: 0,
            buffer: vec![0; 4096],
            weights,
            steps: 0,
            is_draining: false,
            was_here: false,
            lost: BTreeMap::new(),
            parted: BTreeSet::new(),
            story: plan.is_told.then(Vec::new),
            chance,
        }
    }

    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(format!("step {} at {} ms: {}", self.steps, self.now, line()));
        }
    }

    pub(super) fn shard_of(&self, user: u64) -> usize {
        crate::shard_of(UserId(user), self.shards.len())
    }

    /// One turn of a shard, as its loop would make it.
    pub(super) fn turn<T>(&mut self, index: usize, work: impl FnOnce(&mut Shard, &mut [u8]) -> T) -> T {
        let shard = &mut self.shards[index];
        shard.state.now = MonotonicMs(self.now);
        let result = work(&mut shard.state, &mut self.buffer);
        shard.waiting.extend(shard.state.take_jobs());
        result
    }

    // ── Steps ──

    /// One thing happens.
    pub(super) fn step(&mut self) -> Check {
        let total: u64 = self.weights.iter().sum();
        let mut place = self.chance.below(total);
        for (kind, weight) in Kind::ALL.into_iter().zip(self.weights) {
            if place < weight {
                let happened = self.happens(kind)?;
                self.steps += u64::from(happened);
                return Ok(());
            }
            place -= weight;
        }
        Ok(())
    }

    fn happens(&mut self, kind: Kind) -> Result<bool, String> {
        let device = self.chance.index(self.devices.len());
        let shard = self.chance.index(self.shards.len());
        Ok(match kind {
            Kind::Act => {
                self.devices[device].act(self.users, &mut self.chance);
                true
            }
            Kind::KeepUp => self.devices[device].keep_up(&mut self.chance),
            Kind::Connect => self.connect(device),
            Kind::Arrive => {
                let knock = self.chance.index(self.knocks.len());
                self.arrive(knock)?
            }
            Kind::Up => self.devices[device].send_some(&mut self.chance),
            Kind::Down => self.devices[device].read_some(&self.store.lock(), &mut self.chance)?,
            Kind::Notice => self.notice(shard),
            Kind::Loop => {
                let mut visits = self.chance.between(1, 6);
                self.slice(shard, move || {
                    visits = visits.saturating_sub(1);
                    visits == 0
                })
            }
            Kind::Mail => self.mail(shard),
            Kind::Job => self.job(shard),
            Kind::Commit => self.commit(),
            Kind::HandOver => self.hand_over(),
            Kind::Time => {
                let ms = self.chance.between(1, 60);
                self.pass(ms)?;
                true
            }
            Kind::Jump => {
                let ms = self.chance.pick(&[300, 1000, 4000, 6000, 11_000, 26_000, 61_000]);
                self.tell(|| format!("{ms} ms pass"));
                self.pass(ms)?;
                true
            }
            Kind::Http => self.by_http(),
            Kind::Publish => {
                self.publish();
                true
            }
            Kind::Revoke => {
                let user = self.devices[device].user;
                self.tell(|| format!("user {user} is revoked"));
                let what =
                    if self.chance.one_in(2) { Revocation::All } else { Revocation::Key(mark(UserId(user), 0).token) };
                let shard = self.shard_of(user);
                self.lost.remove(&user);
                self.was_here = self.is_registered(user);
                self.turn(shard, |state, _| state.revoke(Revoked { user: UserId(user), what }));
                self.nobody_lingers(user)?;
                true
            }
            Kind::Disconnect => {
                let user = self.devices[device].user;
                self.tell(|| format!("user {user} is disconnected"));
                let shard = self.shard_of(user);
                self.lost.remove(&user);
                self.was_here = self.is_registered(user);
                self.turn(shard, |state, _| state.disconnect(UserId(user), "go"));
                self.nobody_lingers(user)?;
                true
            }
            Kind::Stall | Kind::Cut | Kind::Close | Kind::Drop | Kind::Reset => self.trouble(kind, device),
        })
    }

    pub(super) fn trouble(&mut self, kind: Kind, device: usize) -> bool {
        let code = self.chance.pick(&[1000, 1000, 1001]);
        if self.devices[device].connection.is_some() && matches!(kind, Kind::Drop | Kind::Reset) {
            self.is_lost(device);
        }
        let Some(connection) = &mut self.devices[device].connection else { return false };
        match kind {
            Kind::Stall => connection.is_stalled = !connection.is_stalled,
            Kind::Cut => connection.is_cut = true,
            Kind::Close => {
                let user = self.devices[device].user;
                self.lost.remove(&user);
                self.parted.insert(user);
                self.devices[device].close(code);
            }
            Kind::Drop => {
                connection.line.borrow_mut().close();
                self.devices[device].lose();
            }
            _ => {
                connection.line.borrow_mut().reset();
                self.devices[device].lose();
            }
        }
        self.tell(|| format!("device {device}: {kind:?}"));
        true
    }

    pub(super) fn connect(&mut self, device: usize) -> bool {
        if self.devices[device].connection.as_ref().is_some_and(|connection| connection.is_cut) {
            // It notices that nothing passes any more.
            self.devices[device].lose();
        }
        if self.devices[device].connection.is_some() || self.is_draining {
            return false;
        }
        self.accepted += 1;
        let accepted = AcceptOrder(self.accepted);
        let line = self.devices[device].connect(self.capacity, accepted);
        let (now, seconds) = (self.now, self.chance.pick(&[20, 600, 600, 600]));
        let expires_at = (now / 1000) as i64 + seconds;
        let lobby = self.lobby.get();
        self.knocks.push(Knock { device, line, accepted, lobby, checked_at: now, expires_at });
        self.tell(|| format!("device {device} connects"));
        true
    }

    pub(super) fn arrive(&mut self, knock: usize) -> Result<bool, String> {
        if knock >= self.knocks.len() {
            return Ok(false);
        }
        let knock = self.knocks.swap_remove(knock);
        let device = &mut self.devices[knock.device];
        let user = device.user;
        let name = device.name.clone();
        let dialect = if matches!(device.speaks, Speaks::V1(_)) { Dialect::V1 } else { Dialect::Classic };
        let mut early = Vec::new();
        // The upgrade may be answered by now, or not.
        let answer = Bytes::from_static(self.chance.pick(&[b"", b"HTTP/1.1 101\r\n\r\n"]));
        // The client may have given up meanwhile, or have another connection by now.
        if let Some(connection) = device.connection.as_mut().filter(|own| own.accepted == knock.accepted) {
            connection.has_arrived = true;
            connection.answer = answer.clone();
            if let Speaks::Classic(classic) = &mut device.speaks {
                classic.lobby_seq = knock.lobby.1.0;
                classic.begun_at = self.store.lock().last_message();
            }
            if self.chance.one_in(3) {
                device.keep_up(&mut self.chance);
                early = device.early();
            }
        }
        if dialect == Dialect::Classic {
            // It may have been given up long ago, and be sent away for good, as its token is over by now.
            self.lost.remove(&user);
        }
        let shard = self.shard_of(user);
        let id = SessionId(self.next_session.load(Ordering::Relaxed));
        let arrival = NewConnection {
            identity: Identity {
                user: UserId(user),
                token: mark(UserId(user), knock.expires_at),
                language: Language::En,
                address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            },
            accepted: knock.accepted,
            dialect,
            device: name.clone(),
            checked_at: Instant::now(),
            lobby: knock.lobby,
            stream: knock.line,
            handshake_response: answer,
            early_bytes: Bytes::from(early),
            permit: None,
        };
        let before: Vec<SessionId> = self.shards[shard].state.registry.sessions_of(UserId(user)).collect();
        let (checked_at, wall) = (MonotonicMs(knock.checked_at), Timestamp(self.now as i64));
        let mut kernel = std::mem::take(&mut self.shards[shard].kernel);
        self.turn(shard, |state, _| {
            state.attach(arrival, checked_at, wall, |line, slot, id| {
                Ok(Connection::Simulated(kernel.watch(line, poll::event_data(slot, id))))
            });
        });
        self.shards[shard].kernel = kernel;
        self.tell(|| format!("device {} of user {user} arrives, session {}", knock.device, id.0));
        self.sessions.insert(id, (knock.accepted, name));
        self.newest_won(shard, user, id, before)?;
        Ok(true)
    }
}
