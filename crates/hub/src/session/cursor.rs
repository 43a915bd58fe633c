//! A session's position in one room, and its source of further changes: the room's tail, or pages of the store while
//! the tail does not reach back far enough. It chooses the next frame and never touches a socket.
//!
//! A v1 session that is behind receives a catch-up: `catch_up`, messages in their current state, `caught_up`. A classic
//! session is served by seq, since it cannot show a message twice.

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use teahouse_core::limits::CATCH_UP_CHANGES_MAX;
use teahouse_core::{LOBBY, MessageId, RoomId, Seq, UserId, Version};
use teahouse_protocol::v1::{self, OwnReactions};

use super::batch::Batch;
use crate::ports::{CatchUpFrom, Dialect};
use crate::tail::{ForcedOutBy, Tail, TailRead};
use crate::websocket::text_frame;

/// Messages with reactions that are collected before the reader's own reactions are requested.
const REACTED_MAX: usize = 500;

/// `sync` requests that wait for the catch-up under way; more of them gain the client nothing.
pub(crate) const SYNCS_WAITING_MAX: usize = 16;

/// The cursor's owner, as far as that decides what goes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reader {
    pub(crate) user: UserId,
    pub(crate) dialect: Dialect,
}

/// A session's position in a room: it was sent every change up to `version` and every message up to `seq`.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) room: RoomId,
    pub(crate) version: Version,
    pub(crate) seq: Seq,
    pub(crate) source: Source,
    /// There may be something to read.
    pub(crate) due: bool,
    /// Set while a v1 session is caught up. Boxed, since few sessions are.
    pub(crate) catch_up: Option<Box<CatchUp>>,
}

/// The place from which a cursor reads next.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The room's tail.
    Tail,
    /// A catch-up that requested nothing of the store yet.
    Pending,
    /// The room's tail up to this version, as messages of a catch-up.
    CatchUpFromTail(Version),
    /// A page, or the reader's own reactions, that the store was asked for.
    Waiting,
    /// This page, from this frame on.
    Page(Rc<Page>, usize),
    /// Nothing: a catch-up has all pages and reactions, and ends.
    CatchUpEnd,
}

/// A v1 session's way from what its client holds to the room's current state.
#[derive(Debug)]
pub(crate) struct CatchUp {
    /// Where the next page begins.
    from: CatchUpFrom,
    /// The version that `catch_up` names.
    held: Version,
    /// `catch_up` was sent.
    opened: bool,
    /// The last page was read.
    complete: bool,
    /// Messages that have reactions, and of which the reader's own are not known yet.
    reacted: Vec<MessageId>,
    own: OwnReactions,
    /// The `sync` request that this catch-up answers.
    sync: Option<String>,
    /// Further `sync` requests, each to begin when the one before ends.
    next: VecDeque<(Version, Option<String>)>,
}

/// A page of the store, encoded once for all sessions at the same position.
#[derive(Debug)]
pub(crate) struct Page {
    /// In a direct room of the classic dialect each frame is for one user only.
    pub(crate) frames: Vec<(Bytes, Option<UserId>)>,
    /// The client drops what it holds of the room; v1 only.
    pub(crate) reset: bool,
    /// Messages of the page that have reactions; v1 only.
    pub(crate) reacted: Vec<MessageId>,
    pub(crate) reached: (Version, Seq),
    /// Whether the tail follows this page. If not, another page does.
    pub(crate) complete: bool,
}

/// A read of the store that sessions wait for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum StoreRead {
    /// The next page of a room for a classic session at this position.
    Classic(RoomId, (Version, Seq)),
    /// The next changes of a room for a v1 session.
    Changes(RoomId, CatchUpFrom),
    /// A user's own reactions to these messages of a room.
    Reactions(RoomId, UserId, Vec<MessageId>),
    /// The members of a room, for the presence watch of this number.
    Members(RoomId, u64),
    /// A room's entry as these members see it.
    Entries(RoomId, Vec<UserId>),
}

impl StoreRead {
    pub(crate) fn room(&self) -> RoomId {
        match self {
            Self::Classic(room, _)
            | Self::Changes(room, _)
            | Self::Reactions(room, ..)
            | Self::Members(room, _)
            | Self::Entries(room, _) => *room,
        }
    }
}

impl Cursor {
    pub(crate) fn at(room: RoomId, (version, seq): (Version, Seq)) -> Self {
        Self { room, version, seq, source: Source::Tail, due: true, catch_up: None }
    }

    /// Whether it reads from the tail.
    pub(crate) fn is_on_tail(&self) -> bool {
        matches!(self.source, Source::Tail)
    }

    pub(crate) fn is_catching_up(&self) -> bool {
        self.catch_up.is_some()
    }

    // ── Starting a catch-up ──

    fn start_catch_up(&mut self, from: CatchUpFrom, sync: Option<String>) {
        let held = match from {
            CatchUpFrom::Since(version) | CatchUpFrom::Held(version) => version,
            CatchUpFrom::Reset => Version(0),
        };
        let (opened, complete, reacted, own) = (false, false, Vec::new(), OwnReactions::new());
        let next = VecDeque::new();
        self.catch_up = Some(Box::new(CatchUp { from, held, opened, complete, reacted, own, sync, next }));
        self.source = Source::Pending;
        self.due = true;
    }

    /// Catches the session up from `since`, after the catch-up under way. Returns the request's reference when too
    /// many such requests wait.
    pub(crate) fn request_sync(&mut self, since: Version, id: Option<String>) -> Result<(), Option<String>> {
        match &mut self.catch_up {
            Some(catch_up) if catch_up.next.len() >= SYNCS_WAITING_MAX => return Err(id),
            Some(catch_up) => catch_up.next.push_back((since, id)),
            None => self.start_catch_up(self.first_page(since), id),
        }
        Ok(())
    }

    /// Catches a returning client up from what it holds, if that is of this history.
    pub(crate) fn resume(&mut self, held: Option<Version>) {
        let from = held.map_or(CatchUpFrom::Reset, |version| self.first_page(version));
        self.start_catch_up(from, None);
    }

    /// The start of the catch-up of a client that claims to hold this version. It cannot hold changes that this session
    /// was not sent: a client that claims to is reset.
    fn first_page(&self, version: Version) -> CatchUpFrom {
        if version > self.version { CatchUpFrom::Reset } else { CatchUpFrom::Held(version) }
    }

    /// The references of the `sync` requests that were not answered.
    pub(crate) fn into_pending_requests(self) -> impl Iterator<Item = String> {
        let catch_up = self.catch_up.map(|catch_up| *catch_up);
        catch_up
            .into_iter()
            .flat_map(|catch_up| catch_up.sync.into_iter().chain(catch_up.next.into_iter().filter_map(|(_, id)| id)))
    }

    // ── Results from the store ──

    /// Takes a page of the store. Returns whether this cursor waited for it.
    pub(crate) fn accept_page(&mut self, read: &StoreRead, page: &Rc<Page>) -> bool {
        let waits = matches!(self.source, Source::Waiting)
            && match (read, &self.catch_up) {
                (StoreRead::Classic(_, after), _) => (self.version, self.seq) == *after,
                (StoreRead::Changes(_, from), Some(catch_up)) => catch_up.from == *from,
                _ => false,
            };
        if waits {
            self.source = Source::Page(Rc::clone(page), 0);
            self.due = true;
        }
        waits
    }

    /// Takes the reader's own reactions. Returns whether this cursor waited for them.
    pub(crate) fn accept_reactions(&mut self, messages: &[MessageId], own: &OwnReactions) -> bool {
        let Some(catch_up) = &mut self.catch_up else { return false };
        if !matches!(self.source, Source::Waiting) || catch_up.reacted != messages {
            return false;
        }
        catch_up.reacted.clear();
        catch_up.own.extend(own.iter().map(|(message, emoji)| (*message, emoji.clone())));
        self.source = if catch_up.complete { Source::CatchUpEnd } else { Source::Pending };
        self.due = true;
        true
    }

    // ── Gathering ──

    /// Gathers the next frames until the batch is full. Reads of the store that it needs are added to `reads`.
    pub(crate) fn gather(&mut self, reader: Reader, tail: &Tail, batch: &mut Batch, reads: &mut Vec<StoreRead>) {
        while !batch.is_full() {
            let goes_on = match &self.source {
                Source::Waiting => false,
                Source::Tail => self.read_tail(reader, tail, batch, reads),
                Source::Pending => self.begin_page(tail, batch, reads),
                Source::CatchUpFromTail(until) => self.read_catch_up_tail(*until, reader, tail, batch, reads),
                Source::Page(page, next) => {
                    let (page, next) = (Rc::clone(page), *next);
                    self.read_page(&page, next, reader, batch, reads)
                }
                Source::CatchUpEnd => {
                    self.finish_catch_up(batch);
                    true
                }
            };
            if !goes_on {
                self.due = false;
                return;
            }
        }
    }

    /// The session fell out of the tail. If bytes forced out what it needs next, that bound was reached.
    fn report_forced_out(&self, tail: &Tail, batch: &mut Batch) {
        if let Some(forced_out) = tail.forced_out_after(self.version) {
            let bound = match forced_out.by {
                ForcedOutBy::AllTails => "hub.tails_bytes_max",
                ForcedOutBy::Tail if self.room == LOBBY => "hub.tail_max.bytes",
                ForcedOutBy::Tail => "hub.room_tail_max.bytes",
            };
            batch.bounds_reached.push((bound, forced_out.bytes));
        }
    }

    fn read_tail(&mut self, reader: Reader, tail: &Tail, batch: &mut Batch, reads: &mut Vec<StoreRead>) -> bool {
        match tail.read_after(self.version) {
            TailRead::AtHead => false,
            TailRead::TooOld if reader.dialect == Dialect::V1 => {
                self.report_forced_out(tail, batch);
                self.start_catch_up(CatchUpFrom::Since(self.version), None);
                true
            }
            TailRead::TooOld => {
                self.report_forced_out(tail, batch);
                self.source = Source::Waiting;
                reads.push(StoreRead::Classic(self.room, (self.version, self.seq)));
                false
            }
            TailRead::Next(change) => {
                self.version = change.version;
                self.seq = self.seq.max(change.last_seq);
                let frame = match reader.dialect {
                    Dialect::V1 => Some(&change.v1),
                    Dialect::Classic => {
                        change.classic.as_ref().filter(|_| change.receiver.is_none_or(|only| only == reader.user))
                    }
                };
                if let Some(frame) = frame {
                    batch.deliveries += 1;
                    batch.push(frame.clone());
                }
                true
            }
        }
    }

    /// Requests the next page of a catch-up, unless the tail has all of it.
    fn begin_page(&mut self, tail: &Tail, batch: &mut Batch, reads: &mut Vec<StoreRead>) -> bool {
        let Some(catch_up) = &self.catch_up else {
            self.source = Source::Tail;
            return true;
        };
        let from = catch_up.from;
        if let Some(version) = self.tail_start(tail) {
            self.send_catch_up(false, batch);
            self.version = version;
            self.source = Source::CatchUpFromTail(tail.head());
            return true;
        }
        reads.push(StoreRead::Changes(self.room, from));
        self.source = Source::Waiting;
        false
    }

    /// The version from which the tail can serve the whole catch-up: a short absence costs no read of the store. The
    /// tail cannot when it is older than the snapshot that the session, or an earlier page of this catch-up, was read
    /// from. The store decides whether there are too many changes and the room is reset.
    fn tail_start(&self, tail: &Tail) -> Option<Version> {
        let catch_up = self.catch_up.as_ref().filter(|catch_up| !catch_up.opened)?;
        let (CatchUpFrom::Held(version) | CatchUpFrom::Since(version)) = catch_up.from else { return None };
        let knows = tail.head() >= self.version && tail.can_catch_up_from(version);
        (knows && tail.head().0 - version.0 <= u64::from(CATCH_UP_CHANGES_MAX)).then_some(version)
    }

    /// The bytes of the page that it holds.
    pub(crate) fn page_bytes(&self) -> usize {
        match &self.source {
            Source::Page(page, _) => page.frames.iter().map(|(frame, _)| frame.len()).sum(),
            _ => 0,
        }
    }

    /// Drops the page that it holds: nothing goes out to its session any more.
    pub(crate) fn drop_page(&mut self) {
        if matches!(self.source, Source::Page(..)) {
            self.source = Source::Waiting;
        }
    }

    /// Requests the first page of a catch-up that is not sent yet.
    pub(crate) fn prefetch(&mut self, tail: &Tail, reads: &mut Vec<StoreRead>) {
        if let (Source::Pending, Some(catch_up)) = (&self.source, &self.catch_up)
            && self.tail_start(tail).is_none()
        {
            reads.push(StoreRead::Changes(self.room, catch_up.from));
            self.source = Source::Waiting;
        }
    }

    fn send_catch_up(&mut self, reset: bool, batch: &mut Batch) {
        if let Some(catch_up) = &mut self.catch_up
            && !std::mem::replace(&mut catch_up.opened, true)
        {
            batch.push(text_frame(&v1::catch_up(self.room, catch_up.held, reset)));
        }
    }

    /// Gathers the tail's next message for a catch-up. Of a message that changed again only the newest change is sent,
    /// and the catch-up then goes on up to that one.
    fn read_catch_up_tail(
        &mut self,
        until: Version,
        reader: Reader,
        tail: &Tail,
        batch: &mut Batch,
        reads: &mut Vec<StoreRead>,
    ) -> bool {
        let Some(catch_up) = &mut self.catch_up else {
            self.source = Source::Tail;
            return true;
        };
        let next = if self.version < until { tail.read_after(self.version) } else { TailRead::AtHead };
        match next {
            TailRead::Next(change) => {
                (self.version, self.seq) = (change.version, self.seq.max(change.last_seq));
                if let Some(next) = tail.superseded_by(change.version) {
                    self.source = Source::CatchUpFromTail(until.max(next));
                    return true;
                }
                if change.has_reactions {
                    catch_up.reacted.push(change.message);
                }
                batch.deliveries += 1;
                batch.push(change.v1_in_catch_up());
                true
            }
            // The session became too slow for the tail.
            TailRead::TooOld => {
                catch_up.from = CatchUpFrom::Since(self.version);
                self.source = Source::Pending;
                self.report_forced_out(tail, batch);
                true
            }
            TailRead::AtHead => self.request_reactions(true, reader, reads),
        }
    }

    fn read_page(
        &mut self,
        page: &Rc<Page>,
        next: usize,
        reader: Reader,
        batch: &mut Batch,
        reads: &mut Vec<StoreRead>,
    ) -> bool {
        self.send_catch_up(page.reset, batch);
        if let Some((frame, only)) = page.frames.get(next) {
            self.source = Source::Page(Rc::clone(page), next + 1);
            if only.is_none_or(|only| only == reader.user) {
                batch.deliveries += 1;
                batch.push(frame.clone());
            }
            return true;
        }
        (self.version, self.seq) = page.reached;
        match &mut self.catch_up {
            None if page.complete => {
                self.source = Source::Tail;
                true
            }
            None => {
                self.source = Source::Waiting;
                reads.push(StoreRead::Classic(self.room, page.reached));
                false
            }
            Some(catch_up) => {
                catch_up.reacted.extend(&page.reacted);
                catch_up.from = CatchUpFrom::Since(page.reached.0);
                if page.complete || catch_up.reacted.len() >= REACTED_MAX {
                    return self.request_reactions(page.complete, reader, reads);
                }
                self.source = Source::Pending;
                true
            }
        }
    }

    /// Requests the reader's own reactions to the messages that were gathered.
    fn request_reactions(&mut self, complete: bool, reader: Reader, reads: &mut Vec<StoreRead>) -> bool {
        let Some(catch_up) = &mut self.catch_up else { return false };
        catch_up.complete = complete;
        if catch_up.reacted.is_empty() {
            self.source = Source::CatchUpEnd;
            return true;
        }
        reads.push(StoreRead::Reactions(self.room, reader.user, catch_up.reacted.clone()));
        self.source = Source::Waiting;
        false
    }

    fn finish_catch_up(&mut self, batch: &mut Batch) {
        self.source = Source::Tail;
        let Some(catch_up) = self.catch_up.take() else { return };
        batch.push(text_frame(&v1::caught_up(self.room, self.version, &catch_up.own)));
        if let Some(id) = catch_up.sync {
            batch.push(text_frame(&v1::ack(&id, &v1::Changed::new(self.version))));
        }
        let mut next = catch_up.next;
        if let Some((since, id)) = next.pop_front() {
            self.start_catch_up(self.first_page(since), id);
            if let Some(catch_up) = &mut self.catch_up {
                catch_up.next = next;
            }
        }
    }
}
