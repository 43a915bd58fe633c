//! Invariants that hold at every time: who is registered, and who is online. The checks only read the shards.

use teahouse_core::{SessionId, UserId};

use super::device::ClientModel;
use super::world::World;
use super::{Check, ensure};

impl World {
    /// The first law, by a small reference: of one device the newest session stays, and of all devices the newest few.
    pub(super) fn check_newest_stays(&self, shard: usize, user: u64, id: SessionId, before: Vec<SessionId>) -> Check {
        let state = &self.shards[shard].state;
        let place = state.slots.index_of(id).map(|index| &state.slots[index]);
        if self.is_draining || place.is_none_or(|slot| slot.leaving.has_left) {
            return Ok(());
        }
        let mut expect = before;
        expect.push(id);
        expect.sort_by_key(|session| self.sessions[session].0);
        if let Some(device) = &self.sessions[&id].1 {
            let same: Vec<SessionId> =
                expect.iter().copied().filter(|other| self.sessions[other].1.as_ref() == Some(device)).collect();
            expect.retain(|other| same.last() == Some(other) || !same.contains(other));
        }
        let excess = expect.len().saturating_sub(self.options.devices_per_user);
        expect.drain(..excess);
        let now: Vec<SessionId> = state.registry.sessions_of(UserId(user)).collect();
        ensure!(now == expect, "registered: {now:?}, expected: {expect:?}");
        Ok(())
    }

    pub(super) fn is_registered(&self, user: u64) -> bool {
        self.shards[self.shard_of(user)].state.registry.sessions_of(UserId(user)).next().is_some()
    }

    /// A user whose sessions ended for good is offline at once.
    pub(super) fn check_no_linger(&self, user: u64) -> Check {
        let is_gone = self.was_registered && !self.is_registered(user);
        ensure!(!is_gone || !self.online.contains(UserId(user)), "user {user} was disconnected for good and lingers");
        Ok(())
    }

    /// Records a user whose only connection was lost without a close frame, and who has to stay online for the linger.
    /// Classic sessions are not recorded: the shard may close them for good before it sees the loss.
    pub(super) fn record_loss(&mut self, device: usize) {
        let lost = &self.devices[device];
        let user = lost.user;
        self.lost.remove(&user);
        let connected = self.devices.iter().filter(|other| other.user == user && other.connection.is_some()).count();
        let Some(connection) = lost.connection.as_ref().filter(|_| lost.is_live() && connected == 1) else { return };
        let mut registered = self.shards[self.shard_of(user)].state.registry.sessions_of(UserId(user));
        let is_registered = registered.any(|session| self.sessions[&session].0 == connection.accepted);
        let has_left_cleanly = self.left_cleanly.contains(&user) || self.is_draining;
        if is_registered && matches!(lost.client_model, ClientModel::V1(_)) && !has_left_cleanly {
            self.lost.insert(user, self.now);
        }
    }

    pub(super) fn check_lost_users_linger(&mut self) -> Check {
        let (now, linger) = (self.now, self.options.presence_linger.as_millis() as u64);
        self.lost.retain(|_, at| now < *at + linger);
        for user in self.lost.keys() {
            ensure!(self.online.contains(UserId(*user)), "user {user} was lost a moment ago and is offline");
        }
        Ok(())
    }

    /// A session that is not ending is registered, and its user is online.
    pub(super) fn check_registered_users_are_online(&self) -> Check {
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
