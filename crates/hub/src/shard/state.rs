//! What a shard knows and what it does about it. Sequential, never awaits; sockets are touched only
//! through `socket.rs`.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use slab::Slab;
use teahouse_core::token::Revoked;
use teahouse_core::{CloseCode, LOBBY, Language, Revocation, RoomId, Seq, SessionId, Timestamp, UserId, Version};
use teahouse_protocol::classic;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::run::{Seams, Setup};
use super::socket;
use crate::clock::Moment;
use crate::feed::{Delivery, Mail, Receivers};
use crate::metrics::{CodeLabel, HubMetrics};
use crate::options::HubOptions;
use crate::registry::{Effect, Farewell, Leave, Registry};
use crate::seams::{Arrival, BoxFuture, ClassicPage, Receipt};
use crate::session::{Batch, Count, Cursor, GOODBYE_TIMEOUT, Page, Session, Source, Verdict, Want};
use crate::tail::Tail;
use crate::websocket::{self, Decoder, Event, Flow};

/// Pages read from the store at a time by one shard; the others wait their turn, so that a crowd that
/// fell behind does not take the store from everybody else.
const PAGE_READS_MAX: usize = 4;
/// How long a revocation is remembered for sockets that were authenticated just before it and arrive
/// just after it; longer than any handshake may take.
const REVOCATION_MEMORY: Duration = Duration::from_secs(60);

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
    left: bool,
    /// By when a goodbye must be over.
    goodbye_until: Option<Moment>,
    /// The peer's goodbye came, so that nothing more is to be waited for once ours is out.
    pub(crate) peer_closed: bool,
    expires_at: Moment,
    /// Wakes the task that looks after the socket.
    pub(crate) waker: Option<Waker>,
    /// Given back when the socket is closed.
    _place: Option<OwnedSemaphorePermit>,
}

/// Everything that a shard knows.
pub(crate) struct State {
    pub(crate) options: HubOptions,
    pub(crate) metrics: HubMetrics,
    seams: Seams,
    registry: Registry,
    pub(crate) slots: Slab<Box<Slot>>,
    by_id: HashMap<SessionId, usize>,
    rooms: HashMap<RoomId, Room>,
    /// Every occupied place of `slots` is below this one.
    slots_end: usize,
    /// Distinct users online, by shard; this one writes its own place only.
    online: Arc<[AtomicU64]>,
    index: usize,
    next_session: Arc<AtomicU64>,
    /// The number that sessions are told; it moves by tick.
    count: Count,
    revoked: HashMap<UserId, Vec<(Moment, Revocation)>>,
    page_waiters: HashMap<Want, Vec<SessionId>>,
    page_queue: VecDeque<Want>,
    page_reads: usize,
    /// Pages that could not be read and are asked for again at the next tick.
    page_retries: Vec<Want>,
    effects: Vec<Effect>,
    wants: Vec<Want>,
    pub(crate) batch: Batch,
    pub(crate) jobs: Vec<Job>,
    /// What a pass over all sessions has still to visit: from here on; none when there is no pass.
    pub(crate) pass: Option<usize>,
    /// Something changed for all sessions since the pass began.
    pub(crate) pass_again: bool,
    draining: Option<Drain>,
    pub(crate) now: Moment,
}

/// A room in use: its tail, and how many sessions have a cursor in it.
struct Room {
    tail: Tail,
    cursors: usize,
}

struct Drain {
    began: Moment,
    over: Duration,
    sessions: usize,
    sent_away: usize,
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
            revoked: HashMap::new(),
            page_waiters: HashMap::new(),
            page_queue: VecDeque::new(),
            page_reads: 0,
            page_retries: Vec::new(),
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

    // ── Who comes and goes ──

    pub(crate) fn arrive(&mut self, arrival: Arrival, wall: Timestamp) {
        let id = SessionId(self.next_session.fetch_add(1, Ordering::Relaxed));
        let Ok(stream) = socket::adopt(arrival.stream, self.options.send_buffer_bytes) else {
            // The peer is gone already; nothing was registered, so nothing is to be undone.
            return;
        };
        let Arrival { user, accepted, device, mark, language, address, early, place, .. } = arrival;
        let mut session = Session::new(id, user, mark, language, address, self.now);
        if let Some(lobby) = self.rooms.get_mut(&LOBBY) {
            lobby.cursors += 1;
            session.cursors.push(Cursor::at(LOBBY, (lobby.tail.head(), lobby.tail.head_seq())));
        }
        let lives = Duration::from_secs(u64::try_from(mark.expires_at.saturating_sub(wall.seconds())).unwrap_or(0));
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
            expires_at: self.now.plus(lives).plus(self.options.token_grace),
            waker: None,
            _place: place,
        }));
        self.slots_end = self.slots_end.max(slot + 1);
        self.by_id.insert(id, slot);
        self.metrics.attaches.inc();
        self.metrics.sessions.inc();
        self.jobs.push(Job::Drive(slot, id));

        let mut effects = std::mem::take(&mut self.effects);
        self.registry.attach(user, id, accepted, device.as_deref(), &mut effects);
        self.apply(effects);
        let count = count_of(self.users_online());
        let session = &mut self.slots[slot].session;
        if !session.closing {
            session.tell_count_at_once(count);
        }

        let is_void = self.revoked.get(&user).is_some_and(|list| list.iter().any(|(_, what)| what.covers(&mark)));
        if is_void {
            self.end(slot, CloseCode::Policy);
        } else if self.draining.is_some() {
            self.end(slot, CloseCode::Restart);
        } else if !early.is_empty() {
            self.received(slot, &mut early.to_vec());
        }
    }

    fn apply(&mut self, mut effects: Vec<Effect>) {
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
    fn users_online(&self) -> u64 {
        self.online.iter().map(|shard| shard.load(Ordering::Relaxed)).sum()
    }

    fn publish_online(&self) {
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

    fn say_goodbye(&mut self, slot: usize, code: CloseCode) {
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
        let gone = self.slots.remove(slot);
        if self.slots.is_empty() {
            self.slots_end = 0;
        }
        for cursor in &gone.session.cursors {
            self.release_cursor(cursor.room);
        }
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

    pub(crate) fn drain(&mut self, over: Duration) {
        self.draining = Some(Drain { began: self.now, over, sessions: self.slots.len(), sent_away: 0 });
    }

    /// Sends away as many sessions as the drain's time says by now.
    pub(crate) fn drain_on(&mut self) {
        let Some(drain) = &mut self.draining else { return };
        let passed = self.now.since(drain.began).as_secs_f64();
        let share = if drain.over.is_zero() { 1.0 } else { (passed / drain.over.as_secs_f64()).min(1.0) };
        #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation, clippy::cast_precision_loss)]
        let due = (share * drain.sessions as f64).ceil() as usize;
        let count = due.saturating_sub(drain.sent_away);
        drain.sent_away = due.max(drain.sent_away);
        let live: Vec<usize> =
            self.slots.iter().filter(|(_, entry)| !entry.session.closing).map(|(slot, _)| slot).take(count).collect();
        for slot in live {
            self.end(slot, CloseCode::Restart);
        }
    }

    // ── What comes in ──

    /// Takes what was read from a session's socket.
    pub(crate) fn received(&mut self, slot: usize, bytes: &mut [u8]) {
        self.metrics.bytes_in.inc_by(bytes.len() as u64);
        self.slots[slot].session.health.heard();
        let mut decoder = std::mem::take(&mut self.slots[slot].decoder);
        let limit = self.options.frame_bytes_max;
        let result = decoder.read(bytes, limit, |event| self.event(slot, event));
        self.slots[slot].decoder = decoder;
        if let Err(error) = result
            && !self.slots[slot].peer_closed
        {
            if self.slots[slot].session.closing {
                // Our goodbye is on its way already, and nothing sensible will follow.
                self.slots[slot].peer_closed = true;
            } else {
                self.end(slot, error.into());
            }
        }
    }

    fn event(&mut self, slot: usize, event: Event<'_>) -> Flow {
        let closing = self.slots[slot].session.closing;
        match event {
            Event::Close(code) => {
                self.peer_closes(slot, code);
                return Flow::Stop;
            }
            // Once we said goodbye, only the peer's answer to it is of interest.
            _ if closing => {}
            Event::Text(text) => {
                self.metrics.frames_in.inc();
                self.request(slot, text);
            }
            Event::Binary(_) => self.end(slot, CloseCode::Binary),
            Event::Ping(payload) => self.slots[slot].session.reply(websocket::pong_frame(payload)),
            Event::Pong => {}
        }
        Flow::Continue
    }

    fn peer_closes(&mut self, slot: usize, code: Option<u16>) {
        let farewell = if code == Some(CloseCode::Done.code()) { Farewell::Goodbye } else { Farewell::Lost };
        self.leave(slot, farewell);
        let entry = &mut self.slots[slot];
        entry.peer_closed = true;
        if !entry.session.closing {
            entry.session.closing = true;
            entry.session.reply(match code {
                Some(code) => websocket::close_frame(code, ""),
                None => websocket::bare_close_frame(),
            });
            entry.goodbye_until = Some(self.now.plus(GOODBYE_TIMEOUT));
        }
    }

    fn request(&mut self, slot: usize, text: &str) {
        let caller = self.slots[slot].session.caller();
        let door = Arc::clone(&self.seams.door);
        // A panic in a handler is a bug of ours; it ends this session and no other.
        match catch_unwind(AssertUnwindSafe(|| door.receive(&caller, text))) {
            Ok(Receipt::Silent) => {}
            Ok(Receipt::Reply(answer)) => self.slots[slot].session.reply(websocket::text_frame(&answer)),
            Ok(Receipt::Malformed(answer)) => {
                self.metrics.malformed.inc();
                let session = &mut self.slots[slot].session;
                session.reply(websocket::text_frame(&answer));
                if session.is_one_malformed_too_many(self.now) {
                    self.end(slot, CloseCode::Policy);
                }
            }
            Ok(Receipt::Later(mut future)) => {
                let mut context = Context::from_waker(Waker::noop());
                match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context))) {
                    Ok(Poll::Ready(answer)) => self.answer(caller.session, Ok(answer)),
                    Ok(Poll::Pending) => self.jobs.push(Job::Answer(caller.session, future)),
                    Err(_) => self.answer(caller.session, Err(())),
                }
            }
            Err(_) => self.answer(caller.session, Err(())),
        }
    }

    /// What came of a request; `Err` when its handler panicked.
    pub(crate) fn answer(&mut self, id: SessionId, answer: Result<Option<String>, ()>) {
        if answer.is_err() {
            self.metrics.panics.inc();
        }
        let Some(&slot) = self.by_id.get(&id) else { return };
        match answer {
            Ok(None) => {}
            Ok(Some(text)) if !self.slots[slot].session.closing => {
                self.slots[slot].session.reply(websocket::text_frame(&text));
                self.pump(slot);
            }
            Ok(Some(_)) => {}
            Err(()) => self.end(slot, CloseCode::Internal),
        }
    }

    // ── What goes out ──

    /// Takes commits: tails grow, and whoever is concerned is written to.
    pub(crate) fn deliver(&mut self, mail: Mail) {
        for delivery in mail.deliveries {
            match delivery {
                Delivery::Room { room, receivers: Receivers::Subscribers, entry } => {
                    if let Some(room) = self.rooms.get_mut(&room) {
                        room.tail.push(entry);
                        self.begin_pass();
                    }
                }
                Delivery::Room { room, receivers: Receivers::Only(user), entry } => {
                    let before = (Version(entry.version.0 - 1), Seq(entry.last_seq.0 - 1));
                    self.direct_tail(room, before).push(entry);
                    self.put_before(user, room, before);
                }
                Delivery::User { user, kind, frame } => self.tell(user, kind, &frame),
            }
        }
        for ((room, _), gap) in mail.gaps {
            match gap.receivers {
                Receivers::Subscribers => {
                    if let Some(room) = self.rooms.get_mut(&room) {
                        room.tail.skip_to(gap.head.0, gap.head.1);
                        self.begin_pass();
                    }
                }
                Receivers::Only(user) => {
                    self.direct_tail(room, gap.before).skip_to(gap.head.0, gap.head.1);
                    self.put_before(user, room, gap.before);
                }
            }
        }
        for ((user, room, reader), frame) in mail.overflow {
            self.tell(user, (room, reader), &frame);
        }
    }

    fn direct_tail(&mut self, room: RoomId, before: (Version, Seq)) -> &mut Tail {
        let envelopes_max = self.options.tail_envelopes_max;
        let new = || Room { tail: Tail::new(before.0, before.1, envelopes_max), cursors: 0 };
        &mut self.rooms.entry(room).or_insert_with(new).tail
    }

    /// Lets a user's classic sessions read a direct room from `before` on. Such a session has a cursor
    /// in a direct room only while it is behind in it, and the room a tail only while anybody is.
    fn put_before(&mut self, user: UserId, id: RoomId, before: (Version, Seq)) {
        let slots = self.slots_of(user);
        for slot in &slots {
            let session = &mut self.slots[*slot].session;
            if session.cursor_in(id).is_none()
                && let Some(room) = self.rooms.get_mut(&id)
            {
                room.cursors += 1;
                session.cursors.push(Cursor::at(id, before));
            }
        }
        if slots.is_empty() {
            self.drop_unused(id);
        }
        for slot in slots {
            self.pump(slot);
        }
    }

    fn release_cursor(&mut self, id: RoomId) {
        if let Some(room) = self.rooms.get_mut(&id) {
            room.cursors -= 1;
        }
        self.drop_unused(id);
    }

    fn drop_unused(&mut self, id: RoomId) {
        if id != LOBBY && self.rooms.get(&id).is_some_and(|room| room.cursors == 0) {
            self.rooms.remove(&id);
        }
    }

    fn tell(&mut self, user: UserId, kind: (RoomId, UserId), frame: &Bytes) {
        for slot in self.slots_of(user) {
            self.slots[slot].session.tell(kind, frame.clone(), self.options.waiting_envelopes_max);
            self.pump(slot);
        }
    }

    fn slots_of(&self, user: UserId) -> Vec<usize> {
        self.registry.sessions_of(user).filter_map(|id| self.by_id.get(&id).copied()).collect()
    }

    /// Makes sure that every session is visited once more.
    pub(crate) fn begin_pass(&mut self) {
        match self.pass {
            None => self.pass = Some(0),
            Some(_) => self.pass_again = true,
        }
    }

    /// Visits sessions until `is_over` says that the slice of time is used up. Says whether any are left.
    pub(crate) fn continue_pass(&mut self, mut is_over: impl FnMut() -> bool) -> bool {
        while let Some(next) = self.pass {
            if next >= self.slots_end {
                self.pass = std::mem::take(&mut self.pass_again).then_some(0);
                continue;
            }
            self.pass = Some(next + 1);
            if self.slots.get(next).is_some_and(|entry| !entry.blocked && !entry.session.closing) {
                self.pump(next);
                if is_over() {
                    return true;
                }
            }
        }
        false
    }

    /// Writes what a session has waiting, as far as its socket takes it and fairness allows.
    pub(crate) fn pump(&mut self, slot: usize) {
        let Some(entry) = self.slots.get_mut(slot) else { return };
        if entry.blocked || entry.done {
            return;
        }
        let rooms = &self.rooms;
        let written = socket::write(entry, &mut self.batch, &self.metrics, self.now, |session, batch| {
            let missed = |language: Language| websocket::text_frame(&classic::events_missed(language));
            session.gather(|room| rooms.get(&room).map(|room| &room.tail), &self.count, missed, batch, &mut self.wants);
        });
        if written == socket::Written::Everything && entry.session.closing {
            self.goodbye_is_out(slot);
        } else if written == socket::Written::Everything && self.slots[slot].session.cursors.len() > 1 {
            self.drop_settled_cursors(slot);
        }
        if !self.wants.is_empty() {
            let id = self.slots[slot].session.id;
            for want in std::mem::take(&mut self.wants) {
                self.want(want, id);
            }
        }
    }

    fn goodbye_is_out(&mut self, slot: usize) {
        let entry = &mut self.slots[slot];
        if entry.peer_closed {
            entry.done = true;
        } else {
            // Now the peer's answer is waited for; a reset would take our goodbye from its hands.
            let _ = socket2::SockRef::from(&entry.stream).shutdown(Shutdown::Write);
        }
        if let Some(waker) = &entry.waker {
            waker.wake_by_ref();
        }
    }

    fn drop_settled_cursors(&mut self, slot: usize) {
        let rooms = &self.rooms;
        let mut dropped = Vec::new();
        self.slots[slot].session.cursors.retain(|cursor| {
            let settled = cursor.room != LOBBY
                && matches!(cursor.source, Source::Tail)
                && rooms.get(&cursor.room).is_none_or(|room| cursor.version >= room.tail.head());
            if settled {
                dropped.push(cursor.room);
            }
            !settled
        });
        for room in dropped {
            self.release_cursor(room);
        }
    }

    // ── Pages of the store ──

    /// A session needs a page. Sessions at the same place share one read and its encoded frames.
    fn want(&mut self, want: Want, session: SessionId) {
        let waiters = self.page_waiters.entry(want).or_default();
        waiters.push(session);
        if waiters.len() == 1 {
            self.page_queue.push_back(want);
            self.start_page_reads();
        }
    }

    fn start_page_reads(&mut self) {
        while self.page_reads < PAGE_READS_MAX
            && let Some(want) = self.page_queue.pop_front()
        {
            self.page_reads += 1;
            self.jobs.push(Job::ReadPage(want));
        }
    }

    /// Asks for a page.
    pub(crate) fn read_page(&self, (room, after): Want) -> BoxFuture<Option<ClassicPage>> {
        self.seams.history.classic_page(room, after)
    }

    /// A page came, or could not be read.
    pub(crate) fn page_read(&mut self, want: Want, page: Option<ClassicPage>) {
        self.page_reads -= 1;
        match page {
            None => self.page_retries.push(want),
            Some(page) => {
                self.metrics.catch_up_pages.inc();
                let page = Rc::new(Page::encode(&page));
                for id in self.page_waiters.remove(&want).unwrap_or_default() {
                    let Some(&slot) = self.by_id.get(&id) else { continue };
                    if let Some(cursor) = self.slots[slot].session.cursor_in(want.0)
                        && matches!(cursor.source, Source::Waiting)
                        && (cursor.version, cursor.seq) == want.1
                    {
                        cursor.source = Source::Page(Rc::clone(&page), 0);
                        self.pump(slot);
                    }
                }
            }
        }
        self.start_page_reads();
    }

    // ── Time ──

    /// Four times a second: presence and what failed to be read.
    pub(crate) fn tick(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        self.registry.tick(self.now, &mut effects);
        self.apply(effects);

        let users = self.users_online();
        if users != self.count.users {
            self.count = count_of(users);
            for (_, entry) in &mut self.slots {
                entry.session.count_moved(users);
            }
            self.begin_pass();
        }
        self.page_queue.extend(self.page_retries.drain(..));
        self.start_page_reads();
    }

    /// Once a second: the health of every socket, expired tokens, goodbyes that take too long.
    pub(crate) fn sweep(&mut self) {
        let now = self.now;
        self.revoked.retain(|_, list| {
            list.retain(|(at, _)| now.since(*at) < REVOCATION_MEMORY);
            !list.is_empty()
        });
        for slot in 0..self.slots_end {
            let Some(entry) = self.slots.get_mut(slot) else { continue };
            if let Some(until) = entry.goodbye_until {
                if now >= until {
                    entry.done = true;
                    if let Some(waker) = &entry.waker {
                        waker.wake_by_ref();
                    }
                }
                continue;
            }
            if now >= entry.expires_at {
                self.end(slot, CloseCode::Policy);
                continue;
            }
            let queued =
                if entry.session.health.is_unsettled() { crate::queue::unacknowledged_bytes(&entry.stream) } else { 0 };
            let more_waits = entry.blocked || entry.session.has_waiting();
            match entry.session.health.judge(now, queued, more_waits, &self.options) {
                Verdict::Well => {}
                Verdict::Ping => {
                    entry.session.reply(websocket::ping_frame());
                    self.pump(slot);
                }
                Verdict::Stalled => self.end(slot, CloseCode::Stalled),
                Verdict::Silent => self.end(slot, CloseCode::NoSignOfLife),
            }
        }
    }
}

fn count_of(users: u64) -> Count {
    Count { users, frame: websocket::text_frame(&classic::online_count(users)) }
}

impl Page {
    fn encode(page: &ClassicPage) -> Self {
        let mut frames = Vec::with_capacity(page.deleted.len() + page.messages.len());
        if page.pair.is_none() {
            frames.extend(page.deleted.iter().map(|id| (websocket::text_frame(&classic::message_deleted(*id)), None)));
        }
        for message in &page.messages {
            let receiver = page.pair.as_ref().and_then(|pair| pair.iter().find(|one| one.id != message.sender.id));
            frames.push(match receiver {
                Some(receiver) => {
                    (websocket::text_frame(&classic::private_message(message, receiver)), Some(receiver.id))
                }
                None => (websocket::text_frame(&classic::message(message)), None),
            });
        }
        Self { frames, reached: page.reached }
    }
}
