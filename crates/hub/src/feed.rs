//! The feed from the store to the shards: it receives commits in order, encodes each once for each dialect, and pushes
//! them into the inboxes of the shards that they concern. It never waits.

use std::sync::{Arc, Mutex, PoisonError};

use teahouse_core::{Audience, Change, Commit, LOBBY, Message, MessageChange, RoomId, Seq, UserId, Version};
use teahouse_protocol::{classic, v1};

use crate::inbox::{CoalesceKey, Delivery, Inbox, Notification, Recipients};
use crate::metrics::HubMetrics;
use crate::tail::EncodedChange;
use crate::websocket::text_frame;

/// The lobby's position after the newest commit. A handshake reads it before it is answered, so that its session
/// receives everything after that, however long the way to its shard is.
#[derive(Debug, Default)]
pub(crate) struct LobbyHead(Mutex<(Version, Seq)>);

impl LobbyHead {
    pub(crate) fn get(&self) -> (Version, Seq) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn advance(&self, (version, seq): (Version, Seq)) {
        let mut head = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *head = (head.0.max(version), head.1.max(seq));
    }
}

/// Receives the store's commits, and feeds them to the shards.
pub struct Feed {
    inboxes: Arc<[Arc<Inbox>]>,
    lobby: Arc<LobbyHead>,
    metrics: HubMetrics,
    /// The deliveries for each shard; kept for its capacity.
    per_shard: Vec<Vec<Delivery>>,
}

impl Feed {
    pub(crate) fn new(inboxes: Arc<[Arc<Inbox>]>, lobby: Arc<LobbyHead>, metrics: HubMetrics) -> Self {
        let per_shard = inboxes.iter().map(|_| Vec::new()).collect();
        Self { inboxes, lobby, metrics, per_shard }
    }

    /// Takes durable changes, in this order, and returns at once. The shards are notified by [`Feed::flush_notify`],
    /// after the requests that caused the changes were answered, so that both leave in one write.
    pub fn push_commits(&mut self, commits: Vec<Commit>) {
        for commit in commits {
            self.encode(commit);
        }
        for (inbox, deliveries) in self.inboxes.iter().zip(&mut self.per_shard) {
            if !deliveries.is_empty() {
                inbox.push_deferred(deliveries.drain(..), &self.metrics);
            }
        }
    }

    /// Notifies the shards of the changes that were pushed.
    pub fn flush_notify(&mut self) {
        self.inboxes.iter().for_each(|inbox| inbox.flush_notify());
    }

    /// Encodes a commit and distributes it over the shards that it concerns.
    fn encode(&mut self, commit: Commit) {
        let Commit { room, audience, change } = commit;
        match change {
            Change::Message { message, last_seq, what } => {
                self.encode_message(room, &audience, &message, last_seq, &what)
            }
            Change::Read { reader, seq, covers_others, visible_to_room } => {
                let v1 = Some(text_frame(&v1::read(room, reader, seq)));
                let key = CoalesceKey::Read(room, reader);
                match &audience {
                    Audience::Direct(pair) => {
                        for member in pair.iter() {
                            let is_author = covers_others && member.id != reader;
                            let classic = is_author.then(|| text_frame(&classic::message_read(room, reader)));
                            self.notify(Notification {
                                recipients: Recipients::User(member.id),
                                key,
                                classic,
                                v1: v1.clone(),
                            });
                        }
                    }
                    // The classic dialect has read marks in conversations only.
                    Audience::Room => {
                        let to = if visible_to_room { Recipients::Room(room) } else { Recipients::User(reader) };
                        self.notify(Notification { recipients: to, key, classic: None, v1 });
                    }
                }
            }
            Change::Entry { user, entry, requester } => {
                self.push_to_all(&Delivery::Member { user, entry: Arc::from(entry), requester });
            }
            Change::Invited { user, invite } => {
                let (recipients, key) = (Recipients::User(user), CoalesceKey::Invite(room));
                let v1 = Some(text_frame(&v1::invited(&invite)));
                self.notify(Notification { recipients, key, classic: None, v1 });
            }
            Change::Declined { user } => match audience {
                Audience::Direct(_) => {
                    let shard = self.shard_of(user);
                    self.per_shard[shard].push(Delivery::Hidden { room, user });
                }
                // No session is in the room: this takes the place of the `invited` that may still wait.
                Audience::Room => {
                    let (recipients, key) = (Recipients::User(user), CoalesceKey::Invite(room));
                    let v1 = Some(text_frame(&v1::removed(room)));
                    self.notify(Notification { recipients, key, classic: None, v1 });
                }
            },
            Change::Left { user, members } => self.push_to_all(&Delivery::Left { room, user, members }),
            // Every member has an entry of their own, so each shard reads them from the store.
            Change::Room { .. } => self.push_to_all(&Delivery::EntriesChanged(room)),
            Change::Profile(profile) => {
                // Every user shares the lobby with every other.
                let v1 = Some(text_frame(&v1::user(&profile)));
                self.notify(Notification {
                    recipients: Recipients::Everyone,
                    key: CoalesceKey::Profile(profile.id),
                    classic: None,
                    v1,
                });
            }
        }
    }

    fn encode_message(
        &mut self,
        room: RoomId,
        audience: &Audience,
        message: &Message,
        last_seq: Seq,
        what: &MessageChange,
    ) {
        let receiver = audience.peer_of(message.sender.id);
        // Classic clients are in the lobby and in direct rooms, and know no edits, no reactions, and no deletion in a
        // conversation. They see those with their next load.
        let classic = match (what, receiver) {
            (MessageChange::New, Some(receiver)) => Some(classic::private_message(message, receiver)),
            (MessageChange::New, None) if room == LOBBY => Some(classic::message(message)),
            (MessageChange::Delete { .. }, None) if room == LOBBY => Some(classic::message_deleted(message.id)),
            _ => None,
        };
        let (v1, whole) = match what {
            MessageChange::React { by, emoji, on } => {
                let whole = text_frame(&v1::message(message, None));
                (text_frame(&v1::change(message, *by, emoji, *on)), Some(whole))
            }
            _ => (text_frame(&v1::message(message, Some(what))), None),
        };
        let encoded = EncodedChange {
            version: message.version,
            last_seq,
            classic: classic.map(|text| text_frame(&text)),
            receiver: receiver.map(|profile| profile.id),
            v1,
            whole,
            is_new: *what == MessageChange::New,
            message: message.id,
            author: message.sender.id,
            has_reactions: !message.reactions.is_empty(),
        };
        if room == LOBBY {
            self.lobby.advance((encoded.version, encoded.last_seq));
        }
        let delivery = Delivery::RoomChange { room, change: encoded };
        match audience {
            Audience::Room => self.push_to_all(&delivery),
            Audience::Direct(pair) => {
                let [low, high] = [pair[0].id, pair[1].id].map(|user| self.shard_of(user));
                if high != low {
                    self.per_shard[high].push(delivery.clone());
                }
                self.per_shard[low].push(delivery);
            }
        }
    }

    fn notify(&mut self, notification: Notification) {
        match notification.recipients {
            Recipients::User(user) => {
                let shard = self.shard_of(user);
                self.per_shard[shard].push(Delivery::Notification(notification));
            }
            Recipients::Everyone | Recipients::Room(_) => self.push_to_all(&Delivery::Notification(notification)),
        }
    }

    fn push_to_all(&mut self, delivery: &Delivery) {
        self.per_shard.iter_mut().for_each(|shard| shard.push(delivery.clone()));
    }

    fn shard_of(&self, user: UserId) -> usize {
        crate::shard_of(user, self.inboxes.len())
    }
}
