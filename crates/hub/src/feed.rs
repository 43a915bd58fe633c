//! The street from the store to the shards: commits come in order, are encoded once a dialect, and are
//! laid into each shard's inbox.

use std::sync::{Arc, Mutex, PoisonError};

use teahouse_core::{Audience, Change, Commit, LOBBY, Message, MessageChange, RoomId, Seq, UserId, Version};
use teahouse_protocol::{classic, v1};

use crate::inbox::{CoalesceKey, Delivery, Inbox, Notification, Recipients};
use crate::metrics::HubMetrics;
use crate::shard_of;
use crate::tail::EncodedChange;
use crate::websocket::text_frame;

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
    inboxes: Arc<[Arc<Inbox>]>,
    lobby: Arc<LobbyHead>,
    metrics: HubMetrics,
    /// What the commits at hand are for each shard; kept to keep its room.
    sorted: Vec<Vec<Delivery>>,
}

impl Feed {
    pub(crate) fn new(inboxes: Arc<[Arc<Inbox>]>, lobby: Arc<LobbyHead>, metrics: HubMetrics) -> Self {
        let sorted = inboxes.iter().map(|_| Vec::new()).collect();
        Self { inboxes, lobby, metrics, sorted }
    }

    /// These changes are durable, in this order. Returns at once. They are delivered when [`Feed::flush_notify`] says
    /// that whoever asked for them knows, so that both leave in one write.
    pub fn push_commits(&mut self, commits: Vec<Commit>) {
        for commit in commits {
            self.sort(commit);
        }
        for (inbox, deliveries) in self.inboxes.iter().zip(&mut self.sorted) {
            if !deliveries.is_empty() {
                inbox.push_deferred(deliveries.drain(..), &self.metrics);
            }
        }
    }

    /// Whoever asked for what was committed has been answered: now it is delivered.
    pub fn flush_notify(&mut self) {
        self.inboxes.iter().for_each(|inbox| inbox.flush_notify());
    }

    /// Encodes a commit, once for all sockets, and lays it out for the shards that it concerns.
    fn sort(&mut self, commit: Commit) {
        let Commit { room, audience, change } = commit;
        match change {
            Change::Message { message, last_seq, what } => self.message(room, &audience, &message, last_seq, &what),
            Change::Read { reader, seq, covers_others, visible_to_room } => {
                let v1 = Some(text_frame(&v1::read(room, reader, seq)));
                let key = CoalesceKey::Read(room, reader);
                match &audience {
                    Audience::Direct(pair) => {
                        for person in pair.iter() {
                            let is_author = covers_others && person.id != reader;
                            let classic = is_author.then(|| text_frame(&classic::message_read(room, reader)));
                            self.tell(Notification {
                                recipients: Recipients::User(person.id),
                                key,
                                classic,
                                v1: v1.clone(),
                            });
                        }
                    }
                    // Classic knows read marks in conversations only.
                    Audience::Room => {
                        let to = if visible_to_room { Recipients::Room(room) } else { Recipients::User(reader) };
                        self.tell(Notification { recipients: to, key, classic: None, v1 });
                    }
                }
            }
            Change::Entry { user, entry, requester } => {
                self.for_all(&Delivery::Member { user, entry: Arc::from(entry), requester });
            }
            Change::Left { user, members } => self.for_all(&Delivery::Left { room, user, members }),
            // Each member sees the room in their own way, so that the store is asked how.
            Change::Room { .. } => self.for_all(&Delivery::EntriesChanged(room)),
            Change::Profile(profile) => {
                // Everybody shares the lobby with everybody.
                let v1 = Some(text_frame(&v1::user(&profile)));
                self.tell(Notification {
                    recipients: Recipients::Everyone,
                    key: CoalesceKey::Profile(profile.id),
                    classic: None,
                    v1,
                });
            }
        }
    }

    fn message(&mut self, room: RoomId, audience: &Audience, message: &Message, last_seq: Seq, what: &MessageChange) {
        let receiver = audience.peer_of(message.sender.id);
        // Classic clients sit in the lobby and in direct rooms, and know no edit, no reaction, and no deletion in
        // a conversation; that they see at their next load.
        let classic = match (what, receiver) {
            (MessageChange::New, Some(receiver)) => Some(classic::private_message(message, receiver)),
            (MessageChange::New, None) if room == LOBBY => Some(classic::message(message)),
            (MessageChange::Delete { .. }, None) if room == LOBBY => Some(classic::message_deleted(message.id)),
            _ => None,
        };
        let entry = EncodedChange {
            version: message.version,
            last_seq,
            classic: classic.map(|text| text_frame(&text)),
            classic_only: receiver.map(|profile| profile.id),
            v1: text_frame(&v1::message(message, Some(what))),
            is_new: *what == MessageChange::New,
            message: message.id,
            author: message.sender.id,
            has_reactions: !message.reactions.is_empty(),
        };
        if room == LOBBY {
            self.lobby.move_to((entry.version, entry.last_seq));
        }
        let delivery = Delivery::RoomChange { room, change: entry };
        match audience {
            Audience::Room => self.for_all(&delivery),
            Audience::Direct(pair) => {
                let [low, high] = [pair[0].id, pair[1].id].map(|user| self.shard(user));
                if high != low {
                    self.sorted[high].push(delivery.clone());
                }
                self.sorted[low].push(delivery);
            }
        }
    }

    fn tell(&mut self, told: Notification) {
        match told.recipients {
            Recipients::User(user) => {
                let shard = self.shard(user);
                self.sorted[shard].push(Delivery::Notification(told));
            }
            Recipients::Everyone | Recipients::Room(_) => self.for_all(&Delivery::Notification(told)),
        }
    }

    fn for_all(&mut self, delivery: &Delivery) {
        self.sorted.iter_mut().for_each(|shard| shard.push(delivery.clone()));
    }

    fn shard(&self, user: UserId) -> usize {
        shard_of(user, self.inboxes.len())
    }
}
