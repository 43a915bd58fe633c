//! A session's place in a room, and from where it reads on: the room's tail, or pages of the store for as
//! long as it is behind that. It decides what comes next and never touches a socket.

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use teahouse_core::limits::CATCH_UP_CHANGES_MAX;
use teahouse_core::{MessageId, RoomId, Seq, UserId, Version};
use teahouse_protocol::v1::{self, OwnReactions};

use super::batch::Batch;
use crate::ports::{CatchUpFrom, Dialect};
use crate::tail::{Tail, TailRead};
use crate::websocket::text_frame;

/// So many messages with reactions are gathered before one's own are asked for.
const REACTED_MAX: usize = 500;

/// Requests to be caught up once more that wait for the one under way; who has more of them gains nothing.
const SYNCS_WAITING_MAX: usize = 16;

/// Whose cursor it is, as far as that decides what comes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reader {
    pub(crate) user: UserId,
    pub(crate) dialect: Dialect,
}

/// A session's place in a room.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) room: RoomId,
    /// Everything up to here was put before the session …
    pub(crate) version: Version,
    /// … and every message up to here.
    pub(crate) seq: Seq,
    pub(crate) source: Source,
    /// Something may be there to be read.
    pub(crate) due: bool,
    /// A v1 session is being caught up; boxed, since nearly nobody is.
    pub(crate) catch_up: Option<Box<CatchUp>>,
}

/// From where a cursor reads on.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// From the room's tail.
    Tail,
    /// It is to be caught up; nothing was asked of the store yet.
    Pending,
    /// From the room's tail, as messages in a bracket, up to this version.
    CatchUpFromTail(Version),
    /// A page, or one's own reactions, was asked of the store.
    Waiting,
    /// From this page, from this frame on.
    Page(Rc<Page>, usize),
    /// All pages were read; own reactions are there.
    Reacted,
}

/// A v1 session's way from what it holds to what the room is.
#[derive(Debug)]
pub(crate) struct CatchUp {
    /// What the next page begins with.
    from: CatchUpFrom,
    /// What `catch_up` names.
    held: Version,
    opened: bool,
    /// The last page was read.
    complete: bool,
    /// Messages brought, or to be looked at, that somebody reacted to.
    reacted: Vec<MessageId>,
    own: OwnReactions,
    /// The reference of the `sync` that asked for it; to be answered at its end.
    sync: Option<String>,
    /// What was asked for while it was under way, to begin behind it.
    next: VecDeque<(Version, Option<String>)>,
}

/// A page of the store, encoded once for all sessions that stand at the same place.
#[derive(Debug)]
pub(crate) struct Page {
    /// Each with the only user whom it concerns, in direct rooms of the classic dialect.
    pub(crate) frames: Vec<(Bytes, Option<UserId>)>,
    /// The room is begun anew; v1 only.
    pub(crate) reset: bool,
    /// Those of the messages that somebody reacted to; v1 only.
    pub(crate) reacted: Vec<MessageId>,
    pub(crate) reached: (Version, Seq),
    /// Whether the tail goes on from there; if not, another page does.
    pub(crate) complete: bool,
}

/// What a session needs from the store.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum StoreRead {
    /// The next page of a room for a classic session that stands there.
    Classic(RoomId, (Version, Seq)),
    /// The next changes of a room for a v1 session.
    Changes(RoomId, CatchUpFrom),
    /// A user's own reactions to these messages of a room.
    Reactions(RoomId, UserId, Vec<MessageId>),
    /// Who is in a room, for the watch of this number.
    Members(RoomId, u64),
    /// A room as these of its members see it.
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

    /// A v1 session is brought from what it holds to what the room is.
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

    /// The session asks to be brought from this version to what the room is, behind what is under way; gives
    /// the reference back when too many such requests wait already.
    pub(crate) fn request_sync(&mut self, since: Version, id: Option<String>) -> Result<(), Option<String>> {
        match &mut self.catch_up {
            Some(catch_up) if catch_up.next.len() >= SYNCS_WAITING_MAX => return Err(id),
            Some(catch_up) => catch_up.next.push_back((since, id)),
            None => self.start_catch_up(self.first_page(since), id),
        }
        Ok(())
    }

    /// Where a client is to be caught up from that says it holds this version. Nobody holds what this session
    /// was not sent: such a client has lost its way, and begins anew.
    fn first_page(&self, version: Version) -> CatchUpFrom {
        if version > self.version { CatchUpFrom::Reset } else { CatchUpFrom::Held(version) }
    }

    /// Brings a returning client from what it holds, if that is of this history, to what the room is.
    pub(crate) fn resume(&mut self, held: Option<Version>) {
        let from = held.map_or(CatchUpFrom::Reset, |version| self.first_page(version));
        self.start_catch_up(from, None);
    }

    /// The references of the requests that are to be answered at the end of what is under way.
    pub(crate) fn into_pending_requests(self) -> impl Iterator<Item = String> {
        let catch_up = self.catch_up.map(|catch_up| *catch_up);
        catch_up
            .into_iter()
            .flat_map(|catch_up| catch_up.sync.into_iter().chain(catch_up.next.into_iter().filter_map(|(_, id)| id)))
    }

    /// Whether it reads on from the tail.
    pub(crate) fn is_on_tail(&self) -> bool {
        matches!(self.source, Source::Tail)
    }

    /// Whether the session is being caught up here.
    pub(crate) fn is_catching_up(&self) -> bool {
        self.catch_up.is_some()
    }

    /// A page came that was asked for. Says whether this cursor waited for it.
    pub(crate) fn accept_page(&mut self, want: &StoreRead, page: &Rc<Page>) -> bool {
        let waits = matches!(self.source, Source::Waiting)
            && match (want, &self.catch_up) {
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

    /// One's own reactions came that were asked for. Says whether this cursor waited for them.
    pub(crate) fn accept_reactions(&mut self, asked: &[MessageId], own: &OwnReactions) -> bool {
        let Some(catch_up) = &mut self.catch_up else { return false };
        if !matches!(self.source, Source::Waiting) || catch_up.reacted != asked {
            return false;
        }
        catch_up.reacted.clear();
        catch_up.own.extend(own.iter().map(|(message, emoji)| (*message, emoji.clone())));
        self.source = if catch_up.complete { Source::Reacted } else { Source::Pending };
        self.due = true;
        true
    }

    /// Gathers what comes next, as far as the batch reaches. What is needed from the store is added to `wants`.
    pub(crate) fn gather(&mut self, reader: Reader, tail: &Tail, batch: &mut Batch, wants: &mut Vec<StoreRead>) {
        while !batch.is_full() {
            let goes_on = match &self.source {
                Source::Waiting => false,
                Source::Tail => self.read_tail(reader, tail, batch, wants),
                Source::Pending => self.begin_page(tail, batch, wants),
                Source::CatchUpFromTail(until) => self.read_catch_up_tail(*until, reader, tail, batch, wants),
                Source::Page(page, next) => {
                    let (page, next) = (Rc::clone(page), *next);
                    self.read_page(&page, next, reader, batch, wants)
                }
                Source::Reacted => {
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

    fn read_tail(&mut self, reader: Reader, tail: &Tail, batch: &mut Batch, wants: &mut Vec<StoreRead>) -> bool {
        match tail.read_after(self.version) {
            TailRead::AtHead => false,
            TailRead::TooOld if reader.dialect == Dialect::V1 => {
                self.start_catch_up(CatchUpFrom::Since(self.version), None);
                true
            }
            TailRead::TooOld => {
                self.source = Source::Waiting;
                wants.push(StoreRead::Classic(self.room, (self.version, self.seq)));
                false
            }
            TailRead::Next(entry) => {
                self.version = entry.version;
                self.seq = self.seq.max(entry.last_seq);
                let frame = match reader.dialect {
                    Dialect::V1 => Some(&entry.v1),
                    Dialect::Classic => {
                        entry.classic.as_ref().filter(|_| entry.classic_only.is_none_or(|only| only == reader.user))
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

    /// Asks for the next page of a bracket, unless the tail has all that is to be brought.
    fn begin_page(&mut self, tail: &Tail, batch: &mut Batch, wants: &mut Vec<StoreRead>) -> bool {
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
        wants.push(StoreRead::Changes(self.room, from));
        self.source = Source::Waiting;
        false
    }

    /// The version that is to be caught up from, if the tail has all that came after it: an absence was short. A tail can
    /// be behind the snapshot that the session began with, or behind a page that the bracket began with, and then does
    /// not know. Of too many changes the store says that the room begins anew.
    fn tail_start(&self, tail: &Tail) -> Option<Version> {
        let catch_up = self.catch_up.as_ref().filter(|catch_up| !catch_up.opened)?;
        let (CatchUpFrom::Held(version) | CatchUpFrom::Since(version)) = catch_up.from else { return None };
        let knows = tail.head() >= self.version && tail.can_catch_up_from(version);
        (knows && tail.head().0 - version.0 <= u64::from(CATCH_UP_CHANGES_MAX)).then_some(version)
    }

    /// Asks for the first page of a bracket whose turn to be sent has not come yet.
    pub(crate) fn prefetch(&mut self, tail: &Tail, wants: &mut Vec<StoreRead>) {
        if let (Source::Pending, Some(catch_up)) = (&self.source, &self.catch_up)
            && self.tail_start(tail).is_none()
        {
            wants.push(StoreRead::Changes(self.room, catch_up.from));
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

    /// Brings the next message of the tail into the bracket, unless it comes again before the end.
    fn read_catch_up_tail(
        &mut self,
        until: Version,
        reader: Reader,
        tail: &Tail,
        batch: &mut Batch,
        wants: &mut Vec<StoreRead>,
    ) -> bool {
        let Some(catch_up) = &mut self.catch_up else {
            self.source = Source::Tail;
            return true;
        };
        let ahead = if self.version < until { tail.read_after(self.version) } else { TailRead::AtHead };
        match ahead {
            TailRead::Next(entry) => {
                (self.version, self.seq) = (entry.version, self.seq.max(entry.last_seq));
                if !tail.is_superseded(entry.version, until) {
                    if entry.has_reactions {
                        catch_up.reacted.push(entry.message);
                    }
                    batch.deliveries += 1;
                    batch.push(entry.v1_in_catch_up());
                }
                true
            }
            // Too slow for the tail by now.
            TailRead::TooOld => {
                catch_up.from = CatchUpFrom::Since(self.version);
                self.source = Source::Pending;
                true
            }
            TailRead::AtHead => self.request_reactions(true, reader, wants),
        }
    }

    fn read_page(
        &mut self,
        page: &Rc<Page>,
        next: usize,
        reader: Reader,
        batch: &mut Batch,
        wants: &mut Vec<StoreRead>,
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
                wants.push(StoreRead::Classic(self.room, page.reached));
                false
            }
            Some(catch_up) => {
                catch_up.reacted.extend(&page.reacted);
                catch_up.from = CatchUpFrom::Since(page.reached.0);
                if page.complete || catch_up.reacted.len() >= REACTED_MAX {
                    return self.request_reactions(page.complete, reader, wants);
                }
                self.source = Source::Pending;
                true
            }
        }
    }

    /// All, or enough for now, was brought: one's own reactions to it are asked for.
    fn request_reactions(&mut self, complete: bool, reader: Reader, wants: &mut Vec<StoreRead>) -> bool {
        let Some(catch_up) = &mut self.catch_up else { return false };
        catch_up.complete = complete;
        if catch_up.reacted.is_empty() {
            self.source = Source::Reacted;
            return true;
        }
        wants.push(StoreRead::Reactions(self.room, reader.user, catch_up.reacted.clone()));
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
