//! The street from the store to the shards: commits come in order, are encoded once a dialect, and are
//! laid into each shard's inbox. Nobody ever waits on it: what an inbox has no room for is noted as a gap.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use teahouse_core::{Audience, Change, Commit, LOBBY, RoomId, Seq, UserId, Version};
use teahouse_protocol::classic;
use tokio::sync::Notify;

use crate::metrics::HubMetrics;
use crate::shard_of;
use crate::tail::Entry;
use crate::websocket;

/// What a shard is told.
#[derive(Clone, Debug)]
pub(crate) enum Delivery {
    /// A room changed.
    Room { room: RoomId, receivers: Receivers, entry: Entry },
    /// Something to tell the sessions of one user, outside of any room's order. A later one of the
    /// same kind takes the place of one that still waits.
    User { user: UserId, kind: (RoomId, UserId), frame: Bytes },
}

/// Whose sessions a room's change concerns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Receivers {
    /// Everybody who is subscribed.
    Subscribers,
    /// Only this user's, of those on the classic dialect.
    Only(UserId),
}

/// A room of which changes were not laid into an inbox, because that was full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Gap {
    /// Where the room stood before the first change that is missing.
    pub(crate) before: (Version, Seq),
    /// Where it stands after the last one.
    pub(crate) head: (Version, Seq),
    pub(crate) receivers: Receivers,
}

/// What a shard takes out of its inbox at once: the deliveries, then the gaps behind them.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) gaps: HashMap<(RoomId, Option<UserId>), Gap>,
    /// What was for users alone while there was no room; the newest of each kind.
    pub(crate) overflow: HashMap<(UserId, RoomId, UserId), Bytes>,
}

/// The letter box of one shard.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// Guards what waits; held only to push or to swap, never across an await.
    mail: Mutex<Mail>,
    bell: Notify,
    deliveries_max: usize,
}

impl Inbox {
    pub(crate) fn new(deliveries_max: usize) -> Self {
        Self { mail: Mutex::default(), bell: Notify::new(), deliveries_max }
    }

    /// Takes everything out.
    pub(crate) fn take(&self) -> Mail {
        std::mem::take(&mut *self.lock())
    }

    /// Resolves when something was put in since the last time.
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }

    fn put(&self, deliveries: &[Delivery], metrics: &HubMetrics) {
        {
            let mut mail = self.lock();
            for delivery in deliveries {
                // Once there is a gap, everything later goes behind it, so that order is kept.
                let gapped = !mail.gaps.is_empty() || !mail.overflow.is_empty();
                if !gapped && mail.deliveries.len() < self.deliveries_max {
                    mail.deliveries.push(delivery.clone());
                } else {
                    metrics.inbox_gaps.inc();
                    mail.note_gap(delivery);
                }
            }
        }
        self.bell.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        // Nothing in a critical section can leave the mail half-changed, so a poisoned lock is still good.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mail {
    fn note_gap(&mut self, delivery: &Delivery) {
        match delivery {
            // A change that concerns one user's classic sessions, and of which that dialect says nothing.
            Delivery::Room { receivers: Receivers::Only(_), entry: Entry { classic: None, .. }, .. } => {}
            Delivery::Room { room, receivers, entry } => {
                let key = match receivers {
                    Receivers::Subscribers => (*room, None),
                    Receivers::Only(user) => (*room, Some(*user)),
                };
                let head = (entry.version, entry.last_seq);
                let before = (Version(entry.version.0 - 1), Seq(entry.last_seq.0.saturating_sub(1)));
                self.gaps.entry(key).and_modify(|gap| gap.head = (head.0, gap.head.1.max(head.1))).or_insert(Gap {
                    before,
                    head,
                    receivers: *receivers,
                });
            }
            Delivery::User { user, kind, frame } => {
                self.overflow.insert((*user, kind.0, kind.1), frame.clone());
            }
        }
    }
}

/// Where the lobby stands by the newest commit, for sessions that are about to begin: one that was told
/// "welcome" hears everything that is said from then on, however long its way to its shard is.
#[derive(Debug, Default)]
pub(crate) struct LobbyHead(Mutex<(Version, Seq)>);

impl LobbyHead {
    pub(crate) fn get(&self) -> (Version, Seq) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn move_to(&self, (version, seq): (Version, Seq)) {
        let mut head = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *head = (head.0.max(version), head.1.max(seq));
    }
}

/// The feed's end at the store. Give it to the store as its sink.
pub struct Feed {
    inboxes: Vec<Arc<Inbox>>,
    lobby: Arc<LobbyHead>,
    metrics: HubMetrics,
    /// What the commits at hand are for each shard; kept to keep its room.
    sorted: Vec<Vec<Delivery>>,
}

impl Feed {
    pub(crate) fn new(inboxes: Vec<Arc<Inbox>>, lobby: Arc<LobbyHead>, metrics: HubMetrics) -> Self {
        let sorted = inboxes.iter().map(|_| Vec::new()).collect();
        Self { inboxes, lobby, metrics, sorted }
    }

    /// These changes are durable, in this order. Returns at once.
    pub fn committed(&mut self, commits: &[Commit]) {
        for commit in commits {
            self.sort(commit);
        }
        for (inbox, deliveries) in self.inboxes.iter().zip(&mut self.sorted) {
            if !deliveries.is_empty() {
                inbox.put(deliveries, &self.metrics);
                deliveries.clear();
            }
        }
    }

    /// Encodes a commit, once for all sockets, and lays it out for the shards that it concerns.
    fn sort(&mut self, commit: &Commit) {
        match (&commit.change, &commit.audience) {
            (Change::Posted(message) | Change::Deleted(message), audience) => {
                let (classic, receivers) = match (&commit.change, audience.peer_of(message.sender.id)) {
                    (Change::Posted(_), Some(receiver)) => {
                        (Some(classic::private_message(message, receiver)), Receivers::Only(receiver.id))
                    }
                    (Change::Posted(_), None) => (Some(classic::message(message)), Receivers::Subscribers),
                    // The classic front end knows no deletion in a conversation; it sees it at its next load.
                    (_, Some(receiver)) => (None, Receivers::Only(receiver.id)),
                    (_, None) => (Some(classic::message_deleted(message.id)), Receivers::Subscribers),
                };
                let classic_only = match receivers {
                    Receivers::Subscribers => None,
                    Receivers::Only(user) => Some(user),
                };
                let entry = Entry {
                    version: message.version,
                    last_seq: message.seq,
                    classic: classic.map(|text| websocket::text_frame(&text)),
                    classic_only,
                };
                if commit.room == LOBBY {
                    self.lobby.move_to((message.version, message.seq));
                }
                let delivery = Delivery::Room { room: commit.room, receivers, entry };
                match receivers {
                    Receivers::Subscribers => self.sorted.iter_mut().for_each(|shard| shard.push(delivery.clone())),
                    Receivers::Only(user) => self.sorted[shard_of(user, self.inboxes.len())].push(delivery),
                }
            }
            (Change::Read { reader, .. }, audience @ Audience::Direct(_)) => {
                if let Some(author) = audience.peer_of(*reader) {
                    let frame = websocket::text_frame(&classic::message_read(commit.room, *reader));
                    let delivery = Delivery::User { user: author.id, kind: (commit.room, *reader), frame };
                    self.sorted[shard_of(author.id, self.inboxes.len())].push(delivery);
                }
            }
            // Classic knows read marks in conversations only.
            (Change::Read { .. }, Audience::Room) => {}
        }
    }
}
