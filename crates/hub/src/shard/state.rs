//! What a shard knows and what it does about it. Sequential, never awaits; sockets are touched only
//! through `socket.rs`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use slab::Slab;
use teahouse_core::token::Revoked;
use teahouse_core::{CloseCode, LOBBY, Revocation, RoomId, SessionId, Timestamp, UserId};
use teahouse_protocol::classic;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::run::{Seams, Setup};
use super::socket;
use super::upkeep::Drain;
use crate::clock::Moment;
use crate::metrics::{CodeLabel, HubMetrics};
use crate::options::HubOptions;
use crate::registry::{Effect, Farewell, Leave, Registry};
use crate::seams::{Arrival, BoxFuture};
use crate::session::{Batch, Count, Cursor, GOODBYE_TIMEOUT, Session, Want};
use crate::tail::Tail;
use crate::websocket::{self, Decoder};

/// Work that the shard's loop starts as a task of its own.
pub(crate) enum Job {
    /// Look after this session's socket.
    Drive(usize, SessionId),
    /// Await this and give the session what comes of it.
    Answer(SessionId, BoxFuture<Option<String>>),
    /// Read this page.
    ReadPage(Want),
}

/// A session and its socket.
pub(crate) struct Slot {
    pub(crate) session: Session,
    pub(crate) stream: TcpStream,
    pub(crate) decoder: Decoder,
    /// The socket takes nothing now; its task waits until it does.
    pub(crate) blocked: bool,
    /// There is more to write than one turn allows.
    pub(crate) hurried: bool,
    /// The socket is of no use any more; its task ends.
    pub(crate) done: bool,
    /// The registry was told that it left, or told us so itself.
    pub(super) left: bool,
    /// By when a goodbye must be over.
    pub(super) goodbye_until: Option<Moment>,
    /// The peer's goodbye came, so that nothing more is to be waited for once ours is out.
    pub(crate) peer_closed: bool,
    /// The peer broke the protocol: what still comes is read and thrown away, since closing with anything
    /// unread is a reset, which would take our goodbye from its hands.
    pub(super) deaf: bool,
    pub(super) expires_at: Moment,
    /// Since when a frame has been arriving that has not come to its end.
    pub(super) frame_since: Option<Moment>,
    /// Wakes the task that looks after the socket.
    pub(crate) waker: Option<Waker>,
    /// Given back when the socket is closed.
    place: Option<OwnedSemaphorePermit>,
}

/// Everything that a shard knows.
pub(crate) struct State {
    pub(crate) options: HubOptions,
    pub(crate) metrics: HubMetrics,
    pub(super) seams: Seams,
    pub(super) registry: Registry,
    pub(crate) slots: Slab<Box<Slot>>,
    pub(super) by_id: HashMap<SessionId, usize>,
    pub(super) rooms: HashMap<RoomId, Room>,
    /// Every occupied place of `slots` is below this one.
    pub(super) slots_end: usize,
    /// Distinct users online, by shard; this one writes its own place only.
    pub(super) online: Arc<[AtomicU64]>,
    pub(super) index: usize,
    pub(super) next_session: Arc<AtomicU64>,
    /// The number that sessions are told; it moves by tick.
    pub(super) count: Count,
    /// Since the last tick somebody was welcomed with another number, and must hear of it if that was
    /// true for a moment only.
    pub(super) welcomed_apart: bool,
    pub(super) revoked: HashMap<UserId, Vec<(Moment, Revocation)>>,
    pub(super) page_waiters: HashMap<Want, Vec<SessionId>>,
    pub(super) page_queue: VecDeque<Want>,
    pub(super) page_reads: usize,
    /// Pages that could not be read and are asked for again at the next tick.
    pub(super) page_retries: Vec<Want>,
    /// Sockets of sessions that are gone, which the kernel has still to be asked to close. That takes it
    /// longer than all the rest of a leave, and ten thousand at once must not keep the living waiting.
    departed: Vec<(TcpStream, Option<OwnedSemaphorePermit>)>,
    pub(super) effects: Vec<Effect>,
    pub(super) wants: Vec<Want>,
    pub(crate) batch: Batch,
    pub(crate) jobs: Vec<Job>,
    /// What a pass over all sessions has still to visit: from here on; none when there is no pass.
    pub(crate) pass: Option<usize>,
    /// Something changed for all sessions since the pass began.
    pub(crate) pass_again: bool,
    pub(super) draining: Option<Drain>,
    pub(crate) now: Moment,
}

/// A room in use: its tail, and how many sessions have a cursor in it.
pub(super) struct Room {
    pub(super) tail: Tail,
    pub(super) cursors: usize,
}

impl State {
    pub(crate) fn new(setup: Setup, seams: Seams) -> Self {
        let (version, seq) = setup.lobby;
        let tail = Tail::new(version, seq, setup.options.tail_envelopes_max);
        Self {
            registry: Registry::new(setup.options.sessions_per_user, setup.options.presence_linger),
            options: setup.options,
            metrics: setup.metrics,
            seams,
            slots: Slab::new(),
            by_id: HashMap::new(),
            rooms: HashMap::from([(LOBBY, Room { tail, cursors: 0 })]),
            slots_end: 0,
            online: setup.online,
            index: setup.index,
            next_session: setup.next_session,
            count: count_of(0),
            welcomed_apart: false,
            revoked: HashMap::new(),
            page_waiters: HashMap::new(),
            page_queue: VecDeque::new(),
            page_reads: 0,
            page_retries: Vec::new(),
            departed: Vec::new(),
            effects: Vec::new(),
            wants: Vec::new(),
            batch: Batch::default(),
            jobs: Vec::new(),
            pass: None,
            pass_again: false,
            draining: None,
            now: Moment::default(),
        }
    }

    pub(crate) fn arrive(&mut self, arrival: Arrival, checked_at: Moment, wall: Timestamp) {
        let id = SessionId(self.next_session.fetch_add(1, Ordering::Relaxed));
        let Ok(stream) = socket::adopt(arrival.stream, self.options.send_buffer_bytes) else {
            // The peer is gone already; nothing was registered, so nothing is to be undone.
            return;
        };
        let Arrival { user, accepted, device, mark, language, address, early, place, lobby: at, .. } = arrival;
        let mut session = Session::new(id, user, mark, language, address, self.now);
        if let Some(lobby) = self.rooms.get_mut(&LOBBY) {
            lobby.cursors += 1;
            session.cursors.push(Cursor::at(LOBBY, at));
        }
        // Reckoned from `exp`, also for a token that was let in a little after it.
        let grace_ms = i64::try_from(self.options.token_grace.as_millis()).unwrap_or(i64::MAX);
        let lives_ms = mark.expires_at.saturating_mul(1000).saturating_sub(wall.0).saturating_add(grace_ms);
        let lives = Duration::from_millis(u64::try_from(lives_ms).unwrap_or(0));
        let slot = self.slots.insert(Box::new(Slot {
            session,
            stream,
            decoder: Decoder::default(),
            // The first write on a new runtime says "would block" until its driver has turned once.
            blocked: true,
            hurried: false,
            done: false,
            left: false,
            goodbye_until: None,
            peer_closed: false,
            deaf: false,
            expires_at: self.now.plus(lives),
            frame_since: None,
            waker: None,
            place,
        }));
        self.slots_end = self.slots_end.max(slot + 1);
        self.by_id.insert(id, slot);
        self.jobs.push(Job::Drive(slot, id));

        // One from before the look was seen by it; whoever was let in since is let in (a user enabled again).
        let covered = |(at, what): &(Moment, Revocation)| *at >= checked_at && what.covers(&mark);
        if self.revoked.get(&user).is_some_and(|list| list.iter().any(covered)) {
            // It is none of the user's sessions, so it displaces none of them and nobody sees it.
            self.slots[slot].left = true;
            self.say_goodbye(slot, CloseCode::Policy);
            return;
        }
        self.metrics.attaches.inc();
        self.metrics.sessions.inc();
        let mut effects = std::mem::take(&mut self.effects);
        self.registry.attach(user, id, accepted, device.as_deref(), &mut effects);
        self.apply(effects);
        let count = count_of(self.users_online());
        let session = &mut self.slots[slot].session;
        if !session.closing {
            self.welcomed_apart |= count.users != self.count.users;
            session.tell_count_at_once(count);
        }

        if self.draining.is_some() {
            self.end(slot, CloseCode::Restart);
        } else if !early.is_empty() {
            self.received(slot, &mut early.to_vec());
        }
    }

    pub(super) fn apply(&mut self, mut effects: Vec<Effect>) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Displaced(session) => {
                    self.metrics.displacements.inc();
                    if let Some(&slot) = self.by_id.get(&session) {
                        self.metrics.sessions.dec();
                        let language = self.slots[slot].session.language();
                        let notice = websocket::text_frame(&classic::displaced(language));
                        self.slots[slot].session.reply(notice);
                        self.say_goodbye(slot, CloseCode::Displaced);
                    }
                }
                Effect::Online(_) => {
                    self.metrics.users.inc();
                    self.publish_online();
                }
                Effect::Offline(_) => {
                    self.metrics.users.dec();
                    self.publish_online();
                }
            }
        }
        self.effects = effects;
    }

    /// Distinct users online on all shards.
    pub(super) fn users_online(&self) -> u64 {
        self.online.iter().map(|shard| shard.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn publish_online(&self) {
        self.online[self.index].store(self.registry.users_online() as u64, Ordering::Relaxed);
    }

    /// Ends a session from our side: it is gone from the registry now, and its socket says goodbye.
    pub(crate) fn end(&mut self, slot: usize, code: CloseCode) {
        let farewell = match code {
            // Revoked, expired, banned, flooding: gone for good. All else may be back in a moment.
            CloseCode::Policy => Farewell::Goodbye,
            _ => Farewell::Lost,
        };
        self.leave(slot, farewell);
        self.say_goodbye(slot, code);
    }

    /// Tells the registry, once, that a session left. A displaced one had left by then: nothing changes.
    pub(crate) fn leave(&mut self, slot: usize, farewell: Farewell) {
        let Some(entry) = self.slots.get_mut(slot) else { return };
        if std::mem::replace(&mut entry.left, true) {
            return;
        }
        let (user, id) = (entry.session.user, entry.session.id);
        let mut effects = std::mem::take(&mut self.effects);
        match self.registry.leave(self.now, user, id, farewell, &mut effects) {
            Leave::Left => {
                self.metrics.sessions.dec();
            }
            Leave::Stale => {
                self.metrics.stale_leaves.inc();
            }
        }
        self.apply(effects);
    }

    pub(super) fn say_goodbye(&mut self, slot: usize, code: CloseCode) {
        let entry = &mut self.slots[slot];
        if entry.session.closing {
            return;
        }
        self.metrics.closes.get_or_create(&CodeLabel { code: code.code() }).inc();
        entry.session.reply(websocket::close_frame(code.code(), code.reason()));
        entry.session.closing = true;
        entry.goodbye_until = Some(self.now.plus(GOODBYE_TIMEOUT));
        self.pump(slot);
    }

    /// The task of a socket ended: forget it. The registry hears of it if it has not yet.
    pub(crate) fn forget(&mut self, slot: usize, id: SessionId) {
        if self.by_id.get(&id) != Some(&slot) {
            return;
        }
        self.leave(slot, Farewell::Lost);
        self.by_id.remove(&id);
        let Slot { session, stream, place, .. } = *self.slots.remove(slot);
        if self.slots.is_empty() {
            self.slots_end = 0;
        }
        for cursor in &session.cursors {
            self.release_cursor(cursor.room);
        }
        self.departed.push((stream, place));
    }

    /// Closes sockets of departed sessions until `is_over` says that the slice of time is used up. Says
    /// whether any are left.
    pub(crate) fn bury(&mut self, mut is_over: impl FnMut() -> bool) -> bool {
        while let Some(gone) = self.departed.pop() {
            drop(gone);
            if is_over() {
                break;
            }
        }
        if self.departed.is_empty() {
            self.departed = Vec::new();
        }
        !self.departed.is_empty()
    }

    /// Whether the loop has something to do that nobody rang for.
    pub(crate) fn is_busy(&self) -> bool {
        !self.departed.is_empty()
    }

    pub(crate) fn revoke(&mut self, revoked: Revoked) {
        self.revoked.entry(revoked.user).or_default().push((self.now, revoked.what));
        let sessions: Vec<SessionId> = self.registry.sessions_of(revoked.user).collect();
        for id in sessions {
            if let Some(&slot) = self.by_id.get(&id)
                && revoked.what.covers(&self.slots[slot].session.mark)
            {
                self.end(slot, CloseCode::Policy);
            }
        }
    }

    pub(crate) fn online_here(&self) -> Vec<UserId> {
        self.registry.online().collect()
    }
}

pub(super) fn count_of(users: u64) -> Count {
    Count { users, frame: websocket::text_frame(&classic::online_count(users)) }
}
