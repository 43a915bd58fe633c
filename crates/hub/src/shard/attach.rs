//! How sessions begin: an upgraded connection gets a slot, its session is registered, and the sessions that it
//! displaces are closed.

use std::io;
use std::time::Duration;

use teahouse_core::{CloseCode, LOBBY, SessionId, Timestamp};

use super::closing::CloseNotice;
use super::connection::Connection;
use super::slots::{Leaving, Slot, SocketState};
use super::state::Shard;
use crate::clock::MonotonicMs;
use crate::ports::{Dialect, NewConnection};
use crate::registry::Device;
use crate::session::{Session, SessionParams};
use crate::websocket::Decoder;

impl Shard {
    /// Begins a session. `adopt` registers its socket with the shard's epoll, under a slot and an id.
    pub(crate) fn attach<S>(
        &mut self,
        new: NewConnection<S>,
        checked_at: MonotonicMs,
        wall: Timestamp,
        adopt: impl FnOnce(S, usize, SessionId) -> io::Result<Connection>,
    ) {
        let id = self.environment.allocate_session_id();
        // A connection that is gone already was never registered, so there is nothing to undo.
        let Ok(connection) = adopt(new.stream, self.slots.next_index(), id) else { return };
        let NewConnection {
            identity, accepted, dialect, device, handshake_response, early_bytes, permit, lobby, ..
        } = new;
        let (user, token) = (identity.user, identity.token);
        let options = &self.environment.options;
        let hello_until = (dialect == Dialect::V1).then(|| self.now.plus(options.hello_timeout));
        let ring_position = self.broadcast.ring.end();
        let params = SessionParams { id, identity, hello_until, ring_position };
        let mut session = Session::new(params, self.now);
        if !handshake_response.is_empty() {
            session.unsent.push_back(handshake_response);
        }
        let index = self.slots.insert(Slot {
            session,
            connection,
            decoder: Decoder::default(),
            socket: SocketState::default(),
            leaving: Leaving::default(),
            queued: Default::default(),
            close_deadline: None,
            expires_at: self.now.plus(time_left(token.expires_at, wall, options.token_grace)),
            frame_since: None,
            permit,
        });
        // A v1 session gets its cursors with its welcome.
        if dialect == Dialect::Classic {
            self.attach_cursor(index, LOBBY, lobby);
        }
        if self.revocations.cover(user, &token, checked_at) {
            // It is not registered, so it displaces no session and does not make its user appear online.
            self.slots[index].leaving.has_left = true;
            return self.send_close(index, CloseCode::Revoked, CloseNotice::default());
        }
        self.environment.metrics.attaches.inc();
        self.environment.metrics.sessions.inc();
        let mut effects = std::mem::take(&mut self.scratch.effects);
        if self.registry.attach(user, id, accepted, device_of(dialect, device), &mut effects) {
            let devices = self.environment.options.devices_per_user as u64 + 1;
            self.environment.metrics.bounds.record("sessions.per_user", devices);
        }
        self.apply(effects);
        if dialect == Dialect::Classic {
            self.send_count(index);
        }
        if self.drain.is_some() {
            self.close_for_restart(index);
        } else if !early_bytes.is_empty() {
            self.receive(index, &mut early_bytes.to_vec());
        }
        self.flush(index);
    }

    /// Sends a classic session the number of users online, unless it is displaced already.
    fn send_count(&mut self, index: usize) {
        let session = &mut self.slots[index].session;
        if !session.closing {
            let count = super::broadcast::count_of(self.environment.online.count());
            self.broadcast.note_welcome(count.users);
            session.reply_with_count(count);
        }
    }
}

/// The device of a session. The name that a classic handshake gives does not count.
fn device_of(dialect: Dialect, name: Option<String>) -> Device {
    match (dialect, name) {
        (Dialect::Classic, _) => Device::Classic,
        (Dialect::V1, Some(name)) => Device::Named(name.into()),
        (Dialect::V1, None) => Device::Unnamed,
    }
}

/// How much longer a token is accepted: until its expiry plus the grace. A handshake may come within the grace.
fn time_left(expires_at: i64, wall: Timestamp, grace: Duration) -> Duration {
    let grace_ms = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
    let left_ms = expires_at.saturating_mul(1000).saturating_sub(wall.0).saturating_add(grace_ms);
    Duration::from_millis(u64::try_from(left_ms).unwrap_or(0))
}
