//! The letter box of a shard: what is laid into it waits in order until the shard takes it. Nobody ever
//! waits to put something in: what there is no room for is noted, so that the shard mends it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use bytes::Bytes;
use teahouse_core::{RoomEntry, RoomId, Seq, SessionId, UserId, Version};
use tokio::sync::Notify;

use crate::maps::{HashMap, HashSet};
use crate::metrics::HubMetrics;
use crate::tail::Entry;

/// What a shard is told.
#[derive(Clone, Debug)]
pub(crate) enum Delivery {
    /// A room's messages changed.
    Room { room: RoomId, entry: Entry },
    /// Something outside of any room's order, for whom it concerns.
    Told(Told),
    /// The room as a member sees it is new or changed.
    Member { user: UserId, entry: Arc<RoomEntry>, asker: Option<SessionId> },
    /// Somebody is no longer in a room.
    Left { room: RoomId, user: UserId, members: u32 },
    /// All members see a room in another way than before.
    Entries(RoomId),
    /// Somebody is typing, or no longer. Not noted when there is no room: it is over in seconds anyway.
    Typing { room: RoomId, user: UserId, on: bool },
}

/// Something that sessions are told outside of any room's order.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) to: To,
    pub(crate) topic: Topic,
    /// The frame for classic sessions, if they are told.
    pub(crate) classic: Option<Bytes>,
    /// The frame for v1 sessions, if they are told.
    pub(crate) v1: Option<Bytes>,
}

/// Whose sessions are told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum To {
    Everyone,
    User(UserId),
    /// The v1 sessions of a room's members.
    Room(RoomId),
}

/// What something is about. Of what is about the same, only the newest is told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Topic {
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
pub(crate) struct Mail {
    pub(crate) deliveries: Vec<Delivery>,
    /// By room and, in direct rooms, the only user whose classic sessions are concerned.
    pub(crate) gaps: HashMap<(RoomId, Option<UserId>), Gap>,
    /// The newest of what was to be told of each topic.
    pub(crate) told: HashMap<(To, Topic), Told>,
    /// Whoever was to be told of something that was published, and is not.
    pub(crate) missed: HashSet<To>,
    /// Rooms that look otherwise than before.
    pub(crate) entries: HashSet<RoomId>,
    /// Whose membership changed in which room, without it being known how.
    pub(crate) unsure: HashSet<(RoomId, UserId)>,
}

impl Mail {
    fn is_behind(&self) -> bool {
        !(self.gaps.is_empty()
            && self.told.is_empty()
            && self.missed.is_empty()
            && self.entries.is_empty()
            && self.unsure.is_empty())
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
            Delivery::Room { room, entry } => {
                let head = (entry.version, entry.last_seq);
                let before = entry.before();
                let key = (*room, entry.classic_only.filter(|_| entry.classic.is_some()));
                let gap = self.gaps.entry(key).or_insert(Gap { before, head });
                gap.head = (head.0, gap.head.1.max(head.1));
            }
            Delivery::Told(told) if told.topic == Topic::Published => {
                self.missed.insert(told.to);
            }
            Delivery::Told(told) => {
                let newest = self.told.entry((told.to, told.topic)).or_insert_with(|| told.clone());
                // A mark that only oneself hears of does not make up for one that the author is to hear of.
                let classic = told.classic.clone().or(newest.classic.take());
                *newest = Told { classic, ..told.clone() };
            }
            Delivery::Member { user, entry, .. } => {
                self.unsure.insert((entry.id, *user));
            }
            Delivery::Left { room, user, .. } => {
                self.unsure.insert((*room, *user));
            }
            Delivery::Entries(room) => {
                self.entries.insert(*room);
            }
            Delivery::Typing { .. } => {}
        }
    }
}

impl Topic {
    /// The room that it is about, if it is about what one is told as a member of it.
    pub(crate) fn room(self) -> Option<RoomId> {
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
    laid: Mutex<Laid>,
    bell: Notify,
    deliveries_max: usize,
}

#[derive(Debug, Default)]
struct Laid {
    mail: Mail,
    /// Whoever asked for some of it is being answered, and somebody rings when that is done.
    answers_follow: bool,
}

impl Inbox {
    pub(crate) fn new(deliveries_max: usize) -> Self {
        Self { laid: Mutex::default(), bell: Notify::new(), deliveries_max }
    }

    /// Takes everything out.
    pub(crate) fn take(&self) -> Mail {
        std::mem::take(&mut self.lock().mail)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        let mail = &self.lock().mail;
        mail.deliveries.is_empty() && !mail.is_behind()
    }

    /// Whether answers are on their way that are better taken together with what lies here. Then it rings soon.
    pub(crate) fn answers_follow(&self) -> bool {
        self.lock().answers_follow
    }

    /// Resolves when it was rung for since the last time.
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Puts something in and rings.
    pub(crate) fn put(&self, deliveries: &[Delivery], metrics: &HubMetrics) {
        self.lock().mail.push(deliveries.iter().cloned(), self.deliveries_max, metrics);
        self.bell.notify_one();
    }

    /// Puts something in and does not ring before [`Inbox::answered`]. The shard may find it sooner.
    pub(crate) fn lay(&self, deliveries: impl Iterator<Item = Delivery>, metrics: &HubMetrics) {
        let mut laid = self.lock();
        laid.mail.push(deliveries, self.deliveries_max, metrics);
        laid.answers_follow = true;
    }

    /// Whoever asked for what was laid in, if anything was, has been answered: it rings.
    pub(crate) fn answered(&self) {
        let was_laid = std::mem::take(&mut self.lock().answers_follow);
        if was_laid {
            self.bell.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Laid> {
        // Nothing in a critical section can leave the mail half-changed, so a poisoned lock is still good.
        self.laid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Some of the shard's work came to its end. It rings, unless that is one of the answers that are rung for together.
impl Wake for Inbox {
    fn wake(self: Arc<Self>) {
        if !self.answers_follow() {
            self.bell.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(topic: Topic, text: &'static str) -> Delivery {
        let v1 = Some(Bytes::from_static(text.as_bytes()));
        Delivery::Told(Told { to: To::User(UserId(7)), topic, classic: None, v1 })
    }

    #[test]
    fn what_there_is_no_room_for_is_noted_and_keeps_its_place() {
        let inbox = Inbox::new(1);
        let entry = |version, seq| Entry::bare(Version(version), Seq(seq));
        let room = |version, seq| Delivery::Room { room: RoomId(5), entry: entry(version, seq) };
        let metrics = HubMetrics::default();
        inbox.put(&[room(4, 3), room(5, 4), room(6, 4), told(Topic::Published, "x")], &metrics);
        inbox.put(&[told(Topic::Typing(RoomId(5)), "a"), told(Topic::Typing(RoomId(5)), "b")], &metrics);
        inbox.put(&[Delivery::Left { room: RoomId(5), user: UserId(9), members: 1 }], &metrics);
        let mail = inbox.take();
        assert_eq!(mail.deliveries.len(), 1);
        let gap = Gap { before: (Version(4), Seq(3)), head: (Version(6), Seq(4)) };
        assert_eq!(mail.gaps, HashMap::from_iter([((RoomId(5), None), gap)]));
        let newest = mail.told.values().filter_map(|told| told.v1.as_deref()).collect::<Vec<_>>();
        assert_eq!(newest, [b"b"]);
        assert_eq!(mail.missed, HashSet::from_iter([To::User(UserId(7))]));
        assert_eq!(mail.unsure, HashSet::from_iter([(RoomId(5), UserId(9))]));
        inbox.put(&[room(7, 5)], &metrics);
        assert_eq!(inbox.take().deliveries.len(), 1);
    }
}
