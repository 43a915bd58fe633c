//! What must be so at every moment, looked at in passing: who is registered, and who is online. Shards are only
//! looked into.

use teahouse_core::{SessionId, UserId};

use super::device::Speaks;
use super::world::World;
use super::{Check, ensure};

impl World {
    /// The first law, by a reference of a few lines: of one device the newest stays, and of all the newest few.
    pub(super) fn newest_won(&self, shard: usize, user: u64, id: SessionId, before: Vec<SessionId>) -> Check {
        let state = &self.shards[shard].state;
        let place = state.slots.index_of(id).map(|index| &state.slots[index]);
        if self.is_draining || place.is_none_or(|slot| slot.leaving.has_left) {
            return Ok(());
        }
        let mut expect = before;
        expect.push(id);
        expect.sort_by_key(|session| self.sessions[session].0);
        if let Some(name) = &self.sessions[&id].1 {
            let same: Vec<SessionId> =
                expect.iter().copied().filter(|other| self.sessions[other].1.as_ref() == Some(name)).collect();
            expect.retain(|other| same.last() == Some(other) || !same.contains(other));
        }
        let excess = expect.len().saturating_sub(self.options.sessions_per_user);
        expect.drain(..excess);
        let now: Vec<SessionId> = state.registry.sessions_of(UserId(user)).collect();
        ensure!(now == expect, "registered are {now:?}, and it should be {expect:?}");
        Ok(())
    }

    pub(super) fn is_registered(&self, user: u64) -> bool {
        self.shards[self.shard_of(user)].state.registry.sessions_of(UserId(user)).next().is_some()
    }

    /// Whoever is sent away for good is offline at once.
    pub(super) fn nobody_lingers(&self, user: u64) -> Check {
        let is_gone = self.was_here && !self.is_registered(user);
        ensure!(!is_gone || !self.online.contains(UserId(user)), "user {user} was sent away for good and lingers");
        Ok(())
    }

    /// A user's only connection is lost without a goodbye: they stay online for the linger. Of a classic one the
    /// shard may find out first that it is to be sent away for good.
    pub(super) fn is_lost(&mut self, device: usize) {
        let lost = &self.devices[device];
        let user = lost.user;
        self.lost.remove(&user);
        let connected = self.devices.iter().filter(|other| other.user == user && other.connection.is_some()).count();
        let Some(connection) = lost.connection.as_ref().filter(|_| lost.is_live() && connected == 1) else { return };
        let mut registered = self.shards[self.shard_of(user)].state.registry.sessions_of(UserId(user));
        let is_registered = registered.any(|session| self.sessions[&session].0 == connection.accepted);
        let has_parted = self.parted.contains(&user) || self.is_draining;
        if is_registered && matches!(lost.speaks, Speaks::V1(_)) && !has_parted {
            self.lost.insert(user, self.now);
        }
    }

    pub(super) fn whoever_is_lost_lingers(&mut self) -> Check {
        let (now, linger) = (self.now, self.options.presence_linger.as_millis() as u64);
        self.lost.retain(|_, at| now < *at + linger);
        for user in self.lost.keys() {
            ensure!(self.online.contains(UserId(*user)), "user {user} was lost a moment ago and is offline");
        }
        Ok(())
    }

    /// A session that does not end is registered, and its user is online.
    pub(super) fn whoever_is_here_is_online(&self) -> Check {
        for state in self.shards.iter().map(|shard| &shard.state) {
            for (_, slot) in state.slots.iter().filter(|(_, slot)| !slot.leaving.has_left && !slot.session.closing) {
                let (id, user) = (slot.session.id, slot.session.identity.user);
                ensure!(
                    state.registry.sessions_of(user).any(|other| other == id),
                    "session {} is not registered",
                    id.0
                );
                ensure!(self.online.contains(user), "user {} is connected and not online", user.0);
            }
        }
        Ok(())
    }
}
