//! Who is connected: a pure state machine, `(state, input, now) → effects`, without sockets and clocks.
//!
//! The first law lives here: the newest accepted session of a device stays, a session leaves by its own identity, and a
//! displaced session that leaves late changes nothing.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::time::Duration;

use teahouse_core::{AcceptOrder, SessionId, UserId};

use crate::clock::MonotonicMs;
use crate::maps::HashMap;

/// An action that the shard has to take after an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// A newer session displaced this one. It is no longer registered; close it with 4501.
    Displaced(SessionId),
    /// The user was offline and is online now.
    Online(UserId),
    /// The user was online and is offline now.
    Offline(UserId),
}

/// The reason why a session left.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LeaveReason {
    /// The client closed it (1000), or it ended for good (revoked, banned): the user is offline at once.
    Clean,
    /// The connection was lost (a refresh, the network): the user stays online for the linger.
    Lost,
}

/// Whether a leave changed anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaveOutcome {
    /// The session was registered and no longer is.
    Left,
    /// The session had been displaced or had left before: nothing changed.
    Stale,
}

/// The device of a user that a session belongs to. A device has at most one session.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Device {
    /// All classic sessions of a user belong to this one.
    Classic,
    /// The v1 sessions that give this name.
    Named(Box<str>),
    /// A v1 session without a name, which is a device of its own.
    Unnamed,
}

impl Device {
    fn is_same(&self, other: &Self) -> bool {
        self == other && *self != Self::Unnamed
    }
}

#[derive(Debug)]
struct Registered {
    session: SessionId,
    accepted: AcceptOrder,
    device: Device,
}

/// A user with at least one session, or lingering after the last one.
#[derive(Debug, Default)]
struct OnlineUser {
    /// One for each device, ordered by acceptance: the first one is the oldest.
    sessions: Vec<Registered>,
    /// Without sessions: until when the user stays online.
    lingers_until: MonotonicMs,
}

/// The users of one shard and their live sessions.
#[derive(Debug)]
pub struct Registry {
    devices_per_user: usize,
    linger: Duration,
    users: HashMap<UserId, OnlineUser>,
    lingering: BTreeSet<(MonotonicMs, UserId)>,
    sessions: usize,
}

impl Registry {
    /// An empty registry that keeps the sessions of at most `devices_per_user` (at least one) devices of a user.
    #[must_use]
    pub fn new(devices_per_user: usize, linger: Duration) -> Self {
        Self {
            devices_per_user: devices_per_user.max(1),
            linger,
            users: HashMap::default(),
            lingering: BTreeSet::new(),
            sessions: 0,
        }
    }

    /// Registers a session. Of two sessions of one device the newer stays; then the oldest devices beyond the allowed
    /// number are displaced. Either rule can displace the new session itself, if newer connections overtook its
    /// handshake. Returns whether there were more devices than allowed.
    pub fn attach(
        &mut self,
        user: UserId,
        session: SessionId,
        accepted: AcceptOrder,
        device: Device,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let present = match self.users.entry(user) {
            Entry::Vacant(vacant) => {
                effects.push(Effect::Online(user));
                vacant.insert(OnlineUser::default())
            }
            Entry::Occupied(occupied) => occupied.into_mut(),
        };
        if present.sessions.is_empty() {
            self.lingering.remove(&(present.lingers_until, user));
        }
        if let Some(index) = present.sessions.iter().position(|other| other.device.is_same(&device)) {
            if present.sessions[index].accepted > accepted {
                effects.push(Effect::Displaced(session));
                return false;
            }
            effects.push(Effect::Displaced(present.sessions.remove(index).session));
            self.sessions -= 1;
        }
        let index = present.sessions.partition_point(|other| other.accepted < accepted);
        // Most users have one or two devices; growing by doubling would begin with room for four.
        present.sessions.reserve_exact(1);
        present.sessions.insert(index, Registered { session, accepted, device });
        self.sessions += 1;
        let is_beyond = present.sessions.len() > self.devices_per_user;
        if is_beyond {
            effects.push(Effect::Displaced(present.sessions.remove(0).session));
            self.sessions -= 1;
        }
        is_beyond
    }

    /// Unregisters a session if it is registered now.
    pub fn leave(
        &mut self,
        now: MonotonicMs,
        user: UserId,
        session: SessionId,
        reason: LeaveReason,
        effects: &mut Vec<Effect>,
    ) -> LeaveOutcome {
        let Some(present) = self.users.get_mut(&user) else { return LeaveOutcome::Stale };
        let Some(index) = present.sessions.iter().position(|other| other.session == session) else {
            return LeaveOutcome::Stale;
        };
        present.sessions.remove(index);
        self.sessions -= 1;
        if present.sessions.is_empty() {
            if reason == LeaveReason::Clean || self.linger.is_zero() {
                self.users.remove(&user);
                effects.push(Effect::Offline(user));
            } else {
                let until = now.plus(self.linger);
                present.lingers_until = until;
                self.lingering.insert((until, user));
            }
        }
        LeaveOutcome::Left
    }

    /// Ends the linger of every user whose time is over.
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

    /// Distinct users online, lingering ones included.
    #[must_use]
    pub fn users_online(&self) -> usize {
        self.users.len()
    }

    /// Live sessions.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// The users who are online, in no order.
    pub fn online(&self) -> impl Iterator<Item = UserId> + '_ {
        self.users.keys().copied()
    }

    /// The live sessions of a user, oldest first.
    pub fn sessions_of(&self, user: UserId) -> impl Iterator<Item = SessionId> + '_ {
        self.users.get(&user).into_iter().flat_map(|present| present.sessions.iter().map(|one| one.session))
    }
}

#[cfg(test)]
mod tests;
