//! What a shard knows and what it does about it. Sequential, never awaits; sockets are touched only
//! through `socket.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use slab::Slab;
use teahouse_core::token::Revoked;
use teahouse_core::{CloseCode, LOBBY, Revocation, RoomId, Seq, SessionId, Timestamp, UserId, Version};
use teahouse_protocol::{classic, v1};
use tokio::sync::OwnedSemaphorePermit;

use super::connection::Connection;
use super::delivery::PendingRead;
use super::entries::EntriesReads;
use super::presence::Watch;
use super::run::{Ports, Setup};
use super::upkeep::Drain;
use crate::clock::MonotonicMs;
use crate::inbox::Inbox;
use crate::maps::{HashMap, HashSet};
use crate::metrics::{CodeLabel, HubMetrics};
use crate::online::Online;
use crate::options::HubOptions;
use crate::ports::{BoxFuture, Dialect, NewConnection, Response};
use crate::registry::{Effect, LeaveOutcome, LeaveReason, Registry};
use crate::ring::Ring;
use crate::session::{Batch, Cursor, GOODBYE_TIMEOUT, OnlineCount, Session, SessionParams, StoreRead};
use crate::tail::Tail;
use crate::websocket::{self, Decoder};

/// Work that takes time, which the shard's loop begins and sees to its end.
pub(crate) enum Job {
    /// Await this and give the session what comes of it.
    Response(SessionId, BoxFuture<Response>),
    /// Read this from the store.
    Read(StoreRead),
}

/// A session and its socket.
pub(crate) struct Slot {
    pub(crate) session: Session,
    pub(crate) connection: Connection,
    pub(crate) decoder: Decoder,
    /// There may be something to read.
    pub(crate) readable: bool,
    /// Behind what there is to read, nothing more will come.
    pub(crate) ended: bool,
    /// The socket takes nothing now; the kernel says when it does.
    pub(crate) blocked: bool,
    /// It was blocked, and takes something again.
    pub(crate) hurried: bool,
    /// The socket is of no use any more.
    pub(crate) done: bool,
    /// Its place in the queue of those who are to be looked after.
    pub(crate) is_called: bool,
    /// The registry was told that it left, or told us so itself.
    pub(super) left: bool,
    /// By when a goodbye must be over.
    pub(super) goodbye_until: Option<MonotonicMs>,
    /// The peer's goodbye came, so that nothing more is to be waited for once ours is out.
    pub(crate) peer_closed: bool,
    /// The peer broke the protocol: what still comes is read and thrown away, since closing with anything
    /// unread is a reset, which would take our goodbye from its hands.
    pub(super) deaf: bool,
    pub(super) expires_at: MonotonicMs,
    /// Its place in the queue of those who are to be written to.
    pub(super) is_ready: bool,
    /// Its place in the queue of those who are behind.
    pub(super) is_behind: bool,
    /// Since when a frame has been arriving that has not come to its end.
    pub(super) frame_since: Option<MonotonicMs>,
    /// Given back when the socket is closed.
    permit: Option<OwnedSemaphorePermit>,
}

/// Everything that a shard knows.
pub(crate) struct State {
    pub(crate) options: HubOptions,
    pub(crate) metrics: HubMetrics,
    pub(super) ports: Ports,
    pub(super) registry: Registry,
    pub(crate) slots: Slab<Box<Slot>>,
    pub(super) by_id: HashMap<SessionId, usize>,
    pub(super) rooms: HashMap<RoomId, Room>,
    /// Every occupied place of `slots` is below this one.
    pub(super) slots_end: usize,
    /// Who is online on all shards; this one keeps it true for its own users.
    pub(super) online: Arc<Online>,
    /// How many edges of it this shard has seen.
    pub(super) edges_seen: u64,
    /// Every shard's inbox, this one's too.
    pub(super) inboxes: Arc<[Arc<Inbox>]>,
    pub(super) index: usize,
    pub(super) next_session: Arc<AtomicU64>,
    /// The number that sessions are told; it moves by tick.
    pub(super) count: OnlineCount,
    /// From when on they may be told again.
    pub(super) count_due: MonotonicMs,
    /// Since the last tick somebody was welcomed with another number, and must hear of it if that was
    /// true for a moment only.
    pub(super) welcomed_apart: bool,
    pub(super) revoked: HashMap<UserId, Vec<(MonotonicMs, Revocation)>>,
    /// Who waits for what of the store.
    pub(super) waiters: HashMap<StoreRead, PendingRead>,
    pub(super) read_queue: VecDeque<StoreRead>,
    /// What is being read now.
    pub(super) reads: usize,
    /// What could not be read and is asked for again at the next tick.
    pub(super) retries: Vec<StoreRead>,
    /// What is published to everybody.
    pub(super) ring: Ring,
    /// Sessions that said hello and are not welcomed yet.
    pub(super) greeting: usize,
    /// Where rooms came to stand since the first of those said hello: what they begin with was read from the
    /// store at some moment since then, and what came after that moment must not be lost on them.
    pub(super) passed: HashMap<RoomId, (Version, Seq)>,
    /// Rooms in which somebody is typing.
    pub(super) typing_rooms: HashSet<RoomId>,
    /// Rooms that look otherwise to their members since the last tick.
    pub(super) entries_moved: HashSet<RoomId>,
    /// Reads under way of how rooms look to their members.
    pub(super) entries_reads: HashMap<RoomId, EntriesReads>,
    /// Rooms that may look otherwise since the first of the sessions that are being greeted said hello.
    pub(super) moved_meanwhile: HashSet<RoomId>,
    /// The number of the newest watch.
    pub(super) watches: u64,
    /// In which watched rooms a user is a member.
    pub(super) watched: HashMap<UserId, Vec<RoomId>>,
    /// Watched rooms in which something changed that edges do not tell.
    pub(super) watches_moved: HashSet<RoomId>,
    /// Classic sessions that were just given a cursor in a direct room.
    pub(super) put_before: Vec<usize>,
    /// Sessions that are to be written to, in order.
    pub(super) ready: VecDeque<usize>,
    /// Sessions that have more to be written than one batch, or a page of the past, in order.
    pub(super) behind: VecDeque<usize>,
    /// Sessions that are to be looked after, in order.
    pub(super) called: VecDeque<usize>,
    /// The same, of those who are not welcomed yet or whose peer has gone: when all are cut off and come back at once,
    /// they must not keep the living waiting.
    pub(super) passing: VecDeque<usize>,
    /// Sockets of sessions that are gone, which the kernel has still to be asked to close. That takes it
    /// longer than all the rest of a leave, and ten thousand at once must not keep the living waiting.
    departed: Vec<(Connection, Option<OwnedSemaphorePermit>)>,
    pub(super) effects: Vec<Effect>,
    pub(super) wants: Vec<StoreRead>,
    pub(crate) batch: Batch,
    pub(crate) jobs: Vec<Job>,
    /// What a pass over all sessions has still to visit: from here on; none when there is no pass.
    pub(crate) pass: Option<usize>,
    /// Something changed for all sessions since the pass began.
    pub(crate) pass_again: bool,
    pub(super) draining: Option<Drain>,
    pub(crate) now: MonotonicMs,
}

/// A room in use: its tail, and who reads it.
pub(super) struct Room {
    pub(super) tail: Tail,
    /// How many sessions have a cursor in it.
    pub(super) cursors: usize,
    /// The v1 sessions in it; of the lobby none stand here, since everybody is in it.
    pub(super) subscribers: HashSet<usize>,
    /// How many people are in it, connected or not; 0 while only classic sessions read it.
    pub(super) members: u32,
    /// Who is typing, and until when that counts.
    pub(super) typing: BTreeMap<UserId, MonotonicMs>,
    /// Who was typing when that was told last.
    pub(super) typing_told: Vec<UserId>,
    /// Who wants to know who comes and goes.
    pub(super) watch: Option<Box<Watch>>,
}

impl Room {
    pub(super) fn new((version, seq): (Version, Seq), envelopes_max: usize) -> Self {
        Self {
            tail: Tail::new(version, seq, envelopes_max),
            cursors: 0,
            subscribers: HashSet::default(),
            members: 0,
            typing: BTreeMap::new(),
            typing_told: Vec::new(),
            watch: None,
        }
    }
}

impl State {
    pub(crate) fn new(setup: Setup, ports: Ports) -> Self {
        let lobby = Room::new(setup.lobby, setup.options.tail_envelopes_max);
        Self {
            ring: Ring::new(setup.options.ring_events_max),
            registry: Registry::new(setup.options.sessions_per_user, setup.options.presence_linger),
            options: setup.options,
            metrics: setup.metrics,
            ports,
            slots: Slab::new(),
            by_id: HashMap::default(),
            rooms: HashMap::from_iter([(LOBBY, lobby)]),
            slots_end: 0,
            online: setup.online,
            edges_seen: 0,
            inboxes: setup.inboxes,
            index: setup.index,
            next_session: setup.next_session,
            count: count_of(0),
            count_due: MonotonicMs(0),
            welcomed_apart: false,
            revoked: HashMap::default(),
            waiters: HashMap::default(),
            read_queue: VecDeque::new(),
            reads: 0,
            retries: Vec::new(),
            greeting: 0,
            passed: HashMap::default(),
            typing_rooms: HashSet::default(),
            entries_moved: HashSet::default(),
            entries_reads: HashMap::default(),
            moved_meanwhile: HashSet::default(),
            watches: 0,
            watched: HashMap::default(),
            watches_moved: HashSet::default(),
            put_before: Vec::new(),
            ready: VecDeque::new(),
            behind: VecDeque::new(),
            called: VecDeque::new(),
            passing: VecDeque::new(),
            departed: Vec::new(),
            effects: Vec::new(),
            wants: Vec::new(),
            batch: Batch::default(),
            jobs: Vec::new(),
            pass: None,
            pass_again: false,
            draining: None,
            now: MonotonicMs::default(),
        }
    }

    /// A new session. `adopt` makes its socket one that this shard hears of, under a place and a number.
    pub(crate) fn arrive<S>(
        &mut self,
        arrival: NewConnection<S>,
        checked_at: MonotonicMs,
        wall: Timestamp,
        adopt: impl FnOnce(S, usize, SessionId) -> io::Result<Connection>,
    ) {
        let id = SessionId(self.next_session.fetch_add(1, Ordering::Relaxed));
        let slot = self.slots.vacant_key();
        // A peer that is gone already was never registered, so nothing is to be undone.
        let Ok(connection) = adopt(arrival.stream, slot, id) else { return };
        let NewConnection {
            user,
            accepted,
            dialect,
            device,
            mark,
            language,
            address,
            handshake_response,
            early_bytes,
            permit,
            ..
        } = arrival;
        let hello_until = (dialect == Dialect::V1).then(|| self.now.plus(self.options.hello_timeout));
        let ring_position = self.ring.end();
        let params = SessionParams { id, user, mark, language, address, hello_until, ring_position };
        let mut session = Session::new(params, self.now);
        if !handshake_response.is_empty() {
            session.unsent.push_back(handshake_response);
        }
        // A v1 session gets its cursors when it is welcomed.
        if dialect == Dialect::Classic
            && let Some(lobby) = self.rooms.get_mut(&LOBBY)
        {
            lobby.cursors += 1;
            session.add_cursor(Cursor::at(LOBBY, arrival.lobby));
        }
        // Reckoned from `exp`, also for a token that was let in a little after it.
        let grace_ms = i64::try_from(self.options.token_grace.as_millis()).unwrap_or(i64::MAX);
        let lives_ms = mark.expires_at.saturating_mul(1000).saturating_sub(wall.0).saturating_add(grace_ms);
        let lives = Duration::from_millis(u64::try_from(lives_ms).unwrap_or(0));
        self.slots.insert(Box::new(Slot {
            session,
            connection,
            decoder: Decoder::default(),
            readable: false,
            ended: false,
            blocked: false,
            hurried: false,
            done: false,
            is_called: false,
            left: false,
            goodbye_until: None,
            peer_closed: false,
            deaf: false,
            expires_at: self.now.plus(lives),
            is_ready: false,
            is_behind: false,
            frame_since: None,
            permit,
        }));
        self.slots_end = self.slots_end.max(slot + 1);
        self.by_id.insert(id, slot);

        // One from before the look was seen by it; whoever was let in since is let in (a user enabled again).
        let covered = |(at, what): &(MonotonicMs, Revocation)| *at >= checked_at && what.covers(&mark);
        if self.revoked.get(&user).is_some_and(|list| list.iter().any(covered)) {
            // It is none of the user's sessions, so it displaces none of them and nobody sees it.
            self.slots[slot].left = true;
            self.say_goodbye(slot, CloseCode::Revoked, None);
            return;
        }
        self.metrics.attaches.inc();
        self.metrics.sessions.inc();
        let mut effects = std::mem::take(&mut self.effects);
        self.registry.attach(user, id, accepted, device.as_deref(), &mut effects);
        self.apply(effects);
        let session = &mut self.slots[slot].session;
        if !session.closing && dialect == Dialect::Classic {
            let count = count_of(self.online.count());
            self.welcomed_apart |= count.users != self.count.users;
            session.reply_with_count(count);
        }

        if self.draining.is_some() {
            self.send_away(slot);
        } else if !early_bytes.is_empty() {
            self.received(slot, &mut early_bytes.to_vec());
        }
        self.pump(slot);
    }

    pub(super) fn apply(&mut self, mut effects: Vec<Effect>) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Displaced(session) => {
                    self.metrics.displacements.inc();
                    if let Some(&slot) = self.by_id.get(&session) {
                        self.metrics.sessions.dec();
                        self.say_goodbye(slot, CloseCode::Displaced, None);
                    }
                }
                Effect::Online(user) => {
                    self.metrics.users.inc();
                    self.online.set(user, true);
                }
                Effect::Offline(user) => {
                    self.metrics.users.dec();
                    self.online.set(user, false);
                }
            }
        }
        self.effects = effects;
    }

    /// Ends a session from our side: it is gone from the registry now, and its socket says goodbye.
    pub(crate) fn end(&mut self, slot: usize, code: CloseCode) {
        self.end_saying(slot, code, None);
    }

    /// The same, with words of its own for whoever is sent away.
    pub(crate) fn end_saying(&mut self, slot: usize, code: CloseCode, words: Option<CloseNotice<'_>>) {
        let Some(entry) = self.slots.get(slot) else { return };
        let is_classic = entry.session.dialect() == Dialect::Classic;
        let farewell = match code {
            // Banned, logged out: gone for good. All else may be back in a moment.
            CloseCode::Banned | CloseCode::Revoked => LeaveReason::Clean,
            code if is_classic && code.for_classic() == CloseCode::Policy => LeaveReason::Clean,
            _ => LeaveReason::Lost,
        };
        self.leave(slot, farewell);
        self.say_goodbye(slot, code, words);
    }

    /// Tells the registry, once, that a session left. A displaced one had left by then: nothing changes.
    pub(crate) fn leave(&mut self, slot: usize, farewell: LeaveReason) {
        let Some(entry) = self.slots.get_mut(slot) else { return };
        if std::mem::replace(&mut entry.left, true) {
            return;
        }
        let (user, id) = (entry.session.user, entry.session.id);
        let mut effects = std::mem::take(&mut self.effects);
        match self.registry.leave(self.now, user, id, farewell, &mut effects) {
            LeaveOutcome::Left => {
                self.metrics.sessions.dec();
            }
            LeaveOutcome::Stale => {
                self.metrics.stale_leaves.inc();
            }
        }
        self.apply(effects);
    }

    fn say_goodbye(&mut self, slot: usize, code: CloseCode, words: Option<CloseNotice<'_>>) {
        let entry = &mut self.slots[slot];
        let session = &mut entry.session;
        if session.closing {
            return;
        }
        let words = words.unwrap_or_default();
        let reason = words.reason.unwrap_or(code.reason());
        let code = match session.dialect() {
            Dialect::V1 => {
                let wait = words.retry.unwrap_or_else(|| retry_after(code));
                let retry_ms = wait.as_millis().try_into().unwrap_or(u64::MAX);
                session.reply(websocket::text_frame(&v1::goodbye(code, reason, retry_ms)));
                code
            }
            Dialect::Classic => {
                if code == CloseCode::Displaced {
                    session.reply(websocket::text_frame(&classic::displaced(session.language())));
                }
                code.for_classic()
            }
        };
        self.metrics.closes.get_or_create(&CodeLabel { code: code.code() }).inc();
        session.reply(websocket::close_frame(code.code(), reason));
        session.closing = true;
        entry.goodbye_until = Some(self.now.plus(GOODBYE_TIMEOUT));
        self.pump(slot);
    }

    /// A socket is of no use any more: forget it. The registry hears of it if it has not yet.
    pub(crate) fn forget(&mut self, slot: usize, id: SessionId) {
        if self.by_id.get(&id) != Some(&slot) {
            return;
        }
        self.leave(slot, LeaveReason::Lost);
        self.by_id.remove(&id);
        let Slot { session, connection, permit, .. } = *self.slots.remove(slot);
        if self.slots.is_empty() {
            self.slots_end = 0;
        }
        self.abandon(slot, &session);
        self.departed.push((connection, permit));
    }

    /// The shard ends, and with it every session.
    pub(crate) fn forget_all(&mut self) {
        let all: Vec<_> = self.slots.iter().map(|(slot, entry)| (slot, entry.session.id)).collect();
        all.into_iter().for_each(|(slot, id)| self.forget(slot, id));
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
        let queues = [&self.ready, &self.behind, &self.called, &self.passing];
        !self.departed.is_empty() || queues.iter().any(|queue| !queue.is_empty())
    }

    pub(crate) fn revoke(&mut self, revoked: Revoked) {
        self.revoked.entry(revoked.user).or_default().push((self.now, revoked.what));
        let sessions: Vec<SessionId> = self.registry.sessions_of(revoked.user).collect();
        for id in sessions {
            if let Some(&slot) = self.by_id.get(&id)
                && revoked.what.covers(&self.slots[slot].session.mark)
            {
                let code = if revoked.what == Revocation::All { CloseCode::Banned } else { CloseCode::Revoked };
                self.end(slot, code);
            }
        }
    }

    /// A user's sessions end, with these words; nothing keeps them from coming back.
    pub(crate) fn disconnect(&mut self, user: UserId, reason: &str) {
        for slot in self.slots_of(user) {
            self.end_saying(slot, CloseCode::Banned, Some(CloseNotice { reason: Some(reason), retry: None }));
        }
    }
}

/// What somebody who is sent away is told beside the code.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CloseNotice<'a> {
    /// At most 123 bytes; the code's own reason if none.
    pub(crate) reason: Option<&'a str>,
    /// When to come back, for those who do.
    pub(crate) retry: Option<Duration>,
}

/// When a v1 client that is sent away with this code may come back, if it does.
fn retry_after(code: CloseCode) -> Duration {
    match code {
        CloseCode::Internal | CloseCode::Restart => Duration::from_secs(1),
        CloseCode::Overloaded => Duration::from_secs(5),
        _ => Duration::ZERO,
    }
}

pub(super) fn count_of(users: u64) -> OnlineCount {
    OnlineCount { users, frame: websocket::text_frame(&classic::online_count(users)) }
}
