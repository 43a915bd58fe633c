//! Who is connected: a plain state machine, `(state, input, now) → effects`. It knows neither sockets nor clocks.
//!
//! The first law lives here: the newest accepted session stays, leaving goes by session identity, and
//! a session that was displaced and leaves late changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use teahouse_core::{AcceptOrder, SessionId, UserId};

use crate::clock::MonotonicMs;
use crate::maps::HashMap;

/// What the world has to do after an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// This session has to make room for a newer one. It is no longer registered; close it with 4501.
    Displaced(SessionId),
    /// The user was offline and is online now.
    Online(UserId),
    /// The user was online and is offline now.
    Offline(UserId),
}

/// How a session went.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LeaveReason {
    /// It said goodbye (1000), or was ended for good (revoked, banned): the user is gone at once.
    Clean,
    /// It just went (a refresh, a lost network): the user stays online for the linger.
    Lost,
}

/// Whether a leave meant anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaveOutcome {
    /// The session was registered and no longer is.
    Left,
    /// It had been displaced or had left before: nothing changed.
    Stale,
}

#[derive(Debug)]
struct Registered {
    session: SessionId,
    accepted: AcceptOrder,
    device: Option<Box<str>>,
}

/// A user is here while online: with at least one session, or lingering after the last one.
#[derive(Debug, Default)]
struct Entry {
    sessions: Vec<Registered>,
    lingers_until: Option<MonotonicMs>,
}

/// The users of one shard and their live sessions.
#[derive(Debug)]
pub struct Registry {
    sessions_per_user: usize,
    linger: Duration,
    users: HashMap<UserId, Entry>,
    lingering: BTreeSet<(MonotonicMs, UserId)>,
    sessions: usize,
}

impl Registry {
    /// An empty registry that keeps at most `sessions_per_user` (at least one) live sessions of a user.
    #[must_use]
    pub fn new(sessions_per_user: usize, linger: Duration) -> Self {
        Self {
            sessions_per_user: sessions_per_user.max(1),
            linger,
            users: HashMap::default(),
            lingering: BTreeSet::new(),
            sessions: 0,
        }
    }

    /// A session arrives. A session of the same device makes room first, whichever of the two is newer
    /// stays; then the oldest ones beyond the allowed number go. That can be the arriving one itself,
    /// when its handshake was held up and newer ones overtook it.
    pub fn attach(
        &mut self,
        user: UserId,
        session: SessionId,
        accepted: AcceptOrder,
        device: Option<&str>,
        effects: &mut Vec<Effect>,
    ) {
        let entry = self.users.entry(user).or_insert_with(|| {
            effects.push(Effect::Online(user));
            Entry { sessions: Vec::with_capacity(1), lingers_until: None }
        });
        if let Some(until) = entry.lingers_until.take() {
            self.lingering.remove(&(until, user));
        }
        // Kept in the order of acceptance, so that the first one is always the oldest.
        let place = entry.sessions.partition_point(|other| other.accepted < accepted);
        entry.sessions.insert(place, Registered { session, accepted, device: device.map(Into::into) });
        self.sessions += 1;

        if device.is_some() {
            let newest = entry.sessions.iter().rposition(|other| other.device.as_deref() == device);
            let mut index = 0;
            entry.sessions.retain(|other| {
                let stays = other.device.as_deref() != device || Some(index) == newest;
                index += 1;
                if !stays {
                    effects.push(Effect::Displaced(other.session));
                    self.sessions -= 1;
                }
                stays
            });
        }
        while entry.sessions.len() > self.sessions_per_user {
            let oldest = entry.sessions.remove(0);
            effects.push(Effect::Displaced(oldest.session));
            self.sessions -= 1;
        }
    }

    /// A session leaves: only if it is registered now, and only it.
    pub fn leave(
        &mut self,
        now: MonotonicMs,
        user: UserId,
        session: SessionId,
        farewell: LeaveReason,
        effects: &mut Vec<Effect>,
    ) -> LeaveOutcome {
        let Some(entry) = self.users.get_mut(&user) else { return LeaveOutcome::Stale };
        let Some(place) = entry.sessions.iter().position(|other| other.session == session) else {
            return LeaveOutcome::Stale;
        };
        entry.sessions.remove(place);
        self.sessions -= 1;
        if entry.sessions.is_empty() {
            if farewell == LeaveReason::Clean || self.linger.is_zero() {
                self.users.remove(&user);
                effects.push(Effect::Offline(user));
            } else {
                let until = now.plus(self.linger);
                entry.lingers_until = Some(until);
                self.lingering.insert((until, user));
            }
        }
        LeaveOutcome::Left
    }

    /// Time passes: whoever lingered long enough is offline.
    pub fn tick(&mut self, now: MonotonicMs, effects: &mut Vec<Effect>) {
        while let Some(&(until, user)) = self.lingering.first() {
            if until > now {
                break;
            }
            self.lingering.pop_first();
            self.users.remove(&user);
            effects.push(Effect::Offline(user));
        }
    }

    /// Distinct users online, the lingering ones included.
    #[must_use]
    pub fn users_online(&self) -> usize {
        self.users.len()
    }

    /// Live sessions.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// Everybody who is online, in no order.
    pub fn online(&self) -> impl Iterator<Item = UserId> + '_ {
        self.users.keys().copied()
    }

    /// The live sessions of a user, oldest first.
    pub fn sessions_of(&self, user: UserId) -> impl Iterator<Item = SessionId> + '_ {
        self.users.get(&user).into_iter().flat_map(|entry| entry.sessions.iter().map(|one| one.session))
    }
}

#[cfg(test)]
mod tests;
