//! Checks of the quiescent state, and of the state after all sessions are gone: first what clients show, then the shards.

use std::collections::BTreeSet;

use teahouse_checker::view::RoomView;
use teahouse_core::{LOBBY, SessionId, UserId};

use super::device::{ClientModel, Device};
use super::store::Store;
use super::v1_client::V1Client;
use super::world::World;
use super::{Check, ensure};
use crate::session::Phase;

/// Checks the quiescent state: clients show what the store holds, and nothing is pending.
pub(super) fn check_quiescent(world: &World) -> Check {
    let store = world.store.lock();
    for (place, device) in world.devices.iter().enumerate().filter(|(_, device)| device.is_live()) {
        let shows = match &device.client_model {
            ClientModel::V1(client) => check_client(world, &store, client),
            ClientModel::Classic(classic) => {
                let count = world.online.count();
                classic.check_complete(&store).and_then(|()| {
                    ensure!(
                        classic.count == Some(count),
                        "its online count is {:?}, and {count} are online",
                        classic.count
                    );
                    Ok(())
                })
            }
        };
        shows.map_err(|violation| format!("device {place} of user {}: {violation}", device.user))?;
    }
    drop(store);
    check_sessions(world)?;
    check_nothing_pending(world)
}

fn check_client(world: &World, store: &Store, client: &V1Client) -> Check {
    ensure!(client.view.is_welcomed, "it is not welcomed");
    ensure!(client.unanswered.is_empty(), "no answer to {:?}", client.unanswered);
    ensure!(client.view.is_caught_up(), "it is not caught up");
    let user = client.user;
    let rooms: BTreeSet<u64> =
        store.rooms.iter().filter(|(_, room)| room.is_listed_for(user)).map(|(room, _)| *room).collect();
    let shown: BTreeSet<u64> = client.view.rooms.keys().copied().collect();
    ensure!(shown.is_subset(&rooms), "it is a member of {rooms:?} and shows {shown:?}");
    let unlisted = store.unlisted.get(&SessionId(client.session));
    for room in rooms.difference(&shown) {
        let was = unlisted.and_then(|unlisted| unlisted.get(room)).copied();
        let is = store.rooms[room].head().0.0;
        ensure!(was == Some(is), "room {room} is not shown: it was at {was:?} when it was not listed, and is at {is}");
    }
    for (id, view) in &client.view.rooms {
        check_room(world, store, client, *id, view).map_err(|violation| format!("room {id}: {violation}"))?;
    }
    let count = world.online.count();
    ensure!(client.view.online == count, "its online count is {}, and {count} are online", client.view.online);
    Ok(())
}

fn check_room(world: &World, store: &Store, client: &V1Client, id: u64, view: &RoomView) -> Check {
    let room = &store.rooms[&id];
    ensure!(view.version == room.head().0.0, "at {} of {}", view.version, room.head().0.0);
    for message in &room.messages {
        let Some(shown) = view.messages.get(&message.id.0) else {
            ensure!(message.seq.0 < view.low, "message {} (seq {}) is missing", message.id.0, message.seq.0);
            continue;
        };
        ensure!(
            shown.version == message.version.0,
            "message {} has version {}, expected {}",
            message.id.0,
            shown.version,
            message.version.0
        );
        let own = room.own.get(&(message.id.0, client.user)).cloned().unwrap_or_default();
        let mine = view.mine.get(&message.id.0).cloned().unwrap_or_default();
        ensure!(mine == own, "own reactions to {}: {mine:?}, expected {own:?}", message.id.0);
    }
    if client.missed {
        // The client was sent `events_missed`, and this model does not reload.
        return Ok(());
    }
    let read = room.members[&client.user];
    ensure!(view.read_seq == read, "read up to {}, expected {read}", view.read_seq);
    ensure!(view.title == room.title.to_string(), "title {}, expected {}", view.title, room.title);
    let role = room.role_of(client.user).as_str();
    ensure!(view.role == role, "role {}, expected {role}", view.role);
    ensure!(view.members as usize == room.members.len(), "{} members, expected {}", view.members, room.members.len());
    ensure!(view.typing.is_empty(), "{:?} are shown typing for ever", view.typing);
    if let Some(present) = &view.watched {
        let online: BTreeSet<u64> =
            room.members.keys().copied().filter(|user| world.online.contains(UserId(*user))).collect();
        ensure!(*present == online, "{present:?} are shown online, expected {online:?}");
    }
    Ok(())
}

/// The registered sessions are the connected ones, and their users are online.
fn check_sessions(world: &World) -> Check {
    let users: BTreeSet<u64> = world.devices.iter().map(|device| device.user).collect();
    let mut online = Vec::new();
    for user in users {
        let live: Vec<&Device> =
            world.devices.iter().filter(|device| device.user == user && device.is_live()).collect();
        let state = &world.shards[world.shard_of(user)].state;
        let registered: Vec<SessionId> = state.registry.sessions_of(UserId(user)).collect();
        ensure!(registered.len() == live.len(), "user {user} has {} sockets and {registered:?}", live.len());
        ensure!(live.len() <= world.options.devices_per_user, "user {user} has too many devices");
        let mut identities: Vec<String> = live.iter().filter_map(|device| device.identity()).collect();
        identities.sort();
        ensure!(identities.is_sorted_by(|one, next| one < next), "user {user} has two of a device: {identities:?}");
        if !live.is_empty() {
            online.push(UserId(user));
        }
    }
    ensure!(world.online.all() == online, "online: {:?}, connected: {online:?}", world.online.all());
    Ok(())
}

/// Nothing is pending in any shard.
fn check_nothing_pending(world: &World) -> Check {
    for (index, shard) in world.shards.iter().enumerate() {
        let state = &shard.state;
        ensure!(!world.is_waiting(index), "shard {index} waits for something");
        ensure!(state.reads.is_idle(), "something is still to be read: {:?}", state.reads);
        ensure!(state.hello.is_empty(), "somebody is still to be welcomed: {:?}", state.hello);
        ensure!(state.entries.is_idle(), "entries are still to be read: {:?}", state.entries);
        ensure!(!state.is_busy(), "something is left to do");
        for (index, entry) in state.slots.iter() {
            let session = &entry.session;
            ensure!(state.slots.index_of(session.id) == Some(index), "session {} is not in its slot", session.id.0);
            ensure!(!session.closing && !entry.leaving.has_left, "session {} does not end", session.id.0);
            ensure!(!entry.socket.blocked && session.unsent.is_empty(), "session {} is not written to", session.id.0);
            ensure!(!session.has_output(), "something waits for session {}", session.id.0);
            let is_live = session.v1.as_ref().is_none_or(|v1| matches!(v1.phase, Phase::Live));
            ensure!(is_live && !session.has_held_rooms(), "session {} has a room held back for ever", session.id.0);
        }
        let cursors = |id| state.slots.iter().filter(|(_, entry)| entry.session.is_in(id)).count();
        for (id, room) in state.rooms.iter() {
            ensure!(
                room.cursors() == cursors(id),
                "room {} counts {} cursors of {}",
                id.0,
                room.cursors(),
                cursors(id)
            );
            ensure!(id == LOBBY || room.cursors() > 0, "room {} is kept without cursors", id.0);
            ensure!(
                room.subscribers.iter().all(|slot| state.slots.get(*slot).is_some()),
                "a dead session in room {}",
                id.0
            );
        }
    }
    Ok(())
}

/// After all sessions are gone no state of them is left.
pub(super) fn check_empty(world: &World) -> Check {
    check_nothing_pending(world)?;
    for (index, shard) in world.shards.iter().enumerate() {
        let state = &shard.state;
        ensure!(state.slots.is_empty(), "shard {index} keeps {} slots", state.slots.len());
        let rooms: Vec<_> = state.rooms.iter().collect();
        ensure!(rooms.len() == 1, "shard {index} keeps rooms: {rooms:?}");
        let lobby = rooms[0].1;
        ensure!(lobby.cursors() == 0 && lobby.subscribers.is_empty(), "the lobby keeps a session");
        ensure!(state.watches.is_empty(), "watches are left: {:?}", state.watches);
        ensure!(!state.rooms.has_typing() && state.revocations.is_empty(), "typing, or revocations, are left");
        ensure!(state.registry.sessions() == 0 && state.registry.users_online() == 0, "the registry keeps a session");
    }
    ensure!(world.online.all().is_empty(), "online for ever: {:?}", world.online.all());
    let (sessions, users) = (world.metrics.sessions.get(), world.metrics.users.get());
    ensure!((sessions, users) == (0, 0), "{sessions} sessions and {users} users are counted");
    Ok(())
}
