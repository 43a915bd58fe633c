//! A shard's inbox: a bounded queue of deliveries that the shard takes in batches.
//!
//! Pushing never waits. The queue is bounded by deliveries and by bytes. A delivery that does not fit is recorded as a
//! gap, and the shard reads the store instead.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use bytes::Bytes;
use teahouse_core::{Message, RoomEntry, RoomId, Seq, SessionId, UserId, Version};
use tokio::sync::Notify;

use crate::maps::{HashMap, HashSet};
use crate::metrics::HubMetrics;
use crate::options::HubOptions;
use crate::tail::EncodedChange;

/// A delivery to a shard.
#[derive(Clone, Debug)]
pub(crate) enum Delivery {
    /// A room's messages changed.
    RoomChange { room: RoomId, change: EncodedChange },
    /// An envelope outside of any room's order.
    Notification(Notification),
    /// A user became a member, or the member's view of the room changed.
    Member { user: UserId, entry: Arc<RoomEntry>, requester: Option<SessionId> },
    /// A user is no longer in a room.
    Left { room: RoomId, user: UserId, members: u32 },
    /// A user declined the request of a direct room, which their sessions no longer show.
    Hidden { room: RoomId, user: UserId },
    /// Kept for a session that waits for its welcome: a direct room changed, and was at `before` until then.
    Unlisted { room: RoomId, before: (Version, Seq) },
    /// The room's entry changed for all members.
    EntriesChanged(RoomId),
    /// A user is typing, or no longer. Dropped when the inbox is full: it expires in seconds.
    Typing { room: RoomId, user: UserId, on: bool },
}

/// An envelope for sessions outside of any room's order.
#[derive(Clone, Debug)]
pub(crate) struct Notification {
    pub(crate) recipients: Recipients,
    pub(crate) key: CoalesceKey,
    /// The frame for classic sessions, if they receive it.
    pub(crate) classic: Option<Bytes>,
    /// The frame for v1 sessions, if they receive it.
    pub(crate) v1: Option<Bytes>,
}

/// The sessions that receive a notification.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Recipients {
    Everyone,
    User(UserId),
    /// The v1 sessions of a room's members.
    Room(RoomId),
}

/// The subject of a notification. Of two notifications with the same key only the newer one is sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum CoalesceKey {
    /// Up to where this user has read a room.
    Read(RoomId, UserId),
    /// Whether the session's user is in the room.
    Membership(RoomId),
    /// An invite to the room, or that it was declined.
    Invite(RoomId),
    /// The room's entry as the session's user sees it.
    Entry(RoomId),
    Typing(RoomId),
    Presence(RoomId),
    /// A user's name and picture.
    Profile(UserId),
    /// An event of a site's backend. These never replace each other.
    Published,
}

/// The changes of a room that did not fit into an inbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Gap {
    /// The room's position before the first missing change.
    pub(crate) before: (Version, Seq),
    /// The room's position after the last missing change.
    pub(crate) head: (Version, Seq),
    /// The two users of a direct room.
    pub(crate) pair: Option<[UserId; 2]>,
}

impl Delivery {
    /// The bytes that it adds to an inbox after another delivery. Shards share the frames, and each counts them in full.
    fn bytes_after(&self, before: Option<&Self>) -> usize {
        let more = match self {
            Self::RoomChange { change, .. } => change.bytes(),
            Self::Notification(Notification { classic, v1, .. }) => {
                // An event that is published to many users is one frame.
                let is_shared = matches!(before, Some(Self::Notification(before)) if is_same(&before.v1, v1));
                if is_shared { 0 } else { [classic, v1].into_iter().flatten().map(Bytes::len).max().unwrap_or(0) }
            }
            Self::Member { entry, .. } => {
                let last_message = entry.last_message.as_ref().map_or(0, Message::size);
                let peer = entry.peer.as_ref().map_or(0, |(peer, _)| peer.size());
                let reads = size_of_val(entry.reads.as_slice());
                size_of::<RoomEntry>() + entry.title.len() + last_message + peer + reads
            }
            Self::Left { .. }
            | Self::Hidden { .. }
            | Self::Unlisted { .. }
            | Self::EntriesChanged(_)
            | Self::Typing { .. } => 0,
        };
        size_of::<Self>() + more
    }
}

/// Whether two frames are one in memory.
fn is_same(one: &Option<Bytes>, other: &Option<Bytes>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one.as_ptr() == other.as_ptr())
}

/// The bounds of an inbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InboxMax {
    pub(crate) deliveries: usize,
    pub(crate) bytes: usize,
}

impl InboxMax {
    pub(crate) fn new(options: &HubOptions) -> Self {
        Self { deliveries: options.inbox_commits_max, bytes: options.inbox_bytes_max }
    }
}

/// The contents of an inbox, which a shard takes at once: the deliveries, then the records of those that did not fit.
#[derive(Debug, Default)]
pub(crate) struct InboxBatch {
    pub(crate) deliveries: Vec<Delivery>,
    /// The bytes of these deliveries.
    bytes: usize,
    /// By room and, in a direct room, the only user whose classic sessions are concerned.
    pub(crate) gaps: HashMap<(RoomId, Option<UserId>), Gap>,
    /// The newest notification of each key.
    pub(crate) notifications: HashMap<(Recipients, CoalesceKey), Notification>,
    /// The recipients of published events that were dropped.
    pub(crate) events_dropped: HashSet<Recipients>,
    /// Rooms whose entry changed.
    pub(crate) entries_changed: HashSet<RoomId>,
    /// Memberships that changed in an unknown way.
    pub(crate) membership_unknown: HashSet<(RoomId, UserId)>,
}

impl InboxBatch {
    fn has_overflow(&self) -> bool {
        !(self.gaps.is_empty()
            && self.notifications.is_empty()
            && self.events_dropped.is_empty()
            && self.entries_changed.is_empty()
            && self.membership_unknown.is_empty())
    }

    fn push(&mut self, deliveries: impl Iterator<Item = Delivery>, max: InboxMax, metrics: &HubMetrics) {
        for delivery in deliveries {
            // After an overflow all later deliveries overflow too, which keeps their order.
            let has_overflow = self.has_overflow();
            if !has_overflow && self.deliveries.len() < max.deliveries && self.bytes < max.bytes {
                self.bytes += delivery.bytes_after(self.deliveries.last());
                self.deliveries.push(delivery);
                continue;
            }
            if !has_overflow && self.bytes >= max.bytes {
                metrics.bounds.record("hub.inbox_bytes_max", self.bytes as u64);
            }
            metrics.inbox_gaps.inc();
            self.record_overflow(&delivery);
        }
    }

    fn record_overflow(&mut self, delivery: &Delivery) {
        match delivery {
            Delivery::RoomChange { room, change } => {
                let head = (change.version, change.last_seq);
                let before = change.position_before();
                let key = (*room, change.receiver.filter(|_| change.classic.is_some()));
                let gap = self.gaps.entry(key).or_insert(Gap { before, head, pair: change.pair() });
                gap.head = (head.0, gap.head.1.max(head.1));
            }
            Delivery::Notification(dropped) if dropped.key == CoalesceKey::Published => {
                self.events_dropped.insert(dropped.recipients);
            }
            Delivery::Notification(newer) => {
                let newest = self.notifications.entry((newer.recipients, newer.key)).or_insert_with(|| newer.clone());
                // A read mark without a classic frame must not replace one that the author has to receive.
                let classic = newer.classic.clone().or(newest.classic.take());
                *newest = Notification { classic, ..newer.clone() };
            }
            Delivery::Member { user, entry, .. } => {
                self.membership_unknown.insert((entry.id, *user));
            }
            Delivery::Left { room, user, .. } | Delivery::Hidden { room, user } => {
                self.membership_unknown.insert((*room, *user));
            }
            Delivery::EntriesChanged(room) => {
                self.entries_changed.insert(*room);
            }
            // Only sessions keep those.
            Delivery::Unlisted { .. } => {}
            Delivery::Typing { .. } => {}
        }
    }
}

impl CoalesceKey {
    /// The room that it is about, if only members of that room receive it.
    pub(crate) fn member_room(self) -> Option<RoomId> {
        match self {
            Self::Read(room, _)
            | Self::Membership(room)
            | Self::Entry(room)
            | Self::Typing(room)
            | Self::Presence(room) => Some(room),
            Self::Invite(_) | Self::Profile(_) | Self::Published => None,
        }
    }
}

/// The inbox of one shard.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// Held only to push or to swap, never across an await.
    state: Mutex<InboxState>,
    notify: Notify,
    max: InboxMax,
}

#[derive(Debug, Default)]
struct InboxState {
    batch: InboxBatch,
    /// The feed pushed deliveries whose requests the store still answers; `flush_notify` follows.
    flush_pending: bool,
}

impl Inbox {
    pub(crate) fn new(max: InboxMax) -> Self {
        Self { state: Mutex::default(), notify: Notify::new(), max }
    }

    /// Takes everything out.
    pub(crate) fn take(&self) -> InboxBatch {
        std::mem::take(&mut self.lock().batch)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        let batch = &self.lock().batch;
        batch.deliveries.is_empty() && !batch.has_overflow()
    }

    /// Whether a [`Inbox::flush_notify`] follows soon. Responses that complete until then are better taken together
    /// with the deliveries that wait here.
    pub(crate) fn is_flush_pending(&self) -> bool {
        self.lock().flush_pending
    }

    /// Resolves when the inbox has been notified since the last call.
    pub(crate) async fn notified(&self) {
        self.notify.notified().await;
    }

    /// Pushes deliveries and notifies the shard.
    pub(crate) fn push(&self, deliveries: &[Delivery], metrics: &HubMetrics) {
        self.lock().batch.push(deliveries.iter().cloned(), self.max, metrics);
        self.notify.notify_one();
    }

    /// Pushes deliveries without notifying the shard before [`Inbox::flush_notify`]. The shard may take them sooner.
    pub(crate) fn push_deferred(&self, deliveries: impl Iterator<Item = Delivery>, metrics: &HubMetrics) {
        let mut state = self.lock();
        state.batch.push(deliveries, self.max, metrics);
        state.flush_pending = true;
    }

    /// Notifies the shard if deliveries were pushed by [`Inbox::push_deferred`].
    pub(crate) fn flush_notify(&self) {
        let was_pending = std::mem::take(&mut self.lock().flush_pending);
        if was_pending {
            self.notify.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, InboxState> {
        // No critical section leaves the batch half-changed, so a poisoned lock is still usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Some of the shard's work completed. The shard is notified, unless a [`Inbox::flush_notify`] follows anyway.
impl Wake for Inbox {
    fn wake(self: Arc<Self>) {
        if !self.is_flush_pending() {
            self.notify.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(key: CoalesceKey, text: &'static str) -> Delivery {
        let v1 = Some(Bytes::from_static(text.as_bytes()));
        Delivery::Notification(Notification { recipients: Recipients::User(UserId(7)), key, classic: None, v1 })
    }

    #[test]
    fn deliveries_that_do_not_fit_are_recorded_in_order() {
        let inbox = Inbox::new(InboxMax { deliveries: 1, bytes: 1000 });
        let change = |version, seq| EncodedChange::silent(Version(version), Seq(seq));
        let room = |version, seq| Delivery::RoomChange { room: RoomId(5), change: change(version, seq) };
        let metrics = HubMetrics::default();
        inbox.push(&[room(4, 3), room(5, 4), room(6, 4), notification(CoalesceKey::Published, "x")], &metrics);
        inbox.push(
            &[notification(CoalesceKey::Typing(RoomId(5)), "a"), notification(CoalesceKey::Typing(RoomId(5)), "b")],
            &metrics,
        );
        inbox.push(&[Delivery::Left { room: RoomId(5), user: UserId(9), members: 1 }], &metrics);
        let batch = inbox.take();
        assert_eq!(batch.deliveries.len(), 1);
        let gap = Gap { before: (Version(4), Seq(3)), head: (Version(6), Seq(4)), pair: None };
        assert_eq!(batch.gaps, HashMap::from_iter([((RoomId(5), None), gap)]));
        let newest = batch.notifications.values().filter_map(|newest| newest.v1.as_deref()).collect::<Vec<_>>();
        assert_eq!(newest, [b"b"]);
        assert_eq!(batch.events_dropped, HashSet::from_iter([Recipients::User(UserId(7))]));
        assert_eq!(batch.membership_unknown, HashSet::from_iter([(RoomId(5), UserId(9))]));
        inbox.push(&[room(7, 5)], &metrics);
        assert_eq!(inbox.take().deliveries.len(), 1);
    }

    #[test]
    fn long_deliveries_fill_the_inbox_before_many_do() {
        let inbox = Inbox::new(InboxMax { deliveries: 100, bytes: 10_000 });
        let metrics = HubMetrics::default();
        for version in 1..=20 {
            let v1 = Bytes::from(vec![b'x'; 4000]);
            let change = EncodedChange { v1, ..EncodedChange::silent(Version(version), Seq(version)) };
            inbox.push(&[Delivery::RoomChange { room: RoomId(5), change }], &metrics);
        }
        let batch = inbox.take();
        let gap = Gap { before: (Version(3), Seq(3)), head: (Version(20), Seq(20)), pair: None };
        assert_eq!((batch.deliveries.len(), batch.gaps), (3, HashMap::from_iter([((RoomId(5), None), gap)])));
        assert_eq!(metrics.bounds.times("hub.inbox_bytes_max"), 1);
        // The same event for many users is one.
        let v1 = Some(Bytes::from(vec![b'x'; 4000]));
        for user in 1..=20 {
            let (recipients, v1) = (Recipients::User(UserId(user)), v1.clone());
            let event = Notification { recipients, key: CoalesceKey::Published, classic: v1.clone(), v1 };
            inbox.push(&[Delivery::Notification(event)], &metrics);
        }
        assert_eq!(inbox.take().deliveries.len(), 20);
    }
}
