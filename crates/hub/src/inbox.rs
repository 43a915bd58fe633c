//! The letter box of a shard: what is laid into it waits in order until the shard takes it. Nobody ever
//! waits to put something in: what there is no room for is noted, so that the shard mends it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use bytes::Bytes;
use teahouse_core::{RoomEntry, RoomId, Seq, SessionId, UserId, Version};
use tokio::sync::Notify;

use crate::maps::{HashMap, HashSet};
use crate::metrics::HubMetrics;
use crate::tail::EncodedChange;

/// What a shard is told.
#[derive(Clone, Debug)]
pub(crate) enum Delivery {
    /// A room's messages changed.
    RoomChange { room: RoomId, change: EncodedChange },
    /// Something outside of any room's order, for whom it concerns.
    Notification(Notification),
    /// The room as a member sees it is new or changed.
    Member { user: UserId, entry: Arc<RoomEntry>, requester: Option<SessionId> },
    /// Somebody is no longer in a room.
    Left { room: RoomId, user: UserId, members: u32 },
    /// All members see a room in another way than before.
    EntriesChanged(RoomId),
    /// Somebody is typing, or no longer. Not noted when there is no room: it is over in seconds anyway.
    Typing { room: RoomId, user: UserId, on: bool },
}

/// Something that sessions are told outside of any room's order.
#[derive(Clone, Debug)]
pub(crate) struct Notification {
    pub(crate) recipients: Recipients,
    pub(crate) key: CoalesceKey,
    /// The frame for classic sessions, if they are told.
    pub(crate) classic: Option<Bytes>,
    /// The frame for v1 sessions, if they are told.
    pub(crate) v1: Option<Bytes>,
}

/// Whose sessions are told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Recipients {
    Everyone,
    User(UserId),
    /// The v1 sessions of a room's members.
    Room(RoomId),
}

/// What something is about. Of what is about the same, only the newest is told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum CoalesceKey {
    /// How far somebody has read a room.
    Read(RoomId, UserId),
    /// The room as oneself sees it: in it, or no longer.
    Membership(RoomId),
    /// How a room looks to oneself.
    Entry(RoomId),
    Typing(RoomId),
    Presence(RoomId),
    /// Somebody's name and picture.
    Profile(UserId),
    /// What a backend published: each is its own, so that none takes another's place.
    Published,
}

/// A room of which changes were not laid into an inbox, because that was full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Gap {
    /// Where the room stood before the first change that is missing.
    pub(crate) before: (Version, Seq),
    /// Where it stands after the last one.
    pub(crate) head: (Version, Seq),
}

/// What a shard takes out of its inbox at once: the deliveries, then what is behind them.
#[derive(Debug, Default)]
pub(crate) struct InboxBatch {
    pub(crate) deliveries: Vec<Delivery>,
    /// By room and, in direct rooms, the only user whose classic sessions are concerned.
    pub(crate) gaps: HashMap<(RoomId, Option<UserId>), Gap>,
    /// The newest of what was to be told of each topic.
    pub(crate) notifications: HashMap<(Recipients, CoalesceKey), Notification>,
    /// Whoever was to be told of something that was published, and is not.
    pub(crate) events_dropped: HashSet<Recipients>,
    /// Rooms that look otherwise than before.
    pub(crate) entries_changed: HashSet<RoomId>,
    /// Whose membership changed in which room, without it being known how.
    pub(crate) membership_unknown: HashSet<(RoomId, UserId)>,
}

impl InboxBatch {
    fn is_behind(&self) -> bool {
        !(self.gaps.is_empty()
            && self.notifications.is_empty()
            && self.events_dropped.is_empty()
            && self.entries_changed.is_empty()
            && self.membership_unknown.is_empty())
    }

    fn push(&mut self, deliveries: impl Iterator<Item = Delivery>, deliveries_max: usize, metrics: &HubMetrics) {
        for delivery in deliveries {
            // Once something is behind, everything later goes behind it, so that order is kept.
            if !self.is_behind() && self.deliveries.len() < deliveries_max {
                self.deliveries.push(delivery);
            } else {
                metrics.inbox_gaps.inc();
                self.note(&delivery);
            }
        }
    }

    fn note(&mut self, delivery: &Delivery) {
        match delivery {
            Delivery::RoomChange { room, change } => {
                let head = (change.version, change.last_seq);
                let before = change.position_before();
                let key = (*room, change.classic_only.filter(|_| change.classic.is_some()));
                let gap = self.gaps.entry(key).or_insert(Gap { before, head });
                gap.head = (head.0, gap.head.1.max(head.1));
            }
            Delivery::Notification(told) if told.key == CoalesceKey::Published => {
                self.events_dropped.insert(told.recipients);
            }
            Delivery::Notification(told) => {
                let newest = self.notifications.entry((told.recipients, told.key)).or_insert_with(|| told.clone());
                // A mark that only oneself hears of does not make up for one that the author is to hear of.
                let classic = told.classic.clone().or(newest.classic.take());
                *newest = Notification { classic, ..told.clone() };
            }
            Delivery::Member { user, entry, .. } => {
                self.membership_unknown.insert((entry.id, *user));
            }
            Delivery::Left { room, user, .. } => {
                self.membership_unknown.insert((*room, *user));
            }
            Delivery::EntriesChanged(room) => {
                self.entries_changed.insert(*room);
            }
            Delivery::Typing { .. } => {}
        }
    }
}

impl CoalesceKey {
    /// The room that it is about, if it is about what one is told as a member of it.
    pub(crate) fn member_room(self) -> Option<RoomId> {
        match self {
            Self::Read(room, _)
            | Self::Membership(room)
            | Self::Entry(room)
            | Self::Typing(room)
            | Self::Presence(room) => Some(room),
            Self::Profile(_) | Self::Published => None,
        }
    }
}

/// The letter box of one shard.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// Guards what waits; held only to push or to swap, never across an await.
    laid: Mutex<InboxState>,
    bell: Notify,
    deliveries_max: usize,
}

#[derive(Debug, Default)]
struct InboxState {
    batch: InboxBatch,
    /// Whoever asked for some of it is being answered, and somebody rings when that is done.
    flush_pending: bool,
}

impl Inbox {
    pub(crate) fn new(deliveries_max: usize) -> Self {
        Self { laid: Mutex::default(), bell: Notify::new(), deliveries_max }
    }

    /// Takes everything out.
    pub(crate) fn take(&self) -> InboxBatch {
        std::mem::take(&mut self.lock().batch)
    }

    /// Whether answers are on their way that are better taken together with what lies here. Then it rings soon.
    pub(crate) fn is_flush_pending(&self) -> bool {
        self.lock().flush_pending
    }

    /// Resolves when it was rung for since the last time.
    pub(crate) async fn notified(&self) {
        self.bell.notified().await;
    }

    /// Puts something in and rings.
    pub(crate) fn push(&self, deliveries: &[Delivery], metrics: &HubMetrics) {
        self.lock().batch.push(deliveries.iter().cloned(), self.deliveries_max, metrics);
        self.bell.notify_one();
    }

    /// Puts something in and does not ring before [`Inbox::flush_notify`]. The shard may find it sooner.
    pub(crate) fn push_deferred(&self, deliveries: impl Iterator<Item = Delivery>, metrics: &HubMetrics) {
        let mut laid = self.lock();
        laid.batch.push(deliveries, self.deliveries_max, metrics);
        laid.flush_pending = true;
    }

    /// Whoever asked for what was laid in, if anything was, has been answered: it rings.
    pub(crate) fn flush_notify(&self) {
        let was_laid = std::mem::take(&mut self.lock().flush_pending);
        if was_laid {
            self.bell.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, InboxState> {
        // Nothing in a critical section can leave the mail half-changed, so a poisoned lock is still good.
        self.laid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Some of the shard's work came to its end. It rings, unless that is one of the answers that are rung for together.
impl Wake for Inbox {
    fn wake(self: Arc<Self>) {
        if !self.is_flush_pending() {
            self.bell.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(key: CoalesceKey, text: &'static str) -> Delivery {
        let v1 = Some(Bytes::from_static(text.as_bytes()));
        Delivery::Notification(Notification { recipients: Recipients::User(UserId(7)), key, classic: None, v1 })
    }

    #[test]
    fn what_there_is_no_room_for_is_noted_and_keeps_its_place() {
        let inbox = Inbox::new(1);
        let entry = |version, seq| EncodedChange::silent(Version(version), Seq(seq));
        let room = |version, seq| Delivery::RoomChange { room: RoomId(5), change: entry(version, seq) };
        let metrics = HubMetrics::default();
        inbox.push(&[room(4, 3), room(5, 4), room(6, 4), told(CoalesceKey::Published, "x")], &metrics);
        inbox.push(&[told(CoalesceKey::Typing(RoomId(5)), "a"), told(CoalesceKey::Typing(RoomId(5)), "b")], &metrics);
        inbox.push(&[Delivery::Left { room: RoomId(5), user: UserId(9), members: 1 }], &metrics);
        let mail = inbox.take();
        assert_eq!(mail.deliveries.len(), 1);
        let gap = Gap { before: (Version(4), Seq(3)), head: (Version(6), Seq(4)) };
        assert_eq!(mail.gaps, HashMap::from_iter([((RoomId(5), None), gap)]));
        let newest = mail.notifications.values().filter_map(|told| told.v1.as_deref()).collect::<Vec<_>>();
        assert_eq!(newest, [b"b"]);
        assert_eq!(mail.events_dropped, HashSet::from_iter([Recipients::User(UserId(7))]));
        assert_eq!(mail.membership_unknown, HashSet::from_iter([(RoomId(5), UserId(9))]));
        inbox.push(&[room(7, 5)], &metrics);
        assert_eq!(inbox.take().deliveries.len(), 1);
    }
}
